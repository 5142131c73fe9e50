"""Counts of errors of graders on labelled pairs, with intervals."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from ...core import Status, Verdict
from .answer_pairs import AnswerPair


class Graded(NamedTuple):
    """A pair with a grader's verdict."""

    pair: AnswerPair
    verdict: Verdict
    seconds: float
    """Wall time of the verdict. If a grader gives several verdicts at once, their sum is the wall time of all verdicts."""


Results = dict[str, list[Graded]]
"""Verdicts by grader. Each grader has the same pairs in the same order."""


@dataclass
class Tally:
    """Counts of a grader's verdicts. Faults are in no other count: they say nothing about the grader's errors."""

    equal: int = 0
    """Pairs labelled as equal, without faults."""
    rejected: int = 0
    """Equal pairs that are not accepted: false negatives, including undecided ones."""
    unequal: int = 0
    """Pairs labelled as unequal, without faults."""
    accepted: int = 0
    """Unequal pairs that are accepted: false positives."""
    undecided: int = 0
    """Pairs of both labels with the status undecided."""
    equal_faults: int = 0
    """Faults on pairs labelled as equal."""
    unequal_faults: int = 0
    """Faults on pairs labelled as unequal."""
    seconds: float = 0.0
    """Wall time of all verdicts, faults included."""
    errors: list[Graded] = field(default_factory=list)
    """Rejected equal pairs and accepted unequal pairs."""

    @property
    def faults(self) -> int:
        """Faults on pairs of both labels."""
        return self.equal_faults + self.unequal_faults

    @property
    def seconds_per_verdict(self) -> float:
        """Mean wall time of a verdict."""
        return self.seconds / max(1, self.equal + self.unequal + self.faults)

    def add(self, graded: Graded) -> None:
        """Counts one verdict."""
        pair, verdict, seconds = graded
        self.seconds += seconds
        if verdict.status == Status.FAULT:
            self.equal_faults += pair.equal
            self.unequal_faults += not pair.equal
            return
        accepted = verdict.score == 1
        self.equal += pair.equal
        self.unequal += not pair.equal
        self.rejected += pair.equal and not accepted
        self.accepted += accepted and not pair.equal
        self.undecided += verdict.status == Status.UNDECIDED
        if accepted != pair.equal:
            self.errors.append(graded)

    def to_json(self) -> dict[str, object]:
        """Returns the counts as JSON data, with intervals of both error rates. Faults are in no rate."""
        return {
            "equal": self.equal,
            "rejected": self.rejected,
            "rejected_interval": interval(self.rejected, self.equal),
            "unequal": self.unequal,
            "accepted": self.accepted,
            "accepted_interval": interval(self.accepted, self.unequal),
            "undecided": self.undecided,
            "faults": self.faults,
            "equal_faults": self.equal_faults,
            "unequal_faults": self.unequal_faults,
            "seconds_per_verdict": self.seconds_per_verdict,
        }


def tally(verdicts: Iterable[Graded]) -> Tally:
    """Counts verdicts."""
    total = Tally()
    for graded in verdicts:
        total.add(graded)
    return total


def interval(part: int, whole: int) -> tuple[float, float] | None:
    """Returns the ends of the 95% interval of a rate over new pairs (`stats/intervals.py`); None without pairs.

    Args:
        part: number of errors.
        whole: number of pairs.
    """
    from ..stats import scores  # it needs scipy

    if not whole:
        return None
    score = scores.avg_at_k([[1.0]] * part + [[0.0]] * (whole - part))
    return score.low, score.high
