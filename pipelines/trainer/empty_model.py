"""A checkpoint's model without weights: its modules and the number of its parameters. It takes no memory."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from ...policies import checkpoints

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel


def config_of(folder: Path) -> "PretrainedConfig":
    """Returns the configuration of a checkpoint's text model."""
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(folder, **checkpoints.NO_CODE).get_text_config()


def empty_model(folder: Path) -> "PreTrainedModel":
    """Returns the model of a checkpoint folder on torch's device "meta"."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder, **checkpoints.NO_CODE))


def parameters(folder: Path) -> int:
    """Returns the number of parameters of a checkpoint's model; shared ones count once."""
    return _parameters(folder, (folder / "config.json").read_bytes())


@functools.lru_cache(maxsize=8)
def _parameters(folder: Path, config: bytes) -> int:
    """Returns the same. The configuration is part of the cache's key, because a run may replace the model in a folder."""
    return sum(parameter.numel() for parameter in empty_model(folder).parameters())
