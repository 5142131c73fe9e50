"""What our grammar does not work out, integrals, limits and infinite sums among it, by sympy and math-verify. Runs in a worker.

The libraries are imported here, at the top, so that a worker has them before the first call's clock starts.
"""

import functools
import re
from fractions import Fraction
from typing import Any

import math_verify
import sympy
from latex2sympy2_extended import latex2sympy

from ..grammar.notation import tidy

_UNBRACED = re.compile(r"\\frac\s*(\d)\s*(\d)")


def equal(gold: str, answer: str) -> bool | None:
    """math-verify's judgement of two texts; None where one does not parse as a whole, or it cannot tell. Runs in a worker."""
    # math-verify's own parser, which refuses what it cannot read to the end: its extraction finds gold answers in garbage.
    # The worker keeps the time: math-verify's own clock is an alarm signal, which fails outside the main thread.
    try:
        first, second = _worked_out(gold), _worked_out(answer)
        if first is None or second is None:
            return None
        expressions = isinstance(first, sympy.Expr) and isinstance(second, sympy.Expr)
        if expressions and _refuted(first, second):
            return False
        same = bool(math_verify.verify([first], [second], timeout_seconds=None))
    except (MemoryError, RecursionError):
        raise
    except Exception:  # sympy raises whatever it likes on odd expressions
        return None
    return same or (None if expressions else False)


@functools.lru_cache(maxsize=4096)
def _worked_out(text: str) -> Any:
    """A LaTeX text as sympy reads it, integrals, limits and sums worked out where sympy can; None where it cannot read it."""
    try:
        parsed = latex2sympy(_UNBRACED.sub(r"\\frac{\1}{\2}", tidy(text)))
    except Exception:  # the parser's, ANTLR's and sympy's own errors, of no common kind
        return None
    if not isinstance(parsed, sympy.Basic | sympy.MatrixBase):
        return None
    return parsed.doit() if parsed.has(sympy.Integral, sympy.Limit, sympy.Sum, sympy.Product, sympy.Derivative) else parsed


def _refuted(first: Any, second: Any) -> bool:
    """Whether two expressions differ, to 30 digits, at fixed points."""
    names = sorted(first.free_symbols | second.free_symbols, key=str)
    for start in (2, 5, 11):
        point = {name: Fraction(start + 3 * place, 7) for place, name in enumerate(names)}
        difference = (first - second).evalf(30, subs={name: float(at) for name, at in point.items()})
        size = max(1.0, abs(complex(second.evalf(15, subs={name: float(at) for name, at in point.items()}))))
        if difference.is_number and abs(complex(difference)) > 1e-12 * size:
            return True
    return False
