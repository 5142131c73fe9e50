"""Mathematics environments: arithmetic from reasoning-gym's generators, grade-school word problems from the hub."""

import dataclasses
import hashlib
from collections.abc import Iterator
from typing import Any

from ..core import Problem

ENVIRONMENTS: dict[str, dict[str, Any]] = {
    "tenfold/ChainSum-v0": {
        "problems": "reasoning_gym:chain_sum?part=train&size=1000&seed=2&min_terms=3&max_terms=4&min_digits=1&max_digits=1",
        "verifier": "math",
    },
    "tenfold/BasicArithmetic-v0": {
        "problems": "reasoning_gym:basic_arithmetic?part=train&size=500&min_terms=2&max_terms=2&min_digits=1&max_digits=1",
        "verifier": "math",
    },
    "tenfold/GSM8K-v0": {
        "problems": "hf:openai/gsm8k?name=main&split=train&answer_after=%23%23%23%23",
        "verifier": "math",
        "template": "{prompt}\n\nReason step by step and put the final answer in \\boxed{}.",
    },
}


def chain_sums_with_solutions(
    size: int = 1000, seed: int = 0, worked: float = 1.0, min_terms: int = 3, max_terms: int = 4, digits: int = 1
) -> Iterator[Problem]:
    """reasoning-gym's chain sums of the training part, with solutions to learn from: a source for `generate:`.

    Args:
        size: problems.
        seed: of the generator.
        worked: share of the solutions that add the terms up one by one; the others only state the result. Which is
            which depends on the problem's own text.
        min_terms, max_terms: terms of a sum.
        digits: digits of a term.
    """
    from . import problems

    uri = (
        f"reasoning_gym:chain_sum?part=train&size={size}&seed={seed}&min_terms={min_terms}&max_terms={max_terms}"
        f"&min_digits={digits}&max_digits={digits}"
    )
    for problem in problems.load(uri):
        share = int(hashlib.sha256(f"worked {problem.id}".encode()).hexdigest()[:8], 16) / 16**8
        steps = "\n".join(_running_sums(problem.meta["metadata"]["expression"]))
        solution = steps if share < worked else problem.answer
        yield dataclasses.replace(problem, meta={**problem.meta, "solution": solution})


def _running_sums(expression: str) -> Iterator[str]:
    """ "8 - 9 + 8" as "8-9=-1", "-1+8=7"."""
    first, *rest = expression.split()
    total = int(first)
    for sign, term in zip(rest[::2], rest[1::2], strict=True):
        before = total
        total += int(term) if sign == "+" else -int(term)
        yield f"{before}{sign}{term}={total}"
