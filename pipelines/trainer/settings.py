"""Settings that several training stages share."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from ...core import UserError
from ..cluster import Cluster
from ..stage import Extension, Stage
from . import lora as adapters
from . import recomputation

Precision = Literal["float32", "bfloat16"] | None
PRECISION = (
    "precision of the forward and backward pass; the weights stay float32; default: bfloat16 on a GPU, float32 on a CPU, where "
    "processors with instructions for bfloat16 are about twice as fast with bfloat16"
)
"""Type and description of the setting of all stages that train, except `grpo`."""


def is_none(value: object) -> bool:
    """True for None. A setting that is left out of records if it is None does not change the identity of earlier runs."""
    return value is None


KEEP_CHECKPOINTS = "number of last checkpoints to keep in the folder; 0: none after the stage is finished"
"""Description of the setting of all stages that train."""


def rate_cautions(rate: float, low: float, high: float, lora: adapters.Lora | None) -> list[str]:
    """Returns a caution if a learning rate is too low or too high to train `micro:`.

    Args:
        rate: the learning rate.
        low: the least rate that trains all weights of `micro:`.
        high: the greatest.
        lora: settings of LoRA, which needs greater rates; None: all weights are trained.
    """
    factor, trained = (adapters.RATE_FACTOR, "a LoRA adapter of micro:") if lora else (1, "micro:")
    low, high = (float(f"{factor * limit:g}") for limit in (low, high))  # 10 * 3e-4 is slightly less than 3e-3
    if low <= rate <= high:
        return []
    return [
        f"learning_rate={rate:g} is too {'low' if rate < low else 'high'} for {trained}, which learns from {low:g} to {high:g}"
    ]


class Training(Stage):
    """A stage that trains a checkpoint with `trainer.fit`, in one process per GPU of the cluster."""

    writes_policy: ClassVar[bool] = True
    data_parallel: ClassVar[bool] = True

    steps: int = Field(ge=1, description="optimizer steps")
    batch_size: int = Field(32, ge=1, description="examples per step")
    micro_batch_size: int | None = Field(
        None, ge=1, description="examples per process and forward pass; default: the process's whole share of the batch"
    )
    learning_rate: float = Field(1e-5, gt=0, description="peak learning rate")
    warmup_steps: int = Field(0, ge=0, description="steps of linear warm-up from 0")
    schedule: Literal["linear", "cosine", "constant"] = Field(
        "cosine", description="schedule of the learning rate after the warm-up"
    )
    weight_decay: float = Field(0.0, ge=0, description="AdamW's weight decay")
    lora: adapters.Lora | None = Field(None, description=adapters.LORA)
    gradient_checkpointing: bool = Field(False, description=recomputation.DESCRIPTION)
    precision: Precision = Field(None, description=PRECISION, exclude_if=is_none)
    save_steps: int = Field(200, ge=1, description="steps between checkpoints")
    keep_checkpoints: int = Field(1, ge=0, description=KEEP_CHECKPOINTS)

    def extension(self, before: Mapping[str, Any]) -> Extension | None:
        """Returns how the stage continues with more steps. Only a constant learning rate does not depend on the steps."""
        if self.steps <= before["steps"]:
            return None
        reason = "" if self.schedule == "constant" else f"schedule={self.schedule} depends on the number of steps"
        return Extension(before["steps"], frozenset({"steps"}), reason)

    def prepared_bytes(self) -> float:
        """Returns an estimate of the disk space of the data that the stage prepares before its first step, in bytes."""
        return 0.0

    def check_cluster(self, cluster: Cluster) -> None:
        """Checks that batches can be split. See `Stage.check_cluster`."""
        check_batch(self.batch_size, self.micro_batch_size, cluster.world)

    def check_policy(self, checkpoint: Path, cluster: Cluster) -> None:
        """Checks that the model has the modules to which LoRA is applied. See `Stage.check_policy`."""
        if self.lora:
            adapters.check(self.lora, checkpoint)


def check_batch(batch_size: int, micro_batch_size: int | None, processes: int) -> None:
    """Checks that a batch can be split over processes and forward passes.

    Args:
        batch_size: examples per step.
        micro_batch_size: examples per process and forward pass; None: the process's whole share.
        processes: number of processes.

    Raises:
        UserError: batch_size is not a multiple of micro_batch_size times the number of processes.
    """
    micro = micro_batch_size or max(1, batch_size // processes)
    if batch_size % (micro * processes):
        times = f" times {processes} processes" if processes > 1 else ""
        raise UserError(f"batch_size={batch_size} is not a multiple of micro_batch_size={micro}{times}")
