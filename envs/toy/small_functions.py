"""Small Python functions to write, made backwards: a program, tests from running it, and last the words that ask for it.

    Write f(x): add 3, times 4.        def f(x):
                                        x+=3
                                        x*=4
                                        return x

A source for `generate:`, small enough for a model of a few hundred thousand weights, and judged like every other coding
problem: by its tests, in the sandbox.
"""

import random
from collections.abc import Iterator

from ...core import Message, Problem, UserError

OPERATIONS = {"add": "+", "take": "-", "times": "*"}
"""What a step is called, and its sign."""
NUMBERS = range(2, 10)
"""What a step is done with."""
PATIENCE = 20
"""As many draws as there are possible ones, times this, without a new one: then there are no more."""
INPUTS = (0, 1, 2, 7, -3, 10)
"""Arguments that are tried; the first is the public test."""

Step = tuple[str, int]


def small_functions(
    size: int = 300, seed: int = 0, part: str = "train", worked: float = 1.0, min_steps: int = 2, max_steps: int = 3
) -> Iterator[Problem]:
    """Distinct problems, with solutions to learn from.

    Args:
        size: problems.
        seed: of the draws.
        part: all, train or held_out; a prompt is always in the same one.
        worked: share of the solutions that take one step after the other. The others write the steps into one expression,
            without brackets, and are wrong where a sum comes before a product.
        min_steps, max_steps: of a function.

    Raises:
        UserError: there are not so many.
    """
    from ..problems.sources import in_part

    draw, said, in_vain = random.Random(seed), set[str](), 0
    possible = sum((len(OPERATIONS) * len(NUMBERS)) ** steps for steps in range(min_steps, max_steps + 1))
    if size > possible:
        raise UserError(f"there are {possible} functions of {min_steps} to {max_steps} steps, not {size}")
    while len(said) < size:
        steps = [(draw.choice([*OPERATIONS]), draw.choice(NUMBERS)) for _ in range(draw.randint(min_steps, max_steps))]
        prompt = "Write f(x): " + ", ".join(f"{name} {number}" for name, number in steps) + "."
        solution = program(steps) if draw.random() < worked else one_line(steps)
        if prompt in said or not in_part(prompt, part):
            in_vain += 1
            if in_vain > PATIENCE * possible:
                raise UserError(f"there are {len(said)} functions of {min_steps} to {max_steps} steps, part={part}, not {size}")
            continue
        in_vain = 0
        said.add(prompt)
        calls = [{"arguments": [x], "output": value(steps, x)} for x in INPUTS]
        answer = {"entry_point": "f", "calls": calls, "public": 1}
        uri = "generate:tenfold.envs.toy.small_functions:small_functions"
        yield Problem(prompt, (Message(role="user", content=prompt),), answer, uri, {"solution": solution})


def value(steps: list[Step], x: int) -> int:
    """What the function gives for x."""
    for name, number in steps:
        x = {"add": x + number, "take": x - number, "times": x * number}[name]
    return x


def program(steps: list[Step]) -> str:
    """A program that takes one step after the other."""
    return "\n".join(["def f(x):", *(f" x{OPERATIONS[name]}={number}" for name, number in steps), " return x"])


def one_line(steps: list[Step]) -> str:
    """The steps as one expression that forgets its brackets."""
    return "def f(x):\n return x" + "".join(f"{OPERATIONS[name]}{number}" for name, number in steps)
