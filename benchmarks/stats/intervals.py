"""95% intervals for avg@k: over new problems of the same kind, and over new samples of the same problems.

Both treat the mean m of scores in 0..1 as a proportion in n_eff trials (Korn and Graubard, "Confidence intervals for
proportions with small expected number of positive counts", 1998), with n_eff = m (1 - m) / variance of m. With x = m n_eff, the
ends are quantiles of

    Beta(x + shift, n_eff - x + 1 - shift)    lower end
    Beta(x + 1 - shift, n_eff - x + shift)    upper end

Shift 0 gives Clopper and Pearson's interval, shift 1/2 Jeffreys'. Unlike m +- 1.96 stderr, these intervals stay in 0..1. They
also have a positive width if all samples have the same score. The functions work on many benchmarks at once: the last axis of
an array is the problems. `benchmarks/stats/interval_coverage.py` simulates how often the intervals contain the true mean.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special  # scipy.stats would take a second to import

Z95 = float(special.ndtri(0.975))
SHIFT_ONE, SHIFT_MANY = 0.27, 0.49
"""Shift for one sample per problem and for very many, if the mean lies in 8% to 92%. Our choice, from the simulation. Shift 0
(Clopper and Pearson) includes a continuity correction of half a step, shift 1/2 (Jeffreys) includes none. With k samples per
problem a step is 1/k of a problem, so a smaller correction is enough. Outside 5% to 95% the shift is 0, because a larger one
would reduce the coverage below 95%."""
MIN_CORRECT_FOR_SHIFT, FULL_SHIFT_CORRECT = 7.0, 9.0
"""Thresholds on the number of correct samples (incorrect samples for the upper end). With one sample per problem, the shift of
the lower end is 0 up to the first number, SHIFT_ONE from the second number on, and linear in between. With so few correct
samples, one more correct sample changes the end of the interval strongly. Our choice, from the simulation."""
TAIL, TAIL_AT_BOUND = 0.025, 0.043
"""Probability beyond an end. TAIL_AT_BOUND applies to the upper end if the mean is 0 and to the lower end if it is 1, because
the other end then cannot miss the true mean. For such a mean, 2.5% gives more coverage than needed. With 5%, as in a one-sided
bound, the coverage is too low: it is 93% for 30 problems and a true mean just below 10%. Our choice, from the simulation."""
MIN_CONTRIBUTING, FULL_WEIGHT_CONTRIBUTING = 1.0, 7.5
"""Effective numbers of problems that contribute to the mean. At the first number the observed variance has no weight, from the
second number on it has full weight. Our choice, from the simulation."""
NOISE_KEPT_IN_SQUARES = 0.3
"""Share of the sampling noise that is not subtracted from the squared pass rates when the effective number of contributing
problems is computed. Our choice, from the simulation."""
EDGE_TRIALS_REDUCTION = 0.05
"""For means outside 5% to 95% the number of effective trials is reduced by this share if there are many samples per problem,
because few problems contribute to such a mean. Our choice, from the simulation."""
PSEUDO_MIDDLE, PSEUDO_EDGE = 2.0, 12.0
"""Pseudo-problems of average variance that are added to the real ones when the sampling noise is estimated: for means in 8% to
92%, and for means outside 5% to 95%."""

MAX_TRIALS = 1e8
"""Upper limit of the effective trials, because scores that are all 0.7 have no variance."""

Array = NDArray[np.float64]
"""Also a single number, if there is one benchmark."""


class ProblemStatistics(NamedTuple):
    """The input of the intervals. Each array has the shape (..., problems)."""

    means: Array
    """Mean score of each problem."""
    variances: Array
    """Unbiased variance of one sample's score within each problem. Ignored for problems with one sample."""
    samples: Array
    """Number of samples of each problem."""
    binary: bool
    """True if all scores are 0 or 1."""


