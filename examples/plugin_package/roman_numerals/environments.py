"""The environment: its problems, its verifier, and the function that registers it."""

import random
import re
from collections.abc import Iterator

import tenfold
from tenfold import Problem, Status, Verdict
from tenfold.responses import without_thinking
from tenfold.verifiers import as_verifier

from .numerals import LARGEST, from_roman, to_roman

ID = "roman/Numerals-v0"


def register() -> None:
    """Registers the environment. The entry point `gymnasium.envs` names this function."""
    tenfold.register(
        ID,
        problems="generate:roman_numerals.environments:problems",
        verifier="roman_numerals.environments:verify",
    )


def problems(size: int = 200, seed: int = 0, largest: int = 100) -> Iterator[Problem]:
    """Yields problems that ask for a number as a Roman numeral, each number once, in random order.

    Args:
        size: number of problems, at most.
        seed: seed of the order.
        largest: largest number, at most `LARGEST`; the smallest is 1.
    """
    largest = min(largest, LARGEST)
    numbers = random.Random(seed).sample(range(1, largest + 1), min(size, largest))
    for number in numbers:
        prompt = {"role": "user", "content": f"Write {number} as a Roman numeral."}
        yield Problem(f"roman/{number}", (prompt,), to_roman(number), "roman_numerals")


def invalid_gold(problem: Problem) -> str | None:
    """Returns the reason why the gold answer of a problem cannot be used, or None."""
    return None if from_roman(str(problem.answer)) else f"{problem.answer!r} is not a Roman numeral"


@as_verifier(invalid_gold=invalid_gold, options={"case_sensitive": True})
def verify(problem: Problem, response: str, case_sensitive: bool) -> Verdict:
    """Scores the last word that contains only the letters M, D, C, L, X, V, I. Thinking is ignored.

    Args:
        problem: its answer is the gold numeral.
        response: the text of the policy.
        case_sensitive: if true, lower-case letters are not accepted.
    """
    text = without_thinking(response)
    found = re.findall(r"\b[MDCLXVI]+\b", text if case_sensitive else text.upper())
    if not found:
        return Verdict(Status.SCORED, 0.0, "roman", "no numeral in the response")
    number = from_roman(found[-1])
    if number is None:
        return Verdict(Status.SCORED, 0.0, "roman", f"{found[-1]} is not a valid Roman numeral")
    return Verdict(Status.SCORED, float(found[-1] == problem.answer), "roman", f"{found[-1]} is {number}")
