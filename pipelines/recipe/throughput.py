"""A model of throughput: the seconds that GPUs need for a number of tokens. docs/plan.md has its sources and its checks.

Training and single passes are bound by arithmetic. A token takes 2 FLOPs per parameter in a forward pass and 4 in a backward
pass (Kaplan et al., 2020, "Scaling laws for neural language models", section 2.1), and attention 4 FLOPs per layer, attended
position and unit of width in a forward pass (Chowdhery et al., 2022, "PaLM", appendix B). A token attends to half of its
sequence on average, and FlashAttention skips the other half. The share of the peak that is reached is a constant.

Sampling is bound by memory bandwidth or by arithmetic: for the next token of all sequences of a batch, a GPU reads its part of
the weights once, and the keys and values of all sequences (Pope et al., 2022, "Efficiently scaling transformer inference",
section 2). The batch has as many sequences as fit into the memory that vLLM may use.
"""

from ..cluster import Cluster
from ..gpus import GPU
from ..trainer.empty_model import Sizes

TRAINING_USE = 0.3
"""Share of a GPU's peak that training reaches. Our choice, between published runs: see docs/plan.md."""
SAMPLING_USE = 0.5
"""Share of a GPU's peak that the arithmetic of sampling reaches. Our assumption: it has no gradients to communicate."""
BANDWIDTH_USE = 0.6
"""Share of the memory's bandwidth that sampling reaches. Our assumption."""
STEP_SECONDS = 0.005
"""Part of the time of a step, which samples one token of each sequence of a batch, that does not depend on the model, such as
the scheduler's. Our assumption."""
MAX_SEQUENCES = 256
"""Sequences that a copy samples at the same time, at most. Source: `max_num_seqs` of verl's rollout."""
BYTES = 2
"""Bytes of a weight, and of a key's or a value's number, in bfloat16."""


def forward_flops(model: Sizes, tokens: float, length: float) -> float:
    """Returns the FLOPs of a forward pass.

    Args:
        model: sizes of the model.
        tokens: number of tokens.
        length: tokens of the sequence that a token is part of, as a mean over the tokens.
    """
    return tokens * (2 * model.active + 2 * model.layers * model.attention * length)


def training_flops(model: Sizes, tokens: float, length: float, *, recomputed: bool = False, adapter: bool = False) -> float:
    """Returns the FLOPs of a forward and a backward pass: three forward passes.

    Args:
        model: sizes of the model.
        tokens: number of tokens.
        length: see `forward_flops`.
        recomputed: activations are recomputed in the backward pass, which is one more forward pass.
        adapter: only an adapter is trained. The gradients of the weights are not computed, which saves the FLOPs of one forward
            pass. The FLOPs of the adapter are not counted, because it has about a hundredth of the parameters.
    """
    return (3 + recomputed - adapter) * forward_flops(model, tokens, length)


def training_seconds(flops: float, gpu: GPU, cluster: Cluster) -> float:
    """Returns the time of FLOPs that all GPUs share.

    Args:
        flops: number of FLOPs.
        gpu: type of the GPUs.
        cluster: the machines.
    """
    return flops / (TRAINING_USE * gpu.flops * cluster.world)


def cache_bytes(model: Sizes, gpu: GPU, cluster: Cluster) -> float:
    """Returns the memory for keys and values of one copy of the model; 0 or less if the weights do not fit.

    Args:
        model: sizes of the model.
        gpu: type of the GPUs.
        cluster: the machines.
    """
    return cluster.tensor_parallel * cluster.gpu_memory_utilization * gpu.memory - BYTES * model.parameters


def sampling_seconds(
    model: Sizes, gpu: GPU, cluster: Cluster, samples: int, tokens: float, *, prompt: float, together: float
) -> float:
    """Returns the time to sample, if all samples have the same length and all copies sample all the time.

    Args:
        model: sizes of the model.
        gpu: type of the GPUs.
        cluster: the machines.
        samples: number of samples.
        tokens: tokens of all samples.
        prompt: tokens of a prompt. Each sample's prompt is read anew.
        together: sequences in a copy's batch, at most.

    Returns:
        The time in seconds; infinity if not a single sequence fits beside the weights.
    """
    if not samples:
        return 0.0
    copies, shared = cluster.copies, cluster.tensor_parallel
    length = prompt + tokens / samples / 2  # the mean over a sample's tokens
    sequence = 2 * model.layers * model.keys * BYTES * length
    fitting = cache_bytes(model, gpu, cluster) / sequence
    if fitting < 1:
        return float("inf")
    batch = max(1.0, min(fitting, together, MAX_SEQUENCES, samples / copies))
    read = (BYTES * model.parameters + batch * sequence) / (BANDWIDTH_USE * gpu.bandwidth)
    computed = batch * forward_flops(model, 1, 2 * length) / (SAMPLING_USE * gpu.flops)
    step = STEP_SECONDS + max(read, computed) / shared
    prefill = forward_flops(model, samples * prompt, prompt) / (SAMPLING_USE * gpu.flops * shared)
    return (tokens / batch * step + prefill) / copies
