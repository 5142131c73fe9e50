"""Log-probabilities of given tokens, with the most likely tokens at each place."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ..core import Sampling

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

SCORED_TOKENS = 2048
"""Number of tokens, padding included, whose logits are computed at once. Our choice: 2048 rows of a vocabulary of 150,000 need
1.2 GB."""


@dataclass(frozen=True, slots=True)
class TokenScore:
    """A token's log-probability, given those before it, and the most likely tokens in its place, the most likely one first."""

    logprob: float
    top: tuple[tuple[int, float], ...]


@runtime_checkable
class SupportsTokenScores(Protocol):
    """A policy that can return the log-probability of each token of given rows."""

    def token_scores(self, rows: Sequence[Sequence[int]], sampling: Sampling, top: int) -> list[list[TokenScore]]:
        """Returns a score for each token but the first of each row.

        Args:
            rows: token ids; no row is empty.
            sampling: temperature, top_k and top_p of the distribution; temperature 0 counts as 1.
            top: number of the most likely tokens to return. Tokens that top_k and top_p exclude are left out.
        """
        ...


def scores(model: "PreTrainedModel", rows: Sequence[Sequence[int]], sampling: Sampling, top: int) -> list[list[TokenScore]]:
    """Implements `SupportsTokenScores` with a model of transformers.

    Args:
        model: a causal language model.
        rows: see `SupportsTokenScores`.
        sampling: see `SupportsTokenScores`.
        top: see `SupportsTokenScores`.
    """
    import torch

    found: dict[int, list[TokenScore]] = {}
    waiting = sorted(range(len(rows)), key=lambda row: len(rows[row]))
    while waiting:
        batch = [waiting.pop()]  # the longest
        width = len(rows[batch[0]])
        while waiting and (len(batch) + 1) * width <= SCORED_TOKENS:
            batch.append(waiting.pop())
        ids = torch.tensor([[*rows[row], *[0] * (width - len(rows[row]))] for row in batch], device=model.device)
        mask = torch.tensor([[1] * len(rows[row]) + [0] * (width - len(rows[row])) for row in batch], device=model.device)
        with torch.inference_mode():
            logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
            for place, row in enumerate(batch):
                count = len(rows[row])
                found[row] = _row_scores(logits[place, : count - 1], ids[place, 1:count], sampling, top)
    return [found[row] for row in range(len(rows))]


def _row_scores(logits: "torch.Tensor", targets: "torch.Tensor", sampling: Sampling, top: int) -> list[TokenScore]:
    """Returns the scores of one row.

    Args:
        logits: `(tokens, vocabulary)`.
        targets: the token ids, `(tokens,)`.
        sampling: see `SupportsTokenScores`.
        top: see `SupportsTokenScores`.
    """
    import torch

    logprobs = (logits.float() / (sampling.temperature or 1.0)).log_softmax(-1)
    if sampling.temperature and (sampling.top_k or sampling.top_p < 1):
        ranked, order = logprobs.sort(dim=-1, descending=True)
        if sampling.top_k:
            ranked[:, sampling.top_k :] = -torch.inf
            ranked = ranked.log_softmax(-1)
        if sampling.top_p < 1:
            before = ranked.exp().cumsum(-1) - ranked.exp()
            ranked = ranked.masked_fill(before >= sampling.top_p, -torch.inf).log_softmax(-1)
        logprobs = torch.empty_like(logprobs).scatter(-1, order, ranked)
    chosen = logprobs.gather(-1, targets[:, None])[:, 0].tolist()
    best = logprobs.topk(min(top, logprobs.shape[-1]), dim=-1)
    rows = zip(chosen, best.indices.tolist(), best.values.tolist(), strict=True)
    return [
        TokenScore(logprob, tuple((token, value) for token, value in zip(tokens, values, strict=True) if value > -torch.inf))
        for logprob, tokens, values in rows
    ]
