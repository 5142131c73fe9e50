"""The GRPO stage: reinforcement learning with verl on the problems of one environment.

The stage converts its settings to verl's, runs verl as a child process, monitors its metrics, and exports a checkpoint in
Hugging Face format. A stage that was killed resumes from verl's last complete checkpoint. The problems of a step depend on the
seed and the step (`verl_compat/order.py`). The seed of each sample depends on the problem, the step, the attempt and the sample
number. Therefore repeated steps are identical.
"""

import contextlib
import itertools
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import pandas
import pyarrow
import pyarrow.parquet

from ... import disk
from ...core import Message, UserError
from ...disk import Row, step_folders, storable
from ...envs import registry
from ...envs.rollout import turn_limit
from ...policies import checkpoints as initial
from ...policies.chat import tools
from ...policies.chat.prompts import prompt_tokens
from ...policies.models import shard_index
from ...policies.play.games import Environment, count_problems, prompt_of
from .. import figures
from ..cluster import Cluster
from ..launch import nodes, supervise
from ..stage import Context, Metrics, finished_record, rerun_advice
from ..trainer import checkpoints as stored
from ..trainer import lora
from ..verl_compat import names
from . import filter as rl_filter
from . import model_checks, show, step_file, verl_config, watch
from .metrics import CURVES, gather, last_step, mean
from .settings import GRPOSettings, in_grammar, too_few_problems

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from transformers import PreTrainedTokenizerBase


TRACKER = "latest_checkpointed_iteration.txt"
"""verl's file with the step of its last checkpoint."""


BATCH = 10_000
"""Number of problems that become rows of verl's data set at a time. Our choice."""


class _Problem(TypedDict):
    """A problem to train on."""

    index: int
    id: str
    messages: list[Message]
    """The prompt."""


