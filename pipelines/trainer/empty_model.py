"""A checkpoint's model without weights: its modules and its sizes. It takes no memory."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ...policies import checkpoints

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel


class Sizes(NamedTuple):
    """Sizes of a transformer."""

    parameters: int
    """All parameters; shared ones count once."""
    active: int
    """Parameters with which a token is multiplied: without the embeddings that are only looked up, and of a mixture of experts
    only as many experts as a token uses."""
    layers: int
    attention: int
    """Number of attention heads times their width."""
    keys: int
    """Number of heads of the keys times their width; the values have the same."""
    largest: int
    """Number of values of the largest parameter."""


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
    return sizes(folder).parameters


def sizes(folder: Path) -> Sizes:
    """Returns the sizes of a checkpoint's model. A folder with config.json is enough."""
    return _sizes(folder, (folder / "config.json").read_bytes())


@functools.lru_cache(maxsize=8)
def _sizes(folder: Path, configuration: bytes) -> Sizes:
    """Returns the same. The configuration is part of the cache's key, because a run may replace the model in a folder."""
    model, config = empty_model(folder), config_of(folder)
    count = {name: weights.numel() for name, weights in model.named_parameters()}
    embeddings, output = model.get_input_embeddings().weight, model.get_output_embeddings()
    active = sum(count.values())
    if output is None or output.weight is not embeddings:
        active -= embeddings.numel()
    experts = next((number for name in _EXPERTS if (number := getattr(config, name, None))), None)
    if experts:
        share = 1 - getattr(config, "num_experts_per_tok", experts) / experts
        active -= round(share * sum(size for name, size in count.items() if ".experts." in name))
    heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    key_heads = getattr(config, "num_key_value_heads", None) or heads
    return Sizes(sum(count.values()), active, config.num_hidden_layers, heads * width, key_heads * width, max(count.values()))


_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")
"""Names of the number of experts in the configurations of mixtures of experts."""
