import math
import random
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.benchmarks.stats import interval_coverage
from tenfold.benchmarks.stats.scores import avg_at_k, difference, maj_at_k, pass_hat_k
from tenfold.core import UserError

ROWS = st.lists(st.lists(st.sampled_from([0.0, 1.0]), min_size=8, max_size=8), min_size=2, max_size=30)
SHARES = st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=4), min_size=2, max_size=20)


@given(ROWS | SHARES)
def test_both_intervals_contain_the_mean_and_stay_in_0_to_1(rows: list[list[float]]) -> None:
    score = avg_at_k(rows)
    assert 0 <= score.low <= score.mean + 1e-9 <= score.high + 2e-9 <= 1 + 3e-9
    assert 0 <= score.same_problems_low <= score.mean + 1e-9 <= score.same_problems_high + 2e-9 <= 1 + 3e-9
    assert score.mean == pytest.approx(statistics.mean(map(statistics.mean, rows)))
    assert score.stderr == pytest.approx(statistics.stdev(map(statistics.mean, rows)) / math.sqrt(len(rows)))
    assert score.same_problems_stderr >= 0


@pytest.mark.parametrize("samples", [1, 3, 8, 64])
@pytest.mark.parametrize(
    ("problems", "mean", "concentration"), [(30, 0.15, None), (30, 0.3, 1.0), (100, 0.5, 0.5), (198, 0.8, 5.0), (500, 0.1, 2.0)]
)
def test_95_percent_of_intervals_contain_the_truth(
    problems: int, samples: int, mean: float, concentration: float | None
) -> None:
    """`stats/interval_coverage.py` measures 94 to 97% over all cells. 2,000 simulations measure it to within 1.4%."""
    cell = interval_coverage.simulate(problems, samples, mean, concentration, 2000, np.random.default_rng(0))
    assert 0.926 <= cell.new_problems <= 0.984
    assert cell.same_problems >= 0.926
    assert (
        cell.same_problems <= 0.984 or samples == 1
    )  # with one sample the interval has its largest width, because noise and differences are not separable


@pytest.mark.parametrize("concentration", [None, 0.5, 2.0])
@pytest.mark.parametrize("mean", [0.01, 0.04, 0.97])
def test_coverage_is_not_lower_for_means_near_0_and_1(mean: float, concentration: float | None) -> None:
    """One solved problem among 30 determines the share of such problems only roughly."""
    cell = interval_coverage.simulate(30, 8, mean, concentration, 2000, np.random.default_rng(0))
    assert cell.new_problems >= 0.926
    assert cell.same_problems >= 0.926


LOST = [
    (100, 2, 0.5, 1.0, 0.5),
    (100, 2, 0.3, None, 0.5),
    (30, 8, 0.4, 1.0, 0.7),
    (200, 3, 0.6, 0.5, 0.2),
    (100, 2, 0.1, 2.0, 0.9),
]


@pytest.mark.parametrize(("problems", "samples", "mean", "concentration", "lost"), LOST)
def test_lost_samples_do_not_reduce_coverage(
    problems: int, samples: int, mean: float, concentration: float | None, lost: float
) -> None:
    """`stats/interval_coverage.py --lost 0.5` measures all cells. 600 simulations measure coverage to within 2%."""
    cell = interval_coverage.simulate(problems, samples, mean, concentration, 600, np.random.default_rng(0), lost)
    assert cell.new_problems >= 0.93
    assert cell.same_problems >= 0.93


def test_lost_samples_widen_the_interval_over_new_samples() -> None:
    generator = np.random.default_rng(0)
    whole = (generator.random((100, 2)) < generator.random((100, 1))).astype(float).tolist()
    partial = [row if number % 2 else [row[0], None] for number, row in enumerate(whole)]
    more, less = avg_at_k(whole), avg_at_k(partial)
    assert less.same_problems_high - less.same_problems_low > 1.1 * (more.same_problems_high - more.same_problems_low)
    assert less.same_problems_stderr > 1.1 * more.same_problems_stderr
    assert less.detectable > more.detectable


def test_one_problem_with_two_equal_samples_does_not_remove_the_noise_of_the_others() -> None:
    score = avg_at_k([[1.0, 1.0], *([float(n % 2)] for n in range(99))])
    alone = avg_at_k([[float(n % 2)] for n in range(100)])
    assert score.same_problems_high - score.same_problems_low > 0.75 * (alone.same_problems_high - alone.same_problems_low)


def test_intervals_have_a_width_when_all_samples_agree() -> None:
    score = avg_at_k([[1.0] * 8] * 30)
    assert score.high == score.same_problems_high == 1
    assert 0.85 < score.low < 0.9
    assert 0.97 < score.same_problems_low < 1


def test_samples_without_a_score_are_left_out_and_counted() -> None:
    score = avg_at_k([[1, None, 1], [0, 1, None], [None, None, None]])
    assert (score.mean, score.problems, score.without_score) == (0.75, 2, 5)
    with pytest.raises(UserError, match="none of 1 samples has a score"):
        avg_at_k([[None]])