class GRPO(GRPOSettings):
    """Trains the policy with GRPO on the problems of an environment."""

    def run(self, context: Context) -> Metrics:
        """Trains the policy; writes the checkpoint to `policy` and the metrics of each step to `steps.jsonl`."""
        folder = context.folder
        start = initial.checkpoint(context.policy)
        if not (start / "tokenizer.json").is_file() and not (start / "tokenizer.model").is_file():
            raise UserError(f"{start} has no tokenizer: save one there with tokenizer.save_pretrained")
        tokenizer = initial.tokenizer_of(start)
        with contextlib.closing(registry.make(self.environment, **self.options)) as environment:
            spec = registry.declaration(environment, self.environment, self.options)
            rows, too_long = _rows(_problems(self, context, environment), tokenizer, self.max_prompt_tokens)
        if len(rows) < self.batch_size:
            skipped = f" ({too_long} more have prompts longer than max_prompt_tokens={self.max_prompt_tokens})"
            raise UserError(f"{self.name}: {too_few_problems(self.batch_size, len(rows), skipped if too_long else '')}")

        checkpoints = folder / verl_config.CHECKPOINTS
        for name in ("episodes", "metrics"):
            (folder / name).mkdir(exist_ok=True)
        pyarrow.parquet.write_table(rows, folder / verl_config.DATA)
        registered = [_literal(registration) for registration in registry.registrations()]
        loop = {
            "name": "tenfold",
            "_target_": f"{__package__}.agent_loop.EnvironmentLoop",
            "episodes": str((folder / "episodes").resolve()),
            "seed": context.seed,
            "max_turns": turn_limit(self.environment, self.max_turns),
            "stop_ids": sorted(initial.stop_ids(start, tokenizer)),
            "window": initial.window(start),
            "sampled": _sampled(self, context),
            "seeded": self.max_staleness <= 1 or context.cluster.on_cpu(),
        }
        # JSON is valid YAML. `_literal` escapes dollar signs, because OmegaConf would resolve ${...} in a prompt.
        loop |= {"environment": _literal(spec), "registered": registered}
        disk.write(folder / verl_config.LOOPS, json.dumps([loop]))
        _repair(checkpoints, self.keep_checkpoints)
        if (last := _tracked(checkpoints)) > self.steps:
            raise UserError(
                f"{self.name}: the last checkpoint is of step {last}, after steps={self.steps}: set steps to at least {last}, "
                f"or remove {checkpoints} to start the stage again"
            )

        metrics = folder / "metrics" / f"{len(list((folder / 'metrics').iterdir())):03d}.jsonl"
        variables = verl_config.environment(metrics.resolve(), context.cluster, self.max_staleness)
        overrides = verl_config.overrides(self, context.seed, start.resolve(), folder.resolve(), context.cluster, variables)
        own_ray = context.cluster.on_cpu() and not context.cluster.address  # only then can the fork server start the workers
        command = [
            sys.executable,
            "-m",
            names.FORK_SERVER if own_ray else names.RAY_PATHS,
            *overrides,
            f"hydra.run.dir={in_grammar(str(folder / 'hydra'))}",
        ]

        def written() -> int:
            return sum(path.stat().st_size for path in (folder / "episodes").iterdir())

        before, watched = written(), watch.Watch(folder, self, _tracked(checkpoints))
        steps = step_file.StepFile(folder, _tracked(checkpoints))

        def progress_marker() -> object:
            steps.add_ended_steps()
            last, now = last_step(folder), written()
            done = int(last.get("step", 0))
            context.progress(done, self.steps, **last, waiting=None if now > before else "for verl to start")
            if reason := watched.reason_to_stop(done):
                if "EngineDeadError" in reason:
                    reason = f"vLLM's engine died: {supervise.engine_error(folder / 'verl.log')}"
                raise supervise.Stopped(
                    f"{reason}; the last checkpoint is of step {_tracked(checkpoints)} (log: {folder / 'verl.log'})"
                )
            # While verl starts, new lines of its log count as progress; after that only steps and episodes do.
            return (done, now) if now > before else (folder / "verl.log").stat().st_size

        (folder / "verl.log").touch()
        if _tracked(checkpoints) < self.steps:
            model_checks.check_checkpoints(folder, verl_config.training_gpus(self, context.cluster))
            if not context.cluster.on_cpu():
                nodes.check_installed(asynchronous=self.max_staleness > 0)
            if context.cluster.address:
                nodes.check_nodes(context.cluster, folder.resolve(), variables)
            try:
                supervise.follow(command, variables, folder / "verl.log", progress_marker, self.stall_seconds)
            except supervise.Stopped as stopped:
                if stored.REJECTED in str(stopped):
                    raise UserError(f"{self.name}: {shard_index.load_error(checkpoints, stopped)}") from None
                raise UserError(f"{self.name}: {stopped}") from None
            finally:
                steps.add_ended_steps()
        return {"problems": len(rows), "left_out": too_long} | _finish(self, folder, checkpoints, context.policy)

    def check_cluster(self, cluster: Cluster) -> None:
        """Checks that verl accepts the settings, and that the batch fits the cluster."""
        verl_config.check(self, cluster)

    def check_policy(self, checkpoint: Path, cluster: Cluster) -> None:
        """Checks lengths, prompts and LoRA's settings against the model. See `Stage.check_policy`."""
        model_checks.check(self, checkpoint, cluster)

    def comparable(self, metrics: Metrics) -> dict[str, float]:
        """Returns the mean reward of the last tenth of the steps."""
        return {} if metrics["reward_last"] is None else {"reward": metrics["reward_last"]}

    def summary(self, metrics: Metrics) -> str:
        """Returns the mean rewards of the first and the last tenth of the steps."""
        missing = f", {metrics['without_score']} samples without a score" if metrics["without_score"] else ""
        missing += f" ({metrics['refused']} refused)" if metrics.get("refused") else ""
        missing += f" (the first fault: {metrics['fault']})" if metrics.get("fault") else ""
        missing += f", staleness at most {metrics['staleness_max']:g}" if metrics.get("staleness_max") else ""
        first, last, tenth = metrics["reward_first"], metrics["reward_last"], _tenth(metrics["steps"])
        return f"{metrics['steps']} steps, mean reward {first:.3f} (first {tenth}) to {last:.3f} (last {tenth}){missing}"

    def step_line(self, row: Row) -> str:
        """Returns what matters of a step."""
        return show.line(row, self.steps)

    def examples(self, folder: Path) -> Callable[[int, int], list[str]]:
        """Returns a function for the best and the worst samples of each step."""
        return show.Extremes(folder)

    def figure(self, metrics: Metrics) -> "Figure":
        """Returns plots of reward, length, entropy and other metrics over the steps."""
        return figures.line_plots(metrics["curves"])


