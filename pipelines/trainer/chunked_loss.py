"""Losses over a vocabulary whose logits are never all laid out: some tokens at a time, with the gradient written by hand.

Of n tokens and a vocabulary of v the logits alone are n x v numbers, and a loss made of ready parts keeps several tables of
that size for its gradient. 65,536 tokens by 166,144 words are 44 GB a table in float32. Here the loss is a weighted sum over
tokens whose weights are known beforehand, so that each token's share of the gradient can be taken as soon as its logits are
there; only the gradients of the hidden states (n x d) and of the head (v x d) are kept. The result is the full computation's.

The two terms of a token whose student has the logits s and whose teacher has the distribution q:

    nll = -log softmax(s)[label]                        d nll / ds = p - onehot(label)
    forward KL = T^2 sum q log(q / p)                   d KL / ds = T (p - q)                   p = softmax(s / T)
    reverse KL = T^2 sum p log(p / q)                   d KL / ds = T p (log(p / q) - sum p log(p / q))

T^2 keeps the gradient's size when T changes (Hinton et al., 2015).
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch

Direction = Literal["forward", "reverse"]
CHUNK = 128
"""Tokens whose logits are laid out at once."""


class Head(NamedTuple):
    """The projection to the vocabulary."""

    weight: torch.Tensor
    """(vocabulary, width)."""
    bias: torch.Tensor | None = None
    """(vocabulary,)."""

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """(tokens, width) to (tokens, vocabulary), in float32 at least."""
        logits = torch.nn.functional.linear(hidden, self.weight, self.bias)
        return logits if logits.dtype == torch.float64 else logits.float()


class Dense(NamedTuple):
    """A teacher's distribution at each token, as hidden states and a head: its logits are made when they are wanted."""

    hidden: torch.Tensor
    """(tokens, width of the teacher)."""
    head: Head

    def log_q(self, tokens: slice, log_p: torch.Tensor, temperature: float) -> torch.Tensor:
        """Log-probabilities of some tokens, (tokens, vocabulary)."""
        return self.head.logits(self.hidden[tokens]).div_(temperature).log_softmax(-1)


class TopK(NamedTuple):
    """A teacher's most likely tokens and their log-probabilities, at the temperature of the loss; the rest is one mass.

    The rest is spread as the student spreads it: the loss is then the divergence of the two distributions over k + 1 events,
    the last being "none of these".
    """

    ids: torch.Tensor
    """(tokens, k)."""
    log_probs: torch.Tensor
    """(tokens, k); the mass of the others is what these lack to 1."""

    def log_q(self, tokens: slice, log_p: torch.Tensor, temperature: float) -> torch.Tensor:
        """Log-probabilities of some tokens, (tokens, vocabulary)."""
        ids, kept = self.ids[tokens], self.log_probs[tokens].to(log_p.dtype)
        smallest = torch.finfo(log_p.dtype).tiny
        rest = (1 - kept.exp().sum(-1, keepdim=True)).clamp(min=smallest).log()
        students = (1 - log_p.gather(-1, ids).exp().sum(-1, keepdim=True)).clamp(min=smallest).log()
        return (log_p + (rest - students)).scatter(-1, ids, kept)


def top_k(teacher: Dense, k: int, temperature: float = 1.0, chunk: int = CHUNK) -> TopK:
    """The k most likely tokens at each place."""
    ids, kept = [], []
    for start in range(0, len(teacher.hidden), chunk):
        log_q = (teacher.head.logits(teacher.hidden[start : start + chunk]) / temperature).log_softmax(-1)
        best = log_q.topk(k, dim=-1)
        ids.append(best.indices)
        kept.append(best.values)
    return TopK(torch.cat(ids), torch.cat(kept))


@torch.no_grad()
def log_probs(hidden: torch.Tensor, head: Head, labels: torch.Tensor, chunk: int = CHUNK) -> torch.Tensor:
    """Log-probability of each label, (tokens,); without a gradient."""
    told = []
    for start in range(0, len(labels), chunk):
        logits = head.logits(hidden[start : start + chunk])
        wanted = logits.gather(-1, labels[start : start + chunk, None])[:, 0]
        told.append(wanted - logits.logsumexp(-1))
        del logits  # before the next ones are made
    return torch.cat(told) if told else hidden.new_zeros(0)


