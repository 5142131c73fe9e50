"""Estimates of the memory and the disk space that a recipe's stages need.

Training needs 16 bytes per trained parameter: weights, gradients and two moments of AdamW in float32. LoRA also needs 4 bytes
per parameter of the model for the fixed weights. The size of a transformer's activations follows equation 2 of Korthikanti et
al. (2022), "Reducing activation recomputation in large transformer models", without the attention matrix, which is not stored.
With recomputation a layer keeps its input, and one layer at a time has all of its activations.

The attention has no mask (`pipelines/trainer/attention.py`; GRPO uses FlashAttention). Models that need one are not considered.

The logits are counted three times: values, log-probabilities and gradients. If they are computed in chunks, they are those of a
chunk, and the gradient of the head is added.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ...core import UserError
from ..cluster import Cluster
from ..distill.distill import Distill
from ..pretrain.pretrain import Pretrain
from ..reward.reward_model import RewardModel
from ..rl import verl_config
from ..rl.grpo import GRPO
from ..trainer import limited_logits, lora
from ..trainer.empty_model import config_of, parameters
from ..trainer.settings import Training

GIB = 2**30
STATE_BYTES = 16
"""Bytes per parameter: weights, gradients, two moments."""
WEIGHT_BYTES = 4
"""Bytes per parameter of weights in float32."""
TRAINER_BYTES, VERL_BYTES = 12, 16
"""Bytes of a checkpoint per trained parameter: weights and two moments. verl also stores weights in Hugging Face format."""
MIN_CHECKPOINTS = 2
"""Minimum number of checkpoints kept while a stage trains, without the one being written. A kill may damage one of them."""
ACTIVATIONS, RECOMPUTED = 34, 2
"""Bytes per token, layer and unit of width in 16 bits: all activations of a layer, and its input."""


class Memory(NamedTuple):
    """Memory of one training process, in bytes."""

    state: float
    """Weights, gradients and moments, and copies of the weights for sampling and for the KL term."""
    activations: float
    """All that depends on the batch, if all texts have the largest length."""


class Disk(NamedTuple):
    """Disk space of a stage's policy, its checkpoints and its prepared data, in bytes."""

    kept: float = 0.0
    """What stays."""
    temporary: float = 0.0
    """Further checkpoints while the stage trains."""


