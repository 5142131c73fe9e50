"""The score of a benchmark whose samples have different weights, with intervals: a mean over strata of pooled shares.

A sample has several verdicts, and it belongs to a stratum, for example to an axis of MultiChallenge. The score of a stratum is
the sum of all its verdicts, divided by their number. The score of the benchmark is the mean over the strata.

The intervals are those of the mean over problems (`intervals.py`), moved to this score. If its standard error is larger than
that of the mean, their widths are multiplied by the ratio. The standard error of the pooled score is that of its linearization
(Woodruff, "A simple method for approximating the variance of a complicated estimate", 1971). With equal weights nothing
changes.

The paired difference of two policies is the mean over the strata of their paired differences (`difference_over`).
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...core import UserError
from . import intervals, scores
from .scores import Difference, Score

ROUNDS = 10_000
"""Rounds of the bootstrap over verdicts. Our choice."""
VERDICT_TAIL = 0.05
"""Probability beyond each end of the interval over verdicts. Source: Arena-Hard."""


class Part(NamedTuple):
    """What a sample adds to the score."""

    stratum: str
    total: float
    """Sum of its verdicts, each 0..1."""
    weight: float
    """Number of its verdicts."""

    @property
    def mean(self) -> float:
        """Mean of its verdicts."""
        return self.total / self.weight


Parts = Sequence[Sequence[Part | None]]
"""One row per problem, one entry per sample. None stands for a sample without a score."""


def mean(parts: Sequence[Part]) -> float:
    """Returns the score of some samples.

    Args:
        parts: the samples, at least one.
    """
    return fmean(_shares(parts).values())


def score(parts: Parts) -> Score:
    """Returns the score of a task with its intervals. pass@k is the mean over the strata, too.

    Raises:
        UserError: no sample has a score.
    """
    plain = scores.avg_at_k([[part.mean if part else None for part in row] for row in parts])
    rows = [scored for row in parts if (scored := [part for part in row if part])]
    pooled = mean([part for row in rows for part in row])
    values = _linearized(rows, pooled)
    stderr, same_problems_stderr = scores.standard_errors(values)
    wider, wider_on_same = (
        max(1.0, new / old) if 0 < old < np.inf else 1.0  # at least 1: two strata with equal scores each have some error, too
        for new, old in ((stderr, plain.stderr), (same_problems_stderr, plain.same_problems_stderr))
    )
    solved = [Part(row[0].stratum, float(max(part.mean for part in row) >= 1), 1) for row in rows]
    return dataclasses.replace(
        plain,
        mean=pooled,
        low=max(0.0, pooled - wider * (plain.mean - plain.low)),
        high=min(1.0, pooled + wider * (plain.high - plain.mean)),
        same_problems_low=max(0.0, pooled - wider_on_same * (plain.mean - plain.same_problems_low)),
        same_problems_high=min(1.0, pooled + wider_on_same * (plain.same_problems_high - plain.mean)),
        stderr=stderr,
        same_problems_stderr=same_problems_stderr,
        detectable=scores.detectable(same_problems_stderr),
        pass_at_k=mean(solved),
    )


def score_over(strata: Sequence[str], samples: Sequence[Sequence[float | None]]) -> Score:
    """Returns the mean over the strata of their mean scores, with its intervals.

    Args:
        strata: the stratum of each problem.
        samples: the scores of the samples of each problem; None for a sample without a score.

    Raises:
        UserError: no sample has a score.
    """
    return score(
        [
            [None if each is None else Part(stratum, each, 1.0) for each in row]
            for stratum, row in zip(strata, samples, strict=True)
        ]
    )


def difference_over(
    strata: Mapping[str, str],
    first: Mapping[str, Sequence[float | None]],
    second: Mapping[str, Sequence[float | None]],
) -> Difference:
    """Returns the mean over the strata of the paired differences of two policies, with its intervals.

    The intervals combine those of the strata, whose problems are independent (`intervals.weighted_mean_distances`). A stratum
    with one problem says nothing about others, so that its interval is the longest one, -1 to 1.

    Args:
        strata: the stratum of each problem by its id. A stratum without a problem that has scores of both policies is left out.
        first, second: see `scores.difference`.

    Raises:
        UserError: fewer than two problems have scores of both.
    """
    problems = scores.difference(first, second).problems
    found = []
    for stratum in dict.fromkeys(strata.values()):
        lefts, rights = ({id: row for id, row in policy.items() if strata[id] == stratum} for policy in (first, second))
        try:
            found.append(scores.difference(lefts, rights))
        except UserError:  # fewer than two problems
            found.extend(_only_problem(lefts, rights))
    weight = 1 / len(found)
    mean_difference = fmean(part.mean for part in found)
    ends = [(part.mean, part.low, part.high) for part in found]
    ends_on_same = [(part.mean, part.same_problems_low, part.same_problems_high) for part in found]
    below, above = intervals.weighted_mean_distances([intervals.Part(weight, *each) for each in ends])
    below_on_same, above_on_same = intervals.weighted_mean_distances([intervals.Part(weight, *each) for each in ends_on_same])
    return Difference(
        mean=mean_difference,
        low=max(-1.0, mean_difference - float(below)),
        high=min(1.0, mean_difference + float(above)),
        same_problems_low=max(-1.0, mean_difference - float(below_on_same)),
        same_problems_high=min(1.0, mean_difference + float(above_on_same)),
        detectable=weight * math.hypot(*(part.detectable for part in found)),
        problems=problems,
    )


def _only_problem(
    first: Mapping[str, Sequence[float | None]], second: Mapping[str, Sequence[float | None]]
) -> list[Difference]:
    """Returns the difference in a stratum with one problem, or nothing if no problem has scores of both policies."""
    pairs = [
        tuple([score for score in row if score is not None] for row in (first[id], second[id])) for id in first if id in second
    ]
    means = [fmean(left) - fmean(right) for left, right in pairs if left and right]
    largest = scores.detectable(1 / math.sqrt(2))  # the standard error of a difference in -1..1 is at most 1
    return [Difference(mean, -1.0, 1.0, -1.0, 1.0, largest, 1) for mean in means]


def verdict_interval(verdicts: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """Returns the ends of the 90% bootstrap interval of a mean over verdicts, as Arena-Hard computes it.

    All verdicts count as independent, also those of one problem. Therefore the interval is too narrow; it is for comparison
    with the published ones.

    Args:
        verdicts: at least one number.
        seed: seed of the resamples.

    Raises:
        UserError: there is no verdict.
    """
    if not verdicts:
        raise UserError("there are no verdicts; an interval needs at least one")
    values, counts = np.unique(np.array(verdicts), return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(len(verdicts), counts / len(verdicts), size=ROUNDS)
    low, high = np.quantile(drawn @ values / len(verdicts), [VERDICT_TAIL, 1 - VERDICT_TAIL])
    return float(low), float(high)


def _shares(parts: Sequence[Part]) -> Mapping[str, float]:
    sums: dict[str, tuple[float, float]] = {}
    for part in parts:
        total, weight = sums.get(part.stratum, (0.0, 0.0))
        sums[part.stratum] = total + part.total, weight + part.weight
    return {stratum: total / weight for stratum, (total, weight) in sums.items()}


def _linearized(rows: Sequence[Sequence[Part]], pooled: float) -> list[list[float]]:
    """Returns a value for each sample, so that the mean over the problems' means is the score and has its standard error."""
    parts = [part for row in rows for part in row]
    shares = _shares(parts)
    weights: NDArray[np.float64] = np.array([part.weight for part in parts])
    strata = np.array([part.stratum for part in parts])
    sums = {stratum: float(weights[strata == stratum].sum()) for stratum in shares}
    return [
        [
            pooled
            + len(rows) * len(row) * (part.total - shares[part.stratum] * part.weight) / (len(shares) * sums[part.stratum])
            for part in row
        ]
        for row in rows
    ]
