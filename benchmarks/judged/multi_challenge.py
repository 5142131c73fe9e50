"""MultiChallenge (Sirdeshmukh et al., 2025): does the last answer of a long conversation keep to what was said before?

The judge sees the response and one yes-or-no question about it, not the conversation. A response passes where its answer is the
one wanted. The benchmark's figure is the unweighted mean of its axes' shares.
"""

import re
from collections.abc import Sequence
from statistics import fmean
from typing import Any, TypedDict, cast

from ...core import Conversation, Message, Problem
from .judge import filled

ASKED = """Below are a response that a model gave, and a question about it whose answer is YES or NO.
Judge strictly: YES only where the response meets the question in full.

<response>
{response}
</response>

<question>
{question}
</question>

Give your reasons in a few sentences, then end with one line, `VERDICT: YES` or `VERDICT: NO`."""
_VERDICT = re.compile(r"VERDICT\W{1,6}(YES|NO)\b", re.IGNORECASE)


class Wanted(TypedDict):
    """A problem's answer: what the judge is asked, and what it has to say."""

    question: str
    right: str


def _wanted(problem: Problem) -> Wanted:
    return cast(Wanted, problem.answer)


def questions(problem: Problem, response: str) -> list[Conversation]:
    """One question."""
    asked = filled(ASKED, question=_wanted(problem)["question"], response=response)
    return [[Message(role="user", content=asked)]]


def worst(problem: Problem) -> list[str]:
    """The value of an empty response: not the answer that is wanted, also where that is NO."""
    return ["NO" if _wanted(problem)["right"] == "YES" else "YES"]


def read(text: str) -> str | None:
    """YES or NO, None where it says neither."""
    found = _VERDICT.findall(text)
    return found[-1].upper() if found else None


def score(problem: Problem, values: Sequence[Any]) -> float:
    """Whether the judge gave the answer that is wanted."""
    return float(values[0] == _wanted(problem)["right"])


def summary(rows: Sequence[Any]) -> dict[str, float]:
    """The share that passes on each axis, and the unweighted mean of the axes."""
    by_axis: dict[str, list[float]] = {}
    for row in rows:
        if row.score is not None:
            by_axis.setdefault(row.problem.meta["axis"].lower(), []).append(row.score)
    shares = {axis: fmean(passed) for axis, passed in sorted(by_axis.items())}
    return ({"mean of axes": fmean(shares.values())} | shares) if shares else {}
