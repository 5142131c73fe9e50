"""The transformers Trainer, as the stages use it that train outside of verl: what they share, and how a killed one goes on."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .context import Context

if TYPE_CHECKING:
    from .reward_model import RewardModel
    from .sft import SFT


def fit(
    model: Any,
    tokenizer: Any,
    settings: "SFT | RewardModel",
    context: Context,
    dataset: Any,
    collate: Callable[[list[dict[str, Any]]], dict[str, torch.Tensor]],
    trainer: type | None = None,
    **arguments: Any,
) -> dict[str, Any]:
    """Trains a model from the stage's last checkpoint, if there is one, and leaves it in the folder `policy`.

    Args:
        model, tokenizer: as `initial.load` gives them.
        settings: steps, batches, learning rate and schedule.
        context: the stage's.
        dataset: examples by number.
        collate: examples to a batch.
        trainer: a subclass of the Trainer, for another loss.
        arguments: further ones for `TrainingArguments`, such as seeds.

    Returns:
        The metrics: steps, the last loss, and all logged losses as (step, loss).
    """
    from transformers import PrinterCallback, Trainer, TrainingArguments, set_seed

    set_seed(context.seed)
    checkpoints = context.folder / "checkpoints"
    micro = settings.micro_batch_size or settings.batch_size
    running = (trainer or Trainer)(
        model=model,
        args=TrainingArguments(
            output_dir=str(checkpoints),
            max_steps=settings.steps,
            per_device_train_batch_size=micro,
            gradient_accumulation_steps=settings.batch_size // micro,
            learning_rate=settings.learning_rate,
            lr_scheduler_type=settings.schedule,
            warmup_steps=settings.warmup_steps,
            weight_decay=settings.weight_decay,
            save_steps=settings.save_steps,
            save_total_limit=2,
            logging_steps=max(1, settings.steps // 50),
            report_to=[],
            disable_tqdm=True,
            use_cpu=not torch.cuda.is_available(),
            bf16=torch.cuda.is_available(),
            dataloader_pin_memory=torch.cuda.is_available(),
            remove_unused_columns=False,
            **arguments,
        ),
        train_dataset=dataset,
        data_collator=collate,
        callbacks=[_progress(context)],
    )
    running.remove_callback(PrinterCallback)
    running.train(resume_from_checkpoint=_last_checkpoint(checkpoints))
    running.model.save_pretrained(context.folder / "policy")
    tokenizer.save_pretrained(context.folder / "policy")
    losses = [(entry["step"], entry["loss"]) for entry in running.state.log_history if "loss" in entry]
    return {"steps": running.state.global_step, "loss": losses[-1][1] if losses else None, "losses": losses}


def _last_checkpoint(checkpoints: Path) -> str | None:
    """The newest checkpoint that was written to its end (the Trainer writes its state last)."""
    whole = [path for path in checkpoints.glob("checkpoint-*") if (path / "trainer_state.json").is_file()]
    return str(max(whole, key=lambda path: int(path.name.rsplit("-", 1)[1]))) if whole else None


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
