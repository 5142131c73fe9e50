import dataclasses
import random

import pytest

from tenfold.benchmarks.stats import pooled, scores
from tenfold.benchmarks.stats.pooled import Part
from tenfold.core import UserError


def test_a_score_with_equal_weights_is_avg_at_k() -> None:
    generator = random.Random(0)
    rows = [[generator.choice([0.0, 0.5, 1.0]) for _ in range(3)] for _ in range(40)]
    found = dataclasses.asdict(pooled.score([[Part("all", 5 * value, 5) for value in row] for row in rows]))
    assert found == pytest.approx(dataclasses.asdict(scores.avg_at_k(rows)))


def test_a_sample_without_a_score_is_left_out() -> None:
    found = pooled.score([[None, Part("all", 1, 1)], [Part("all", 0, 1), Part("all", 0, 1)], [None, None]])
    assert found.mean == pytest.approx(1 / 3)
    assert (found.problems, found.samples, found.without_score) == (2, 2, 3)


def test_a_verdict_with_a_larger_weight_counts_more() -> None:
    """Two clear losses and a tie, and twice two slight wins: 4.5 of 11 verdicts."""
    rows = [[Part("all", 0.5, 7)], [Part("all", 2, 2)], [Part("all", 2, 2)]]
    found = pooled.score(rows)
    assert found.mean == pytest.approx(4.5 / 11)
    assert found.low < found.mean < found.high


def test_strata_have_equal_weights() -> None:
    rows = [[Part("a", 1, 1)], *[[Part("b", 0, 1)] for _ in range(9)]]
    assert pooled.score(rows).mean == 0.5
    assert pooled.score(rows).pass_at_k == 0.5


def test_unequal_weights_make_the_interval_wider() -> None:
    generator = random.Random(0)
    solved = [generator.random() < 0.5 for _ in range(200)]
    equal = pooled.score([[Part("all", float(value), 1)] for value in solved])
    unequal = pooled.score([[Part("all", weight * value, weight)] for value, weight in zip(solved, [1, 6] * 100, strict=True)])
    assert unequal.high - unequal.low > 1.1 * (equal.high - equal.low)
    assert 0 <= unequal.low < unequal.mean < unequal.high <= 1


def test_samples_without_a_score_are_an_error() -> None:
    with pytest.raises(UserError, match="none of 2 samples has a score"):
        pooled.score([[None], [None]])


def generated(generator: random.Random, problems: int, samples: int = 2) -> dict[str, list[float | None]]:
    return {str(number): [float(generator.random() < 0.6) for _ in range(samples)] for number in range(problems)}


def test_the_difference_over_strata_is_that_of_the_scores() -> None:
    """2 problems of a are gained, and 8 of b stay unsolved: 50 points, not 20."""
    strata = {str(number): "a" if number < 2 else "b" for number in range(10)}
    before: dict[str, list[float | None]] = {id: [0.0] for id in strata}
    after = before | {"0": [1.0], "1": [1.0]}
    found = pooled.difference_over(strata, after, before)
    scored = [pooled.score_over([*strata.values()], [*policy.values()]).mean for policy in (before, after)]
    assert found.mean == scored[1] - scored[0] == 0.5
    assert 0 < found.low < 0.5 < found.high < 1
    assert found.problems == 10
    opposite = pooled.difference_over(strata, before, after)
    assert (opposite.mean, opposite.low, opposite.high) == pytest.approx((-found.mean, -found.high, -found.low))


def test_the_difference_over_one_stratum_is_that_over_problems() -> None:
    generator = random.Random(0)
    first, second = generated(generator, 40), generated(generator, 40)
    found = pooled.difference_over(dict.fromkeys(first, "all"), first, second)
    assert dataclasses.asdict(found) == pytest.approx(dataclasses.asdict(scores.difference(first, second)))


def test_a_stratum_of_equal_size_adds_no_width() -> None:
    """Two halves of 200 problems as strata: nearly the interval over all problems."""
    generator = random.Random(0)
    first, second = generated(generator, 200), generated(generator, 200)
    found = pooled.difference_over({id: str(int(id) % 2) for id in first}, first, second)
    plain = scores.difference(first, second)
    assert found.mean == pytest.approx(plain.mean)
    for end in ("low", "high", "same_problems_low", "same_problems_high", "detectable"):
        assert getattr(found, end) == pytest.approx(getattr(plain, end), abs=0.01)


def test_a_stratum_with_one_problem_makes_the_interval_long() -> None:
    generator = random.Random(0)
    first, second = generated(generator, 200), generated(generator, 200)
    strata = dict.fromkeys(first, "many") | {"0": "one"}
    second["0"] = first["0"] = [1.0, 1.0]
    found = pooled.difference_over(strata, first, second)
    assert found.mean == pytest.approx(scores.difference(first, second).mean / 2, abs=0.01)
    assert found.high - found.low > 1
    assert found.detectable > 1
    first["0"] = [None, None]  # no score: the stratum is left out
    found = pooled.difference_over(strata, first, second)
    assert dataclasses.asdict(found) == pytest.approx(dataclasses.asdict(scores.difference(first, second)))


def test_a_difference_over_strata_needs_two_problems() -> None:
    with pytest.raises(UserError, match="1 problems have scores of both policies"):
        pooled.difference_over({"0": "a", "1": "b"}, {"0": [1.0], "1": [None]}, {"0": [0.0], "1": [1.0]})


def test_the_interval_over_verdicts_is_that_of_a_proportion() -> None:
    """1,000 verdicts, half of them wins: 0.5 +- 1.645 * 0.0158."""
    low, high = pooled.verdict_interval([0.0, 1.0] * 500)
    assert (low, high) == (pytest.approx(0.474, abs=0.002), pytest.approx(0.526, abs=0.002))
    assert pooled.verdict_interval([1.0] * 3) == (1, 1)
    with pytest.raises(UserError, match="at least one"):
        pooled.verdict_interval([])
