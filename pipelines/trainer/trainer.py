"""Training with the transformers Trainer, which all training stages except GRPO use, with resume from checkpoints."""

import contextlib
import datetime
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import torch

from ...core import UserError
from ...disk import step_folders
from ...policies import checkpoints
from ..cluster import Cluster
from ..stage import Context, Metrics
from . import attention, lora
from . import checkpoints as stored
from .settings import Precision, Training, check_batch
from .step_rows import step_rows

if TYPE_CHECKING:
    from accelerate import PartialState
    from transformers import (
        PreTrainedModel,
        PreTrainedTokenizerBase,
        TrainerCallback,
        TrainerControl,
        TrainerState,
        TrainingArguments,
    )

T = TypeVar("T")
ROWS, TOKENS = 16, 65_536
"""Largest numbers of rows and, if there are several rows, of tokens per forward pass outside of training, where rounding need
not equal that of a training. Our choice."""
_LOG = logging.getLogger("tenfold")


class Examples(Protocol):
    """A training set."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


def load(folder: Path) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """Returns the model, in float32, and the tokenizer of a checkpoint folder, for all passes of a stage that trains."""
    model, tokenizer = checkpoints.load(folder, torch.float32)
    attention.attend_within_sequences(model)
    return model, tokenizer


def fit(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    context: Context,
    dataset: Examples,
    collate: Callable[[list[Any]], dict[str, torch.Tensor]],
    *,
    steps: int,
    batch_size: int,
    micro_batch_size: int | None,
    save_steps: int,
    keep_checkpoints: int,
    precision: Precision = None,
    trainer: type | None = None,
    logged: int = 50,
    figures: Sequence[str] = (),
    saved: Callable[[int, Path], None] | None = None,
    **arguments: Any,
) -> Metrics:
    """Trains a model, from the stage's last checkpoint if there is one, and saves it in the folder `policy`.

    A trained adapter is also saved alone, in the folder `adapter`.

    In distributed training, each process takes its share of each batch.

    Args:
        model: model to train.
        tokenizer: tokenizer to save with the model.
        context: the stage's context.
        dataset: examples, by index.
        collate: turns examples into a batch.
        steps: optimizer steps.
        batch_size: examples per step, over all processes.
        micro_batch_size: examples per process and forward pass; None: the process's whole share.
        save_steps: steps between checkpoints.
        precision: see `settings.PRECISION`.
        keep_checkpoints: number of checkpoints to keep. During the training at least two stay, because a kill may damage one.
        trainer: subclass of the Trainer, for another loss or order of examples.
        logged: number of losses to log. There may be more, because the interval between them must divide `save_steps`. Each
            is a mean over the steps since the last.
        figures: names of further values that the subclass `trainer` logs.
        saved: called in the main process after each checkpoint with its step and its folder, which is in Hugging Face format if
            only one process trains.
        arguments: further `TrainingArguments`, such as learning rate and seeds.

    Returns:
        The number of steps, the last loss, and all logged losses as (step, loss); with `figures`, also their values.

    Raises:
        UserError: batch_size is not a multiple of micro_batch_size times the number of processes, or the last checkpoint was
            written by one process and several read it, or the reverse, or it contains more than weights and plain data.
    """
    from transformers import PrinterCallback, Trainer, TrainingArguments, set_seed

    set_seed(context.seed)
    world, cpu = processes(context.cluster).num_processes, device_of(context.cluster) == "cpu"
    micro = micro_batch_size or max(1, batch_size // world)
    try:
        check_batch(batch_size, micro_batch_size, world)
    except UserError as error:
        raise UserError(f"{context.folder.name}: {error}") from None
    # The interval divides save_steps, because a checkpoint does not contain the running sum of losses since the last log.
    every = max(interval for interval in range(1, max(1, steps // logged) + 1) if save_steps % interval == 0)
    args = TrainingArguments(
        output_dir=str(context.folder / "checkpoints"),
        max_steps=steps,
        logging_steps=every,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=batch_size // (micro * world),
        save_steps=save_steps,
        save_total_limit=max(2, keep_checkpoints),
        report_to=[],
        disable_tqdm=True,
        use_cpu=cpu,
        bf16=dtype_of(precision, context.cluster) == torch.bfloat16,
        dataloader_pin_memory=not cpu,
        remove_unused_columns=False,
        ddp_find_unused_parameters=False,
        **arguments,
    )
    if args.n_gpu > 1:
        args._n_gpu = 1  # one process trains on one GPU; torch's DataParallel would split its batches

    class EndsWithLastStep(trainer or Trainer):  # type: ignore[misc]
        """A trainer that makes no step if it resumes from the checkpoint of the last step. `Trainer` would make one more."""

        def _run_epoch(self, *arguments: Any, **named: Any) -> None:
            if self.state.global_step < self.state.max_steps:
                super()._run_epoch(*arguments, **named)

    running = EndsWithLastStep(
        model=model,
        args=args,
        train_dataset=dataset,
        data_collator=collate,
        callbacks=[_progress(context), step_rows(context.folder), _saved(saved, model, tokenizer), _rate_of_schedule()],
    )
    running.remove_callback(PrinterCallback)
    last = _last_checkpoint(context.folder, steps)
    sharded = running.accelerator.distributed_type.value == "FSDP"
    if last and any(Path(last).glob("pytorch_model_fsdp*")) != sharded:
        before, now = ("one GPU", "several") if sharded else ("several GPUs", "one")
        name = context.folder.name
        raise UserError(f"{name}: its last checkpoint was written by {before} and cannot be read by {now}; use {before}")
    with stored.as_weights(Path(last)) if last else contextlib.nullcontext():
        running.train(resume_from_checkpoint=last)
    weights = running.accelerator.get_state_dict(running.model_wrapped)
    if running.is_world_process_zero():
        trained = running.accelerator.unwrap_model(running.model_wrapped)
        with stored.new_policy(context.folder) as policy:
            if lora.has_adapter(trained):
                lora.save(trained, weights, context.policy, context.folder, policy)
            else:
                trained.save_pretrained(policy, state_dict=weights)
            tokenizer.save_pretrained(policy)

    def series(name: str) -> list[tuple[int, float]]:
        return [(entry["step"], entry[name]) for entry in running.state.log_history if name in entry]

    losses, further = series("loss"), {"figures": {name: series(name) for name in figures}} if figures else {}
    return {"steps": running.state.global_step, "loss": losses[-1][1] if losses else None, "losses": losses} | further


def rows_together(length: int) -> int:
    """Returns the number of rows of this length, in tokens, per forward pass outside of training."""
    return max(1, min(ROWS, TOKENS // length))


def processes(cluster: Cluster) -> "PartialState":
    """Returns accelerate's PartialState: this process's rank, the number of processes and the device."""
    from accelerate import PartialState

    # A long timeout, because the parent process detects stalls (`launch/processes.py`).
    return PartialState(cpu=device_of(cluster) == "cpu", timeout=datetime.timedelta(days=1))


def by_main_process(cluster: Cluster, compute: Callable[[], T]) -> T:
    """Returns the result of a function that only the first process calls. The others wait for it.

    Args:
        cluster: the cluster.
        compute: the function. Its result is sent to the other processes.
    """
    from accelerate.utils import broadcast_object_list

    found = [compute() if processes(cluster).is_main_process else None]
    broadcast_object_list(found)
    return cast(T, found[0])


def shard_layers(model: "PreTrainedModel", cluster: Cluster) -> None:
    """Shards the layers of a model that is not trained over all processes (FSDP2). Embeddings and head stay whole.

    Each process must then call the model equally often. A single process changes nothing.

    Args:
        model: the model, in main memory.
        cluster: the cluster.
    """
    from torch.distributed import fsdp
    from torch.distributed.device_mesh import init_device_mesh

    state = processes(cluster)
    if state.num_processes == 1:
        return
    mesh = init_device_mesh(state.device.type, (state.num_processes,))
    kinds = set(model._no_split_modules or ())
    for layer in [module for module in model.modules() if type(module).__name__ in kinds]:
        fsdp.fully_shard(layer, mesh=mesh, reshard_after_forward=True)


def device_of(cluster: Cluster) -> str:
    """Returns the device of this process: "cuda", or "cpu" if the cluster says so or this machine has no GPU."""
    return "cpu" if cluster.on_cpu() or not torch.cuda.is_available() else "cuda"


def dtype_of(wanted: Precision, cluster: Cluster) -> torch.dtype:
    """Returns the precision of the forward and backward pass. The weights are always float32."""
    is_float32 = wanted == "float32" if wanted else device_of(cluster) == "cpu"
    return torch.float32 if is_float32 else torch.bfloat16


def supports_packing(model: "PreTrainedModel") -> bool:
    """True if the second sequence of a row, whose positions start at 0 again, has the same logits as in a row of its own.

    This holds for most architectures. It does not hold for those with a recurrent state or without position ids.
    """
    ids, positions = torch.arange(1, 9)[None], torch.arange(4).repeat(2)[None]
    model.eval()
    with torch.inference_mode():
        packed = model(input_ids=ids, position_ids=positions, use_cache=False).logits[0, 4:]
        alone = model(input_ids=ids[:, 4:], position_ids=positions[:, 4:], use_cache=False).logits[0]
    return bool((packed - alone).abs().max() < 1e-3 * alone.abs().max())


def fit_arguments(settings: Training) -> dict[str, Any]:
    """Returns the arguments of `fit` that come from a stage's settings."""
    return {
        "steps": settings.steps,
        "batch_size": settings.batch_size,
        "micro_batch_size": settings.micro_batch_size,
        "save_steps": settings.save_steps,
        "keep_checkpoints": settings.keep_checkpoints,
        "learning_rate": settings.learning_rate,
        # transformers' "constant" has no warm-up.
        "lr_scheduler_type": "constant_with_warmup" if settings.schedule == "constant" else settings.schedule,
        "warmup_steps": settings.warmup_steps,
        "weight_decay": settings.weight_decay,
        "gradient_checkpointing": settings.gradient_checkpointing,
        "precision": settings.precision,
    }


