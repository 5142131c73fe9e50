"""Coding problems about small Python functions. The function is generated first, then its tests and its prompt.

    Write f(x): add 3, times 4.        def f(x):
                                        x+=3
                                        x*=4
                                        return x

A source for `generate:`. A model of a few hundred thousand parameters can learn it. Its problems are judged like other coding
problems: by tests in the sandbox.
"""

import random
from collections.abc import Iterator

from ...core import Message, Problem, UserError
from ..problems.parts import in_part, integer

OPERATIONS = {"add": "+", "take": "-", "times": "*"}
"""The operator of each step, by its name in the prompt."""
NUMBERS = range(2, 10)
"""The second operands of a step."""
MAX_REPEATS = 20
"""Give up after `MAX_REPEATS` x (number of possible functions) consecutive draws without a new function. Our choice."""
INPUTS = (0, 1, 2, 7, -3, 10)
"""Arguments of the tests; the first is the public test."""

Step = tuple[str, int]


def small_functions(
    size: int = 300, seed: int = 0, part: str = "train", worked: float = 1.0, min_steps: int = 2, max_steps: int = 3
) -> Iterator[Problem]:
    """Yields distinct problems, with solutions to train on.

    Args:
        size: number of problems.
        seed: seed of the random choices.
        part: all, train or held_out; see `parts.in_part`.
        worked: share of the solutions with one statement for each step. The others put all steps in one expression without
            brackets, which is incorrect if an addition or subtraction comes before a multiplication.
        min_steps: minimum number of steps of a function.
        max_steps: maximum number of steps of a function.

    Raises:
        UserError: an argument is invalid, or there are fewer than `size` problems.
    """
    integer("size", size, 1)
    integer("min_steps", min_steps, 1)
    integer("max_steps", max_steps, min_steps)
    if not isinstance(worked, int | float) or not 0 <= worked <= 1:
        raise UserError(f"worked: expected a number from 0 to 1, got {worked!r:.80}")
    rng, prompts, repeats = random.Random(seed), set[str](), 0
    possible = sum((len(OPERATIONS) * len(NUMBERS)) ** steps for steps in range(min_steps, max_steps + 1))
    if size > possible:
        raise UserError(f"size={size}: there are only {possible} functions of {min_steps} to {max_steps} steps")
    while len(prompts) < size:
        steps = [(rng.choice([*OPERATIONS]), rng.choice(NUMBERS)) for _ in range(rng.randint(min_steps, max_steps))]
        prompt = "Write f(x): " + ", ".join(f"{name} {number}" for name, number in steps) + "."
        solution = program(steps) if rng.random() < worked else one_line(steps)
        if prompt in prompts or not in_part(prompt, part):
            repeats += 1
            if repeats > MAX_REPEATS * possible:
                found = f"{len(prompts)} functions of {min_steps} to {max_steps} steps in part={part}"
                raise UserError(f"size={size}: there are only {found}")
            continue
        repeats = 0
        prompts.add(prompt)
        calls = [{"arguments": [x], "output": value(steps, x)} for x in INPUTS]
        answer = {"entry_point": "f", "calls": calls, "public": 1}
        uri = "generate:tenfold.envs.toy.small_functions:small_functions"
        yield Problem(prompt, (Message(role="user", content=prompt),), answer, uri, {"solution": solution})


def value(steps: list[Step], x: int) -> int:
    """Returns the value of the function at x."""
    for name, number in steps:
        x = {"add": x + number, "take": x - number, "times": x * number}[name]
    return x


def program(steps: list[Step]) -> str:
    """Returns a program with one statement for each step."""
    return "\n".join(["def f(x):", *(f" x{OPERATIONS[name]}={number}" for name, number in steps), " return x"])


def one_line(steps: list[Step]) -> str:
    """Returns a program with all steps in one expression without brackets."""
    return "def f(x):\n return x" + "".join(f"{OPERATIONS[name]}{number}" for name, number in steps)
