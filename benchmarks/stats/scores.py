"""avg@k, pass@k, pass^k and maj@k from k samples per problem, with intervals.

With p_i the mean score of problem i over its k samples, avg@k is the mean of the p_i. It has two 95% intervals
(`intervals.py`):

    low, high                                over new problems of the same kind: the uncertainty of a policy's ability
    same_problems_low, same_problems_high    over new samples of the same problems: how much two runs of a benchmark differ

Two policies are compared on the same problems by the paired differences (`difference`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev

from scipy import special

from ...core import UserError
from . import intervals

POWER = NormalDist().inv_cdf(0.8)
"""Normal quantile for a power of 80%, at which a difference counts as detectable. Our choice."""

Rows = Sequence[Sequence[float | None]]
"""One row per problem, one score in 0..1 per sample. None stands for a sample without a score."""


@dataclass(frozen=True, slots=True)
class Score:
    """avg@k of one policy on one task."""

    mean: float
    low: float
    """Lower end of the 95% interval over new problems."""
    high: float
    """Upper end of the 95% interval over new problems."""
    same_problems_low: float
    """Lower end of the 95% interval over new samples of the same problems."""
    same_problems_high: float
    """Upper end of the 95% interval over new samples of the same problems."""
    stderr: float
    """Standard error over new problems, clustered by problem (Miller, "Adding Error Bars to Evals", 2024); infinite for one
    problem."""
    same_problems_stderr: float
    """Standard error over new samples of the same problems. With one sample per problem this is the largest value that it can
    have. If some problems have one sample, their noise is assumed to be the average noise of the others."""
    detectable: float
    """Smallest true difference from a policy with similar pass rates that is significant at 95% in four of five comparisons.
    Both policies have the same problems and the same number of samples."""
    pass_at_k: float
    """Share of problems with at least one sample that solves them."""
    problems: int
    """Problems with at least one score."""
    samples: int
    """Samples per problem, k."""
    without_score: int
    """Samples without a score. They are left out of their problem's mean."""

    def __str__(self) -> str:
        """Returns avg@k in percent with its 95% interval over new problems."""
        return f"{100 * self.mean:.1f} [{100 * self.low:.1f}, {100 * self.high:.1f}]"


def avg_at_k(scores: Rows) -> Score:
    """Returns the score of a task. Problems without any score are left out.

    Raises:
        UserError: no sample has a score.
    """
    rows = [scored for row in scores if (scored := _scored(row))]
    if not rows:
        raise UserError(f"none of {sum(map(len, scores))} samples has a score: each verdict is a fault or undecided")
    statistics = intervals.statistics(rows)
    low, high = intervals.new_problems(statistics)
    same_problems_low, same_problems_high = intervals.same_problems(statistics)
    stderr, same_problems_stderr = standard_errors(rows)
    return Score(
        mean=fmean(map(float, statistics.means)),
        low=float(low),
        high=float(high),
        same_problems_low=float(same_problems_low),
        same_problems_high=float(same_problems_high),
        stderr=stderr,
        same_problems_stderr=same_problems_stderr,
        detectable=detectable(same_problems_stderr),
        pass_at_k=fmean(max(row) >= 1 for row in rows),
        problems=len(rows),
        samples=max(map(len, scores)),
        without_score=sum(score is None for row in scores for score in row),
    )


