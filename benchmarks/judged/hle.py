"""Humanity's Last Exam (Phan et al., 2025): expert questions with short answers. The judge compares a response with the answer.

The policy states its answer and its confidence, 0 to 100 percent. The judge extracts both and says whether the answer is
correct. The benchmark's score is the accuracy. A further metric is the calibration error of the confidences
(`stats/calibration.py`). The questions with images are left out, because policies read text.
"""

import re
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Literal, NamedTuple, cast

import pydantic

from ...core import Conversation, Message, Problem
from ..stats import calibration
from ..stats.pooled import Part
from . import published
from .judge import Judged, empty_responses, filled, measures, unreadable

RESPONSE_FORMAT: Mapping[str, object] | None = {
    "type": "json_schema",
    "json_schema": {
        "name": "ExtractedAnswer",
        "strict": True,
        "schema": {
            "title": "ExtractedAnswer",
            "type": "object",
            "properties": {
                "extracted_final_answer": {"title": "Extracted Final Answer", "type": "string"},
                "reasoning": {"title": "Reasoning", "type": "string"},
                "correct": {"title": "Correct", "type": "string", "enum": ["yes", "no"]},
                "confidence": {"title": "Confidence", "type": "integer"},
                "strict": {"title": "Strict", "type": "boolean", "const": True},
            },
            "required": ["extracted_final_answer", "reasoning", "correct", "confidence", "strict"],
            "additionalProperties": False,
        },
    },
}
"""The form of an answer. Source: the authors' program."""
OWN_PROMPTS = {
    "question": """Below are a question, its correct answer, and a response to the question. Compare the final answer of the
response with the correct answer. Do not solve the question, and do not doubt the correct answer.

<question>
{question}
</question>

<correct_answer>
{correct_answer}
</correct_answer>

<response>
{response}
</response>

A response is correct if its final answer means the same as the correct answer. A number may differ by a rounding error. A
response without a final answer, with several different ones, or with a more or less general one is not correct.

Write these four lines and nothing else:
extracted_final_answer: the final answer of the response, or None
reasoning: whether the two answers differ, in one or two sentences
correct: yes or no
confidence: the confidence that the response states, a whole number from 0 to 100; 100 if it states none"""
}
HIGHEST = 100
"""The highest confidence, in percent. The judge gives it to a response without a confidence. Source: the authors' prompt."""
_SIGNS = r"[^\w\n-]{0,9}"
"""Signs around a name and a value, such as the stars of bold type."""
_CORRECT = re.compile(rf"^{_SIGNS}correct{_SIGNS}:{_SIGNS}(yes|no)\b", re.IGNORECASE | re.MULTILINE)
_CONFIDENCE = re.compile(rf"^{_SIGNS}confidence{_SIGNS}:{_SIGNS}(-?\d{{1,9}})\b", re.IGNORECASE | re.MULTILINE)


class Judgement(NamedTuple):
    """What the judge says about a response."""

    correct: bool
    confidence: int
    """The response's confidence in percent, as the judge extracts it; mostly from 0 to 100."""


class _ExtractedAnswer(pydantic.BaseModel):
    """The structured form, with the types that the authors' program accepts."""

    extracted_final_answer: str
    reasoning: str
    correct: Literal["yes", "no"]
    confidence: int
    strict: Literal[True]


def prompts(files: Mapping[str, str]) -> dict[str, str]:
    """Returns the published prompt.

    Raises:
        UserError: the file does not have it.
    """
    return {"question": published.text("run_judge_results.py", files, "JUDGE_PROMPT")}


def questions(problem: Problem, response: str, prompts: Mapping[str, str]) -> list[Conversation]:
    """Returns one question."""
    question = problem.prompt[-1]["content"]
    text = filled(prompts["question"], question=question, correct_answer=str(problem.answer), response=response)
    return [[Message(role="user", content=text)]]


def worst(problem: Problem) -> list[Judgement]:
    """Returns the value of an empty response: incorrect, and without a confidence."""
    return [Judgement(False, HIGHEST)]


def read(text: str) -> Judgement | None:
    """Returns the judgement; None if it cannot be read.

    The structured form is read as in the authors' program. Other answers have lines with the same names, of which the last ones
    count.
    """
    try:
        found = _ExtractedAnswer.model_validate_json(text)
        return Judgement(found.correct == "yes", found.confidence)
    except pydantic.ValidationError:
        correct, confidence = _CORRECT.findall(text), _CONFIDENCE.findall(text)
        return Judgement(correct[-1].lower() == "yes", int(confidence[-1])) if correct and confidence else None


def score(problem: Problem, values: Sequence[Judgement]) -> float:
    """Returns 1.0 if the answer is correct, else 0.0."""
    return float(values[0].correct)


def stratum(problem: Problem) -> str | None:
    """Returns the same stratum for all problems."""
    return "all"


def part(row: Judged) -> Part:
    """Returns the response's score."""
    return Part("all", float(row.score or 0), 1)


def summary(rows: Sequence[Judged]) -> dict[str, float]:
    """Returns the calibration error (from 200 responses on), the mean confidence, and the accuracy of each category."""
    judged = [row for row in rows if row.score is not None]
    confidences = [_share(row) for row in judged]
    error = calibration.error(confidences, [row.score == 1 for row in judged])
    by_category: dict[str, list[float]] = {}
    for row in judged:
        if row.problem.meta.get("category"):
            by_category.setdefault(f"category {row.problem.meta['category']}", []).append(float(row.score or 0))
    return {
        **({} if error is None else {"calibration error": error}),
        **({"mean confidence": fmean(confidences)} if confidences else {}),
        **{category: fmean(scores) for category, scores in sorted(by_category.items())},
        **measures(rows),
    }


def _share(row: Judged) -> float:
    """Returns the confidence of a response, 0..1."""
    return min(HIGHEST, max(0, cast(Judgement, row.values[0]).confidence)) / HIGHEST


def differences(rows: Sequence[Judged]) -> list[str]:
    """Returns what the authors' program does otherwise in this run."""
    outside = sum(row.score is not None and not 0 <= row.values[0].confidence <= HIGHEST for row in rows)
    return [
        *empty_responses(rows),
        *unreadable(rows, "the authors' program counts them as incorrect until the judge is asked again"),
        *(
            [f"{outside} confidences below 0 or above 100 count as 0 or 100; the authors' program takes them as they are"]
            if outside
            else []
        ),
    ]