def _literal(registration: str) -> str:
    """Returns the same JSON with dollar signs escaped."""
    return registration.replace("$", "\\u0024")


def _sampled(settings: GRPOSettings, context: Context) -> str | None:
    """Writes an index of the filter's samples; returns its path.

    Returns None without a filter, and if the filter had another policy or other settings.

    The filter kept problems because of these samples. Therefore the first step's reward differs from that of new samples
    (selection bias).
    """
    if not settings.keep:
        return None
    record = finished_record(context.inputs[settings.keep])
    shared = ("environment", "options", "temperature", "top_p", "max_turns")
    if (
        not _same_policy(record["policy"], context.policy)
        or any(record["stage"].get(name) != getattr(settings, name) for name in shared)
        or record["stage"]["max_tokens"] != settings.max_response_tokens
    ):
        return None
    file = (context.inputs[settings.keep] / "episodes.jsonl").resolve()
    offsets = {
        f"{row['problem']}/{row['sample']}": offset
        for offset, row in disk.read_rows(file, _check)
        if "settings" not in row and row["verdict"]["score"] is not None and all(row["turns"])
    }
    index = context.folder / "sampled.json"
    disk.write(index, json.dumps({"file": str(file), "places": offsets}))
    return str(index.resolve())


def _same_policy(first: str, second: str) -> bool:
    """True if two URIs are equal, or are stages whose weights are the same files: runs of a sweep share them by links."""
    if first == second or not (first.startswith("stage:") and second.startswith("stage:")):
        return first == second
    try:
        one, other = initial.checkpoint(first), initial.checkpoint(second)
        files = [*one.glob("*.safetensors")]
        return bool(files) and all(os.path.samefile(file, other / file.name) for file in files)
    except (UserError, OSError):
        return False


def _check(row: disk.Row) -> None:
    """Checks that a line of a store is its settings or a sample."""
    if "settings" not in row:
        disk.check_types(row, problem=int, sample=int, verdict=dict, turns=list)
        row["verdict"]["score"]


def _finish(settings: GRPOSettings, folder: Path, checkpoints: Path, start: str) -> Metrics:
    """Exports the last checkpoint and computes the metrics of all steps. `start` is the URI of the starting policy."""
    last = _tracked(checkpoints)
    if last < settings.steps:
        raise UserError(f"{settings.name}: verl ended after step {last} of {settings.steps} (log: {folder / 'verl.log'})")
    exported = checkpoints / f"global_step_{last}" / "actor" / "huggingface"
    with stored.new_policy(folder) as policy:
        if settings.lora:
            lora.export(exported, start, folder, policy)
        else:
            shutil.copytree(exported, policy)
    steps = gather(folder, last)
    step_file.write(folder, steps)
    tenth = _tenth(len(steps))
    curves = (*CURVES, "staleness", "rollout_ratio_max") if settings.max_staleness else CURVES
    parts = {name: None for step in steps for name in step.get("parts", {})}
    fault = next((step["fault"] for step in steps if "fault" in step), "")
    return {
        "steps": len(steps),
        "reward_first": mean(steps[:tenth], "reward"),
        "reward_last": mean(steps[-tenth:], "reward"),
        "without_score": sum(step["without_score"] for step in steps),
        "refused": sum(step["refused"] for step in steps),
        **({"fault": fault} if fault else {}),
        "samples_reused": sum(step["reused"] for step in steps),
        "staleness_max": max(step["staleness_max"] or 0 for step in steps),
        "curves": {name: [step[name] for step in steps] for name in curves}
        | {f"part {name}": [step.get("parts", {}).get(name) for step in steps] for name in parts},
    }


