"""Correct responses: from a gold answer or a solution, or as a move of a game."""

from typing import Protocol, runtime_checkable

from ..core import Problem, Verdict, Verifier
from ..verifiers.rewards.weighted import WeightedVerifier


def gold_response(problem: Problem) -> str | None:
    """Returns a correct response: the gold answer if it is text or a number, else the problem's solution.

    If the answer is a list, each item is a gold answer, and the first one is returned in a box. Answers of reasoning-gym are
    put into the tag that its own prompts ask for, because some have several lines.
    Returns None if the problem has no solution, as is the case for most instruction-following problems.
    """
    if isinstance(problem.answer, list) and problem.answer and isinstance(problem.answer[0], str | int | float):
        return f"\\boxed{{{problem.answer[0]}}}"
    if isinstance(problem.answer, str) and problem.source.startswith("reasoning_gym:"):
        return f"<answer>{problem.answer}</answer>"
    if isinstance(problem.answer, str | int | float):
        return str(problem.answer)
    solution = problem.meta.get("solution")
    return None if solution is None else str(solution)


def is_right(verdict: Verdict, verifier: Verifier) -> bool:
    """True if a verdict has the score 1. Parts that read only the response do not count: they judge its form, not the answer.

    If all parts are of this kind, the verdict's own score decides.
    """
    inputs = (
        {part.name: getattr(part.verifier, "inputs", ()) for part in verifier.parts}
        if isinstance(verifier, WeightedVerifier)
        else {}
    )
    scores = [part.score for part in verdict.parts if part.name in inputs and inputs[part.name] != ("response",)]
    return all(score == 1 for score in scores or [verdict.score])


@runtime_checkable
class SupportsGoldMove(Protocol):
    """An environment of several turns that knows a right move."""

    def gold_move(self) -> str:
        """Returns a move that leads to a score of 1, if all earlier moves of the episode were gold moves."""
        ...