def statistics(scores: Sequence[Sequence[float]]) -> ProblemStatistics:
    """Returns the statistics of one benchmark from each problem's scores, at least one per problem."""
    means = [sum(row) / len(row) for row in scores]
    variances = [
        sum((s - p) ** 2 for s in row) / (len(row) - 1) if len(row) > 1 else 0.0 for row, p in zip(scores, means, strict=True)
    ]
    binary = all({0, 1}.issuperset(row) for row in scores)
    return ProblemStatistics(np.array(means), np.array(variances), np.array([float(len(row)) for row in scores]), binary)


def new_problems(problems: ProblemStatistics) -> tuple[Array, Array]:
    """Returns the ends of the 95% interval over new problems: for the mean over all problems of the same kind.

    The variance is the one between problems, which includes the samples' noise. If few problems contribute to the mean (for
    example, if 1 of 30 is ever solved), the observed variance is unreliable. The upper end then assumes one trial per problem.
    The lower end does so if few problems contribute to 1 minus the mean.
    """
    means, variances, samples, binary = problems
    n = means.shape[-1]
    mean: Array = means.mean(-1)
    if n == 1:
        return np.zeros_like(mean), np.ones_like(mean)
    largest = mean * (1 - mean)
    share: Array = np.divide(means.var(-1, ddof=1), largest, out=np.ones_like(mean), where=largest > 0).clip(0, 1)
    # If each problem's mean is 0 or 1, the share is 1, and the mean determines the variance. The smaller the share, the more
    # uncertain the variance.
    z = Z95 + (special.stdtrit(n - 1, 0.975) - Z95) * (1 - share)
    trials: Array = np.maximum(n / np.maximum(share, 1e-12), n) * (Z95 / z) ** 2
    if binary:
        trials = np.minimum(trials, samples.sum(-1) if samples.ndim > 1 else samples.sum())
    factor = 1 - EDGE_TRIALS_REDUCTION * (1 - 1 / samples.mean(-1)) * _edge(mean)
    noise = variances / samples
    below = _variance_weight(means, noise)
    above = _variance_weight(1 - means, noise)
    low = _low(mean, factor * trials**above * float(n) ** (1 - above), samples)
    high = _high(mean, factor * trials**below * float(n) ** (1 - below), samples)
    return low, high


class Part(NamedTuple):
    """A part of a weighted mean: its weight, and its own mean with the ends of its interval. Each may be an array."""

    weight: float
    mean: Array | float
    low: Array | float
    high: Array | float


def weighted_mean_distances(parts: Sequence[Part]) -> tuple[Array, Array]:
    """Returns how far both ends of the 95% interval of a weighted mean are below and above it.

    The parts must be independent. The method is MOVER (Zou, Huang and Zhang, "A note on confidence interval estimation for a
    linear function of binomial proportions", 2009): with w, m, l and u the weight, the mean and the ends of a part, the
    distances are the roots of the sums of (w (m - l))^2 and (w (u - m))^2. Unlike 1.96 standard errors, they keep the asymmetry
    of the parts' intervals, and are positive if all scores of a part are equal.
    """
    below = np.sqrt(sum(np.square(part.weight * (part.mean - part.low)) for part in parts))
    above = np.sqrt(sum(np.square(part.weight * (part.high - part.mean)) for part in parts))
    return below, above


