"""Pass rates from samples that stop once it is decided whether a problem stays."""

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
    """Everything that may be sampled until it is decided, with its chance."""
    open_ones: list[tuple[Scores, float]] = [([], 1.0)]
    while open_ones:
        scores, chance = open_ones.pop()
        if scores and (len(scores) == samples or decided(scores)):
            yield scores, chance
        else:
            open_ones += [([*scores, score], chance * of) for score, of in chances.items()]


def expected(rate: float, figure: Callable[[Scores], float | None]) -> float:
    """Of a figure, over all that a problem with this pass rate may sample."""
    return math.fsum(chance * (figure(scores) or 0.0) for scores, chance in outcomes({1.0: rate, 0.0: 1 - rate}, 16, rule()))


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.1, 0.3, 0.5, 0.85, 0.9, 1.0])
def test_the_estimate_has_no_bias(rate: float) -> None:
    stops = rule()
    assert expected(rate, lambda scores: pass_rates.estimate(scores, stops)) == pytest.approx(rate, abs=1e-12)


def test_the_mean_of_the_samples_made_has() -> None:
    def mean(scores: Scores) -> float:
        return sum(score or 0.0 for score in scores) / len(scores)

    assert expected(0.1, mean) == pytest.approx(0.1376, abs=5e-5)


@pytest.mark.parametrize(
    ("scores", "rate"),
    [
        ([1, 1, 0, 0], 1 / 2),
        ([1, 0, 0, 0, 1], 1 / 4),  # the last one is right, and the other may come at any of 4 places
        ([0] * 13 + [1, 1], 1 / 14),  # one order of 14 begins with a right one
        ([0] * 15, 0.0),
        ([1] * 15, 1.0),
    ],
)
def test_estimates_of_16_samples(scores: Scores, rate: float) -> None:
    assert pass_rates.estimate(scores, rule()) == pytest.approx(rate)


def relative_bias(chances: Mapping[float | None, float], samples: int, band: tuple[float, float]) -> float:
    """Of the estimate, where samples are faults or partly right at times."""
    stops, total, known = rule(samples, band), 0.0, 0.0
    for scores, chance in outcomes(chances, samples, stops):
        if (found := pass_rates.estimate(scores, stops)) is not None:
            total, known = total + chance * found, known + chance
    scored = {score: of for score, of in chances.items() if score is not None}
    return total / known / (sum(score * of for score, of in scored.items()) / sum(scored.values())) - 1


@pytest.mark.parametrize(
    "chances",
    [{1.0: 0.2, 0.0: 0.5, None: 0.3}, {1.0: 0.1, 0.25: 0.4, 0.0: 0.5}, {1.0: 0.6, 0.5: 0.1, 0.0: 0.1, None: 0.2}],
)
def test_nor_has_it_with_faults_and_partial_scores(chances: dict[float | None, float]) -> None:
    assert relative_bias(chances, 5, (0.2, 0.8)) == pytest.approx(0, abs=1e-12)


def test_where_orders_are_too_many_some_of_them_stand_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pass_rates, "STATES", 0)
    monkeypatch.setattr(pass_rates, "SAMPLED", 200)
    assert relative_bias({1.0: 0.2, 0.0: 0.6, None: 0.2}, 5, (0.2, 0.8)) == pytest.approx(0, abs=0.03)


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0, None]), min_size=1, max_size=16))
def test_samples_behind_the_decision_change_nothing(scores: Scores) -> None:
    stops = rule()
    first = next((made for made in range(1, len(scores) + 1) if stops(scores[:made])), len(scores))
    assert pass_rates.estimate(scores, stops) == pass_rates.estimate(scores[:first], stops)


def test_without_early_stops_it_is_the_mean() -> None:
    assert pass_rates.estimate([1, 0.5, None, 0, 0], lambda scores: False) == pytest.approx(1.5 / 4)
    assert pass_rates.estimate([None, None], lambda scores: False) is None
    many = [float(n % 3 == 0) for n in range(600)]
    assert pass_rates.estimate(many, lambda scores: False) == pytest.approx(1 / 3, abs=0.25)