def test_pass_at_k_is_the_share_of_problems_with_a_correct_sample() -> None:
    assert avg_at_k([[0, 0], [0, 1], [1, 1], [0, 0]]).pass_at_k == 0.5


def test_pass_hat_k_is_the_probability_that_k_samples_all_solve_a_problem() -> None:
    rows = [[1.0, 1.0, 1.0, 0.0], [0.0] * 4]
    assert [pass_hat_k(rows, k) for k in (1, 2, 3, 4)] == [3 / 8, 1 / 4, 1 / 8, 0]
    assert pass_hat_k([[1.0, 1.0], [1.0, None]], 2) == 1, "a problem with too few scores is left out"
    assert pass_hat_k(rows, 5) is None


def test_maj_at_k_takes_the_most_frequent_answer_and_averages_ties() -> None:
    assert maj_at_k([[("a", 1.0), ("a", 1.0), ("b", 0.0)], [("a", 0.0), ("a", 0.0), ("b", 1.0)]]) == 0.5
    assert maj_at_k([[("a", 1.0), ("b", 0.0), (None, 0.0)]]) == 0.5
    assert maj_at_k([[(None, 0.0)] * 3]) == 0


def test_maj_at_k_leaves_out_faults_and_problems_without_scores() -> None:
    solved, faults = [("a", 1.0), ("a", 1.0), ("b", 0.0)], [(None, None)] * 3
    assert maj_at_k([solved, faults]) == 1
    assert maj_at_k([[("a", 1.0), ("b", None), ("b", None)], faults]) == 1
    with pytest.raises(UserError, match="none of 3 samples has one"):
        maj_at_k([faults])


def test_a_paired_difference_shows_although_the_two_intervals_overlap() -> None:
    random.seed(0)
    hard = {f"problem {n}": random.random() for n in range(100)}
    worse = {id: [float(random.random() < rate) for _ in range(32)] for id, rate in hard.items()}
    better = {id: [float(random.random() < min(1, rate + 0.1)) for _ in range(32)] for id, rate in hard.items()}
    found = difference(better, worse)
    one, other = avg_at_k(list(better.values())), avg_at_k(list(worse.values()))
    assert found.low > 0
    assert one.low < other.high  # the two intervals overlap
    assert found.mean == pytest.approx(one.mean - other.mean)
    assert found.same_problems_low <= found.mean <= found.same_problems_high
    assert found.problems == 100
    assert difference(worse, better).mean == pytest.approx(-found.mean)


@pytest.fixture(scope="module")
def true_gain() -> float:
    generator = np.random.default_rng(1)
    rates = generator.beta(1, 1, 1_000_000)
    return float((np.clip(rates + generator.normal(0.05, 0.1, 1_000_000), 0, 1) - rates).mean())


@pytest.mark.parametrize(("problems", "samples"), [(30, 8), (200, 1), (100, 16)])
def test_95_percent_of_paired_intervals_contain_the_true_difference(problems: int, samples: int, true_gain: float) -> None:
    generator = np.random.default_rng(0)
    hits, simulations = 0, 600
    for _ in range(simulations):
        rates = generator.beta(1, 1, problems)
        gains = np.clip(rates + generator.normal(0.05, 0.1, problems), 0, 1)
        first, second = (
            {str(n): row.tolist() for n, row in enumerate(generator.random((problems, samples)) < r[:, None])}
            for r in (gains, rates)
        )
        found = difference(first, second)
        hits += found.low <= true_gain <= found.high
    assert 0.925 <= hits / simulations <= 0.98


def test_equal_differences_are_equal_in_spite_of_rounding() -> None:
    """1 - 2/3 and 2/3 - 1/3 differ in the last bit. Two problems with the same difference say little about others."""
    found = difference({"a": [1, 1, 1], "b": [1, 1, 0]}, {"a": [1, 1, 0], "b": [1, 0, 0]})
    assert found.low < 0 < found.high
    found = difference({"a": [0.7] * 3, "b": [0.7] * 3}, {"a": [0.1] * 3, "b": [0.1] * 3})
    assert found.same_problems_low < 0
    assert found.detectable == avg_at_k([[0.7] * 3] * 2).detectable == 0


def test_a_difference_needs_common_problems() -> None:
    with pytest.raises(UserError, match="0 problems have scores of both"):
        difference({"a": [1.0]}, {"b": [1.0]})
    found = difference({str(n): [1.0] for n in range(20)}, {str(n): [0.0] for n in range(20)})
    assert found.mean == found.high == 1
    assert found.low < 0.9


def test_the_detectable_difference_shrinks_with_more_samples() -> None:
    few, many = (avg_at_k([[0.0, 1.0] * n] * 30) for n in (2, 32))
    assert many.detectable < few.detectable / 3