def standard_errors(rows: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Returns the standard errors of a mean over problems: over new problems, and over new samples of the same problems.

    Args:
        rows: one row per problem, with at least one value.
    """
    means = list(map(float, intervals.statistics(rows).means))
    return stdev(means) / math.sqrt(len(means)) if len(means) > 1 else math.inf, _same_problems_stderr(rows)


def detectable(same_problems_stderr: float) -> float:
    """Returns the smallest difference that counts as detectable; see `Score.detectable`."""
    return (intervals.Z95 + POWER) * math.sqrt(2) * same_problems_stderr


def _same_problems_stderr(rows: Sequence[Sequence[float]]) -> float:
    statistics = intervals.statistics(rows)
    return _without_rounding(float(math.sqrt((intervals.within(statistics) / statistics.samples).sum()) / len(rows)))


def _without_rounding(stderr: float) -> float:
    """Returns 0 for a standard error that comes only from rounding, as between the equal numbers 1 - 2/3 and 2/3 - 1/3."""
    return stderr if stderr > 1e-9 else 0.0


def maj_at_k(votes: Sequence[Sequence[tuple[str | None, float | None]]]) -> float:
    """Returns maj@k: the mean score of each problem's most frequent answer, or of the tied answers.

    Samples without a score are left out, and so are problems without any score.

    Args:
        votes: one row per problem, with the answer and the score of each sample. Equal answers must be equal texts. The answer
            None is not a vote.

    Raises:
        UserError: no sample has a score.
    """
    means = []
    for row in votes:
        scored = [(answer, score) for answer, score in row if score is not None]
        scores: dict[str, list[float]] = {}
        for answer, score in scored:
            if answer is not None:
                scores.setdefault(answer, []).append(score)
        maximum = max(map(len, scores.values()), default=0)
        if scored:
            means.append(fmean(fmean(tied) for tied in scores.values() if len(tied) == maximum) if scores else 0.0)
    if not means:
        raise UserError(f"maj@k needs a sample with a score, but none of {sum(map(len, votes))} samples has one")
    return fmean(means)


def pass_hat_k(rows: Rows, k: int) -> float | None:
    """Returns pass^k: the probability that k new samples of a problem all solve it, as mean over the problems.

    With c solved ones of n samples, a problem counts C(c, k) / C(n, k) (Yao et al., "tau-bench", 2024).

    Args:
        rows: the scores. A sample with the score 1 solves its problem. Samples without a score are left out, and so are
            problems with fewer than k others.
        k: number of samples.

    Returns:
        pass^k, or None if no problem has k samples with a score.
    """
    kept = [scored for row in rows if len(scored := _scored(row)) >= k]
    return fmean(math.comb(sum(score >= 1 for score in row), k) / math.comb(len(row), k) for row in kept) if kept else None


@dataclass(frozen=True, slots=True)
class Difference:
    """Paired difference of the avg@k of two policies on the same problems."""

    mean: float
    low: float
    """Lower end of the 95% interval over new problems."""
    high: float
    """Upper end of the 95% interval over new problems."""
    same_problems_low: float
    """Lower end of the 95% interval over new samples of the same problems."""
    same_problems_high: float
    """Upper end of the 95% interval over new samples of the same problems."""
    detectable: float
    """Smallest true difference that is significant at 95% in four of five such comparisons on new problems."""
    problems: int

    def __str__(self) -> str:
        """Returns the difference in percentage points with its 95% interval over new problems."""
        return f"{100 * self.mean:+.1f} [{100 * self.low:+.1f}, {100 * self.high:+.1f}]"


def difference(first: Mapping[str, Sequence[float | None]], second: Mapping[str, Sequence[float | None]]) -> Difference:
    """Returns the paired difference of two policies over the problems for which both have scores.

    Args:
        first: scores of the first policy's samples by problem id.
        second: scores of the second policy's samples by problem id; they are subtracted.

    Raises:
        UserError: fewer than two problems have scores of both.
    """
    scored = [(_scored(first[id]), _scored(second[id])) for id in first if id in second]
    pairs = [(left, right) for left, right in scored if left and right]
    if len(pairs) < 2:
        raise UserError(
            f"{len(pairs)} problems have scores of both policies; compare results on the same problems, at least two"
        )
    n = len(pairs)
    differences = [fmean(left) - fmean(right) for left, right in pairs]
    mean = fmean(differences)
    stderr = _without_rounding(stdev(differences) / math.sqrt(n))
    # If all n problems have the same difference, a share of 1 - 0.025^(1/n) of all problems may still have another one.
    half = float(special.stdtrit(n - 1, 0.975)) * stderr if stderr > 0 else 1 - 0.025 ** (1 / n)
    lefts, rights = zip(*pairs, strict=True)
    noise = math.hypot(_same_problems_stderr(lefts), _same_problems_stderr(rights))
    half_same = intervals.Z95 * noise if noise > 0 else half
    return Difference(
        mean=mean,
        low=max(-1.0, mean - half),
        high=min(1.0, mean + half),
        same_problems_low=max(-1.0, mean - half_same),
        same_problems_high=min(1.0, mean + half_same),
        detectable=(intervals.Z95 + POWER) * max(stderr, noise),
        problems=n,
    )


def mcnemar(first: Mapping[str, Sequence[float | None]], second: Mapping[str, Sequence[float | None]]) -> float | None:
    """Returns the two-sided p-value of McNemar's exact test for two policies with one sample per problem.

    The test asks whether the problems that only the first policy solves are as many as those that only the second solves
    (McNemar, 1947). With n the sum of the two numbers and m the smaller one, p is twice the probability of at most m successes
    in Binomial(n, 1/2).

    Args:
        first: scores of the first policy's samples by problem id.
        second: scores of the second policy's samples by problem id.

    Returns:
        The p-value over the problems for which both have scores; None if a problem has several samples, a score is not 0 or 1,
        or there is no such problem.
    """
    pairs = [(first[id], second[id]) for id in first if id in second]
    if any(len(row) != 1 for pair in pairs for row in pair):
        return None
    scored = [(left[0], right[0]) for left, right in pairs if left[0] is not None and right[0] is not None]
    if not scored or any(score not in (0, 1) for pair in scored for score in pair):
        return None
    left_only, right_only = (sum(pair == flip for pair in scored) for flip in ((1, 0), (0, 1)))
    return min(1.0, 2 * float(special.bdtr(min(left_only, right_only), left_only + right_only, 0.5)))


def _scored(row: Sequence[float | None]) -> list[float]:
    return [score for score in row if score is not None]