def _tenth(steps: int) -> int:
    """Returns the number of steps at the start and at the end whose mean rewards are compared."""
    return max(1, steps // 10)


def _problems(settings: GRPOSettings, context: Context, environment: Environment) -> Iterator[_Problem]:
    """Yields the problems to train on."""
    indices: Sequence[int] = range(settings.problems or count_problems(environment) or 0)
    ids: dict[int, str] = {}
    if settings.keep:
        kept = context.inputs[settings.keep]
        with disk.reading(kept / rl_filter.TABLE, rerun_advice(kept)):
            table = pandas.read_parquet(kept / rl_filter.TABLE)
            table = table[table["kept"]]
            indices, ids = table["index"].tolist(), dict(zip(table["index"], table["id"], strict=True))
    if not indices:
        raise UserError(f"{settings.environment} does not report its number of problems: set problems=")
    for index in indices:
        name, messages = prompt_of(environment, index, settings.environment)
        if ids.get(index, name) != name:
            raise UserError(
                f"{settings.name}: problem {index} of {settings.environment} is {name}, but the filter {settings.keep} has "
                f"{ids[index]}: give both stages the same environment and options"
            )
        yield storable(_Problem(index=index, id=name, messages=messages))


def _rows(problems: Iterable[_Problem], tokenizer: "PreTrainedTokenizerBase", limit: int) -> tuple[pyarrow.Table, int]:
    """Returns verl's data set: a row for each problem, with the prompt, the problem and the agent loop.

    Args:
        problems: the problems. Only `BATCH` of them are in memory; the table is smaller.
        tokenizer: the policy's tokenizer.
        limit: maximum length of a prompt in tokens. Longer ones are left out, because verl would truncate them.

    Returns:
        The data set, and the number of problems with longer prompts.
    """
    tables: list[pyarrow.Table] = []
    too_long = 0
    remaining = iter(problems)
    while batch := [*itertools.islice(remaining, BATCH)]:
        fitting = [each for each in batch if len(prompt_tokens(tokenizer, each["messages"])) <= limit]
        too_long += len(batch) - len(fitting)
        tables += [pyarrow.Table.from_pylist([_row(problem) for problem in fitting])] if fitting else []
    return pyarrow.concat_tables(tables or [pyarrow.table({})], promote_options="permissive"), too_long


def _row(problem: _Problem) -> dict[str, object]:
    return {
        "prompt": tools.as_text(problem["messages"]),  # the agent loop resets the environment, which has the declarations
        "data_source": problem["id"],
        "reward_model": {"style": "rule", "ground_truth": ""},
        "extra_info": {"index": problem["index"]},
        "agent_name": "tenfold",
    }


def _tracked(checkpoints: Path) -> int:
    """Returns the step of the last checkpoint in verl's tracker file; 0 if there is none."""
    try:
        return int((checkpoints / TRACKER).read_text())
    except (FileNotFoundError, ValueError):
        return 0


def _repair(checkpoints: Path, keep: int) -> None:
    """Repairs verl's tracker file of the last checkpoint after a kill, and removes the checkpoints that are not to be kept.

    `data.pt` is the last file of a checkpoint. verl then writes the tracker file, which a kill may leave empty. A restarted
    verl does not delete earlier checkpoints.

    Args:
        checkpoints: the folder with verl's checkpoints.
        keep: number of complete checkpoints to keep; at least the last one stays.
    """
    if not checkpoints.is_dir():
        return
    steps = step_folders(checkpoints.parent)
    tracked = _tracked(checkpoints)
    # If the tracker file is unusable, a checkpoint counts as complete if its last file, `data.pt`, is complete.
    if tracked in steps and not stored.damage(steps[tracked]):
        last = tracked
    else:
        undamaged = (step for step, path in steps.items() if step != tracked and not stored.damage(path) and _is_complete(path))
        last = max(undamaged, default=0)
    kept = {last, *sorted(step for step in steps if step < last)[::-1][: max(0, keep - 1)]}
    for step, path in steps.items():
        if step not in kept:
            shutil.rmtree(path)
    tracker = checkpoints / TRACKER
    if last:
        disk.write(tracker, str(last))
    else:
        tracker.unlink(missing_ok=True)


def _is_complete(path: Path) -> bool:
    """True if `data.pt`, which verl writes last into a checkpoint, can be loaded."""
    import torch

    try:
        torch.load(path / "data.pt", weights_only=True)
    except Exception:
        return False
    return True
