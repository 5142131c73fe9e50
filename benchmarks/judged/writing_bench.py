"""WritingBench (Wu et al., 2025): five criteria per query. The judge scores each criterion from 1 to 10, one question each.

A response's score is the mean of its criteria's scores, divided by 10. The leaderboard multiplies it by 100.
"""

import json
import re
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import cast

from ...core import Conversation, Message, Problem
from .judge import Judged, filled

SYSTEM = "You are an expert in judging texts. You score strictly and say why."
QUESTION = """Score the response to a writing task by one criterion, with a whole number from 1 to 10.

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
_SCORE = re.compile(r'"score"\s*:\s*"?(\d{1,2})(?:\.0+)?\b(?!\.\d)')


def _criteria(problem: Problem) -> Sequence[Mapping[str, object]]:
    """Returns a problem's criteria, which are its gold answer."""
    return cast(Sequence[Mapping[str, object]], problem.answer)


def questions(problem: Problem, response: str) -> list[Conversation]:
    """Returns one question per criterion."""
    conversations: list[Conversation] = []
    for criterion in _criteria(problem):
        described = json.dumps(criterion, ensure_ascii=False, indent=1)
        text = filled(QUESTION, criterion=described, query=problem.prompt[-1]["content"], response=response)
        conversations.append([Message(role="system", content=SYSTEM), Message(role="user", content=text)])
    return conversations


def worst(problem: Problem) -> list[int]:
    """Returns the values of an empty response: 0 for each criterion, a score that the judge cannot give."""
    return [0] * len(_criteria(problem))


def read(text: str) -> int | None:
    """Returns the score, 1 to 10; None if it cannot be read."""
    start, end = text.find("{"), text.rfind("}")
    try:
        score = json.loads(text[start : end + 1])["score"] if 0 <= start < end else None
        score = int(score) if isinstance(score, float) and score.is_integer() else score
        number = int(score) if isinstance(score, int | str) and not isinstance(score, bool) else 0
    except (ValueError, KeyError, TypeError, RecursionError):
        scores = _SCORE.findall(text)  # the object may contain quotes that are not escaped
        number = int(scores[-1]) if scores else 0
    return number if 1 <= number <= 10 else None


def score(problem: Problem, values: Sequence[int]) -> float:
    """Returns the mean of the criteria's scores, divided by 10."""
    return fmean(values) / 10


def summary(rows: Sequence[Judged]) -> dict[str, float]:
    """Returns the mean score of each first-level domain."""
    by_domain: dict[str, list[float]] = {}
    for row in rows:
        if row.score is not None and row.problem.meta.get("domain1"):
            by_domain.setdefault(str(row.problem.meta["domain1"]), []).append(row.score)
    return {domain: fmean(scores) for domain, scores in sorted(by_domain.items())}
