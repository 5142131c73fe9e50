"""The order in which a GRPO stage plays its problems: a function of the seed and the step, of nothing else.

A step begins with its own batch: the stage goes through its problems pass by pass, each pass shuffled. After the batch come the
problems that replace a group that GRPO cannot learn from (`replay.py`). No problem comes twice in a step before all others have
come. Then they come again, as another attempt, whose draws have other seeds.

What was replaced in one step changes nothing in the next one, so that a run that was killed goes on with the same problems.
"""

import itertools
import random
from collections.abc import Iterator
from typing import NamedTuple


class Turn(NamedTuple):
    """A problem's turn within a step."""

    problem: int
    """Its place among the stage's problems."""
    attempt: int
    """How often it had its turn in this step before."""


def batch(problems: int, size: int, seed: int, step: int) -> list[int]:
    """The problems that a step begins with.

    Args:
        problems: how many the stage has; no fewer than `size`.
        size: problems a step.
        seed: of the stage.
        step: from 1.
    """
    a_pass = problems // size * size  # no problem twice in a step
    number, start = divmod((step - 1) * size, a_pass)
    return random.Random(f"{seed}/{number}").sample(range(problems), a_pass)[start : start + size]


def turns(problems: int, size: int, seed: int, step: int) -> Iterator[Turn]:
    """The problems of a step and those that take the place of others in it, without end; the arguments are those of `batch`."""
    first = batch(problems, size, seed, step)
    chosen = set(first)
    order = random.Random(f"{seed}/{step}/replacements")
    others = [problem for problem in range(problems) if problem not in chosen]
    yield from (Turn(problem, 0) for problem in [*first, *order.sample(others, len(others))])
    for attempt in itertools.count(1):
        yield from (Turn(problem, attempt) for problem in order.sample(range(problems), problems))
