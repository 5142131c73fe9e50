"""95% intervals for avg@k: over new problems of the same kind, and over new samples on the same problems.

Both treat the mean m of scores in 0..1 as a share of so many effective trials (Korn and Graubard, "Confidence intervals for
proportions with small expected number of positive counts", 1998), n_eff = m (1 - m) / variance of m, and take quantiles of

    Beta(x + shift, n_eff - x + 1 - shift) below, Beta(x + 1 - shift, n_eff - x + shift) above, with x = m n_eff,

which shift 0 makes Clopper and Pearson's interval and shift 1/2 Jeffreys'. Unlike m +- 1.96 stderr they stay in 0..1, and
where every sample scored the same they are no point. They work on many benchmarks at once, an array a row of each;
`benchmarks/stats/interval_coverage.py` simulates how often they hold the truth.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special  # scipy.stats would take a second to import

Z95 = float(special.ndtri(0.975))
SHIFT_ONE, SHIFT_MANY = 0.27, 0.49
"""Shift with one sample a problem, and with very many, where the mean lies in 8% to 92%: ours, from the simulation. Shift 0
allows for half a step between whole numbers of right samples, 1/2 for none, and steps of 1/k of a problem want less. Outside of
5% to 95% it is 0, so that coverage does not fall below there."""
COARSE, FINE = 7.0, 9.0
"""Right samples up to which the low end of single samples allows for the whole half step, and from which it has the middle's
shift; wrong ones for the high end. With so few, one more moves the end most."""
TAIL, LONE_TAIL = 0.025, 0.043
"""Chance left beyond an end, and beyond the high end where the mean is 0 and the low end can miss nothing (the low end where
it is 1). There 2.5% is more than is needed, and the 5% of a one-sided bound too little: a mean of just below 10% would be
held by 30 problems in 93% of cases."""
FEW, MANY = 1.0, 7.5
"""Problems that carry the mean: with so few the variance says nothing yet, with so many it is believed."""
OWN_NOISE = 0.3
"""Weight of a sample's own noise in counting the problems that carry the mean."""
EDGE_DOUBT = 0.05
"""Share of the trials that is not believed outside of 5% to 95% where there are many samples: few problems then carry a mean
that their samples tell well."""
IMAGINED_MIDDLE, IMAGINED_EDGE = 2.0, 12.0
"""Problems of the average kind that are imagined beside the real ones, where the noise of samples is estimated."""

MOST = 1e8
"""Effective trials that are told apart from more: scores that are all 0.7 have no variance at all."""

Array = NDArray[np.float64]


class Rows(NamedTuple):
    """What the intervals are computed from; each array is (..., problems)."""

    means: Array
    """Mean score of each problem."""
    variances: Array
    """Unbiased variance of one sample's score around it; anything where there is one sample."""
    samples: Array
    """Samples of each problem."""
    binary: bool
    """Whether all scores are 0 or 1."""


def rows(scores: Sequence[Sequence[float]]) -> Rows:
    """The rows of one benchmark, from each problem's scores, of which it has one at least."""
    means = [sum(row) / len(row) for row in scores]
    variances = [
        sum((s - p) ** 2 for s in row) / (len(row) - 1) if len(row) > 1 else 0.0 for row, p in zip(scores, means, strict=True)
    ]
    binary = all({0, 1}.issuperset(row) for row in scores)
    return Rows(np.array(means), np.array(variances), np.array([float(len(row)) for row in scores]), binary)


def new_problems(given: Rows) -> tuple[Any, Any]:
    """Ends of the interval for the mean over all problems of this kind, of which these are a sample.

    The variance is that between problems, which holds the samples' noise, too. Where few problems carry the mean, as when 1 of
    30 is ever solved, the sample's variance cannot be believed, and the end on that side is that of one trial a problem.
    """
    means, variances, samples, binary = given
    n = means.shape[-1]
    mean: Any = means.mean(-1)
    if n == 1:
        return np.zeros_like(mean), np.ones_like(mean)
    most: Any = mean * (1 - mean)
    share: Any = np.divide(means.var(-1, ddof=1), most, out=np.ones_like(mean), where=most > 0).clip(0, 1)
    # Scores all 0 or 1 have the variance that their mean says; the further from that, the less is known of it.
    z = Z95 + (special.stdtrit(n - 1, 0.975) - Z95) * (1 - share)
    trials: Any = np.maximum(n / np.maximum(share, 1e-12), n) * (Z95 / z) ** 2
    if binary:
        trials = np.minimum(trials, samples.sum(-1) if samples.ndim > 1 else samples.sum())
    believed = 1 - EDGE_DOUBT * (1 - 1 / samples.mean(-1)) * _edge(mean)
    noise = variances / samples
    below = _trust(means, noise)
    above = _trust(1 - means, noise)
    low = _low(mean, believed * trials**above * float(n) ** (1 - above), samples)
    high = _high(mean, believed * trials**below * float(n) ** (1 - below), samples)
    return low, high


