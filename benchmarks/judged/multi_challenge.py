"""MultiChallenge (Sirdeshmukh et al., 2025): consistency of the last response of a long conversation with its earlier turns.

The judge receives the response and one yes-or-no question about it, not the conversation. A response passes if the judge gives
the expected answer. The benchmark's score is the unweighted mean of the axes' mean scores. The authors' program counts a
problem with several attempts as passed if one attempt passes; the published scores have one attempt. Here the score is that of
one attempt, averaged over the attempts. The figure "any attempt" and pass@k are the other one.
"""

import re
from collections.abc import Mapping, Sequence
from typing import TypedDict, cast

from ...core import Conversation, Message, Problem
from ..stats import pooled
from ..stats.pooled import Part
from . import published
from .judge import Judged, empty_responses, filled, measures, unreadable

RESPONSE_FORMAT: Mapping[str, object] | None = {
    "type": "json_schema",
    "json_schema": {
        "name": "JudgeResponse",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"reasoning": {"type": "string"}, "verdict": {"type": "string", "enum": ["YES", "NO"]}},
            "required": ["reasoning", "verdict"],
            "additionalProperties": False,
        },
    },
}
"""The form of an answer. Source: the authors' program."""
OWN_PROMPTS = {
    "question": """Below are a response that a model gave, and a question about it whose answer is YES or NO.
Judge strictly: YES only where the response meets the question in full.

<response>
{}
</response>

<question>
{}
</question>

Give your reasons in a few sentences, then end with one line, `VERDICT: YES` or `VERDICT: NO`."""
}
_VERDICT = re.compile(r"VERDICT\W{1,6}(YES|NO)\b", re.IGNORECASE)
_LAST_WORD = re.compile(r"\b(YES|NO)\W{0,9}\Z")


class PassCriterion(TypedDict):
    """A problem's gold answer."""

    question: str
    """Question to the judge about the response."""
    passing_answer: str
    """Expected answer of the judge, YES or NO."""


def _criterion(problem: Problem) -> PassCriterion:
    return cast(PassCriterion, problem.answer)


def prompts(files: Mapping[str, str]) -> dict[str, str]:
    """Returns the published prompt.

    Raises:
        UserError: the file does not have it.
    """
    return {"question": published.text("evaluator.py", files, "JUDGE_PROMPT")}


def questions(problem: Problem, response: str, prompts: Mapping[str, str]) -> list[Conversation]:
    """Returns one question."""
    text = filled(prompts["question"], response, _criterion(problem)["question"])
    return [[Message(role="user", content=text)]]


def worst(problem: Problem) -> list[str]:
    """Returns the value of an empty response: the answer that is not expected."""
    return ["NO" if _criterion(problem)["passing_answer"] == "YES" else "YES"]


def read(text: str) -> str | None:
    """Returns the last verdict, YES or NO; None without one. The last word of an answer may be the verdict."""
    found = _VERDICT.findall(text) or _LAST_WORD.findall(text[-20:])
    return found[-1].upper() if found else None


def score(problem: Problem, values: Sequence[str]) -> float:
    """Returns 1.0 if the judge gave the expected answer, else 0.0."""
    return float(values[0] == _criterion(problem)["passing_answer"])


def stratum(problem: Problem) -> str | None:
    """Returns the problem's axis."""
    return str(problem.meta["axis"]).lower()


def part(row: Judged) -> Part:
    """Returns the response's score, in the stratum of its axis."""
    return Part(str(stratum(row.problem)), float(row.score or 0), 1)


def summary(rows: Sequence[Judged]) -> dict[str, float]:
    """Returns the mean score of each axis, and the benchmark's score if any attempt may pass."""
    parts = [(row.problem.id, part(row)) for row in rows if row.score is not None]
    axes = sorted({found.stratum for _, found in parts})
    scores = {axis: pooled.mean([found for _, found in parts if found.stratum == axis]) for axis in axes}
    passed: dict[str, Part] = {}
    for id, found in parts:
        passed[id] = max(found, passed.get(id, found), key=lambda attempt: attempt.total)
    return scores | ({"any attempt": pooled.mean([*passed.values()])} if passed else {}) | measures(rows)


def differences(rows: Sequence[Judged]) -> list[str]:
    """Returns what the authors' program does otherwise in this run."""
    return [
        *empty_responses(rows),
        *unreadable(rows, "the authors' program counts them as an axis of its own with the score 0"),
    ]
