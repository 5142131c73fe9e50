"""Cross-entropy and KL losses over a large vocabulary, computed in chunks of tokens with a hand-written gradient.

For n tokens and a vocabulary of v, the logits are n x v numbers, and an ordinary loss keeps several tensors of that size for
its gradient: 44 GB each in float32 for 65,536 tokens and 166,144 entries. This loss is a weighted sum over tokens with weights
that are known beforehand. Therefore each token's part of the gradient can be computed as soon as its logits exist, and only the
gradients of the hidden states (n x d) and of the head (v x d) are stored. The result equals that of the full computation.

The two terms of a token, where s are the student's logits and q is the teacher's distribution:

    nll = -log softmax(s)[label]                        d nll / ds = softmax(s) - onehot(label)
    forward KL = T^2 sum q log(q / p)                   d KL / ds = T (p - q)                   p = softmax(s / T)
    reverse KL = T^2 sum p log(p / q)                   d KL / ds = T p (log(p / q) - sum p log(p / q))

T^2 keeps the gradient's size when T changes (Hinton et al., 2015).
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch

Direction = Literal["forward", "reverse"]
CHUNK = 128
"""Tokens per chunk."""


class Head(NamedTuple):
    """The projection to the vocabulary."""

    weight: torch.Tensor
    """(vocabulary, width)."""
    bias: torch.Tensor | None = None
    """(vocabulary,)."""

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Returns logits (tokens, vocabulary) of hidden states (tokens, width), in float32 or float64."""
        logits = torch.nn.functional.linear(hidden, self.weight, self.bias)
        return logits if logits.dtype == torch.float64 else logits.float()


class Dense(NamedTuple):
    """A teacher's distribution at each token, as hidden states and a head, from which each chunk's logits are computed."""

    hidden: torch.Tensor
    """(tokens, width of the teacher)."""
    head: Head

    def log_q(self, tokens: slice, log_p: torch.Tensor, temperature: float) -> torch.Tensor:
        """Returns the teacher's log-probabilities, (tokens, vocabulary).

        Args:
            tokens: the chunk.
            log_p: the student's log-probabilities (not used).
            temperature: softmax temperature.
        """
        return self.head.logits(self.hidden[tokens]).div_(temperature).log_softmax(-1)


class TopK(NamedTuple):
    """A teacher's k most likely tokens with their log-probabilities, at the temperature of the loss.

    The remaining probability is spread over the other tokens in the student's proportions. The loss is then the divergence of
    two distributions over k + 1 events, of which the last is "another token".
    """

    ids: torch.Tensor
    """(tokens, k)."""
    log_probs: torch.Tensor
    """(tokens, k)."""

    def log_q(self, tokens: slice, log_p: torch.Tensor, temperature: float) -> torch.Tensor:
        """Returns the teacher's log-probabilities, (tokens, vocabulary).

        Args:
            tokens: the chunk.
            log_p: the student's log-probabilities, (tokens, vocabulary).
            temperature: not used; `log_probs` are already at it.
        """
        ids, kept = self.ids[tokens], self.log_probs[tokens].to(log_p.dtype)
        rest = (1 - kept.exp().sum(-1, keepdim=True)).clamp(min=torch.finfo(log_p.dtype).tiny).log()
        others = log_p.scatter(-1, ids, -torch.inf)
        # Summed over the other tokens, because 1 minus the sum over the k tokens may be 0 in float32.
        students = others.logsumexp(-1, keepdim=True)
        return others.add_(rest - students).scatter_(-1, ids, kept)


def top_k(teacher: Dense, k: int, temperature: float = 1.0, chunk: int = CHUNK) -> TopK:
    """Returns the k most likely tokens at each position.

    Args:
        teacher: the full distribution.
        k: number of tokens.
        temperature: softmax temperature of the log-probabilities.
        chunk: tokens per chunk.
    """
    ids, kept = [], []
    for start in range(0, len(teacher.hidden), chunk):
        log_q = (teacher.head.logits(teacher.hidden[start : start + chunk]) / temperature).log_softmax(-1)
        best = log_q.topk(k, dim=-1)
        ids.append(best.indices)
        kept.append(best.values)
    return TopK(torch.cat(ids), torch.cat(kept))


@torch.no_grad()
def log_probs(hidden: torch.Tensor, head: Head, labels: torch.Tensor, chunk: int = CHUNK) -> torch.Tensor:
    """Returns the log-probability of each label, (tokens,), without a gradient.

    Args:
        hidden: (tokens, width).
        head: projection to the vocabulary.
        labels: (tokens,).
        chunk: tokens per chunk.
    """
    parts = []
    for start in range(0, len(labels), chunk):
        logits = head.logits(hidden[start : start + chunk])
        of_labels = logits.gather(-1, labels[start : start + chunk, None])[:, 0]
        parts.append(of_labels - logits.logsumexp(-1))
        del logits  # frees the memory before the next chunk
    return torch.cat(parts) if parts else hidden.new_zeros(0)


class Loss(NamedTuple):
    """The result of `weighted`."""

    total: torch.Tensor
    """Scalar, with a gradient to the hidden states and the head."""
    nll: torch.Tensor
    """(tokens,), unweighted, without a gradient."""
    kl: torch.Tensor
    """(tokens,), unweighted, without a gradient; 0 without a teacher."""