def same_problems(given: Rows) -> tuple[Any, Any]:
    """Ends of the interval for the mean of these very problems' pass rates: only the samples are new.

    One sample a problem cannot tell the samples' noise from the differences between problems: then all is taken for noise, and
    the interval is as wide as it could have to be. Where only some problems have one sample, as when samples were lost, theirs
    is taken to be as noisy as the others' are on average.
    """
    means, _, samples, _ = given
    n = means.shape[-1]
    mean: Any = means.mean(-1)
    single = np.broadcast_to(samples == 1, means.shape).all(-1)
    told = np.broadcast_to(samples > 1, means.shape).sum(-1)
    spread = _spread(given)
    edge = _edge(mean)
    imagined = IMAGINED_MIDDLE + (IMAGINED_EDGE - IMAGINED_MIDDLE) * edge
    per_sample: Any = (1 / samples).mean(-1)
    noise: Any = (within(given) / samples).mean(-1)
    noise = np.where(single, spread, (noise * told + imagined * spread * per_sample) / (told + imagined))
    most = mean * (1 - mean)
    fewest = n / per_sample
    trials: Any = np.maximum(np.divide(most * n, noise, out=np.full_like(mean, fewest), where=noise > 0), fewest)
    trials = np.where(single, np.maximum(n, np.divide(most * n, spread, out=np.full_like(mean, n), where=spread > 0)), trials)
    return _low(mean, trials, samples), _high(mean, trials, samples)


def within(given: Rows) -> Array:
    """The variance of one sample's score around its problem's pass rate, (..., problems).

    For a problem of one sample it is the others' mean, by their degrees of freedom, drawn to the variance of all samples
    where few others tell it, and all of that where none does.
    """
    means, variances, samples, _ = given
    freedom = np.broadcast_to(samples - 1, means.shape)
    told = (freedom > 0).sum(-1)
    total = freedom.sum(-1)
    pooled: Any = np.divide((variances * freedom).sum(-1), total, out=np.zeros(means.shape[:-1]), where=total > 0)
    pooled = (pooled * told + IMAGINED_MIDDLE * _spread(given)) / (told + IMAGINED_MIDDLE)
    return np.where(samples > 1, variances, pooled[..., None])


def _spread(given: Rows) -> Any:
    """Variance of one sample's score, whatever the problem."""
    means, variances, samples, _ = given
    return means.var(-1) + np.where(samples > 1, variances * (1 - 1 / samples), 0).mean(-1)


def _trust(means: Any, noise: Any) -> Any:
    """How far the variance is believed, 0..1, by the number of problems that carry the mean: (sum p)^2 / sum p^2."""
    squares = (means**2 - (1 - OWN_NOISE) * noise).sum(-1)
    carrying = means.sum(-1) ** 2 / np.maximum(squares, 1e-9)
    return ((carrying - FEW) / (MANY - FEW)).clip(0, 1)


def _edge(mean: Any) -> Any:
    """0 where the mean lies in 8% to 92%, 1 outside of 5% to 95%."""
    return ((0.08 - np.minimum(mean, 1 - mean)) / 0.03).clip(0, 1)


def _shift(mean: Any, samples: Array) -> Any:
    """Shift of the low end; that of the high end is the low end's of 1 - mean."""
    coarse = ((FINE - mean * samples.sum(-1)) / (FINE - COARSE)).clip(0, 1)
    one = SHIFT_ONE * (1 - coarse)
    return (SHIFT_MANY + (one - SHIFT_MANY) / samples.mean(-1)) * (1 - _edge(mean))


def _low(mean: Any, trials: Any, samples: Array) -> Any:
    trials = np.minimum(trials, MOST)
    solved, shift = mean * trials, _shift(mean, samples)
    tail = np.where(trials - solved <= 1e-9, LONE_TAIL, TAIL)
    end = special.betaincinv(np.maximum(solved + shift, 1e-9), np.maximum(trials - solved + 1 - shift, 1e-9), tail)
    return np.where(solved <= 1e-9, 0.0, np.minimum(end, mean))


def _high(mean: Any, trials: Any, samples: Array) -> Any:
    return 1 - _low(1 - mean, trials, samples)
