"""Settings that several training stages share."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from ..stage import Extension, Stage

KEEP_CHECKPOINTS = "number of checkpoints that stay in the folder, the last ones; 0: none when the stage is finished"
"""Description of the setting of all stages that train."""


def rate_cautions(rate: float, low: float, high: float) -> list[str]:
    """Returns a text if `micro:` hardly learns at a learning rate, or is destroyed by it.

    Args:
        rate: the learning rate.
        low: the least rate that trains `micro:`.
        high: the greatest.
    """
    if low <= rate <= high:
        return []
    return [
        f"learning_rate={rate:g} is too {'low' if rate < low else 'high'} for micro:, which learns from {low:g} to {high:g}"
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
    save_steps: int = Field(200, ge=1, description="steps between checkpoints")
    keep_checkpoints: int = Field(1, ge=0, description=KEEP_CHECKPOINTS)

    def extension(self, before: Mapping[str, Any]) -> Extension | None:
        """Returns how the stage continues with more steps. Only a constant learning rate does not depend on the steps."""
        if self.steps <= before["steps"]:
            return None
        reason = "" if self.schedule == "constant" else f"schedule={self.schedule} depends on the number of steps"
        return Extension(before["steps"], frozenset({"steps"}), reason)
