"""Checks of a GRPO stage against the model and the tokenizer that it starts from."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ...core import Info, UserError
from ...envs import registry
from ...policies import checkpoints
from ...policies.rollout import count_problems, prompt_messages_of
from ..cluster import Cluster
from ..trainer.empty_model import empty_model
from .settings import GRPOSettings

if TYPE_CHECKING:
    from omegaconf import DictConfig

MAX_NAMES = 12
"""Names of modules in a message. Our choice."""


def check(settings: GRPOSettings, config: "DictConfig", checkpoint: Path, cluster: Cluster) -> None:
    """Checks lengths, prompts and LoRA's settings.

    Args:
        settings: settings of the stage.
        config: verl's configuration of the stage.
        checkpoint: folder with the model and the tokenizer.
        cluster: cluster to train on.

    Raises:
        UserError: the stage would fail with this model.
    """
    longest, window = settings.max_prompt_tokens + settings.max_response_tokens, checkpoints.window(checkpoint)
    if not cluster.on_cpu() and window and longest > window:  # vLLM rejects it; on a CPU the response ends at the window
        raise UserError(
            f"max_prompt_tokens + max_response_tokens = {longest} is more than the model's context window of {window} tokens; "
            "lower one of them"
        )
    check_prompts(settings, checkpoint)
    check_lora(config.actor_rollout_ref.model, checkpoint)


def check_prompts(settings: GRPOSettings, checkpoint: Path) -> None:
    """Checks that there are enough problems with short prompts for a batch. It stops at the first `batch_size` such problems.

    Raises:
        UserError: there are too few.
    """
    tokenizer = checkpoints.tokenizer_of(checkpoint)
    environment = registry.make(settings.environment, **settings.options)
    lengths: list[int] = []
    fitting = 0
    for index in range(settings.problems or count_problems(environment) or 0):
        text, info = environment.reset(seed=index, options={"problem": index})
        lengths.append(len(checkpoints.prompt_tokens(tokenizer, [*prompt_messages_of(text, cast(Info, info))])))
        fitting += lengths[-1] <= settings.max_prompt_tokens
        if fitting >= settings.batch_size:
            break
    environment.close()
    if lengths and fitting < settings.batch_size:
        raise UserError(
            f"expected at least batch_size={settings.batch_size} problems whose prompts have at most max_prompt_tokens="
            f"{settings.max_prompt_tokens} tokens, got {fitting}; the prompts have {min(lengths)} to {max(lengths)} tokens"
        )


def check_lora(model: "DictConfig", checkpoint: Path) -> None:
    """Checks that the model has the modules to which LoRA is applied, with the same function as verl.

    Args:
        model: verl's settings of the model.
        checkpoint: folder with the model.

    Raises:
        UserError: LoRA rejects the settings.
    """
    if model.lora_rank <= 0 or model.get("lora_adapter_path"):
        return
    import torch
    from omegaconf import OmegaConf
    from peft import LoraConfig, TaskType, get_peft_model

    empty = empty_model(checkpoint)
    linear = sorted({name.rpartition(".")[2] for name, part in empty.named_modules() if isinstance(part, torch.nn.Linear)})
    own = OmegaConf.to_container(model)
    assert isinstance(own, dict)
    named: dict[str, Any] = {name: own.get(name) for name in ("target_modules", "target_parameters", "exclude_modules")}
    try:
        lora = LoraConfig(task_type=TaskType.CAUSAL_LM, r=model.lora_rank, lora_alpha=model.lora_alpha, bias="none", **named)
        get_peft_model(empty, lora)
    except (ValueError, TypeError) as error:
        reason = " ".join(str(error).split()).partition(". ")[0][:200]
        raise UserError(
            f"verl: actor_rollout_ref.model.target_modules: {reason}; the linear modules of the model are "
            f"{', '.join(linear[:MAX_NAMES])}"
        ) from None
