"""Sums of a few small numbers, with solutions that add them up step by step. The sums are reasoning-gym's."""

import dataclasses
import hashlib
from collections.abc import Iterator

from ...core import Problem
from ..problems import sources


def chain_sums_with_solutions(
    size: int = 1000,
    seed: int = 0,
    worked: float = 1.0,
    min_terms: int = 3,
    max_terms: int = 4,
    digits: int = 1,
    thinking: bool = False,
) -> Iterator[Problem]:
    """reasoning-gym's chain sums of the training part, with solutions to learn from: a source for `generate:`.

    Args:
        size: problems.
        seed: of the generator.
        worked: share of the solutions that add the terms up one by one; the others only state the result. Which is
            which depends on the problem's own text.
        min_terms, max_terms: terms of a sum.
        digits: digits of a term.
        thinking: the solutions state the result, and what adds the terms up is kept apart, as thinking, with a summary.
    """
    uri = (
        f"reasoning_gym:chain_sum?part=train&size={size}&seed={seed}&min_terms={min_terms}&max_terms={max_terms}"
        f"&min_digits={digits}&max_digits={digits}"
    )
    for problem in sources.load(uri):
        share = int(hashlib.sha256(f"worked {problem.id}".encode()).hexdigest()[:8], 16) / 16**8
        steps = "\n".join(_running_sums(problem.meta["metadata"]["expression"]))
        told = {"solution": steps if share < worked else problem.answer}
        if thinking:
            told = {"solution": problem.answer, "thinking": steps, "summary": "Add the terms up from left to right."}
        yield dataclasses.replace(problem, meta={**problem.meta, **told})


def _running_sums(expression: str) -> Iterator[str]:
    """ "8 - 9 + 8" as "8-9=-1", "-1+8=7"."""
    first, *rest = expression.split()
    total = int(first)
    for sign, term in zip(rest[::2], rest[1::2], strict=True):
        before = total
        total += int(term) if sign == "+" else -int(term)
        yield f"{before}{sign}{term}={total}"
