"""The checks of `program.py` that time single operations: products, the chunked loss, attention.

Each takes the sizes, the device and a folder that all checks share, and returns its figures by name. The key `not_run` of the
figures has the parts that could not run, with the reason.
"""

import importlib.util
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ....pipelines.trainer import attention as sequences
from ....pipelines.trainer import chunked_loss
from ....pipelines.trainer.chunked_loss import Head
from ....policies import checkpoints
from .sizes import Sizes

Figures = dict[str, Any]
"""Numbers and texts by name."""


def product(sizes: Sizes, device: str, folder: Path) -> Figures:
    """Speed of a matrix product in bfloat16 and of copies in memory: the peaks that other figures refer to."""
    matrix = torch.randn(sizes.product, sizes.product, device=device, dtype=torch.bfloat16)
    copy = torch.empty_like(matrix)
    seconds, copying = seconds_of(lambda: matrix @ matrix, device), seconds_of(lambda: copy.copy_(matrix), device)
    moved = 2 * matrix.numel() * matrix.element_size()
    return {"bf16_tflops": 2 * sizes.product**3 / seconds / 1e12, "memory_gb_per_s": moved / copying / 1e9}


def loss(sizes: Sizes, device: str, folder: Path) -> Figures:
    """The chunked loss in bfloat16 beside liger-kernel's fused linear cross-entropy: seconds, memory beyond the inputs, and
    the relative difference of the two losses.
    """
    tokens, vocabulary, width = sizes.loss
    torch.manual_seed(0)
    hidden = torch.randn(tokens, width, device=device, dtype=torch.bfloat16).requires_grad_()
    head = (torch.randn(vocabulary, width, device=device, dtype=torch.bfloat16) / width**0.5).requires_grad_()
    labels = torch.randint(vocabulary, (tokens,), device=device)
    weights = torch.full((tokens,), 1 / tokens, device=device)
    values: dict[str, float] = {}

    def measured(name: str, compute: Callable[[], torch.Tensor]) -> Figures:
        def once() -> None:
            hidden.grad = head.grad = None
            total = compute()
            total.backward()
            values[name] = float(total)

        seconds, memory = seconds_of(once, device, rounds=3), peak_of(once, device)
        return {f"{name}_s": seconds} | ({f"{name}_gib": memory} if memory is not None else {})

    found: Figures = {"tokens": tokens, "vocabulary": vocabulary, "width": width}
    found |= measured("chunked", lambda: chunked_loss.weighted(hidden, Head(head), labels, weights).total)
    reason = missing("liger_kernel", "liger-kernel") or ("its kernels need a GPU" if device == "cpu" else "")
    if reason:
        return found | {"not_run": {"liger-kernel": reason}}
    from liger_kernel.transformers import LigerFusedLinearCrossEntropyLoss

    liger = LigerFusedLinearCrossEntropyLoss()
    found |= measured("liger", lambda: liger(head, hidden, labels))
    return found | {"relative_difference": abs(values["chunked"] / values["liger"] - 1)}


def attention(sizes: Sizes, device: str, folder: Path) -> Figures:
    """Forward and backward pass of a packed row: tokens per second, memory and loss.

    `sdpa` uses a mask, `sequences` is the attention of the training stages, and `flash_attention_2` is that of flash-attn.
    """
    model, _ = checkpoints.load(checkpoints.checkpoint(sizes.policy), torch.bfloat16)
    model.to(device).train()
    tokens, each = sizes.attention_tokens, min(sizes.attention_tokens // 4, 1024)
    ids = torch.randint(model.config.vocab_size, (1, tokens), device=device)
    positions = (torch.arange(tokens, device=device) % each)[None]
    found: Figures = {"tokens": tokens, "sequence": each, "not_run": {}}
    reason = missing("flash_attn", "flash-attn") or ("it needs a GPU" if device == "cpu" else "")
    for name in ("sdpa", sequences.NAME, "flash_attention_2"):
        if name == "flash_attention_2" and reason:
            found["not_run"][name] = reason
            continue
        if name == sequences.NAME:
            sequences.attend_within_sequences(model)
        else:
            model.set_attn_implementation(name)

        def once(name: str = name) -> None:
            model.zero_grad(set_to_none=True)
            loss = model(input_ids=ids, position_ids=positions, labels=ids, use_cache=False).loss
            loss.backward()
            found[f"{name}_loss"] = float(loss)

        found[f"{name}_tokens_per_s"] = tokens / seconds_of(once, device, rounds=3)
        if (memory := peak_of(once, device)) is not None:
            found[f"{name}_gib"] = memory
    return found


def seconds_of(call: Callable[[], object], device: str, rounds: int = 10) -> float:
    """Returns the median seconds of a call, after one call that does not count.

    Args:
        call: the call.
        device: cuda or cpu.
        rounds: number of calls.
    """
    seconds = []
    for _ in range(rounds + 1):
        begun = time.perf_counter()
        call()
        wait_for(device)
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds[1:])


def peak_of(call: Callable[[], object], device: str) -> float | None:
    """Returns the memory that a call needs beyond what was allocated before, in GiB; None on a CPU."""
    if device == "cpu":
        return None
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call()
    wait_for(device)
    return float((torch.cuda.max_memory_allocated() - before) / 2**30)


def wait_for(device: str) -> None:
    """Waits for the GPU's queued work."""
    if device == "cuda":
        torch.cuda.synchronize()


def missing(module: str, package: str) -> str:
    """Returns the reason why a package cannot be used; empty if it is installed."""
    return "" if importlib.util.find_spec(module) else f"{package} is not installed"
