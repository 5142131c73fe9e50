"""A reinforcement-learning stage: GRPO on verl over the problems of one environment.

The stage turns its settings into verl's, starts verl as a child, follows its figures, and exports a Hugging Face folder. A
stage that was killed goes on from verl's last whole checkpoint. The problems of a step follow from the seed and the step
(`order.py`), and samples are seeded by problem, step, attempt and sample, so that the steps played again are the same steps.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pandas

from ... import disk
from ...core import Info, Message, UserError
from ...disk import storable
from ...envs import registry
from ...policies import checkpoints as initial
from ...policies.rollout import count_problems, first_messages
from .. import figures
from ..cluster import Cluster
from ..launch import nodes, supervise
from ..stage import Context, Metrics, finished, rerun_advice
from ..trainer import checkpoints as stored
from ..verl_compat import names
from . import filter as rl_filter
from . import verl_config, watch
from .metrics import CURVES, gather, last_step, mean, steps_done
from .settings import GRPOSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class GRPO(GRPOSettings):
    """A `grpo` stage."""

    def run(self, context: Context) -> Metrics:
        """Trains, and leaves the checkpoint in `policy` and the figures of every step in `steps.jsonl`."""
        folder = context.folder
        start = initial.checkpoint(context.policy)
        if not (start / "tokenizer.json").is_file() and not (start / "tokenizer.model").is_file():
            raise UserError(f"{start} has no tokenizer: save one there with tokenizer.save_pretrained")
        spec, posed = _problems(self, context)
        rows = _short_enough(posed, start, self.max_prompt_tokens)
        if len(rows) < self.batch_size:
            longer = f" ({len(posed) - len(rows)} have prompts of more than max_prompt_tokens={self.max_prompt_tokens})"
            raise UserError(
                f"{self.name}: {len(rows)} problems{longer if len(rows) < len(posed) else ''} do not fill one step of "
                f"batch_size={self.batch_size}"
            )

        checkpoints = folder / verl_config.CHECKPOINTS
        for name in ("episodes", "metrics"):
            (folder / name).mkdir(exist_ok=True)
        _write_rows(rows, folder / verl_config.DATA)
        registered = [_literal(registration) for registration in registry.exported()]
        loop = {
            "name": "tenfold",
            "_target_": f"{__package__}.agent_loop.EnvironmentLoop",
            "episodes": str((folder / "episodes").resolve()),
            "seed": context.seed,
            "max_turns": self.max_turns,
            "stop_ids": sorted(initial.stop_ids(start, initial.tokenizer_of(start))),
            "window": initial.window(start),
            "sampled": _sampled(self, context),
        }
        # JSON is YAML. OmegaConf reads it and would fill in ${...}, which a prompt may hold and a stranger's may ask for.
        told = loop | {"environment": _literal(spec), "registered": registered}
        disk.write(folder / verl_config.LOOPS, json.dumps([told]))
        _repair(checkpoints)

        metrics = folder / "metrics" / f"{len(list((folder / 'metrics').iterdir())):03d}.jsonl"
        variables = verl_config.environment(metrics.resolve(), context.cluster)
        overrides = verl_config.overrides(self, context.seed, start.resolve(), folder.resolve(), context.cluster, variables)
        alone = context.cluster.on_cpu() and not context.cluster.address  # with a Ray of its own, that can be told how to start
        command = [
            sys.executable,
            "-m",
            names.FORK_SERVER if alone else names.RAY_PATHS,
            *overrides,
            f"hydra.run.dir={json.dumps(str(folder / 'hydra'))}",
        ]

        def written() -> int:
            return sum(path.stat().st_size for path in (folder / "episodes").iterdir())

        before, watched = written(), watch.Watch(folder, self)

        def sign_of_life() -> object:
            done = steps_done(folder)
            context.progress(done, self.steps, **last_step(folder))
            if said := watched.trouble(done):
                raise supervise.Stopped(
                    f"{said}; the last checkpoint is of step {_tracked(checkpoints)} (log: {folder / 'verl.log'})"
                )
            # While verl starts, its log tells that it is alive; once it steps, only steps and episodes do.
            now = written()
            return (done, now) if now > before else (folder / "verl.log").stat().st_size

        (folder / "verl.log").touch()
        if _tracked(checkpoints) < self.steps:
            verl_config.check_checkpoints(folder, context.cluster)
            if not context.cluster.on_cpu():
                nodes.check_installed()
            if context.cluster.address:
                nodes.check_nodes(context.cluster, folder.resolve(), variables)
            try:
                supervise.follow(command, variables, folder / "verl.log", sign_of_life, self.stall_seconds)
            except supervise.Stopped as stopped:
                if stored.REFUSED in str(stopped):
                    raise UserError(f"{self.name}: {stored.refusal(checkpoints, stopped)}") from None
                raise UserError(f"{self.name}: {stopped}") from None
        return {"problems": len(rows), "left_out": len(posed) - len(rows)} | _finish(self, folder, checkpoints)

    def check_cluster(self, cluster: Cluster) -> None:
        """verl takes the settings, and the cluster holds the batch."""
        verl_config.check(self, cluster)

    def summary(self, metrics: Metrics) -> str:
        """The mean reward of the first and of the last tenth of the steps."""
        faults = f", {metrics['faults']} faults" if metrics["faults"] else ""
        faults += f", {metrics['refused']} of them refused" if metrics.get("refused") else ""
        return f"{metrics['steps']} steps, reward {metrics['reward_first']:.3f} to {metrics['reward_last']:.3f}{faults}"

    def figure(self, metrics: Metrics) -> "Figure":
        """Reward, length, entropy and the like over the steps."""
        return figures.curves(metrics["curves"])


def _literal(registration: str) -> str:
    """The same JSON without a dollar sign in it."""
    return registration.replace("$", "\\u0024")


def _sampled(settings: GRPOSettings, context: Context) -> str | None:
    """Writes where each sample of the filter is found; None where its policy or settings are not those of the first step.

    They are the samples that kept their problems, so that the first step's reward lies above what new samples would have given.
    """
    if not settings.keep:
        return None
    record = finished(context.inputs[settings.keep])
    alike = ("environment", "options", "temperature", "top_p", "max_turns")
    if (
        record["policy"] != context.policy
        or any(record["stage"].get(name) != getattr(settings, name) for name in alike)
        or record["stage"]["max_tokens"] != settings.max_response_tokens
    ):
        return None
    file = (context.inputs[settings.keep] / "episodes.jsonl").resolve()
    places = {
        f"{row['problem']}/{row['sample']}": place
        for place, row in disk.rows(file, _check)
        if "settings" not in row and row["verdict"]["score"] is not None and all(row["turns"])
    }
    index = context.folder / "sampled.json"
    disk.write(index, json.dumps({"file": str(file), "places": places}))
    return str(index.resolve())


def _check(row: dict[str, Any]) -> None:
    """Raises where a line of a store is neither its settings nor a sample."""
    if "settings" not in row:
        disk.has(row, problem=int, sample=int, verdict=dict, turns=list)
        row["verdict"]["score"]


def _finish(settings: GRPOSettings, folder: Path, checkpoints: Path) -> Metrics:
    """Exports the last checkpoint and gathers the figures."""
    last = _tracked(checkpoints)
    if last < settings.steps:
        raise UserError(f"{settings.name}: verl ended after step {last} of {settings.steps} (log: {folder / 'verl.log'})")
    exported = checkpoints / f"global_step_{last}" / "actor" / "huggingface"
    for name in ("policy", "policy.partial"):
        shutil.rmtree(folder / name, ignore_errors=True)
    shutil.copytree(exported, folder / "policy.partial")
    (folder / "policy.partial").rename(folder / "policy")
    steps = gather(folder, last)
    disk.write(folder / "steps.jsonl", "".join(json.dumps(step) + "\n" for step in steps))
    tenth = max(1, len(steps) // 10)
    return {
        "steps": len(steps),
        "reward_first": mean(steps[:tenth], "reward"),
        "reward_last": mean(steps[-tenth:], "reward"),
        "faults": sum(step["faults"] for step in steps),
        "refused": sum(step["refused"] for step in steps),
        "samples_reused": sum(step["reused"] for step in steps),
        "curves": {name: [step[name] for step in steps] for name in CURVES},
    }


def _problems(settings: GRPOSettings, context: Context) -> tuple[str, list[dict[str, Any]]]:
    """The environment's registration as JSON, and verl's rows for its problems."""
    environment = registry.make(settings.environment, **settings.options)
    try:
        assert environment.spec is not None
        spec = environment.spec.to_json()
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{settings.environment} cannot be rebuilt in another process ({error}); register it with names "
            '("module:Class", "module:verifier", problem URIs) instead of objects'
        ) from None
    indices = list(range(settings.problems or count_problems(environment) or 0))
    if settings.keep:
        kept = context.inputs[settings.keep]
        with disk.understood(kept / rl_filter.TABLE, rerun_advice(kept)):
            table = pandas.read_parquet(kept / rl_filter.TABLE)
            indices = table["index"][table["kept"]].tolist()
    if not indices:
        raise UserError(f"{settings.environment} does not tell how many problems it has: set problems=")
    rows = []
    for index in indices:
        text, info = environment.reset(seed=index, options={"problem": index})
        row = {"index": index, "id": str(info.get("problem_id", index)), "messages": [*first_messages(text, cast(Info, info))]}
        rows.append(storable(row))
    environment.close()
    return spec, rows


def _short_enough(rows: list[dict[str, Any]], checkpoint: Path, most: int) -> list[dict[str, Any]]:
    """The problems whose prompts have at most so many tokens; verl would cut the others."""
    tokenizer = initial.tokenizer_of(checkpoint)
    return [row for row in rows if len(initial.prompt_tokens(tokenizer, row["messages"])) <= most]


def _write_rows(rows: list[dict[str, Any]], path: Path) -> None:
    """verl's form of a data set: the prompt, where the reward comes from, which agent loop plays it. A row a problem."""

    def row(problem: dict[str, Any]) -> dict[str, Any]:
        messages: list[Message] = problem["messages"]
        return {
            "prompt": messages,
            "data_source": problem["id"],
            "reward_model": {"style": "rule", "ground_truth": ""},
            "extra_info": {"index": problem["index"]},
            "agent_name": "tenfold",
        }

    pandas.DataFrame([row(problem) for problem in rows]).to_parquet(path)


