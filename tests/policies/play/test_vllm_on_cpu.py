"""How vLLM samples on a CPU."""

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.policies.play import vllm_on_cpu

VOCABULARY = 3000


def by_sorting(logits: torch.Tensor, k: torch.Tensor | None, p: torch.Tensor | None) -> torch.Tensor:
    """The same as `vllm_on_cpu.masked`, row by row."""
    found = torch.full_like(logits, -torch.inf)
    for row, values in enumerate(logits):
        ranked, order = values.sort(descending=True)
        ranked, order = (each[: int(k[row])] if k is not None else each for each in (ranked, order))
        chances = ranked.softmax(-1)
        kept = chances.cumsum(-1) - chances < (p[row] if p is not None else 1)
        found[row, order[kept]] = ranked[kept]
    return found


def never(logits: torch.Tensor, k: torch.Tensor | None, p: torch.Tensor | None) -> torch.Tensor:
    raise AssertionError("no row needs all tokens")


@given(
    seed=st.integers(0, 2**31),
    spread=st.sampled_from([0.1, 1.0, 4.0]),
    p=st.lists(st.sampled_from([0.001, 0.5, 0.95, 1.0]), min_size=1, max_size=4),
    k=st.none() | st.sampled_from([1, 5, 2000, VOCABULARY]),
)
@settings(max_examples=40, deadline=None)
def test_the_masked_logits_are_those_of_the_definition(seed: int, spread: float, p: list[float], k: int | None) -> None:
    logits = torch.randn(len(p), VOCABULARY, generator=torch.Generator().manual_seed(seed)) * spread
    at_most = None if k is None else torch.full((len(p),), k)
    nuclei = torch.tensor(p)
    expected = by_sorting(logits, at_most, nuclei)
    found = vllm_on_cpu.masked(logits.clone(), at_most, nuclei, by_sorting)
    differing = (found.isfinite() != expected.isfinite()).sum(-1)
    assert differing.max() <= 1, "rounding may decide about the token at the border of the nucleus"
    assert torch.equal(found[differing == 0], expected[differing == 0])


def test_rows_with_small_nuclei_are_not_sorted_completely() -> None:
    logits = torch.zeros(2, VOCABULARY)
    logits[:, :3] = 20.0
    found = vllm_on_cpu.masked(logits, None, torch.tensor([0.9, 0.5]), never)
    assert found.isfinite().sum(-1).tolist() == [3, 2]


def test_tokens_have_their_probabilities_and_depend_on_the_generator_alone() -> None:
    log_probs = torch.tensor([0.0, 0.5, 0.0, 0.2, 0.3, 0.0]).log()
    generator = torch.Generator().manual_seed(1)
    count = 4000
    tokens = vllm_on_cpu.sampled(log_probs.expand(count, -1), [generator] * count)
    shares = {token: number / count for token, number in Counter(tokens.tolist()).items()}
    assert shares == pytest.approx({1: 0.5, 3: 0.2, 4: 0.3}, abs=0.04)
    alone = vllm_on_cpu.sampled(log_probs[None], [torch.Generator().manual_seed(7)])
    among = vllm_on_cpu.sampled(log_probs.expand(3, -1), [torch.Generator().manual_seed(seed) for seed in (5, 7, 9)])
    assert alone[0] == among[1]


def test_no_token_of_probability_0_is_sampled() -> None:
    log_probs = torch.tensor([[-torch.inf, 0.0, -torch.inf, -torch.inf]])
    for seed in range(50):
        assert vllm_on_cpu.sampled(log_probs, [torch.Generator().manual_seed(seed)]).tolist() == [1]


def test_nan_gives_a_token_of_the_vocabulary() -> None:
    log_probs = torch.full((2, VOCABULARY), torch.nan)
    tokens = vllm_on_cpu.sampled(log_probs, [torch.Generator() for _ in range(2)])
    assert (tokens < VOCABULARY).all()


def test_a_large_top_k_limits_the_nucleus() -> None:
    logits = torch.randn(1, VOCABULARY, generator=torch.Generator().manual_seed(0))
    found = vllm_on_cpu.masked(logits.clone(), torch.tensor([2000]), torch.tensor([0.5]), by_sorting)
    assert torch.equal(found, by_sorting(logits, torch.tensor([2000]), torch.tensor([0.5])))
