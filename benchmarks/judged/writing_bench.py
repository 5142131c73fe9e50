"""WritingBench (Wu et al., 2025): five criteria written for each query, each scored 1 to 10 by the judge on its own.

A response's score is the mean of its criteria over 10; times 100 it is the leaderboard's figure.
"""

import json
import re
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, cast

from ...core import Conversation, Message, Problem
from .judge import filled

SYSTEM = "You are an expert in judging texts. You score strictly and say why."
ASKED = """Score the response to a writing task by one criterion, with a whole number from 1 to 10.

1-2: fails it. 3-4: large gaps. 5-6: middling, with clear weaknesses. 7-8: good, with small flaws. 9-10: outstanding, and rare.
A response that only introduces the task, is off it, or makes things up where facts are asked for, stays below 5. Quote from the
response for what you praise and what you blame.

<criterion>
{criterion}
</criterion>

<task>
{query}
</task>

<response>
{response}
</response>

Answer with a JSON object and nothing else: {"reason": "your reasons, with quotes", "score": a whole number from 1 to 10}"""
_SCORE = re.compile(r'"score"\s*:\s*"?(\d{1,2})\b')


def _criteria(problem: Problem) -> Sequence[Mapping[str, object]]:
    """A problem's answer: what it is judged by, one after the other."""
    return cast(Sequence[Mapping[str, object]], problem.answer)


def questions(problem: Problem, response: str) -> list[Conversation]:
    """One question a criterion."""
    asked: list[Conversation] = []
    for criterion in _criteria(problem):
        described = json.dumps(criterion, ensure_ascii=False, indent=1)
        text = filled(ASKED, criterion=described, query=problem.prompt[-1]["content"], response=response)
        asked.append([Message(role="system", content=SYSTEM), Message(role="user", content=text)])
    return asked


def worst(problem: Problem) -> list[int]:
    """The values of an empty response: 0, which the judge cannot give."""
    return [0] * len(_criteria(problem))


def read(text: str) -> int | None:
    """The score, 1 to 10; None where it says none."""
    start, end = text.find("{"), text.rfind("}")
    try:
        score = json.loads(text[start : end + 1])["score"] if 0 <= start < end else None
        number = int(score) if isinstance(score, int | str) and not isinstance(score, bool) else 0
    except (ValueError, KeyError, TypeError, RecursionError):
        said = _SCORE.findall(text)  # an object with quotes that are not escaped
        number = int(said[-1]) if said else 0
    return number if 1 <= number <= 10 else None


def score(problem: Problem, values: Sequence[Any]) -> float:
    """The mean of the criteria's scores, over 10."""
    return fmean(values) / 10


def summary(rows: Sequence[Any]) -> dict[str, float]:
    """The mean of every first-level domain."""
    by_domain: dict[str, list[float]] = {}
    for row in rows:
        if row.score is not None and row.problem.meta.get("domain1"):
            by_domain.setdefault(row.problem.meta["domain1"], []).append(row.score)
    return {domain: fmean(scores) for domain, scores in sorted(by_domain.items())}
