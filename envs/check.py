"""Checks of an environment: Gymnasium's own checker, and a check that gold answers and gold moves score 1."""

import warnings
from collections.abc import Mapping
from typing import Any

from gymnasium.utils.env_checker import check_env

from ..core import Problem, Status, UserError
from . import registry
from .games.game import TextGame
from .text import TextEnv

GOLD_CHECKED = 100
"""Number of problems, from the first, whose gold answer or gold moves are checked. Our choice."""


def check(id: str, options: Mapping[str, object] | None = None) -> None:
    """Checks the environment with the given id.

    Args:
        id: see `registry.make`.
        options: keyword arguments of the environment.

    Raises:
        UserError: a check failed.
    """
    environment = registry.make(id, **(options or {}))
    if isinstance(environment.unwrapped, TextEnv):
        _check_gold(id, environment.unwrapped)
    elif isinstance(environment.unwrapped, TextGame):
        _check_gold_moves(id, environment.unwrapped)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            check_env(environment.unwrapped)
        except (Exception, Warning) as error:
            raise UserError(f"{id} fails Gymnasium's checker: {str(error).strip()}") from None


def _check_gold(id: str, environment: TextEnv) -> None:
    for problem in environment.problems[:GOLD_CHECKED]:
        if "invalid_gold" in problem.meta:
            raise UserError(f"{id}: problem {problem.id} cannot be used: {problem.meta['invalid_gold']}")
        response = gold_response(problem)
        if response is None:
            continue
        verdict = environment.verifier(problem, response)
        if verdict.status != Status.SCORED or verdict.score != 1:
            raise UserError(
                f"{id}: the gold answer of problem {problem.id} does not score 1 but {verdict.score} "
                f"({verdict.status}, by {verdict.method}: {verdict.reason[:200]})"
            )


def _check_gold_moves(id: str, game: TextGame) -> None:
    for index in range(min(GOLD_CHECKED, len(game.problems))):
        game.reset(options={"problem": index})
        reward, ended, info = 0.0, False, dict[str, Any]()
        while not ended:
            _, reward, ended, _, info = game.step(game.gold_move())
        if reward != 1:
            reason = info["verdict"].reason[:200]
            raise UserError(f"{id}: the gold moves of problem {info['problem_id']} do not score 1 but {reward:g} ({reason})")


def gold_response(problem: Problem) -> str | None:
    """Returns a correct response: the gold answer if it is text, a number or a list, else the problem's solution.

    Answers of reasoning-gym are put into the tag that its own prompts ask for, because some have several lines.
    Returns None if the problem has no solution, as is the case for most instruction-following problems.
    """
    if isinstance(problem.answer, list) and problem.answer:
        return f"\\boxed{{{problem.answer[0]}}}"
    if isinstance(problem.answer, str) and problem.source.startswith("reasoning_gym:"):
        return f"<answer>{problem.answer}</answer>"
    if isinstance(problem.answer, str | int | float):
        return str(problem.answer)
    solution = problem.meta.get("solution")
    return None if solution is None else str(solution)
