"""The transformers Trainer, as the stages use it that train outside of verl: what they share, and how a killed one goes on."""

import contextlib
import datetime
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from ...core import UserError
from ..cluster import Cluster
from ..stage import Context
from . import checkpoints as stored
from .settings import Training

_LOG = logging.getLogger("tenfold")
IGNORED = -100
"""The label that the loss passes over."""


def fit(
    model: Any,
    tokenizer: Any,
    context: Context,
    dataset: Any,
    collate: Callable[[list[Any]], dict[str, torch.Tensor]],
    *,
    steps: int,
    batch_size: int,
    micro_batch_size: int | None,
    save_steps: int,
    trainer: type | None = None,
    logged: int = 50,
    figures: Sequence[str] = (),
    saved: Callable[[int, Path], None] | None = None,
    **arguments: Any,
) -> dict[str, Any]:
    """Trains a model from the stage's last checkpoint, if there is one, and leaves it in the folder `policy`.

    Where torch has joined several processes, each takes its share of every batch.

    Args:
        model, tokenizer: as `initial.load` gives them.
        context: the stage's.
        dataset: examples by number.
        collate: examples to a batch.
        steps: of the optimizer.
        batch_size: examples a step, of all processes together.
        micro_batch_size: examples that a process passes forward at once; None: its whole share.
        save_steps: steps between checkpoints.
        trainer: a subclass of the Trainer, for another loss or order.
        logged: losses that are kept, about, or one a checkpoint where these are more; each is the mean since the one before.
        figures: names of what that one logs beside the loss.
        saved: told of each checkpoint, by its step and its folder, which is one of Hugging Face's form.
        arguments: further ones for `TrainingArguments`: learning rate, seeds, ...

    Returns:
        The metrics: steps, the last loss, and all logged losses as (step, loss), with figures also those in the same way.

    Raises:
        UserError: the batch does not divide evenly.
    """
    from transformers import PrinterCallback, Trainer, TrainingArguments, set_seed

    set_seed(context.seed)
    checkpoints = context.folder / "checkpoints"
    world, cpu = processes(context.cluster).num_processes, device_of(context.cluster) == "cpu"
    micro = micro_batch_size or max(1, batch_size // world)
    if batch_size % (micro * world):
        among = f" times {world} processes" if world > 1 else ""
        raise UserError(f"{context.folder.name}: batch_size={batch_size} is no multiple of micro_batch_size={micro}{among}")
    # No checkpoint may fall between two of them: it does not hold what was summed up by then.
    every = max(of for of in range(1, max(1, steps // logged) + 1) if save_steps % of == 0)
    args = TrainingArguments(
        output_dir=str(checkpoints),
        max_steps=steps,
        logging_steps=every,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=batch_size // (micro * world),
        save_steps=save_steps,
        save_total_limit=2,
        report_to=[],
        disable_tqdm=True,
        use_cpu=cpu,
        bf16=precision(context.cluster) == torch.bfloat16,
        dataloader_pin_memory=not cpu,
        remove_unused_columns=False,
        ddp_find_unused_parameters=False,
        **arguments,
    )
    if args.n_gpu > 1:
        args._n_gpu = 1  # one process trains on one GPU; torch's DataParallel would tear its batches apart
    running = (trainer or Trainer)(
        model=model,
        args=args,
        train_dataset=dataset,
        data_collator=collate,
        callbacks=[_progress(context), *([_saved(saved, tokenizer)] if saved else [])],
    )
    running.remove_callback(PrinterCallback)
    last = _last_checkpoint(checkpoints)
    sharded = running.accelerator.distributed_type.value == "FSDP"
    if last and any(Path(last).glob("pytorch_model_fsdp*")) != sharded:
        before, now = ("one GPU", "several") if sharded else ("several GPUs", "one")
        raise UserError(f"{context.folder.name}: its last checkpoint was written by {before} and cannot be read by {now}")
    with stored.as_weights(Path(last)) if last else contextlib.nullcontext():
        running.train(resume_from_checkpoint=last)
    weights = running.accelerator.get_state_dict(running.model_wrapped)
    if running.is_world_process_zero():
        running.accelerator.unwrap_model(running.model_wrapped).save_pretrained(context.folder / "policy", state_dict=weights)
        tokenizer.save_pretrained(context.folder / "policy")

    def series(name: str) -> list[tuple[int, float]]:
        return [(entry["step"], entry[name]) for entry in running.state.log_history if name in entry]

    losses, further = series("loss"), {"figures": {name: series(name) for name in figures}} if figures else {}
    return {"steps": running.state.global_step, "loss": losses[-1][1] if losses else None, "losses": losses} | further


def processes(cluster: Cluster) -> Any:
    """accelerate's PartialState: this process among those that torch has joined to train, and its device."""
    from accelerate import PartialState

    # Whether one of them hangs is for whoever started them to see; the others may wait for it as long as it gets on.
    return PartialState(cpu=device_of(cluster) == "cpu", timeout=datetime.timedelta(days=1))


def device_of(cluster: Cluster) -> str:
    """Where this process trains and measures: "cpu", also as one of a cluster's whose machine has no GPU, or "cuda"."""
    return "cpu" if cluster.on_cpu() or not torch.cuda.is_available() else "cuda"


def precision(cluster: Cluster) -> torch.dtype:
    """What the layers compute in while a model is trained; its weights are kept in float32."""
    return torch.float32 if device_of(cluster) == "cpu" else torch.bfloat16


def supports_packing(model: Any) -> bool:
    """Whether a model reads two sequences in one row, each with positions from 0 on, as it reads them alone.

    Most architectures do; those whose state runs on through the row, or that know no positions, do not.
    """
    ids, positions = torch.arange(1, 9)[None], torch.arange(4).repeat(2)[None]
    model.eval()
    with torch.inference_mode():
        beside = model(input_ids=ids, position_ids=positions, use_cache=False).logits[0, 4:]
        alone = model(input_ids=ids[:, 4:], position_ids=positions[:, 4:], use_cache=False).logits[0]
    return bool((beside - alone).abs().max() < 1e-3 * alone.abs().max())


def common(settings: Training) -> dict[str, Any]:
    """The arguments of `fit` that these settings are."""
    return {
        "steps": settings.steps,
        "batch_size": settings.batch_size,
        "micro_batch_size": settings.micro_batch_size,
        "save_steps": settings.save_steps,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": settings.schedule,
        "warmup_steps": settings.warmup_steps,
        "weight_decay": settings.weight_decay,
    }


def _last_checkpoint(checkpoints: Path) -> str | None:
    """The newest checkpoint that was written to its end (the Trainer writes its state last)."""
    found = [path for path in checkpoints.glob("checkpoint-*") if (path / "trainer_state.json").is_file()]
    for path in sorted(found, key=lambda path: int(path.name.rsplit("-", 1)[1]), reverse=True):
        wrong = stored.damage(path)
        if wrong is None:
            return str(path)
        _LOG.warning("%s is passed over: %s", path, wrong)
    return None


def _progress(context: Context) -> Any:
    """A callback of the Trainer's that shows how far a stage is, and its loss."""
    from transformers import TrainerCallback

    class Progress(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            if logs and "loss" in logs:
                context.progress(state.global_step, state.max_steps, loss=float(logs["loss"]))

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            context.progress(state.global_step, state.max_steps)

    return Progress()


def _saved(tell: Callable[[int, Path], None], tokenizer: Any) -> Any:
    """A callback of the Trainer's for each checkpoint. What it does samples on no random numbers of the training's."""
    from transformers import TrainerCallback

    class Saved(TrainerCallback):
        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.is_world_process_zero:
                folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
                tokenizer.save_pretrained(folder)
                with torch.random.fork_rng():
                    tell(state.global_step, folder)

    return Saved()
