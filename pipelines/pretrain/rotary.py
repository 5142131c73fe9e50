"""The base of a model's rotary position embedding, which a phase of pretraining may change."""

from typing import TYPE_CHECKING

from ...core import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def set_theta(model: "PreTrainedModel", theta: float | None) -> None:
    """Sets the base of a model's rotary position embedding ("adjusted base frequency", Xiong et al., 2023); None: unchanged.

    Raises:
        UserError: see `check_theta`.
    """
    check_theta(model, theta)
    if theta is None or model.config.rope_parameters["rope_theta"] == theta:
        return
    model.config.rope_parameters["rope_theta"] = theta
    for module in model.modules():
        if hasattr(module, "inv_freq"):
            frequencies, _ = module.compute_default_rope_parameters(model.config, module.inv_freq.device)
            module.inv_freq.copy_(frequencies)
            module.original_inv_freq = module.inv_freq.clone()


def check_theta(model: "PreTrainedModel", theta: float | None) -> None:
    """Checks that the base of a model's rotary position embedding can be set.

    Raises:
        UserError: the model has no rotary position embedding with a single base, or the base would change
            and the embedding's type is not `default`.
    """
    if theta is None:
        return
    positions = getattr(model.config, "rope_parameters", None) or {}
    if "rope_theta" not in positions:
        raise UserError(
            f"rope_theta cannot be set: {type(model).__name__} has no rotary position embedding with a single base; remove the "
            "setting"
        )
    if positions["rope_theta"] != theta and positions["rope_type"] != "default":
        raise UserError(
            f"rope_theta cannot be set: the model's rotary position embedding has type {positions['rope_type']}; remove the "
            "setting"
        )
