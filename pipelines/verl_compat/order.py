"""The order in which a GRPO stage plays its problems: a function of the seed and the step, of nothing else.

A step begins with its own batch: the stage goes through its problems pass by pass, each pass shuffled. After the batch come the
problems that replace a group that GRPO cannot learn from (`replay.py`). No problem comes twice in a step before all others have
come. Then they come again, as another attempt, whose samples have other seeds.

What was replaced in one step changes nothing in the next one, so that a run that was killed goes on with the same problems.
"""

import dataclasses
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


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Which sample of a run an episode is."""

    problem: int
    sample: int
    """Of the problem's group."""
    step: int
    attempt: int
    """How often the problem had come in this step before."""

    @property
    def is_first(self) -> bool:
        """Whether it is one of the samples that a filter may have made already."""
        return self.step == 1 and self.attempt == 0

    def key(self, problem_id: str) -> str:
        """Names the problem and the occasion for `sample_seed`."""
        return f"{problem_id}/{self.step}" + (f".{self.attempt}" if self.attempt else "")


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
