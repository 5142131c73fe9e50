"""avg@k with an interval that counts problems and draws.

With p_i the mean score of problem i over its k draws, avg@k is the mean of the p_i. Problems are a sample of all problems of
their kind and draws a sample of all the policy could say; the p_i are independent and carry both, so that

    stderr = sqrt(sum_i (p_i - mean)^2 / (n - 1) / n)

is the standard error of avg@k on new problems and new draws (Miller, "Adding Error Bars to Evals", 2024: standard errors
clustered by question). `draw_stderr` is the part that would remain on these same problems.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from ..core import UserError

Z95 = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, slots=True)
class Score:
    """avg@k of one policy on one task."""

    mean: float
    low: float
    """Lower end of the 95% interval."""
    high: float
    """Its upper end."""
    stderr: float
    draw_stderr: float
    """Standard error over new draws on the same problems."""
    pass_at_k: float
    """Share of problems that at least one of the k draws solves."""
    problems: int
    draws: int
    """Draws a problem, k."""
    faults: int
    """Draws without a score; they are left out of their problem's mean."""

    def __str__(self) -> str:
        return f"{100 * self.mean:.1f} [{100 * self.low:.1f}, {100 * self.high:.1f}]"


def avg_at_k(scores: Sequence[Sequence[float | None]]) -> Score:
    """The score of a task from each problem's draws.

    Args:
        scores: a row a problem, a score in 0..1 a draw, None for a draw that has none. Problems without any score are
            left out.

    Raises:
        UserError: no draw has a score.
    """
    rows = [scored for row in scores if (scored := [score for score in row if score is not None])]
    if not rows:
        raise UserError(
            f"none of {sum(map(len, scores))} draws has a score: their verdicts are faults, or no gold answer could be read"
        )
    means = [sum(row) / len(row) for row in rows]
    n, mean = len(means), sum(means) / len(means)
    stderr = math.sqrt(sum((p - mean) ** 2 for p in means) / (n - 1) / n) if n > 1 else math.inf
    within = [
        sum((s - p) ** 2 for s in row) / (len(row) - 1) / len(row) for row, p in zip(rows, means, strict=True) if len(row) > 1
    ]
    low, high = interval(mean, stderr, n)
    return Score(
        mean=mean,
        low=low,
        high=high,
        stderr=stderr,
        draw_stderr=math.sqrt(sum(within)) / n,
        pass_at_k=sum(max(row) >= 1 for row in rows) / n,
        problems=n,
        draws=max(map(len, scores)),
        faults=sum(score is None for row in scores for score in row),
    )


def interval(mean: float, stderr: float, problems: int) -> tuple[float, float]:
    """A 95% interval for a mean of scores in 0..1.

    Wilson's interval with the effective number of independent trials, mean * (1 - mean) / stderr**2 (Korn and Graubard,
    1998). Unlike mean +- 1.96 stderr it stays in 0..1, and where every draw scored the same (stderr 0) it is that of as
    many trials as there are problems, not a point.
    """
    if not math.isfinite(stderr):
        return 0.0, 1.0
    trials = max(mean * (1 - mean) / stderr**2 if stderr > 0 else problems, problems if stderr == 0 else 1.0)
    centre = (mean + Z95**2 / (2 * trials)) / (1 + Z95**2 / trials)
    half = Z95 / (1 + Z95**2 / trials) * math.sqrt(mean * (1 - mean) / trials + Z95**2 / (4 * trials**2))
    return max(0.0, centre - half), min(1.0, centre + half)