def disk_of(stage: Training | Pretrain | GRPO, checkpoint: Path) -> Disk:
    """Returns an estimate of the disk space of a stage's policy, its checkpoints and its prepared data.

    Args:
        stage: a stage that trains.
        checkpoint: folder with the model.
    """
    size = (VERL_BYTES if isinstance(stage, GRPO) else TRAINER_BYTES) * _trained(stage, checkpoint)
    written = -(-stage.steps // stage.save_steps)
    staying = min(stage.keep_checkpoints, written)
    prepared = stage.prepared_bytes() if isinstance(stage, Training) else 0.0
    return Disk(
        WEIGHT_BYTES * parameters(checkpoint) + staying * size + prepared,
        size * (min(max(MIN_CHECKPOINTS, stage.keep_checkpoints) + 1, written) - staying),
    )


def main_memory() -> float:
    """Returns the size of this machine's main memory in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def check_memory(stage: str, needed: Memory) -> None:
    """Checks that a model with its optimizer fits into this machine's memory.

    Args:
        stage: name of the stage.
        needed: its memory.

    Raises:
        UserError: it does not.
    """
    if needed.state > main_memory():
        raise UserError(
            f"{stage}: weights and optimizer need {in_units(needed.state)} of main memory, but this machine has "
            f"{in_units(main_memory())}; use a smaller policy or GPUs"
        )


def disk_line(stages: Sequence[Disk], folder: Path, *, must_fit: bool) -> str:
    """Returns a line on the disk space of all stages together.

    Args:
        stages: what each stage needs.
        folder: folder of the run.
        must_fit: too little space is an error, and not a caution.

    Raises:
        UserError: the disk has too little space.
    """
    kept, largest = sum(each.kept for each in stages), max(each.temporary for each in stages)
    at = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir())
    free = shutil.disk_usage(at).free
    text = (
        f"estimated disk space: {in_units(kept + largest)} ({in_units(kept)} for policies, prepared data and the checkpoints "
        f"that stay, {in_units(largest)} for further checkpoints while a stage trains)"
    )
    if kept + largest > free:
        text = f"{at}: {text}, but {in_units(free)} are free; choose another --out, or delete files"
        if must_fit:
            raise UserError(text)
        return f"caution: {text}"
    return f"{text}; {in_units(free)} are free in {at}"


def memory_of(stage: Training | Pretrain | GRPO, checkpoint: Path, cluster: Cluster) -> Memory:
    """Returns an estimate of the memory of one training process.

    Args:
        stage: a stage that trains.
        checkpoint: folder with the model.
        cluster: hardware to train on.
    """
    count, config = parameters(checkpoint), config_of(checkpoint)
    world = verl_config.training_gpus(stage, cluster) if isinstance(stage, GRPO) else cluster.world
    trained = _trained(stage, checkpoint)
    state = (STATE_BYTES * trained + (WEIGHT_BYTES * count if trained < count else 0)) / world
    if isinstance(stage, GRPO):
        recompute = not cluster.on_cpu()
        reference = (stage.track_kl or stage.kl > 0) and not stage.lora  # with LoRA it is the model without the adapter
        copies = reference + cluster.on_cpu()  # on a CPU also the sampler's
        state += copies * WEIGHT_BYTES * count / world
        per_sample = stage.max_prompt_tokens + stage.max_response_tokens
        micro = stage.micro_batch_size or (stage.batch_size * stage.samples if cluster.on_cpu() else 0)
        tokens = micro * per_sample or cluster.tokens_per_gpu
    else:
        recompute = stage.gradient_checkpointing
        share = (stage.micro_batch_size or max(1, stage.batch_size // world)) / stage.batch_size
        tokens = round(stage.cost().trained_tokens / stage.steps * share)
    precision = 2 if _in_float32(stage, cluster) else 1  # the equation is for 16 bits; float32 has twice the bytes
    layer = ACTIVATIONS * config.hidden_size * precision
    layers = RECOMPUTED * config.hidden_size * precision * config.num_hidden_layers + layer
    per_token = layers if recompute else layer * config.num_hidden_layers
    with_logits, in_chunks = tokens, False
    if isinstance(stage, RewardModel):
        with_logits = tokens // stage.max_tokens  # those of one token of each prompt
    elif isinstance(stage, Distill):
        with_logits, in_chunks = min(tokens, stage.chunk_tokens), True
    elif not isinstance(stage, GRPO) and tokens * config.vocab_size > limited_logits.MAX_LOGITS:
        with_logits, in_chunks = limited_logits.chunk_of(config.vocab_size), True
    logits = 3 * WEIGHT_BYTES * with_logits * config.vocab_size
    head = WEIGHT_BYTES * config.vocab_size * config.hidden_size if in_chunks and trained == count else 0
    return Memory(state, tokens * per_token + logits + head)


def _in_float32(stage: Training | Pretrain | GRPO, cluster: Cluster) -> bool:
    """True if the forward and backward pass are in float32."""
    wanted = None if isinstance(stage, GRPO) else stage.precision
    return wanted == "float32" if wanted else cluster.on_cpu()


def _trained(stage: Training | Pretrain | GRPO, checkpoint: Path) -> int:
    """Returns the number of parameters that a stage trains."""
    settings = None if isinstance(stage, Pretrain) else stage.lora
    return lora.check(settings, checkpoint) if settings else parameters(checkpoint)


def in_units(size: float) -> str:
    """Returns a number of bytes as text."""
    return f"{size / GIB:,.1f} GiB" if size >= GIB / 10 else f"{size / 2**20:.1f} MiB"