class Loss(NamedTuple):
    """What `weighted` returns."""

    total: torch.Tensor
    """Scalar, with a gradient to the hidden states and the head."""
    nll: torch.Tensor
    """(tokens,), unweighted and without a gradient."""
    kl: torch.Tensor
    """(tokens,), unweighted and without a gradient; 0 where the weight is."""


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
    """The sum over tokens of nll x (negative log-likelihood of the label) + kl x (divergence from the teacher).

    Args:
        hidden: (tokens, width), the student's last hidden states.
        head: the student's.
        labels: (tokens,).
        nll: (tokens,) weights, which may be negative.
        kl: (tokens,) weights; None for none.
        teacher: of the same tokens; wanted where kl is.
        direction: forward: KL(teacher || student), which covers what the teacher would say; reverse: KL(student || teacher),
            which punishes what the teacher would not.
        temperature: that both distributions are softened by.
        chunk: tokens at once.
    """
    total, losses, divergences = _Weighted.apply(
        hidden, head.weight, head.bias, labels, nll, kl, teacher, direction, temperature, chunk
    )
    return Loss(total, losses, divergences)


class _Weighted(torch.autograd.Function):
    """Takes the gradient on the way forward, for its factors are known; backward only scales it."""

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
        wants_hidden, wants_weight, wants_bias = ctx.needs_input_grad[:3]
        exact = torch.float64 if hidden.dtype == torch.float64 else torch.float32
        of_hidden = torch.zeros_like(hidden) if wants_hidden else None
        of_weight = torch.zeros_like(weight, dtype=exact) if wants_weight else None
        of_bias = torch.zeros_like(bias, dtype=exact) if wants_bias and bias is not None else None
        losses, divergences = (torch.zeros(len(labels), dtype=exact, device=hidden.device) for _ in range(2))
        for start in range(0, len(labels), chunk):
            rows = slice(start, start + chunk)
            of_kl = None if kl is None else kl[rows].to(exact)
            gradient, losses[rows], told = _of_tokens(
                head, hidden[rows], labels[rows], nll[rows].to(exact), of_kl, teacher, rows, direction, temperature
            )
            if told is not None:
                divergences[rows] = told
            narrow = gradient.to(hidden.dtype)
            if of_hidden is not None:
                of_hidden[rows] = narrow @ weight
            if of_weight is not None:
                if narrow.dtype == exact:
                    of_weight.addmm_(narrow.T, hidden[rows])
                else:
                    of_weight += narrow.T @ hidden[rows]
            if of_bias is not None:
                of_bias += gradient.sum(0)
            del gradient, narrow  # before the next ones are made
        total = losses @ nll.to(exact)
        if kl is not None:
            total = total + divergences @ kl.to(exact)
        ctx.save_for_backward(of_hidden, of_weight, of_bias)
        ctx.spent = False
        ctx.dtypes = weight.dtype, None if bias is None else bias.dtype
        ctx.mark_non_differentiable(losses, divergences)
        return total, losses, divergences

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        of_hidden, of_weight, of_bias = ctx.saved_tensors
        assert not ctx.spent, "the gradient was scaled in place: there is no second backward"
        ctx.spent = True
        scale, (of_its_weight, of_its_bias) = gradients[0], ctx.dtypes
        return (
            None if of_hidden is None else of_hidden * scale.to(of_hidden.dtype),
            None if of_weight is None else of_weight.mul_(scale).to(of_its_weight),
            None if of_bias is None else of_bias.mul_(scale).to(of_its_bias),
            *[None] * 7,
        )


def _of_tokens(
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
    """The gradient of some tokens' logits (tokens, vocabulary), their losses and their divergences.

    Four tables of that size at most, for what is not wanted any more is written over.
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
    toward, divergence = DIRECTIONS[direction](log_p, teacher.log_q(rows, log_p, temperature))
    return gradient.addcmul_(toward, temperature * kl[:, None]), losses, temperature**2 * divergence


def _forward(log_p: torch.Tensor, log_q: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The gradient with regard to the softened logits, and the divergences; both tables are written over."""
    q = log_q.exp()
    divergence = log_q.sub_(log_p).mul_(q).sum(-1)
    return log_p.exp_().sub_(q), divergence


def _reverse(log_p: torch.Tensor, log_q: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The same for the other direction."""
    p, ratio = log_p.exp(), log_p.sub_(log_q)
    mean = torch.mul(p, ratio, out=log_q).sum(-1, keepdim=True)
    return ratio.sub_(mean).mul_(p), mean[:, 0]


DIRECTIONS: dict[Direction, Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]] = {
    "forward": _forward,
    "reverse": _reverse,
}