def _last_checkpoint(stage: Path, steps: int) -> str | None:
    """Returns the newest complete checkpoint of at most `steps` steps. The Trainer writes `trainer_state.json` last.

    Checkpoints of more steps are those of an extension that was stopped.
    """
    found = step_folders(stage)
    for step in sorted((step for step in found if step <= steps), reverse=True):
        if not (found[step] / "trainer_state.json").is_file():
            continue
        damage = stored.damage(found[step])
        if damage is None:
            return str(found[step])
        _LOG.warning("%s is skipped: %s", found[step], damage)
    return None


def _progress(context: Context) -> "TrainerCallback":
    """Returns a Trainer callback that shows the stage's progress and loss."""
    from transformers import TrainerCallback

    class Progress(TrainerCallback):
        def on_log(
            self,
            args: "TrainingArguments",
            state: "TrainerState",
            control: "TrainerControl",
            logs: dict[str, float] | None = None,
            **kwargs: object,
        ) -> None:
            if logs and "loss" in logs:
                context.progress(state.global_step, state.max_steps, loss=float(logs["loss"]))

        def on_step_end(
            self, args: "TrainingArguments", state: "TrainerState", control: "TrainerControl", **kwargs: object
        ) -> None:
            context.progress(state.global_step, state.max_steps)

    return Progress()


