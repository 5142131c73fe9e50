"""MultiChallenge (Sirdeshmukh et al., 2025): consistency of the last response of a long conversation with its earlier turns.

The judge receives the response and one yes-or-no question about it, not the conversation. A response passes if the judge gives
the expected answer. The benchmark's score is the unweighted mean of the axes' mean scores.
"""

import re
from collections.abc import Sequence
from statistics import fmean
from typing import TypedDict, cast

from ...core import Conversation, Message, Problem
from .judge import Judged, filled

QUESTION = """Below are a response that a model gave, and a question about it whose answer is YES or NO.
Judge strictly: YES only where the response meets the question in full.

<response>
{response}
</response>

<question>
{question}
</question>

Give your reasons in a few sentences, then end with one line, `VERDICT: YES` or `VERDICT: NO`."""
_VERDICT = re.compile(r"VERDICT\W{1,6}(YES|NO)\b", re.IGNORECASE)


class PassCriterion(TypedDict):
    """A problem's gold answer."""

    question: str
    """Question to the judge about the response."""
    passing_answer: str
    """Expected answer of the judge, YES or NO."""


def _criterion(problem: Problem) -> PassCriterion:
    return cast(PassCriterion, problem.answer)


def questions(problem: Problem, response: str) -> list[Conversation]:
    """Returns one question."""
    text = filled(QUESTION, question=_criterion(problem)["question"], response=response)
    return [[Message(role="user", content=text)]]


def worst(problem: Problem) -> list[str]:
    """Returns the value of an empty response: the answer that is not expected."""
    return ["NO" if _criterion(problem)["passing_answer"] == "YES" else "YES"]


def read(text: str) -> str | None:
    """Returns the last verdict, YES or NO; None without one."""
    found = _VERDICT.findall(text)
    return found[-1].upper() if found else None


def score(problem: Problem, values: Sequence[str]) -> float:
    """Returns 1.0 if the judge gave the expected answer, else 0.0."""
    return float(values[0] == _criterion(problem)["passing_answer"])


def summary(rows: Sequence[Judged]) -> dict[str, float]:
    """Returns the mean score of each axis and their unweighted mean."""
    by_axis: dict[str, list[float]] = {}
    for row in rows:
        if row.score is not None:
            by_axis.setdefault(str(row.problem.meta["axis"]).lower(), []).append(row.score)
    shares = {axis: fmean(passed) for axis, passed in sorted(by_axis.items())}
    return ({"mean of axes": fmean(shares.values())} | shares) if shares else {}
