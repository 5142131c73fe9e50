"""Comparison by sympy and math-verify, for LaTeX outside the grammar, integrals, limits and infinite sums. Runs in a worker.

The libraries are imported at the top, so that a worker has them before the time of the first call starts.
"""

import functools
import re
from fractions import Fraction

import math_verify
import sympy
from latex2sympy2_extended import latex2sympy

from ..grammar.notation import normalize

_UNBRACED = re.compile(r"\\frac\s*(\d)\s*(\d)")


def equal(gold: str, answer: str) -> bool | None:
    """Returns math-verify's comparison of two texts. None if a text does not parse as a whole, or it is undecided."""
    # math-verify's comparison and its parser are used, but not its extraction, which finds gold answers in meaningless text.
    # The worker limits the time: math-verify's own time limit is an alarm signal, which fails outside the main thread.
    try:
        first, second = _evaluated(gold), _evaluated(answer)
        if first is None or second is None:
            return None
        expressions = isinstance(first, sympy.Expr) and isinstance(second, sympy.Expr)
        if expressions and _differ(first, second):
            return False
        same = bool(math_verify.verify([first], [second], timeout_seconds=None))
    except (MemoryError, RecursionError):
        raise
    except Exception:  # sympy raises errors of many kinds on unusual expressions
        return None
    return same or (None if expressions else False)


@functools.lru_cache(maxsize=4096)
def _evaluated(text: str) -> "sympy.Basic | sympy.MatrixBase | None":
    """Returns a LaTeX text as a sympy expression, with integrals, limits and sums computed if possible. None if unreadable."""
    try:
        parsed = latex2sympy(_UNBRACED.sub(r"\\frac{\1}{\2}", normalize(text)))
    except Exception:  # errors of the parser, ANTLR and sympy without a common base class
        return None
    if not isinstance(parsed, sympy.Basic | sympy.MatrixBase):
        return None
    return parsed.doit() if parsed.has(sympy.Integral, sympy.Limit, sympy.Sum, sympy.Product, sympy.Derivative) else parsed


def _differ(first: "sympy.Expr", second: "sympy.Expr") -> bool:
    """True if two expressions differ at fixed points, computed with 30 digits."""
    names = sorted(first.free_symbols | second.free_symbols, key=str)
    for start in (2, 5, 11):
        point = {name: Fraction(start + 3 * position, 7) for position, name in enumerate(names)}
        difference = (first - second).evalf(30, subs={name: float(at) for name, at in point.items()})
        size = max(1.0, abs(complex(second.evalf(15, subs={name: float(at) for name, at in point.items()}))))
        if difference.is_number and abs(complex(difference)) > 1e-12 * size:
            return True
    return False
