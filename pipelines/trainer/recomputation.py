"""Gradient checkpointing: the backward pass computes a layer's activations again, so that only its input is kept."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.nn import Module
    from transformers import PreTrainedModel

DESCRIPTION = "recompute activations: less memory for a third more time"
"""Description of the setting of all stages that train, except `grpo`."""


def without_dropout(model: "PreTrainedModel") -> Callable[[], None]:
    """Returns a function that turns dropout off for the next forward pass, and leaves recomputation on.

    transformers recomputes a layer only in training mode. Therefore each layer is in this mode until its forward method begins.

    Args:
        model: the model. The function must be called before each forward pass.
    """
    from transformers.modeling_layers import GradientCheckpointingLayer

    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]

    def end_training_mode(layer: "Module", inputs: object) -> None:
        layer.training = False

    for layer in layers:
        layer.register_forward_pre_hook(end_training_mode)

    def turn_off() -> None:
        model.eval()
        for layer in layers:
            layer.training = layer.gradient_checkpointing

    return turn_off
