"""WritingBench (Wu et al., 2025): five criteria per query. The judge scores each criterion from 1 to 10, one question each.

The benchmark's score is the mean of all scores, divided by 10. The leaderboard multiplies it by 100.
"""

import json
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import cast

from ...core import Conversation, Message, Problem, UserError
from ..stats.pooled import Part
from . import published
from .judge import Judged, empty_responses, filled, measures, unreadable

RESPONSE_FORMAT: Mapping[str, object] | None = None
OWN_PROMPTS = {
    "system": "You are an expert in judging texts. You score strictly and say why.",
    "question": """Score the response to a writing task by one criterion, with a whole number from 1 to 10.

1-2: fails it. 3-4: large gaps. 5-6: middling, with clear weaknesses. 7-8: good, with small flaws. 9-10: outstanding, and rare.
A response that only introduces the task, is off it, or makes things up where facts are asked for, stays below 5. Quote from the
response for what you praise and what you blame.

<criterion>
{criteria}
</criterion>

<task>
{query}
</task>

<response>
{response}
</response>

Once more the criterion: {criteria}

Answer with a JSON object and nothing else: {{"score": a whole number from 1 to 10, "reason": "your reasons, with quotes"}}""",
}
_FENCE = "json|`"
"""Characters that the authors' program removes from both ends of an answer."""


def _criteria(problem: Problem) -> Sequence[Mapping[str, object]]:
    """Returns a problem's criteria, which are its gold answer. Of criteria with equal names only the first one counts."""
    found: dict[str, Mapping[str, object]] = {}
    for criterion in cast(Sequence[Mapping[str, object]], problem.answer):
        found.setdefault(str(criterion.get("name", criterion)), criterion)
    return list(found.values())


def prompts(files: Mapping[str, str]) -> dict[str, str]:
    """Returns the published prompts.

    Raises:
        UserError: the file does not have them.
    """
    found = published.constants("prompt.py", files["prompt.py"])
    texts = {"system": found.get("evaluate_system"), "question": found.get("evaluate_prompt")}
    if not all(isinstance(text, str) for text in texts.values()):
        raise UserError("prompt.py does not have evaluate_system and evaluate_prompt; download it again")
    return cast(dict[str, str], texts)


def questions(problem: Problem, response: str, prompts: Mapping[str, str]) -> list[Conversation]:
    """Returns one question per criterion. As in the authors' program, a criterion has the form of a Python dictionary."""
    query = problem.prompt[-1]["content"]
    texts = [
        filled(prompts["question"], criteria=str(dict(criterion)), query=query, response=response)
        for criterion in _criteria(problem)
    ]
    return [[Message(role="system", content=prompts["system"]), Message(role="user", content=text)] for text in texts]


def worst(problem: Problem) -> list[int]:
    """Returns the values of an empty response: 0 for each criterion, a score that the judge cannot give."""
    return [0] * len(_criteria(problem))


def read(text: str) -> int | None:
    """Returns the score, 1 to 10; None if it cannot be read.

    As in the authors' program, an answer is only a JSON object with a score and a reason, possibly in a code block.
    """
    try:
        answer = json.loads(text.strip(_FENCE))
    except (ValueError, RecursionError):
        return None
    if not isinstance(answer, dict) or not isinstance(answer.get("reason"), str):
        return None
    score = answer.get("score")
    return int(score) if isinstance(score, int | float) and score in range(1, 11) else None


def score(problem: Problem, values: Sequence[int]) -> float:
    """Returns the mean of the criteria's scores, divided by 10."""
    return fmean(values) / 10


def stratum(problem: Problem) -> str | None:
    """Returns the same stratum for all problems."""
    return "all"


def part(row: Judged) -> Part:
    """Returns the scores of the response's criteria."""
    return Part("all", sum(row.values) / 10, len(row.values))


def summary(rows: Sequence[Judged]) -> dict[str, float]:
    """Returns the mean score of each first-level domain, in which each response counts once."""
    by_domain: dict[str, list[float]] = {}
    for row in rows:
        if row.score is not None and row.problem.meta.get("domain1"):
            by_domain.setdefault(str(row.problem.meta["domain1"]), []).append(row.score)
    return {domain: fmean(scores) for domain, scores in sorted(by_domain.items())} | measures(rows)


def differences(rows: Sequence[Judged]) -> list[str]:
    """Returns what the authors' program does otherwise in this run."""
    return [*empty_responses(rows), *unreadable(rows, "the authors' program stops with an error")]
