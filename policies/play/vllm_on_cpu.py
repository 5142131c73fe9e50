"""Changes of vLLM that make it faster on a CPU. They are made in the processes that tenfold starts.

Sampling: vLLM sorts all logits of a row for top_p, and draws a random number for each token of the vocabulary, twice if the
request has a seed. With a vocabulary of 152,000 tokens this takes longer than the forward pass of a model with 0.5 billion
parameters. Here the most likely tokens are sorted, and a token is sampled by inversion: it is the first whose cumulative
probability exceeds a random number of the request's own generator. The distribution is the same. If one request of a batch has
no seed, vLLM's own sampler is used for the batch.

Waiting: the process with the scheduler and the one with the model poll the shared memory for messages of each other, without a
pause. On two cores this takes half a core from the model. Here they wait for the notification that follows each message, and
look at the memory every `RECHECK_MS`, because a notification is lost if it follows another one within about a millisecond.
"""

import functools
import importlib.util
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from ..transformers import NUCLEUS_TOKENS, by_inversion

if TYPE_CHECKING:
    from vllm.v1.sample.ops.topk_topp_sampler import TopKTopPSampler

RECHECK_MS = 2
"""Milliseconds between two looks at the shared memory while a process waits. Our choice: it takes about 1% of a core."""

Masked = Callable[[torch.Tensor, torch.Tensor | None, torch.Tensor | None], torch.Tensor]
"""Masks logits; see `masked`."""


def install() -> None:
    """Makes these changes in this process, if it has vLLM and vLLM runs on a CPU."""
    if importlib.util.find_spec("vllm") is None:
        return
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return
    from vllm.distributed.device_communicators import shm_broadcast
    from vllm.v1.sample.ops import topk_topp_sampler

    shm_broadcast.SHM_READER_RECHECK_INTERVAL_MS = RECHECK_MS
    condition = shm_broadcast.SpinCondition
    condition.__init__ = functools.partialmethod(condition.__init__, busy_loop_s=0)
    theirs = topk_topp_sampler.TopKTopPSampler.forward_cpu

    def forward(
        self: "TopKTopPSampler",
        logits: torch.Tensor,
        generators: dict[int, torch.Generator],
        k: torch.Tensor | None,
        p: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        if len(generators) != len(logits):  # a request without a seed
            return theirs(self, logits, generators, k, p)
        logits = masked(logits, k, p, topk_topp_sampler.apply_top_k_top_p)
        log_probs = logits.log_softmax(-1, dtype=torch.float32)
        returned = {"processed_logits": logits, "processed_logprobs": log_probs}.get(self.logprobs_mode)
        return sampled(log_probs, [generators[row] for row in range(len(logits))]), returned

    topk_topp_sampler.TopKTopPSampler.forward_cpu = forward


def masked(logits: torch.Tensor, k: torch.Tensor | None, p: torch.Tensor | None, whole: Masked) -> torch.Tensor:
    """Returns the logits with -inf for each token outside of the top k and of the nucleus.

    The nucleus has the most likely tokens whose probabilities, among the top k, sum to at least p.

    Args:
        logits: (rows, vocabulary), which may be changed.
        k: number of tokens of each row, (rows,); the size of the vocabulary for all tokens. None: all.
        p: probability of each row's nucleus, (rows,); 1 for all tokens. None: all.
        whole: does the same; called for all rows if p is None, and for rows with a larger nucleus, which it sorts.
    """
    if p is None:
        return whole(logits, k, p)
    vocabulary = logits.shape[-1]
    ranked, order = logits.topk(min(NUCLEUS_TOKENS, vocabulary), dim=-1)
    total = logits.logsumexp(-1)
    limited = torch.zeros_like(p, dtype=torch.bool)
    if k is not None:
        limited = k <= ranked.shape[-1]
        ranked = ranked.masked_fill(torch.arange(ranked.shape[-1]) >= k[:, None], -torch.inf)
        total = torch.where(limited, ranked.logsumexp(-1), total)
    probabilities = (ranked - total[:, None]).exp()
    sums = probabilities.cumsum(-1)
    larger = ~limited & (sums[:, -1] < p)
    if k is not None:  # the probabilities among more than NUCLEUS_TOKENS tokens
        larger |= ~limited & (k < vocabulary)
    found = torch.full_like(logits, -torch.inf)
    found.scatter_(-1, order, ranked.masked_fill(sums - probabilities >= p[:, None], -torch.inf))
    if larger.any():
        found[larger] = whole(logits[larger], None if k is None else k[larger], p[larger])
    return found


def sampled(log_probs: torch.Tensor, generators: list[torch.Generator]) -> torch.Tensor:
    """Returns a token of each row, (rows,).

    Args:
        log_probs: log-probabilities, (rows, vocabulary).
        generators: the rows' generators, each of which gives one number.
    """
    uniforms = torch.stack([torch.rand((), generator=generator, dtype=torch.float64) for generator in generators])
    return by_inversion(log_probs.exp().cumsum(-1, dtype=torch.float64), uniforms)
