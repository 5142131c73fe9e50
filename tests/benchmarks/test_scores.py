import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tenfold.benchmarks.scores import avg_at_k, interval
from tenfold.core import UserError

ROWS = st.lists(st.lists(st.sampled_from([0.0, 1.0]), min_size=8, max_size=8), min_size=2, max_size=30)


@given(ROWS)
def test_the_interval_holds_the_mean_and_stays_in_0_to_1(rows: list[list[float]]) -> None:
    score = avg_at_k(rows)
    assert 0 <= score.low <= score.mean + 1e-12 <= score.high + 2e-12 <= 1 + 3e-12
    assert score.mean == pytest.approx(statistics.mean(map(statistics.mean, rows)))
    assert score.stderr == pytest.approx(statistics.stdev(map(statistics.mean, rows)) / math.sqrt(len(rows)))
    assert score.draw_stderr >= 0


@pytest.mark.parametrize(("problems", "draws", "spread"), [(40, 8, 0.3), (200, 8, 0.1), (30, 8, 0.5), (100, 1, 0.3)])
def test_95_percent_of_intervals_hold_the_truth(problems: int, draws: int, spread: float) -> None:
    """New problems and new draws each time: both have to be counted."""
    random.seed(0)
    truth = statistics.mean(min(1, max(0, random.gauss(0.6, spread))) for _ in range(100_000))
    hits = 0
    for _ in range(1000):
        rates = [min(1, max(0, random.gauss(0.6, spread))) for _ in range(problems)]
        score = avg_at_k([[float(random.random() < rate) for _ in range(draws)] for rate in rates])
        hits += score.low <= truth <= score.high
    assert 0.93 <= hits / 1000 <= 0.975


def test_where_all_draws_agree_the_interval_is_no_point() -> None:
    low, high = interval(1.0, 0.0, 30)
    assert high == 1
    assert 0.85 < low < 0.9


def test_draws_without_a_score_are_left_out_and_counted() -> None:
    score = avg_at_k([[1, None, 1], [0, 1, None], [None, None, None]])
    assert (score.mean, score.problems, score.faults) == (0.75, 2, 5)
    with pytest.raises(UserError, match="none of 1 draws has a score"):
        avg_at_k([[None]])


def test_pass_at_k_counts_problems_solved_at_least_once() -> None:
    assert avg_at_k([[0, 0], [0, 1], [1, 1], [0, 0]]).pass_at_k == 0.5
