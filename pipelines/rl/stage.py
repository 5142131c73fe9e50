"""A reinforcement-learning stage: GRPO on verl over the problems of one environment.

The stage turns its settings into verl's, starts verl as a child, follows its figures, and exports a Hugging Face folder. A
stage that was killed goes on from verl's last whole checkpoint; draws are seeded by problem, step and sample, so that the
steps played again are the same steps.
"""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from ...core import Message, UserError
from ...envs import registry
from ...policies import initial
from ...policies.rollout import count_problems, first_messages
from ..context import Context, Metrics, Settings
from . import figures, supervise, verl_config


class GRPO(Settings):
    """Settings of a `grpo` stage. The recipe fixes: on policy, no KL term, truncated responses out of the loss."""

    leaves_policy: ClassVar[bool] = True

    kind: Literal["grpo"]
    environment: str = Field(description="id of a registered environment")
    options: dict[str, Any] = Field({}, description="keyword arguments for the environment")
    keep: str | None = Field(None, description="name of the filter stage whose problems to train on; default: all")
    problems: int | None = Field(None, ge=1, description="how many problems, where the environment does not tell")
    steps: int = Field(ge=1)
    batch_size: int = Field(8, ge=1, description="problems a step")
    group_size: int = Field(8, ge=2, description="draws a problem")
    micro_batch_size: int | None = Field(None, ge=1, description="draws a forward pass; default: all of a step")
    learning_rate: float = Field(1e-6, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    clip_low: float = Field(0.2, gt=0, lt=1)
    clip_high: float = Field(0.28, gt=0)
    kl: float = Field(0.0, ge=0, description="weight of a KL term against the starting policy; 0: none")
    entropy: float = Field(0.0, ge=0, description="weight of an entropy bonus")
    normalize_by_std: bool = Field(True, description="divide a group's advantages by their standard deviation")
    loss: Literal["token-mean", "seq-mean-token-sum", "seq-mean-token-mean", "seq-mean-token-sum-norm"] = "token-mean"
    temperature: float = Field(1.0, gt=0)
    top_p: float = Field(1.0, gt=0, le=1)
    max_prompt_tokens: int = Field(512, ge=1)
    max_response_tokens: int = Field(512, ge=1, description="of all turns of an episode together")
    max_turns: int = Field(16, ge=1)
    save_steps: int = Field(10, ge=1, description="steps between checkpoints")
    stall_seconds: float = Field(1800.0, gt=0, description="a run that gets nowhere for so long is ended")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    nodes: int = Field(1, ge=1)
    gpus: int = Field(1, ge=1, description="GPUs a node")
    tensor_parallel: int = Field(1, ge=1, description="GPUs that share one copy of the model while drawing")
    gpu_memory_utilization: float = Field(0.6, gt=0, lt=1, description="share of a GPU's memory for drawing")
    loggers: list[str] = Field([], description="further trackers of verl's: wandb, tensorboard, mlflow, ...")
    verl: dict[str, Any] = Field({}, description="any further settings of verl's, by their dotted names")


def run(settings: GRPO, context: Context) -> Metrics:
    """Trains, and leaves the checkpoint in `policy` and the figures of every step in `steps.jsonl`."""
    folder = context.folder
    start = initial.checkpoint(context.policy)
    if not (start / "tokenizer.json").is_file() and not (start / "tokenizer.model").is_file():
        raise UserError(f"{start} has no tokenizer: save one there with tokenizer.save_pretrained")
    spec, rows = _problems(settings, context)
    if len(rows) < settings.batch_size:
        raise UserError(f"{settings.name}: {len(rows)} problems do not fill one step of batch_size={settings.batch_size}")

    data, loops, checkpoints = folder / "problems.parquet", folder / "agent_loops.yaml", folder / "checkpoints"
    for name in ("episodes", "metrics"):
        (folder / name).mkdir(exist_ok=True)
    _write_rows(rows, data)
    loop = {
        "name": "tenfold",
        "_target_": f"{__package__}.agent_loop.EnvironmentLoop",
        "environment": spec,
        "episodes": str((folder / "episodes").resolve()),
        "seed": context.seed,
        "max_turns": settings.max_turns,
    }
    loops.write_text(json.dumps([loop]))  # JSON is YAML
    _repair(checkpoints)

    cpu = settings.device == "cpu" or (settings.device == "auto" and not _has_gpu())
    metrics = folder / "metrics" / f"{len(list((folder / 'metrics').iterdir())):03d}.jsonl"
    overrides = verl_config.overrides(
        settings, context.seed, start.resolve(), data.resolve(), loops.resolve(), checkpoints.resolve(), cpu
    )
    command = [
        sys.executable,
        "-m",
        "verl.trainer.main_ppo",
        *overrides,
        f"hydra.run.dir={json.dumps(str(folder / 'hydra'))}",
    ]

    def sign_of_life() -> float:
        done = figures.steps_done(folder)
        context.progress(done, settings.steps, **figures.last(folder))
        # While verl starts, its log tells that it is alive; once it steps, only steps and episodes do.
        written = sum(path.stat().st_size for path in (folder / "episodes").iterdir())
        return done + written + (0 if written else (folder / "verl.log").stat().st_size)

    (folder / "verl.log").touch()
    if _tracked(checkpoints) < settings.steps:
        try:
            supervise.follow(
                command,
                verl_config.environment(metrics.resolve(), cpu, [os.getcwd()]),
                folder / "verl.log",
                sign_of_life,
                settings.stall_seconds,
            )
        except supervise.Stopped as stopped:
            raise UserError(f"{settings.name}: {stopped}") from None
    return _finish(settings, folder, checkpoints)


def _finish(settings: GRPO, folder: Path, checkpoints: Path) -> Metrics:
    """Exports the last checkpoint, gathers the figures, and removes what only a resumption would need."""
    last = _tracked(checkpoints)
    if last < settings.steps:
        raise UserError(f"{settings.name}: verl ended after step {last} of {settings.steps} (log: {folder / 'verl.log'})")
    exported = checkpoints / f"global_step_{last}" / "actor" / "huggingface"
    shutil.rmtree(folder / "policy", ignore_errors=True)
    shutil.copytree(exported, folder / "policy")
    steps = figures.gather(folder)
    with (folder / "steps.jsonl").open("w") as file:
        file.writelines(json.dumps(step) + "\n" for step in steps)
    shutil.rmtree(checkpoints, ignore_errors=True)
    tenth = max(1, len(steps) // 10)
    return {
        "steps": len(steps),
        "reward_first": figures.mean(steps[:tenth], "reward"),
        "reward_last": figures.mean(steps[-tenth:], "reward"),
        "faults": sum(step["faults"] for step in steps),
        "curve": [step["reward"] for step in steps],
    }


def _problems(settings: GRPO, context: Context) -> tuple[str, list[dict[str, Any]]]:
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
    indices = range(settings.problems or count_problems(environment) or 0)
    if settings.keep:
        kept = json.loads((context.inputs[settings.keep] / "kept.json").read_text())["problems"]
        indices = [row["index"] for row in kept if row["kept"]]  # type: ignore[assignment]
    if not indices:
        raise UserError(f"{settings.environment} does not tell how many problems it has: set problems=")
    rows = []
    for index in indices:
        text, info = environment.reset(seed=index, options={"problem": index})
        rows.append({"index": index, "id": str(info.get("problem_id", index)), "messages": [*first_messages(text, info)]})
    environment.close()
    return spec, rows


def _write_rows(rows: list[dict[str, Any]], path: Path) -> None:
    """verl's form of a data set: the prompt, where the reward comes from, which agent loop plays it."""
    import pandas

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


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


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
    steps = {int(path.name.rsplit("_", 1)[1]): path for path in checkpoints.glob("global_step_*")}
    noted = _tracked(checkpoints)
    # Without a note that can be read, a checkpoint counts as whole when all but its last file must have been closed.
    last = noted if noted in steps else max((s for s, path in steps.items() if _whole(path)), default=0)
    for step, path in steps.items():
        if step != last:
            shutil.rmtree(path)
    note = checkpoints / "latest_checkpointed_iteration.txt"
    if last:
        note.write_text(str(last))
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
