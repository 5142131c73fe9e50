"""Sums of a few small numbers from reasoning-gym, with solutions that add the terms step by step."""

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from typing import cast

from ...core import Problem, UserError
from ..problems import sources
from ..problems.parts import integer


def chain_sums_with_solutions(
    size: int = 1000,
    seed: int = 0,
    worked: float = 1.0,
    min_terms: int = 3,
    max_terms: int = 4,
    digits: int = 1,
    thinking: bool = False,
    echoed: float = 0.0,
) -> Iterator[Problem]:
    """Yields chain sums of the training part, with solutions to train on. Used as `generate:...:chain_sums_with_solutions`.

    Args:
        size: number of problems.
        seed: seed of the generator.
        worked: share of the solutions that add the terms one by one; the others contain only the result. A hash of the
            problem's id selects them.
        min_terms: minimum number of terms of a sum.
        max_terms: maximum number of terms of a sum.
        digits: number of digits of a term.
        thinking: if true, the solution contains only the result, and `thinking` contains the steps, with a `summary`.
        echoed: share of the solutions that only repeat the sum, such as "8 - 9 + 8"; for experiments with verifiers that accept
            this.

    Raises:
        UserError: an argument is invalid.
    """
    integer("size", size, 1)
    integer("max_terms", max_terms, integer("min_terms", min_terms, 2))  # one term has no steps
    if not isinstance(worked, int | float) or not 0 <= worked <= 1:
        raise UserError(f"worked: expected a number from 0 to 1, got {worked!r:.100}")
    if not isinstance(echoed, int | float) or not 0 <= echoed <= 1:
        raise UserError(f"echoed: expected a number from 0 to 1, got {echoed!r:.100}")
    uri = (
        f"reasoning_gym:chain_sum?part=train&size={size}&seed={seed}&min_terms={min_terms}&max_terms={max_terms}"
        f"&min_digits={digits}&max_digits={digits}"
    )
    for problem in sources.load(uri):
        metadata = cast(Mapping[str, str], problem.meta["metadata"])
        share = _share(f"worked {problem.id}")
        steps = "\n".join(_running_sums(metadata["expression"]))
        fields = {"solution": steps if share < worked else problem.answer}
        if _share(f"echoed {problem.id}") < echoed:
            fields = {"solution": metadata["expression"]}
        elif thinking:
            fields = {"solution": problem.answer, "thinking": steps, "summary": "Add the terms up from left to right."}
        yield dataclasses.replace(problem, meta={**problem.meta, **fields})


def _share(text: str) -> float:
    """Returns a number from 0 to 1 that depends on a text only."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 16**8


def _running_sums(expression: str) -> Iterator[str]:
    """Yields the steps of a sum: for "8 - 9 + 8" the lines "8-9=-1" and "-1+8=7"."""
    first, *rest = expression.split()
    total = int(first)
    for sign, term in zip(rest[::2], rest[1::2], strict=True):
        before = total
        total += int(term) if sign == "+" else -int(term)
        yield f"{before}{sign}{term}={total}"
