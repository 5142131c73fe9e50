"""Settings of the stages that train with one learning rate for all steps."""

from typing import ClassVar, Literal

from pydantic import Field

from ..stage import Stage


class Training(Stage):
    """A stage that trains a checkpoint by `trainer.fit`, in as many processes as the cluster has GPUs."""

    leaves_policy: ClassVar[bool] = True
    data_parallel: ClassVar[bool] = True

    steps: int = Field(ge=1, description="optimizer steps")
    batch_size: int = Field(32, ge=1, description="examples a step")
    micro_batch_size: int | None = Field(None, ge=1, description="examples a forward pass; default: the whole batch")
    learning_rate: float = Field(1e-5, gt=0, description="peak learning rate")
    warmup_steps: int = Field(0, ge=0, description="steps of linear warm-up from 0")
    schedule: Literal["linear", "cosine", "constant"] = Field(
        "cosine", description="how the learning rate falls after the warm-up"
    )
    weight_decay: float = Field(0.0, ge=0, description="AdamW's weight decay")
    save_steps: int = Field(200, ge=1, description="steps between checkpoints")
