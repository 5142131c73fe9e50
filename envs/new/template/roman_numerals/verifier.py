"""The verifier: it judges the numeral in the last line of a response."""

import re

from tenfold import Problem, Status, Verdict
from tenfold.responses import without_thinking
from tenfold.verifiers import as_verifier

from .numerals import from_roman

NAME = "roman_numerals"
"""The method that a verdict names."""


def invalid_gold(problem: Problem) -> str | None:
    """Returns the reason why the gold answer of a problem cannot be used, or None."""
    return None if from_roman(str(problem.answer)) else f"{problem.answer!r} is not a Roman numeral"


@as_verifier(invalid_gold=invalid_gold)
def verify(problem: Problem, response: str) -> Verdict:
    """Scores 1 if the last line has exactly one numeral, and this is the gold answer. Thinking is ignored.

    Args:
        problem: its answer is the gold numeral.
        response: the text of the policy.
    """
    lines = without_thinking(response).strip().splitlines()
    found = set(re.findall(r"\b[MDCLXVI]+\b", lines[-1])) if lines else set()
    if len(found) != 1:
        return Verdict(Status.SCORED, 0.0, NAME, f"{len(found)} numerals in the last line")
    (numeral,) = found
    number = from_roman(numeral)
    if number is None:
        return Verdict(Status.SCORED, 0.0, NAME, f"{numeral[:40]} is not a valid Roman numeral")
    return Verdict(Status.SCORED, float(numeral == problem.answer), NAME, f"{numeral} is {number}")
