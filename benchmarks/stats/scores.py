"""What k samples a problem say of a policy: avg@k, pass@k, maj@k, and how sure that is.

With p_i the mean score of problem i over its k samples, avg@k is the mean of the p_i. It has two intervals (`intervals.py`):
`low` and `high` for new problems of the same kind, which is what one figure says of a model's ability; `same_problems_low` and
`same_problems_high` for new samples on these very problems, which is what two runs of one benchmark differ by. Two policies on
the same problems are compared problem by problem (`difference`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev

from scipy import special

from ...core import UserError
from . import intervals

POWER = NormalDist().inv_cdf(0.8)
"""A difference counts as detectable where four of five runs would show it."""

Rows = Sequence[Sequence[float | None]]
"""A row a problem, a score in 0..1 a sample; None for a sample that has none."""


@dataclass(frozen=True, slots=True)
class Score:
    """avg@k of one policy on one task."""

    mean: float
    low: float
    """Lower end of the 95% interval over new problems and new samples."""
    high: float
    """Its upper end."""
    same_problems_low: float
    """Lower end of the 95% interval over new samples on the same problems."""
    same_problems_high: float
    """Its upper end."""
    stderr: float
    """Standard error over new problems and new samples, clustered by problem (Miller, "Adding Error Bars to Evals", 2024)."""
    same_problems_stderr: float
    """Standard error over new samples on the same problems; where there is one sample each, the most that it can be. Where some
    problems have one, they are taken to be as noisy as the others."""
    detectable: float
    """Smallest difference to a policy with like pass rates, on the same problems with as many samples, that four of five runs
    would show at 95%."""
    pass_at_k: float
    """Share of problems that at least one of their samples with a score solves."""
    problems: int
    samples: int
    """Samples a problem, k."""
    faults: int
    """Samples without a score; they are left out of their problem's mean."""

    def __str__(self) -> str:
        return f"{100 * self.mean:.1f} [{100 * self.low:.1f}, {100 * self.high:.1f}]"


def avg_at_k(scores: Rows) -> Score:
    """The score of a task from each problem's samples. Problems without any score are left out.

    Raises:
        UserError: no sample has a score.
    """
    given = [scored for row in scores if (scored := [score for score in row if score is not None])]
    if not given:
        raise UserError(
            f"none of {sum(map(len, scores))} samples has a score: their verdicts are faults, or no gold answer could be read"
        )
    rows = intervals.rows(given)
    low, high = intervals.new_problems(rows)
    same_problems_low, same_problems_high = intervals.same_problems(rows)
    means = list(map(float, rows.means))
    same_problems_stderr = _same_problems_stderr(given)
    return Score(
        mean=fmean(means),
        low=float(low),
        high=float(high),
        same_problems_low=float(same_problems_low),
        same_problems_high=float(same_problems_high),
        stderr=stdev(means) / math.sqrt(len(means)) if len(means) > 1 else math.inf,
        same_problems_stderr=same_problems_stderr,
        detectable=(intervals.Z95 + POWER) * math.sqrt(2) * same_problems_stderr,
        pass_at_k=fmean(max(row) >= 1 for row in given),
        problems=len(given),
        samples=max(map(len, scores)),
        faults=sum(score is None for row in scores for score in row),
    )


def _same_problems_stderr(rows: Sequence[Sequence[float]]) -> float:
    given = intervals.rows(rows)
    return float(math.sqrt((intervals.within(given) / given.samples).sum()) / len(rows))


def maj_at_k(votes: Sequence[Sequence[tuple[str | None, float | None]]]) -> float:
    """maj@k: the score of the answer that most of a problem's samples give; the mean of the tied ones where several do.

    Samples without a score are left out, and so are problems that have no other ones.

    Args:
        votes: a row a problem, for each sample its answer (equal ones as equal texts; None where it gave none, which is no
            vote) and that answer's score.

    Raises:
        UserError: no sample has a score.
    """
    means = []
    for row in votes:
        given = [(answer, score) for answer, score in row if score is not None]
        scores: dict[str, list[float]] = {}
        for answer, score in given:
            if answer is not None:
                scores.setdefault(answer, []).append(score)
        most = max(map(len, scores.values()), default=0)
        if given:
            means.append(fmean(fmean(tied) for tied in scores.values() if len(tied) == most) if scores else 0.0)
    if not means:
        raise UserError(f"maj@k wants a sample that has a score, and none of {sum(map(len, votes))} has one")
    return fmean(means)


@dataclass(frozen=True, slots=True)
class Difference:
    """How much better one policy is than another on the same problems."""

    mean: float
    low: float
    """Lower end of the 95% interval over new problems and samples."""
    high: float
    """Its upper end."""
    same_problems_low: float
    """Lower end of the 95% interval over new samples on the same problems."""
    same_problems_high: float
    """Its upper end."""
    detectable: float
    """Smallest true difference that four of five such comparisons, on new problems, would show at 95%."""
    problems: int

    def __str__(self) -> str:
        return f"{100 * self.mean:+.1f} [{100 * self.low:+.1f}, {100 * self.high:+.1f}]"


def difference(better: Mapping[str, Sequence[float | None]], worse: Mapping[str, Sequence[float | None]]) -> Difference:
    """The paired difference of two policies, over the problems that both have scores of.

    Args:
        better: problem ids to the scores of that policy's samples.
        worse: the same of the other.

    Raises:
        UserError: there are less than two such problems.
    """
    shared = [id for id in better if id in worse]
    pairs = [
        (first, second)
        for first, second in zip(
            _scored([better[id] for id in shared], keep=True), _scored([worse[id] for id in shared], keep=True), strict=True
        )
        if first and second
    ]
    if len(pairs) < 2:
        raise UserError(f"the two have {len(pairs)} problems in common: a comparison wants the same problems on both sides")
    n = len(pairs)
    differences = [fmean(first) - fmean(second) for first, second in pairs]
    mean = fmean(differences)
    stderr = stdev(differences) / math.sqrt(n)
    # Where every problem shows the same difference, one that would not may still be 1 of so many.
    half = float(special.stdtrit(n - 1, 0.975)) * stderr if stderr > 0 else 1 - 0.025 ** (1 / n)
    noise = math.hypot(
        _same_problems_stderr([first for first, _ in pairs]), _same_problems_stderr([second for _, second in pairs])
    )
    within = intervals.Z95 * noise if noise > 0 else half
    return Difference(
        mean=mean,
        low=max(-1.0, mean - half),
        high=min(1.0, mean + half),
        same_problems_low=max(-1.0, mean - within),
        same_problems_high=min(1.0, mean + within),
        detectable=(intervals.Z95 + POWER) * max(stderr, noise),
        problems=n,
    )


def _scored(scores: Rows, keep: bool = False) -> list[list[float]]:
    """The rows without the samples that have no score; rows without any are left out, unless kept empty."""
    rows = [[score for score in row if score is not None] for row in scores]
    return rows if keep else [row for row in rows if row]
