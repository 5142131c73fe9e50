"""Which of two responses is better, asked in both orders: a reward where no answer is the right one.

    judge = pairwise.verifier(prefer)                # the reference response is the problem's answer
    judge(problem, response)                         # Verdict(SCORED, 0.72, "pairwise", reason)
    pairwise.round_robin(prefer, problem, drawn)     # each response of a group against every other

`prefer` is a function, say a model's (`policies/preference.py`, which sees to delimiters and to the tokens of chat templates).
Whoever judges may favour what it reads first: every two responses are shown in both orders, and the mean counts. A response is
data: its thinking and what nobody sees is taken off, it is cut at `MAX_CHARACTERS`, and an empty one loses unasked.
"""

import functools
import math
from collections.abc import Callable, Sequence
from statistics import fmean

from ..core import Conversation, Problem, Status, Verdict, Verifier
from ..responses import without_thinking
from .disguises import visible
from .verifier import FunctionVerifier

Question = tuple[Conversation, str, str]
"""A prompt, the response shown first, the response shown second."""
Prefer = Callable[[Sequence[Question]], list[float]]
"""For each question the probability that the first response is the better one, as asked in this one order."""

MAX_CHARACTERS = 20_000
"""Of a response that is compared; the middle of a longer one is left out."""
GAP = "\n[...]\n"
"""Stands where something was left out."""
REASON = 300

_EMPTY = Verdict(Status.SCORED, 0.0, "pairwise", "the response is empty")


def verifier(prefer: Prefer) -> Verifier:
    """A verifier that compares a response with the problem's answer: a text, a mapping with `reference`, or messages, of which
    the last is meant.

    Its score is the probability that the response is the better one, the mean over both orders. An empty response scores 0; a
    problem without a reference is undecided; what `prefer` raises, or a number that is no probability, is a fault. It can be
    pickled, and works from several threads, where `prefer` does.
    """
    return FunctionVerifier(functools.partial(_against_reference, prefer), _without_reference)


def _reference(problem: Problem) -> str:
    """The response to compare with; empty where there is none."""
    gold = problem.answer.get("reference") if isinstance(problem.answer, dict) else problem.answer
    if isinstance(gold, list | tuple) and gold and isinstance(gold[-1], dict):
        gold = gold[-1].get("content")
    return shown(gold) if isinstance(gold, str) else ""


def _without_reference(problem: Problem) -> str | None:
    return None if _reference(problem) else "the problem has no reference response"


def _against_reference(prefer: Prefer, problem: Problem, response: str) -> Verdict:
    reference = _reference(problem)
    if not reference:
        return Verdict(Status.UNDECIDED, None, "pairwise", "the problem has no reference response")
    said = shown(response)
    if not said:
        return _EMPTY
    try:
        first, second = _asked(prefer, [(problem.prompt, said, reference), (problem.prompt, reference, said)])
    except Exception as error:  # whatever a model or its server raises is ours, not the response's
        return _fault(error)
    better = (first + 1 - second) / 2
    if not math.isfinite(better):
        return Verdict(Status.FAULT, None, "pairwise", f"no probabilities: {first}, {second}")
    reason = f"better with probability {first:.3f} shown first, {1 - second:.3f} shown second"
    return Verdict(Status.SCORED, better, "pairwise", reason)


def round_robin(prefer: Prefer, problem: Problem, responses: Sequence[str]) -> list[Verdict]:
    """Each response of a group against every other: its score is the mean probability to be the better one, over both orders.

    All questions go to `prefer` in one call. Equal texts tie, unasked; an empty response scores 0 and loses to the others. A
    group of one is undecided. Where `prefer` fails, whoever it was asked about has a fault.
    """
    if len(responses) < 2:
        return [Verdict(Status.UNDECIDED, None, "pairwise", "a group of one has no other to beat") for _ in responses]
    texts = [shown(response) for response in responses]
    distinct = list(dict.fromkeys(text for text in texts if text))
    orders = [(first, second) for first in distinct for second in distinct if first != second]
    try:
        told = _asked(prefer, [(problem.prompt, first, second) for first, second in orders])
    except Exception as error:  # as above
        return [_fault(error) if text else _EMPTY for text in texts]
    first_wins = dict(zip(orders, told, strict=True))

    def chance(text: str, other: str) -> float:
        if text == other or not other:
            return 0.5 if other else 1.0
        return (first_wins[text, other] + 1 - first_wins[other, text]) / 2

    def verdict(place: int) -> Verdict:
        text, others = texts[place], texts[:place] + texts[place + 1 :]
        if not text:
            return _EMPTY
        chances = [chance(text, other) for other in others]
        if not all(map(math.isfinite, chances)):
            return Verdict(Status.FAULT, None, "pairwise", f"no probabilities among {chances}"[:REASON])
        won = sum(chance > 0.5 for chance in chances)
        return Verdict(Status.SCORED, fmean(chances), "pairwise", f"better than {won} of {len(others)} others, by both orders")

    return [verdict(place) for place in range(len(texts))]


def shown(response: str, limit: int = MAX_CHARACTERS) -> str:
    """What is compared of a response: without its thinking and what nobody sees, its middle left out where it is longer."""
    return cut(visible(without_thinking(response)).strip(), limit)


def cut(text: str, limit: int) -> str:
    """A text of at most `limit` characters: where it is longer, its middle is left out, which is marked."""
    if len(text) <= limit:
        return text
    kept = max(0, limit - len(GAP))
    return text[: (kept + 1) // 2] + GAP[:limit] + text[len(text) - kept // 2 :]


def _asked(prefer: Prefer, questions: Sequence[Question]) -> list[float]:
    """The probabilities; NaN for a number that is none."""
    told = prefer(questions) if questions else []
    if len(told) != len(questions):
        raise ValueError(f"{len(told)} answers to {len(questions)} questions")
    return [float(chance) if 0 <= chance <= 1 else math.nan for chance in told]


def _fault(error: Exception) -> Verdict:
    return Verdict(Status.FAULT, None, "pairwise", f"{type(error).__name__}: {error}"[:REASON])