def same_problems(problems: ProblemStatistics) -> tuple[Array, Array]:
    """Returns the ends of the 95% interval over new samples of the same problems: for the mean of their pass rates.

    One sample per problem does not separate the samples' noise from the differences between problems. All variance then counts
    as noise, and the interval is as wide as it can be. If only some problems have one sample, for example because samples were
    lost, their noise is assumed to be the average noise of the others.
    """
    means, _, samples, _ = problems
    n = means.shape[-1]
    mean: Array = means.mean(-1)
    single = np.broadcast_to(samples == 1, means.shape).all(-1)
    several = np.broadcast_to(samples > 1, means.shape).sum(-1)
    total = _total_variance(problems)
    pseudo = PSEUDO_MIDDLE + (PSEUDO_EDGE - PSEUDO_MIDDLE) * _edge(mean)
    per_sample: Array = (1 / samples).mean(-1)
    noise: Array = (within(problems) / samples).mean(-1)
    noise = np.where(single, total, (noise * several + pseudo * total * per_sample) / (several + pseudo))
    largest = mean * (1 - mean)
    fewest = n / per_sample
    trials: Array = np.maximum(np.divide(largest * n, noise, out=np.full_like(mean, fewest), where=noise > 0), fewest)
    alone = np.maximum(n, np.divide(largest * n, total, out=np.full_like(mean, n), where=total > 0))
    trials = np.where(single, alone, trials)
    return _low(mean, trials, samples), _high(mean, trials, samples)


def within(problems: ProblemStatistics) -> Array:
    """Returns the variance of one sample's score around its problem's pass rate, (..., problems).

    For a problem with one sample it is the pooled variance of the other problems, shrunk towards the variance of all samples if
    few problems have several samples. If none has, it is the variance of all samples.
    """
    means, variances, samples, _ = problems
    freedom = np.broadcast_to(samples - 1, means.shape)
    several = (freedom > 0).sum(-1)
    total = freedom.sum(-1)
    pooled: Array = np.divide((variances * freedom).sum(-1), total, out=np.zeros(means.shape[:-1]), where=total > 0)
    pooled = (pooled * several + PSEUDO_MIDDLE * _total_variance(problems)) / (several + PSEUDO_MIDDLE)
    return np.where(samples > 1, variances, pooled[..., None])


def _total_variance(problems: ProblemStatistics) -> Array:
    """Variance of one sample's score over all problems."""
    means, variances, samples, _ = problems
    total: Array = means.var(-1) + np.where(samples > 1, variances * (1 - 1 / samples), 0).mean(-1)
    return total


def _variance_weight(means: Array, noise: Array) -> Array:
    """Weight of the observed variance, 0..1, from the effective number of contributing problems: (sum p)^2 / sum p^2."""
    squares: Array = (means**2 - (1 - NOISE_KEPT_IN_SQUARES) * noise).sum(-1)
    contributing: Array = means.sum(-1) ** 2 / np.maximum(squares, 1e-9)
    return ((contributing - MIN_CONTRIBUTING) / (FULL_WEIGHT_CONTRIBUTING - MIN_CONTRIBUTING)).clip(0, 1)


def _edge(mean: Array) -> Array:
    """0 if the mean lies in 8% to 92%, 1 outside 5% to 95%, linear between."""
    return ((0.08 - np.minimum(mean, 1 - mean)) / 0.03).clip(0, 1)


def _shift(mean: Array, samples: Array) -> Array:
    """Shift of the lower end. The upper end has the lower end's shift for 1 - mean."""
    coarse = ((FULL_SHIFT_CORRECT - mean * samples.sum(-1)) / (FULL_SHIFT_CORRECT - MIN_CORRECT_FOR_SHIFT)).clip(0, 1)
    one = SHIFT_ONE * (1 - coarse)
    shift: Array = (SHIFT_MANY + (one - SHIFT_MANY) / samples.mean(-1)) * (1 - _edge(mean))
    return shift


def _low(mean: Array, trials: Array, samples: Array) -> Array:
    trials = np.minimum(trials, MAX_TRIALS)
    solved, shift = mean * trials, _shift(mean, samples)
    tail = np.where(trials - solved <= 1e-9, TAIL_AT_BOUND, TAIL)
    end: Array = special.betaincinv(np.maximum(solved + shift, 1e-9), np.maximum(trials - solved + 1 - shift, 1e-9), tail)
    return np.where(solved <= 1e-9, 0.0, np.minimum(end, mean))


def _high(mean: Array, trials: Array, samples: Array) -> Array:
    return 1 - _low(1 - mean, trials, samples)
