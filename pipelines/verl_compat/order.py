"""The order of problems in a GRPO stage, which depends only on the seed and the step.

A step begins with its own batch. The batches go through the problems in passes, and each pass is shuffled. A pass leaves out
the last problems if they do not fill a batch. After the batch come the problems that replace groups without a gradient
(`replay.py`). No problem is repeated within a step before all other problems have been used. A repetition is another attempt,
and its samples have other seeds.

Replacements in one step do not affect the next step, so a run that was killed resumes with the same problems.
"""

import dataclasses
import functools
import itertools
import random
from array import array
from collections.abc import Iterator
from typing import NamedTuple


class Attempt(NamedTuple):
    """A problem in a step."""

    problem: int
    """Index of the problem in the stage."""
    number: int
    """Number of earlier attempts at the problem in the step."""


@dataclasses.dataclass(frozen=True, slots=True)
class SampleId:
    """The identification of a sample within a run."""

    problem: int
    """Index of the problem in the environment."""
    sample: int
    """Sample number within the group."""
    step: int
    attempt: int
    """Number of earlier attempts at the problem in the step."""

    @property
    def may_be_reused(self) -> bool:
        """True if a filter may already have made this sample: in the first attempt of the first step."""
        return self.step == 1 and self.attempt == 0

    def seed_key(self, problem_id: str) -> str:
        """Returns the problem id with the step and the attempt, as `sample_seed` needs it."""
        return f"{problem_id}/{self.step}" + (f".{self.attempt}" if self.attempt else "")


def batch(problems: int, size: int, seed: int, step: int) -> list[int]:
    """Returns the problems with which a step begins.

    Args:
        problems: number of problems in the stage; at least `size`.
        size: problems per step.
        seed: base seed of the stage.
        step: number of the step, from 1.
    """
    in_pass = problems // size * size  # a multiple of `size`, so that no step has a problem twice
    number, start = divmod((step - 1) * size, in_pass)
    return _pass(problems, in_pass, f"{seed}/{number}")[start : start + size].tolist()


@functools.lru_cache(1)
def _pass(problems: int, in_pass: int, seed: str) -> "array[int]":
    """Returns the problems of a pass. It is kept for the next step, because shuffling a million problems takes a second."""
    return array("q", random.Random(seed).sample(range(problems), in_pass))


def attempts(problems: int, size: int, seed: int, step: int) -> Iterator[Attempt]:
    """Yields the problems of a step, then replacements without end.

    Args:
        problems: number of problems in the stage; at least `size`.
        size: problems per step.
        seed: base seed of the stage.
        step: number of the step, from 1.
    """
    first = batch(problems, size, seed, step)
    yield from (Attempt(problem, 0) for problem in first)
    chosen = set(first)
    generator = random.Random(f"{seed}/{step}/replacements")
    others = [problem for problem in range(problems) if problem not in chosen]
    yield from (Attempt(problem, 0) for problem in generator.sample(others, len(others)))
    for number in itertools.count(1):
        yield from (Attempt(problem, number) for problem in generator.sample(range(problems), problems))
