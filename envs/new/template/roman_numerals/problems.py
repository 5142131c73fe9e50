"""The problems, with worked solutions and near misses."""

import random
from collections.abc import Iterator

from tenfold import Problem, UserError
from tenfold.core import Message

from .numerals import LARGEST, SIGNS, to_roman

SOURCE = "roman_numerals"
PROMPT = "Write {number} as a Roman numeral. The last line of your answer must have no other numeral."
HELD_OUT = 5
"""Every fifth number is held out from training."""


def problems(part: str = "train", size: int = 200, seed: int = 0, largest: int = 400) -> Iterator[Problem]:
    """Yields problems that ask for a number as a Roman numeral, each number once, in random order.

    Args:
        part: "train" or "held_out".
        size: number of problems, at most.
        seed: seed of the order.
        largest: largest number, at most `LARGEST`; the smallest is 1.

    Raises:
        UserError: there is no such part.
    """
    if part not in ("train", "held_out"):
        raise UserError(f"part: expected train or held_out, got {part!r}")
    numbers = [n for n in range(1, min(largest, LARGEST) + 1) if (n % HELD_OUT == 0) == (part == "held_out")]
    for number in random.Random(seed).sample(numbers, min(size, len(numbers))):
        yield problem(number)


def problem(number: int) -> Problem:
    """Returns the problem that asks for a number as a Roman numeral."""
    prompt = Message(role="user", content=PROMPT.format(number=number))
    meta = {"solution": solution(number), "near_misses": near_misses(number)}
    return Problem(f"{SOURCE}/{number}", (prompt,), to_roman(number), SOURCE, meta)


def solution(number: int) -> str:
    """Returns a worked solution."""
    left, steps = number, []
    for sign, value in SIGNS.items():
        while left >= value:
            left -= value
            steps.append(f"{value} is {sign}")
    return f"{', '.join(steps)}.\n{to_roman(number)}"


def near_misses(number: int) -> list[str]:
    """Returns incorrect answers that a lenient verifier might accept."""
    gold = to_roman(number)
    additive, left = "", number
    for sign, value in SIGNS.items():
        if len(sign) == 1:
            count, left = divmod(left, value)
            additive += sign * count
    other = to_roman(number + 1 if number < LARGEST else number - 1)
    misses = [additive, gold.lower(), other, f"{gold} or {other}", f"{other} or {gold}", str(number), f"{gold}\n{other}"]
    return [miss for miss in misses if miss != gold]
