"""Estimates of pass rates when sampling stops early."""

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.pipelines.rl import filter as rl_filter
from tenfold.pipelines.rl import pass_rates

Scores = list[float | None]


def rule(samples: int = 16, band: tuple[float, float] = (0.1, 0.9)) -> Callable[[Sequence[float | None]], bool]:
    return functools.partial(rl_filter.decided, samples=samples, band=band)


def outcomes(
    chances: Mapping[float | None, float], samples: int, decided: Callable[..., bool]
) -> Iterator[tuple[Scores, float]]:
    """Yields all sequences of scores until the decision, with their probabilities."""
    unfinished: list[tuple[Scores, float]] = [([], 1.0)]
    while unfinished:
        scores, chance = unfinished.pop()
        if scores and (len(scores) == samples or decided(scores)):
            yield scores, chance
        else:
            unfinished += [([*scores, score], chance * of) for score, of in chances.items()]


def expected(rate: float, metric: Callable[[Scores], float | None]) -> float:
    """Returns the expected value of a metric for a problem with this pass rate."""
    return math.fsum(chance * (metric(scores) or 0.0) for scores, chance in outcomes({1.0: rate, 0.0: 1 - rate}, 16, rule()))


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.1, 0.3, 0.5, 0.85, 0.9, 1.0])
def test_the_estimate_is_unbiased(rate: float) -> None:
    stops = rule()
    assert expected(rate, lambda scores: pass_rates.estimate(scores, stops)) == pytest.approx(rate, abs=1e-12)


def test_the_mean_of_the_samples_is_biased() -> None:
    def mean(scores: Scores) -> float:
        return sum(score or 0.0 for score in scores) / len(scores)

    assert expected(0.1, mean) == pytest.approx(0.1376, abs=5e-5)


@pytest.mark.parametrize(
    ("scores", "rate"),
    [
        ([1, 1, 0, 0], 1 / 2),
        ([1, 0, 0, 0, 1], 1 / 4),  # the last sample is correct, and the other correct one is at any of 4 positions
        ([0] * 13 + [1, 1], 1 / 14),  # one of 14 orders begins with a correct sample
        ([0] * 15, 0.0),
        ([1] * 15, 1.0),
    ],
)
def test_estimates_of_16_samples(scores: Scores, rate: float) -> None:
    assert pass_rates.estimate(scores, rule()) == pytest.approx(rate)


def relative_bias(chances: Mapping[float | None, float], samples: int, band: tuple[float, float]) -> float:
    """Returns the relative bias of the estimate if samples may be faults or have partial scores."""
    stops, total, scored_chance = rule(samples, band), 0.0, 0.0
    for scores, chance in outcomes(chances, samples, stops):
        if (found := pass_rates.estimate(scores, stops)) is not None:
            total, scored_chance = total + chance * found, scored_chance + chance
    scored = {score: of for score, of in chances.items() if score is not None}
    return total / scored_chance / (sum(score * of for score, of in scored.items()) / sum(scored.values())) - 1


@pytest.mark.parametrize(
    "chances",
    [{1.0: 0.2, 0.0: 0.5, None: 0.3}, {1.0: 0.1, 0.25: 0.4, 0.0: 0.5}, {1.0: 0.6, 0.5: 0.1, 0.0: 0.1, None: 0.2}],
)
def test_the_estimate_is_unbiased_with_faults_and_partial_scores(chances: dict[float | None, float]) -> None:
    assert relative_bias(chances, 5, (0.2, 0.8)) == pytest.approx(0, abs=1e-12)


def test_sampled_orders_give_a_close_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pass_rates, "STATES", 0)
    monkeypatch.setattr(pass_rates, "SAMPLED", 200)
    assert relative_bias({1.0: 0.2, 0.0: 0.6, None: 0.2}, 5, (0.2, 0.8)) == pytest.approx(0, abs=0.03)


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0, None]), min_size=1, max_size=16))
def test_samples_after_the_decision_are_ignored(scores: Scores) -> None:
    stops = rule()
    first = next((made for made in range(1, len(scores) + 1) if stops(scores[:made])), len(scores))
    assert pass_rates.estimate(scores, stops) == pass_rates.estimate(scores[:first], stops)


def test_the_estimate_without_early_stopping_is_the_mean() -> None:
    assert pass_rates.estimate([1, 0.5, None, 0, 0], lambda scores: False) == pytest.approx(1.5 / 4)
    assert pass_rates.estimate([None, None], lambda scores: False) is None
    rare = [0.0] * 480 + [1.0] * 10
    assert pass_rates.estimate(rare, lambda scores: False) == pytest.approx(1 / 49, abs=0.03)
    many = [float(n % 3 == 0) for n in range(600)]
    assert pass_rates.estimate(many, lambda scores: False) == pytest.approx(1 / 3, abs=0.25)
