"""LoRA adapters: added to a model before its training, and merged into its weights afterwards."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field

from ...core import UserError
from ...policies import checkpoints
from ...policies.models import adapter
from .empty_model import empty_model

if TYPE_CHECKING:
    import torch
    from peft import LoraConfig, PeftModel
    from transformers import PreTrainedModel

FOLDER = "adapter"
"""Folder of a stage with the trained adapter alone. The stage's `policy` has it merged into the weights."""
MAX_NAMES = 12
"""Names of modules in a message. Our choice."""


class Lora(BaseModel):
    """Settings of LoRA (Hu et al., 2021): the weights stay fixed, and a low-rank matrix is added to those of linear modules."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rank: int = Field(16, ge=1, description="rank of the added matrices")
    alpha: int = Field(32, ge=1, description="the added matrices are multiplied by alpha / rank")
    targets: Literal["all-linear"] | list[str] = Field(
        "all-linear", description="names of linear modules, such as q_proj; all-linear: all but the output layer"
    )


RATE_FACTOR = 10
"""A LoRA adapter learns with learning rates this many times as high as those of a training of all weights. Our choice."""
LORA = (
    "train a LoRA adapter instead of all weights: {rank: 16, alpha: 32, targets: all-linear}, or {} for these values; "
    "default: train all weights. The learning rate should be about ten times higher"
)
"""Description of the setting of all stages that can train an adapter."""


def with_adapter(model: "PreTrainedModel", settings: Lora | None, seed: int) -> "PreTrainedModel":
    """Returns a model with a new adapter, whose weights alone are trainable; without settings, the model itself.

    At the start the adapter changes nothing, because one of its two matrices is 0. The other is random.

    Args:
        model: the model.
        settings: LoRA's settings.
        seed: seed of the random matrix.
    """
    if settings is None:
        return model
    import torch
    from peft import get_peft_model

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        wrapped = get_peft_model(model, _configuration(settings))
    wrapped.enable_input_require_grads()  # for gradient checkpointing, whose first input must be trainable
    return cast("PreTrainedModel", wrapped)


def has_adapter(model: "PreTrainedModel") -> bool:
    """True if a model is the result of `with_adapter` with settings."""
    return hasattr(model, "peft_config")


def save(model: "PreTrainedModel", weights: "Mapping[str, torch.Tensor] | None", start: str, stage: Path, policy: Path) -> None:
    """Writes a trained adapter alone to a stage's folder, and the model with the adapter merged into its weights.

    Args:
        model: a model with an adapter; see `with_adapter`.
        weights: its weights by name; None: as the model has them.
        start: URI of the checkpoint without the adapter.
        stage: the stage's folder.
        policy: folder for the merged model.
    """
    partial = _empty(stage)
    cast("PeftModel", model).save_pretrained(str(partial), state_dict=weights)
    _finish(partial, start, stage, policy)


def save_configuration(model: "PreTrainedModel", folder: Path) -> None:
    """Writes the configuration of a model, or that of its adapter if it has one, to a folder."""
    if has_adapter(model):
        cast("PeftModel", model).peft_config["default"].save_pretrained(str(folder))
        return
    model.config.save_pretrained(folder)
    if model.generation_config is not None:
        model.generation_config.save_pretrained(folder)


def export(checkpoint: Path, start: str, stage: Path, policy: Path) -> None:
    """Writes the same from a folder with an adapter and a tokenizer. See `save`."""
    partial = _empty(stage)
    partial.mkdir()
    for name in (adapter.CONFIG, adapter.WEIGHTS):
        shutil.copy2(checkpoint / name, partial)
    _finish(partial, start, stage, policy)
    checkpoints.tokenizer_of(checkpoint).save_pretrained(policy)


def _empty(stage: Path) -> Path:
    """Removes the folder of an incomplete adapter, and returns its path."""
    partial = stage / f"{FOLDER}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    return partial


def _finish(partial: Path, start: str, stage: Path, policy: Path) -> None:
    """Merges an adapter into the starting policy, and moves it to its folder."""
    import torch

    adapter.name_base(partial, start)
    adapter.merge(checkpoints.load(checkpoints.checkpoint(start), torch.float32)[0], partial, policy)
    shutil.rmtree(stage / FOLDER, ignore_errors=True)
    partial.rename(stage / FOLDER)


def check(settings: Lora, checkpoint: Path, further: Mapping[str, object] | None = None) -> int:
    """Checks that the model has the modules that the settings name, and returns the number of parameters of the adapter.

    Args:
        settings: LoRA's settings.
        checkpoint: folder with the model.
        further: further settings of peft, by name.

    Raises:
        UserError: peft rejects the settings.
    """
    import torch
    from peft import get_peft_model

    empty = empty_model(checkpoint)
    linear = sorted({name.rpartition(".")[2] for name, part in empty.named_modules() if isinstance(part, torch.nn.Linear)})
    output = {name.rpartition(".")[2] for name, part in empty.named_modules() if part is empty.get_output_embeddings()}
    names = settings.targets if isinstance(settings.targets, list) else []
    if output & {name.rpartition(".")[2] for name in names}:
        raise UserError(f"lora: targets: the output layer {min(output)} cannot be a target; remove it")
    try:
        model = get_peft_model(empty, _configuration(settings, **(further or {})))
    except (ValueError, TypeError) as error:
        reason = " ".join(str(error).split()).partition(". ")[0][:200]
        raise UserError(
            f"lora: targets: {reason}; the linear modules of the model are {', '.join(linear[:MAX_NAMES])}"
        ) from None
    return sum(weights.numel() for weights in model.parameters() if weights.requires_grad)


def _configuration(settings: Lora, **further: Any) -> "LoraConfig":
    from peft import LoraConfig, TaskType

    targets = settings.targets if isinstance(settings.targets, str) else list(settings.targets)
    return LoraConfig(
        task_type=TaskType.CAUSAL_LM, r=settings.rank, lora_alpha=settings.alpha, target_modules=targets, bias="none", **further
    )
