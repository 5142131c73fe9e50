"""How the checks play an environment."""

import dataclasses
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium

from ...core import Status, Verdict
from ...policies.play.games import count_problems, verdict_of
from .. import registry

MOST_TURNS = 1_000
"""Number of turns after which an episode is not played further. Our choice."""

Environment = gymnasium.Env[str, str]


@dataclasses.dataclass(frozen=True)
class Make:
    """Makes the environment to check, without warnings."""

    id: str
    options: Mapping[str, object]

    def __call__(self) -> Environment:
        """Returns a new environment."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return registry.make(self.id, **self.options)


class Fault(Exception):
    """A verdict is a fault. The message is the verdict's reason."""


def first_step(environment: Environment) -> dict[str, Any]:
    """Returns what one step of the environment gives for a fixed seed and action, as JSON values."""
    options = {"problem": 0} if count_problems(environment, 1) else None
    text, info = environment.reset(seed=3, options=options)
    reply, reward, terminated, truncated, last = environment.step("The answer is 7.")
    # A NaN would not equal itself; the score is None then.
    score = verdict_of(last, float(reward)).score  # type: ignore[arg-type]
    return {
        "observation": text,
        "problem_id": str(info.get("problem_id", "")),
        "reply": reply,
        "score": score,
        "terminated": bool(terminated),
        "truncated": bool(truncated),
    }


def reset(environment: Environment, index: int) -> tuple[str, str]:
    """Poses a problem; returns the observation and the problem's id."""
    text, info = environment.reset(seed=index, options={"problem": index})
    return text, str(info.get("problem_id", index))


def episode(environment: Environment, index: int, move: Callable[[], str]) -> Verdict:
    """Returns the verdict on an episode.

    Args:
        environment: the environment.
        index: index of the problem.
        move: returns the policy's next turn.
    """
    reset(environment, index)
    total = 0.0
    for _ in range(MOST_TURNS):
        _, reward, terminated, truncated, info = environment.step(move())
        total += float(reward)
        if terminated or truncated:
            break
    return verdict_of(info, total)  # type: ignore[arg-type]


def verdict(environment: Environment, index: int, response: str) -> Verdict:
    """Returns the verdict on an episode in which each turn is `response`.

    Raises:
        Fault: the verdict is a fault.
    """
    return without_fault(episode(environment, index, lambda: response))


def without_fault(verdict: Verdict) -> Verdict:
    """Returns a verdict.

    Raises:
        Fault: it is a fault.
    """
    if verdict.status == Status.FAULT:
        raise Fault(verdict.reason)
    return verdict


def score(environment: Environment, index: int, response: str) -> float | None:
    """Returns the score of an episode in which each turn is `response`; None if the verdict has no score. See `verdict`."""
    return verdict(environment, index, response).score
