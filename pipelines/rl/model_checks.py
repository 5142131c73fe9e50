"""Checks of a GRPO stage against the model, the tokenizer and the checkpoints that it starts from."""

import contextlib
from pathlib import Path

from ...core import UserError
from ...envs import registry
from ...policies import checkpoints
from ...policies.chat.prompts import prompt_tokens
from ...policies.play.games import count_problems, prompt_of
from ..cluster import Cluster
from ..trainer import lora
from . import verl_config
from .settings import GRPOSettings, dotted


def check(settings: GRPOSettings, checkpoint: Path, cluster: Cluster) -> None:
    """Checks lengths, prompts and LoRA's settings.

    Args:
        settings: settings of the stage.
        checkpoint: folder with the model and the tokenizer.
        cluster: cluster to train on.

    Raises:
        UserError: the stage would fail with this model.
    """
    longest, window = settings.max_prompt_tokens + settings.max_response_tokens, checkpoints.window(checkpoint)
    vllm = not cluster.on_cpu() or cluster.rollout == "vllm"  # vLLM rejects such lengths; the CPU rollout ends at the window
    if vllm and window and longest > window:
        raise UserError(
            f"max_prompt_tokens + max_response_tokens = {longest} is more than the model's context window of {window} tokens; "
            "lower one of them"
        )
    check_prompts(settings, checkpoint)
    if settings.lora:
        own = {name.lstrip("+"): value for name, value in dotted(settings.verl).items()}
        further = {name: own.get(f"actor_rollout_ref.model.{name}") for name in ("target_parameters", "exclude_modules")}
        lora.check(settings.lora, checkpoint, further)


def check_prompts(settings: GRPOSettings, checkpoint: Path) -> None:
    """Checks that there are enough problems with short prompts for a batch. It stops at the first `batch_size` such problems.

    Raises:
        UserError: there are too few, or the environment raises an exception.
    """
    tokenizer = checkpoints.tokenizer_of(checkpoint)
    lengths: list[int] = []
    fitting = 0
    number = None if settings.keep else settings.problems  # a filter may keep any of the problems
    with contextlib.closing(registry.make(settings.environment, **settings.options)) as environment:
        for index in range(number or count_problems(environment) or 0):
            _, prompt = prompt_of(environment, index, settings.environment)
            lengths.append(len(prompt_tokens(tokenizer, prompt)))
            fitting += lengths[-1] <= settings.max_prompt_tokens
            if fitting >= settings.batch_size:
                break
    if lengths and fitting < settings.batch_size:
        raise UserError(
            f"expected at least batch_size={settings.batch_size} problems whose prompts have at most max_prompt_tokens="
            f"{settings.max_prompt_tokens} tokens, got {fitting}; the prompts have {min(lengths)} to {max(lengths)} tokens"
        )


def check_checkpoints(folder: Path, gpus: int) -> None:
    """Checks that verl's checkpoints have as many parts as GPUs train, because each GPU reads the part that it wrote.

    Args:
        folder: folder of the stage to resume.
        gpus: number of GPUs that train, on all nodes together.

    Raises:
        UserError: the numbers differ.
    """
    for path in (folder / verl_config.CHECKPOINTS).glob("global_step_*/actor/model_world_size_*_rank_0.pt"):
        if (wrote := int(path.name.split("_")[3])) != gpus:
            raise UserError(
                f"{path.parent} was written by {wrote} GPUs, but {gpus} train: resume with {wrote} GPUs, or "
                f"remove {folder / verl_config.CHECKPOINTS} to start the stage again"
            )
