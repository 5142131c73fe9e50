"""Verifiers and other graders of labelled pairs."""

import sys
import time
from collections.abc import Callable, Sequence

from rich.progress import track

from ...core import Status, Verdict, Verifier
from ...terminal import Console
from .answer_pairs import AnswerPair, problem_of
from .baselines import accepts
from .tally import Graded

Grader = Callable[[AnswerPair], Verdict]


def graded(pairs: Sequence[AnswerPair], name: str, grade: Grader) -> list[Graded]:
    """Returns the verdicts of a grader, one after the other, with a progress bar if stderr is a terminal.

    Args:
        pairs: labelled pairs.
        name: name of the grader.
        grade: the grader.
    """
    verdicts = []
    for pair in track(pairs, name, console=Console(stderr=True), disable=not sys.stderr.isatty()):
        started = time.perf_counter()
        verdict = grade(pair)
        verdicts.append(Graded(pair, verdict, time.perf_counter() - started))
    return verdicts


def by_rules(verifier: Verifier) -> Grader:
    """Returns a verifier as a grader of pairs."""
    return lambda pair: verifier(problem_of(pair), pair.response)


def by_baseline(baseline: Callable[[AnswerPair], bool]) -> Grader:
    """Returns a baseline as a grader: its verdicts are scored 0 or 1."""
    return lambda pair: Verdict(Status.SCORED, float(accepts(baseline, pair)), "baseline", "")
