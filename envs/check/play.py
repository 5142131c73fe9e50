"""How the checks play an environment."""

import time
from collections.abc import Callable
from typing import Any

from ...core import Status, Verdict
from ...policies.play.games import count_problems, verdict_of
from .subject import Environment, Subject

MOST_TURNS = 1_000
"""Number of turns after which an episode is not played further. Our choice."""


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


def episode(subject: Subject, index: int, move: Callable[[], str]) -> Verdict:
    """Returns the verdict on an episode, and stores the time of the step that returned it.

    Args:
        subject: the environment.
        index: index of the problem.
        move: returns the policy's next turn.
    """
    reset(subject.environment, index)
    total = 0.0
    for _ in range(MOST_TURNS):
        response = move()
        started = time.perf_counter()
        _, reward, terminated, truncated, info = subject.environment.step(response)
        ended = time.perf_counter()
        total += float(reward)
        if terminated or truncated:
            subject.seconds.append(ended - started)
            break
    return verdict_of(info, total)  # type: ignore[arg-type]


def verdict(subject: Subject, index: int, response: str) -> Verdict:
    """Returns the verdict on an episode in which each turn is `response`.

    Raises:
        Fault: the verdict is a fault.
    """
    return without_fault(episode(subject, index, lambda: response))


def without_fault(verdict: Verdict) -> Verdict:
    """Returns a verdict.

    Raises:
        Fault: it is a fault.
    """
    if verdict.status == Status.FAULT:
        raise Fault(verdict.reason)
    return verdict
