"""Compares two responses in both orders: a reward for problems that have no gold answer.

    judge = pairwise.verifier(prefer)                # the reference response is the problem's answer
    judge(problem, response)                         # Verdict(SCORED, 0.72, "pairwise", reason)
    pairwise.round_robin(prefer, problem, responses) # each response of a group against every other

`prefer` is a function that may ask a model (`policies/preference.py`, which handles delimiters and the tokens of chat
templates). A model may favour the response that it reads first. Therefore every pair is shown in both orders and the mean
counts. Responses are data: their thinking and invisible characters are removed, they are truncated at `MAX_CHARACTERS`, and an
empty one loses without a comparison.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean

from ..core import Conversation, Problem, Status, Verdict, Verifier
from ..responses import without_thinking
from .disguises import visible
from .verifier import MAX_REASON_CHARACTERS, FunctionVerifier

ResponsePair = tuple[Conversation, str, str]
"""A prompt, the response shown first, the response shown second."""
Prefer = Callable[[Sequence[ResponsePair]], list[float]]
"""Returns for each pair the probability that the first response is the better one, when shown in this order."""

MAX_CHARACTERS = 20_000
"""Maximum number of characters of a response in a comparison. The middle of a longer one is left out. Our choice."""
GAP = "\n[...]\n"
"""Replaces the part that is left out."""

_EMPTY = Verdict(Status.SCORED, 0.0, "pairwise", "the response is empty")


def verifier(prefer: Prefer) -> Verifier:
    """Returns a verifier that compares a response with the problem's answer.

    The answer is a text, a mapping with `reference`, or messages, of which the last is the reference.

    The score is the probability that the response is better than the reference, the mean over both orders. An empty response
    scores 0. A problem without a reference is undecided. If `prefer` raises an exception or returns a number that is not a
    probability, the verdict is a fault. The verifier can be pickled and used from several threads if `prefer` can.
    """
    return FunctionVerifier(functools.partial(_against_reference, prefer), _without_reference)


def _reference(problem: Problem) -> str:
    """Returns the reference response, or an empty text if there is none."""
    gold = problem.answer.get("reference") if isinstance(problem.answer, Mapping) else problem.answer
    if isinstance(gold, list | tuple) and gold and isinstance(gold[-1], Mapping):
        gold = gold[-1].get("content")
    return shown(gold) if isinstance(gold, str) else ""


def _without_reference(problem: Problem) -> str | None:
    return None if _reference(problem) else "the problem has no reference response"


def _against_reference(prefer: Prefer, problem: Problem, response: str) -> Verdict:
    reference = _reference(problem)
    if not reference:
        return Verdict(Status.UNDECIDED, None, "pairwise", "the problem has no reference response")
    text = shown(response)
    if not text:
        return _EMPTY
    try:
        first, second = _compared(prefer, [(problem.prompt, text, reference), (problem.prompt, reference, text)])
    except Exception as error:  # the fault of a model or its server, not of the response
        return _fault(error)
    better = (first + 1 - second) / 2
    if not math.isfinite(better):
        return Verdict(Status.FAULT, None, "pairwise", f"no probabilities: {first}, {second}")
    reason = f"better with probability {first:.3f} shown first, {1 - second:.3f} shown second"
    return Verdict(Status.SCORED, better, "pairwise", reason)


def round_robin(prefer: Prefer, problem: Problem, responses: Sequence[str]) -> list[Verdict]:
    """Compares each response of a group with every other. Its score is the mean probability of being better, over both orders.

    All comparisons go to `prefer` in one call. Equal texts tie without a comparison. An empty response scores 0 and loses to
    the others. A group of one is undecided. If `prefer` fails, every response with a comparison gets a fault.

    Args:
        prefer: compares two responses.
        problem: the problem that the responses answer.
        responses: the group.
    """
    if len(responses) < 2:
        return [Verdict(Status.UNDECIDED, None, "pairwise", "the group has only one response") for _ in responses]
    texts = [shown(response) for response in responses]
    distinct = list(dict.fromkeys(text for text in texts if text))
    orders = [(first, second) for first in distinct for second in distinct if first != second]
    try:
        probabilities = _compared(prefer, [(problem.prompt, first, second) for first, second in orders])
    except Exception as error:  # the fault of a model or its server, not of the responses
        return [_fault(error) if text else _EMPTY for text in texts]
    first_wins = dict(zip(orders, probabilities, strict=True))

    def win_probability(text: str, other: str) -> float:
        if text == other or not other:
            return 0.5 if other else 1.0
        return (first_wins[text, other] + 1 - first_wins[other, text]) / 2

    def verdict(index: int) -> Verdict:
        text, others = texts[index], texts[:index] + texts[index + 1 :]
        if not text:
            return _EMPTY
        wins = [win_probability(text, other) for other in others]
        if not all(map(math.isfinite, wins)):
            return Verdict(Status.FAULT, None, "pairwise", f"no probabilities among {wins}"[:MAX_REASON_CHARACTERS])
        won = sum(probability > 0.5 for probability in wins)
        return Verdict(Status.SCORED, fmean(wins), "pairwise", f"better than {won} of {len(others)} others, by both orders")

    return [verdict(index) for index in range(len(texts))]


def shown(response: str, limit: int = MAX_CHARACTERS) -> str:
    """Returns a response as it is compared: without thinking and invisible characters, at most `limit` characters long."""
    return truncate(visible(without_thinking(response)).strip(), limit)


def truncate(text: str, limit: int) -> str:
    """Returns a text of at most `limit` characters. The middle of a longer text is replaced by GAP."""
    if len(text) <= limit:
        return text
    kept = max(0, limit - len(GAP))
    return text[: (kept + 1) // 2] + GAP[:limit] + text[len(text) - kept // 2 :]


def _compared(prefer: Prefer, pairs: Sequence[ResponsePair]) -> list[float]:
    """Returns the probabilities; NaN in place of a number that is not a probability."""
    probabilities = prefer(pairs) if pairs else []
    if len(probabilities) != len(pairs):
        raise ValueError(f"{len(probabilities)} probabilities for {len(pairs)} pairs")
    return [float(probability) if 0 <= probability <= 1 else math.nan for probability in probabilities]


def _fault(error: Exception) -> Verdict:
    return Verdict(Status.FAULT, None, "pairwise", f"{type(error).__name__}: {error}"[:MAX_REASON_CHARACTERS])