def _saved(
    call: Callable[[int, Path], None] | None, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase"
) -> "TrainerCallback":
    """Returns a Trainer callback that adds the tokenizer and the configuration to each checkpoint, and then calls a function.

    The Trainer writes the configuration itself, unless several processes write the weights. The function does not change the
    training's random state.

    Args:
        call: the function; see `fit`.
        model: the model.
        tokenizer: its tokenizer.
    """
    from transformers import TrainerCallback

    class Saved(TrainerCallback):
        def on_save(
            self, args: "TrainingArguments", state: "TrainerState", control: "TrainerControl", **kwargs: object
        ) -> None:
            if state.is_world_process_zero:
                folder = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
                tokenizer.save_pretrained(folder)
                if not any(folder.glob("*.safetensors")):
                    lora.save_configuration(model, folder)
                if call:
                    with torch.random.fork_rng():
                        call(state.global_step, folder)

    return Saved()


def _rate_of_schedule() -> "TrainerCallback":
    """Returns a Trainer callback that sets the learning rate of the first step after a resume.

    A checkpoint contains the rate of its own schedule. If steps or phases were added since then, the schedule differs.
    """
    from transformers import TrainerCallback

    class RateOfSchedule(TrainerCallback):
        def on_train_begin(
            self,
            args: "TrainingArguments",
            state: "TrainerState",
            control: "TrainerControl",
            optimizer: Any = None,
            lr_scheduler: Any = None,
            **kwargs: object,
        ) -> None:
            lambdas = zip(optimizer.param_groups, lr_scheduler.base_lrs, lr_scheduler.lr_lambdas, strict=True)
            for group, base, rate in lambdas:
                group["lr"] = base * rate(lr_scheduler.last_epoch)

    return RateOfSchedule()