def _tracked(checkpoints: Path) -> int:
    """The step of the last whole checkpoint; 0 where there is none."""
    try:
        return int((checkpoints / "latest_checkpointed_iteration.txt").read_text())
    except (FileNotFoundError, ValueError):
        return 0


def _repair(checkpoints: Path) -> None:
    """Makes verl's note of its last checkpoint true again after a kill.

    verl writes `data.pt` last and then the note, which a kill may leave empty. Checkpoints later than the last whole one
    are removed, and so are those before it, which verl forgets across a restart.
    """
    if not checkpoints.is_dir():
        return
    folders = [path for path in checkpoints.glob("global_step_*") if path.is_dir()]
    steps = {int(number): path for path in folders if (number := path.name.rsplit("_", 1)[1]).isdigit()}
    noted = _tracked(checkpoints)
    # Without a note that can be read, a checkpoint counts as whole when all but its last file must have been closed.
    if noted in steps and not stored.damage(steps[noted]):
        last = noted
    else:
        last = max(
            (step for step, path in steps.items() if step != noted and not stored.damage(path) and _whole(path)), default=0
        )
    for step, path in steps.items():
        if step != last:
            shutil.rmtree(path)
    note = checkpoints / "latest_checkpointed_iteration.txt"
    if last:
        disk.write(note, str(last))
    else:
        note.unlink(missing_ok=True)


def _whole(path: Path) -> bool:
    """Whether verl had begun to write the note of this checkpoint: `data.pt` loads to its end."""
    import torch

    try:
        torch.load(path / "data.pt", weights_only=True)
    except Exception:
        return False
    return True
