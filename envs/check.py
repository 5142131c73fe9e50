"""Is an environment fit to train on? Gymnasium's own checker, and the one question it cannot ask: does the gold answer win?"""

import warnings
from typing import Any

from gymnasium.utils.env_checker import check_env

from ..core import Problem, Status, UserError
from . import registry
from .text import TextEnv

GOLD_CHECKED = 100
"""Problems whose gold answer is tried; the first ones."""


def check(id: str, options: dict[str, Any] | None = None) -> None:
    """Checks the environment of that id.

    Args:
        id: as `registry.make` takes it.
        options: keyword arguments for the environment.

    Raises:
        UserError: what does not hold, in one line.
    """
    environment = registry.make(id, **(options or {}))
    if isinstance(environment.unwrapped, TextEnv):
        _check_gold(id, environment.unwrapped)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            check_env(environment.unwrapped)
        except (Exception, Warning) as problem:
            raise UserError(f"{id} is no fit Gymnasium environment: {str(problem).strip()}") from None


def _check_gold(id: str, environment: TextEnv) -> None:
    for problem in environment.problems[:GOLD_CHECKED]:
        if "invalid_gold" in problem.meta:
            raise UserError(f"{id}: the gold answer of problem {problem.id} does not score 1: {problem.meta['invalid_gold']}")
        response = gold_response(problem)
        if response is None:
            continue
        verdict = environment.verifier(problem, response)
        if verdict.status != Status.SCORED or verdict.score != 1:
            raise UserError(
                f"{id}: the gold answer of problem {problem.id} does not score 1 but {verdict.score} "
                f"({verdict.status}, by {verdict.method}: {verdict.reason[:200]})"
            )


def gold_response(problem: Problem) -> str | None:
    """What a policy that knows the answer would say: the answer where that is text, a number or a list, else the solution.

    None where nobody wrote one down: instructions, say, come without a response that keeps to them.
    """
    if isinstance(problem.answer, list) and problem.answer:
        return f"\\boxed{{{problem.answer[0]}}}"
    if isinstance(problem.answer, str | int | float):
        return str(problem.answer)
    return problem.meta.get("solution")
