"""The chunked loss and its gradient equal those of the full computation."""

from typing import Any

import hypothesis
import pytest
import torch
from hypothesis import strategies as st

from tenfold.pipelines.trainer.chunked_loss import Dense, Direction, Head, TopK, log_probs, top_k, weighted

TOKENS, VOCABULARY, WIDTH = 23, 37, 8


def parts(seed: int, dtype: torch.dtype = torch.float64) -> dict[str, Any]:
    """Returns a student, a teacher of another width, labels, and weights, some of which are negative or 0."""
    random = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=random, dtype=dtype)

    return {
        "hidden": normal(TOKENS, WIDTH).requires_grad_(),
        "weight": normal(VOCABULARY, WIDTH).requires_grad_(),
        "bias": normal(VOCABULARY).requires_grad_(),
        "teacher": Dense(normal(TOKENS, 5), Head(normal(VOCABULARY, 5))),
        "labels": torch.randint(VOCABULARY, (TOKENS,), generator=random),
        "nll": normal(TOKENS) * torch.randint(2, (TOKENS,), generator=random),
        "kl": normal(TOKENS) * torch.randint(2, (TOKENS,), generator=random),
    }


def in_full(of: dict[str, Any], direction: Direction, temperature: float, teacher: Dense | TopK | None) -> torch.Tensor:
    """Returns the same loss, computed with torch's functions over all tokens at once."""
    logits = torch.nn.functional.linear(of["hidden"], of["weight"], of["bias"])
    total = (of["nll"] * torch.nn.functional.cross_entropy(logits, of["labels"], reduction="none")).sum()
    p = (logits / temperature).softmax(-1)
    if isinstance(teacher, Dense):
        q = (teacher.head.logits(teacher.hidden) / temperature).softmax(-1)
    elif teacher is not None:  # k tokens and "another token"
        q, p = teacher.log_probs.exp(), p.gather(-1, teacher.ids)
        q, p = (torch.cat([x, 1 - x.sum(-1, keepdim=True)], dim=-1) for x in (q, p))
    else:
        return total
    first, second = (q, p) if direction == "forward" else (p, q)
    return total + temperature**2 * (of["kl"] * (first * (first.log() - second.log())).sum(-1)).sum()


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("k", [None, 3])
@hypothesis.given(
    seed=st.integers(0, 10_000), temperature=st.sampled_from([1.0, 2.5, 0.7]), chunk=st.sampled_from([1, 7, 23, 64])
)
@hypothesis.settings(max_examples=15)
def test_loss_and_gradients_equal_the_full_computation(
    direction: Direction, k: int | None, seed: int, temperature: float, chunk: int
) -> None:
    of = parts(seed)
    teacher = of["teacher"] if k is None else top_k(of["teacher"], k, temperature, chunk)
    found = weighted(
        of["hidden"], Head(of["weight"], of["bias"]), of["labels"], of["nll"], of["kl"], teacher, direction, temperature, chunk
    )
    whole = in_full(of, direction, temperature, teacher)
    inputs = [of["hidden"], of["weight"], of["bias"]]
    assert torch.allclose(found.total, whole, rtol=1e-10)
    # A factor on the loss, such as that of a mean over micro-batches, scales both gradients.
    for gradient, expected in zip(
        torch.autograd.grad(3 * found.total, inputs), torch.autograd.grad(3 * whole, inputs), strict=True
    ):
        assert torch.allclose(gradient, expected, rtol=1e-8, atol=1e-10)


def test_the_float32_loss_is_close_to_the_float64_loss() -> None:
    of, exact = parts(1, torch.float32), parts(1)
    for name in ("hidden", "weight", "bias", "nll", "kl"):
        of[name] = exact[name].detach().float().requires_grad_()
    of["teacher"] = Dense(exact["teacher"].hidden.float(), Head(exact["teacher"].head.weight.float()))
    of["labels"] = exact["labels"]
    totals = [
        weighted(
            p["hidden"], Head(p["weight"], p["bias"]), p["labels"], p["nll"].detach(), p["kl"].detach(), p["teacher"]
        ).total
        for p in (of, exact)
    ]
    assert torch.allclose(totals[0].double(), totals[1], rtol=1e-4)


def test_the_terms_of_each_token_are_returned() -> None:
    of = parts(2)
    head = Head(of["weight"], of["bias"])
    found = weighted(of["hidden"], head, of["labels"], of["nll"], of["kl"], of["teacher"], chunk=4)
    assert torch.allclose(found.total, found.nll @ of["nll"] + found.kl @ of["kl"])
    assert torch.allclose(-found.nll, log_probs(of["hidden"], head, of["labels"], chunk=5))
    assert (found.kl >= 0).all()


def test_top_k_of_the_whole_vocabulary_equals_the_dense_teacher() -> None:
    of = parts(3)
    head = Head(of["weight"], of["bias"])
    dense, kept = (
        weighted(of["hidden"], head, of["labels"], of["nll"], of["kl"], teacher).kl
        for teacher in (of["teacher"], top_k(of["teacher"], VOCABULARY))
    )
    assert torch.allclose(dense, kept)


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_a_confident_student_has_the_loss_of_its_small_probabilities(direction: Direction) -> None:
    """In float32 the student's probabilities outside the top k sum to less than the rounding error of 1."""
    logits = 30 * torch.eye(4, VOCABULARY)
    head, teacher = Head(torch.eye(VOCABULARY)), Dense(logits / 8, Head(torch.eye(VOCABULARY)))
    losses, gradients = [], []
    for given in (teacher, top_k(teacher, 5)):
        hidden = logits.clone().requires_grad_()
        found = weighted(hidden, head, torch.arange(4), torch.zeros(4), torch.ones(4), given, direction)
        losses.append(found.kl)
        gradients.append(torch.autograd.grad(found.total, hidden)[0])
    # The tokens after the first are equally likely, so the two losses are equal.
    assert torch.allclose(losses[0], losses[1], rtol=1e-4)
    assert torch.allclose(gradients[0], gradients[1], atol=1e-6)


def test_no_tokens_give_zero_loss_and_gradient() -> None:
    of = parts(4)
    none = torch.zeros(0, dtype=torch.long)
    found = weighted(of["hidden"][:0], Head(of["weight"]), none, of["nll"][:0])
    found.total.backward()
    assert (found.total, of["weight"].grad.abs().sum()) == (0, 0)
