"""Judges of stored samples: what each needs, which of them can judge a stage, and their scores.

A judge may raise any exception: the sample then has no score by it, and the fault is counted. A judge that fails
on all samples of a step is not called again.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from ...core import Problem, Status, UserError, Verdict, Verifier
from ...policies.server import requests
from ...verifiers.verifier import FunctionVerifier
from .samples import Sample

LONGEST = 200_000
"""Maximum number of characters of a response that a judge gets: the last ones. Our choice."""

Score = Callable[[Problem, str], float | None]
"""Returns the score of a response, from 0 to 1; None if the problem is not of the judge's kind, or it cannot decide."""


class JudgeFault(Exception):
    """A judge failed on a sample."""


@dataclasses.dataclass(frozen=True, slots=True)
class Judge:
    """A judge that the policy was not trained on."""

    name: str
    needs: str
    """What it needs of a problem or of the machine, for tables."""
    score: Score
    strict: bool = False
    """True if it rejects correct answers in another form. Its scores are shown, but raise no alarm, because a policy may change
    the form of its answers for good reasons."""
    at_once: int = 2
    """Number of calls at the same time."""


@dataclasses.dataclass(slots=True)
class Judged:
    """The scores of a judge."""

    judge: Judge
    scores: dict[int, list[float | None]] = dataclasses.field(default_factory=dict)
    """For each step a score for each sample; None without a score."""
    scored: int = 0
    undecided: int = 0
    """Samples that are not of the judge's kind, or about which it could not decide."""
    faults: int = 0
    """Samples on which it failed."""
    fault: str = ""
    """The first fault."""
    not_asked: int = 0
    """Samples after a step in which all calls failed."""

    @property
    def stopped(self) -> bool:
        """True if all calls failed in a step, so that the judge was not called again."""
        return self.not_asked > 0


def is_same(verifier: object, *others: Verifier) -> bool:
    """True if a verifier is one of the others, with the same options."""
    known = [(each.function, dict(each.options)) for each in others if isinstance(each, FunctionVerifier)]
    return isinstance(verifier, FunctionVerifier) and (verifier.function, dict(verifier.options)) in known


def by_verifier(verifier: Verifier) -> Score:
    """Returns a verifier as the score of a judge. An undecided verdict is no score, a fault raises `JudgeFault`."""

    def score(problem: Problem, response: str) -> float | None:
        return score_of(verifier(problem, response))

    return score


def score_of(verdict: Verdict) -> float | None:
    """Returns the score of a verdict; None if it is undecided.

    Raises:
        JudgeFault: the verdict is a fault.
    """
    if verdict.status == Status.FAULT:
        raise JudgeFault(verdict.reason)
    return verdict.score


def judge_all(
    judges: Sequence[Judge],
    steps: Mapping[int, Sequence[Sample]],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Judged]:
    """Returns the scores of each judge. A judge gets each different response to a problem once.

    Args:
        judges: the judges.
        steps: samples by step.
        progress: called as progress(steps done by a judge, all).
    """
    found = [Judged(judge) for judge in judges]
    done, total = 0, len(judges) * len(steps)
    for judged in found:
        known: dict[tuple[str, str], float | None] = {}
        failing = False
        for step, samples in steps.items():
            if failing:
                judged.scores[step] = [None] * len(samples)
                judged.not_asked += len(samples)
            else:
                failing = _judge_step(judged, step, samples, known)
            done += 1
            progress(done, total)
    return found


def _judge_step(judged: Judged, step: int, samples: Sequence[Sample], known: dict[tuple[str, str], float | None]) -> bool:
    """Adds the scores of a step; returns True if calls failed, and no text of the step was judged now or in an earlier step."""
    new = {key: sample for sample in samples if (key := _key(sample)) not in known}
    failed: dict[tuple[str, str], str] = {}
    futures = requests.submit(lambda sample: _scored(judged.judge, sample), [*new.values()], judged.judge.at_once)
    try:
        for key, future in zip(new, futures, strict=True):
            try:
                known[key] = future.result()
            except Exception as error:  # a judge may raise anything
                failed[key] = (
                    f"{type(error).__name__}: {error}" if not isinstance(error, JudgeFault | UserError) else str(error)
                )
    finally:
        for future in futures:
            future.cancel()
    judged.fault = judged.fault or next(iter(failed.values()), "")[:300]
    keys = [_key(sample) for sample in samples]
    judged.scores[step] = [known.get(key) for key in keys]
    judged.faults += sum(key in failed for key in keys)
    judged.scored += sum(score is not None for score in judged.scores[step])
    judged.undecided += sum(key in known and known[key] is None for key in keys)
    return bool(failed) and not any(key in known for key in keys)


def _key(sample: Sample) -> tuple[str, str]:
    return sample.problem.id, sample.response


def _scored(judge: Judge, sample: Sample) -> float | None:
    """Returns a judge's score, within 0..1; None without one, as if the problem is not known."""
    if sample.problem.answer is None:
        return None
    score = judge.score(sample.problem, sample.response[-LONGEST:])
    if score is None:
        return None
    if not 0 <= score <= 1:
        raise JudgeFault(f"a score of {score!r:.40}, which is not between 0 and 1")
    return float(score)