def weighted(
    hidden: torch.Tensor,
    head: Head,
    labels: torch.Tensor,
    nll: torch.Tensor,
    kl: torch.Tensor | None = None,
    teacher: Dense | TopK | None = None,
    direction: Direction = "forward",
    temperature: float = 1.0,
    chunk: int = CHUNK,
) -> Loss:
    """Returns the sum over tokens of nll x (negative log-likelihood of the label) + kl x (divergence from the teacher).

    Args:
        hidden: (tokens, width), the student's last hidden states.
        head: the student's head.
        labels: (tokens,).
        nll: (tokens,), weights of the first term; may be negative.
        kl: (tokens,), weights of the second term; None: no such term.
        teacher: the teacher's distribution at the same tokens; required with `kl`.
        direction: forward: KL(teacher || student), which is mode-covering; reverse: KL(student || teacher), mode-seeking.
        temperature: softmax temperature of both distributions.
        chunk: tokens per chunk.
    """
    total, losses, divergences = _Weighted.apply(
        hidden, head.weight, head.bias, labels, nll, kl, teacher, direction, temperature, chunk
    )
    return Loss(total, losses, divergences)


class _Weighted(torch.autograd.Function):
    """Computes the gradient in the forward pass; the backward pass only scales it."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        labels: torch.Tensor,
        nll: torch.Tensor,
        kl: torch.Tensor | None,
        teacher: Dense | TopK | None,
        direction: Direction,
        temperature: float,
        chunk: int,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        head = Head(weight, bias)
        needs_hidden, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        wide = torch.float64 if hidden.dtype == torch.float64 else torch.float32
        hidden_grad = torch.zeros_like(hidden) if needs_hidden else None
        weight_grad = torch.zeros_like(weight, dtype=wide) if needs_weight else None
        bias_grad = torch.zeros_like(bias, dtype=wide) if needs_bias and bias is not None else None
        losses, divergences = (torch.zeros(len(labels), dtype=wide, device=hidden.device) for _ in range(2))
        for start in range(0, len(labels), chunk):
            rows = slice(start, start + chunk)
            kl_weights = None if kl is None else kl[rows].to(wide)
            gradient, losses[rows], divergence = _chunk_gradient(
                head, hidden[rows], labels[rows], nll[rows].to(wide), kl_weights, teacher, rows, direction, temperature
            )
            if divergence is not None:
                divergences[rows] = divergence
            rounded = gradient.to(hidden.dtype)
            if hidden_grad is not None:
                hidden_grad[rows] = rounded @ weight
            if weight_grad is not None:
                if rounded.dtype == wide:
                    weight_grad.addmm_(rounded.T, hidden[rows])
                else:
                    weight_grad += rounded.T @ hidden[rows]
            if bias_grad is not None:
                bias_grad += gradient.sum(0)
            del gradient, rounded  # frees the memory before the next chunk
        total = losses @ nll.to(wide)
        if kl is not None:
            total = total + divergences @ kl.to(wide)
        ctx.save_for_backward(hidden_grad, weight_grad, bias_grad)
        ctx.used = False
        ctx.dtypes = weight.dtype, None if bias is None else bias.dtype
        ctx.mark_non_differentiable(losses, divergences)
        return total, losses, divergences

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        hidden_grad, weight_grad, bias_grad = ctx.saved_tensors
        assert not ctx.used, "backward can run only once, because it scales the gradient in place"
        ctx.used = True
        scale, (weight_dtype, bias_dtype) = gradients[0], ctx.dtypes
        return (
            None if hidden_grad is None else hidden_grad * scale.to(hidden_grad.dtype),
            None if weight_grad is None else weight_grad.mul_(scale).to(weight_dtype),
            None if bias_grad is None else bias_grad.mul_(scale).to(bias_dtype),
            *[None] * 7,
        )


def _chunk_gradient(
    head: Head,
    hidden: torch.Tensor,
    labels: torch.Tensor,
    nll: torch.Tensor,
    kl: torch.Tensor | None,
    teacher: Dense | TopK | None,
    rows: slice,
    direction: Direction,
    temperature: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Returns a chunk's gradient with respect to the logits (tokens, vocabulary), its losses and its divergences.

    At most four tensors of that size exist at once, because operations are in place where possible.
    """
    logits = head.logits(hidden)
    log_p = logits.log_softmax(-1)
    losses = -log_p.gather(-1, labels[:, None])[:, 0]
    gradient = log_p.exp().mul_(nll[:, None])
    gradient.scatter_add_(-1, labels[:, None], -nll[:, None])
    if kl is None or teacher is None:
        return gradient, losses, None
    if temperature != 1:
        log_p = logits.div_(temperature).log_softmax(-1)
    del logits
    kl_gradient, divergence = DIRECTIONS[direction](log_p, teacher.log_q(rows, log_p, temperature))
    return gradient.addcmul_(kl_gradient, temperature * kl[:, None]), losses, temperature**2 * divergence


def _forward(log_p: torch.Tensor, log_q: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the gradient of the forward KL with respect to logits / T, and the divergences. Overwrites both arguments."""
    q = log_q.exp()
    divergence = log_q.sub_(log_p).mul_(q).sum(-1)
    return log_p.exp_().sub_(q), divergence


def _reverse(log_p: torch.Tensor, log_q: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the gradient of the reverse KL with respect to logits / T, and the divergences. Overwrites both arguments."""
    p, ratio = log_p.exp(), log_p.sub_(log_q)
    mean = torch.mul(p, ratio, out=log_q).sum(-1, keepdim=True)
    return ratio.sub_(mean).mul_(p), mean[:, 0]


DIRECTIONS: dict[Direction, Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]] = {
    "forward": _forward,
    "reverse": _reverse,
}
