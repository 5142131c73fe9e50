"""When two values that programs returned, or two texts that they printed, are the same.

Where a problem names no tolerance, returned floats are compared about as evalplus compares them, in lists, too: see `usually`.
Printed numbers are compared as LiveCodeBench compares them: by value, in lines that hold nothing else (0.50 is 0.5, and 3.0 is
3). Printed fractions have the same tolerance as returned ones; APPS and TACO allow 1e-5.
"""

import json
import math
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

Close = Callable[[float, float], bool]
"""Whether a float is near enough to the expected one, which comes first."""

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_PADDED = re.compile(r"[+-]?0[0-9]")


def exactly(expected: float, given: float) -> bool:
    """Equality alone."""
    return expected == given


def usually(expected: float, given: float) -> bool:
    """Within 1e-6, of large numbers within their 1e-9; of small ones the first digit has to be right, too."""
    apart, size = abs(expected - given), abs(expected)
    return expected == given or (apart <= max(1e-6, 1e-9 * size) and apart <= max(1e-12, 0.1 * size) and math.isfinite(apart))


def within(tolerance: float | None) -> Close:
    """Relatively or absolutely within a tolerance; `usually` where there is none."""
    if tolerance is None:
        return usually
    return lambda expected, given: math.isclose(expected, given, rel_tol=tolerance, abs_tol=tolerance)


def same(expected: Any, form: Any, close: Close = exactly, unordered: bool = False) -> bool:
    """Whether two forms (see `wire.encode`) say the same value, of the same type.

    Args:
        expected: the form that is wanted.
        form: the form that a program sent.
        close: when two floats agree.
        unordered: whether lists and tuples compare as multisets.
    """
    if isinstance(expected, float) and isinstance(form, float):
        return close(expected, form) or (math.isnan(expected) and math.isnan(form))
    if type(expected) is not type(form):
        return False
    if isinstance(expected, list):
        if len(expected) != len(form):
            return False
        if unordered:
            expected, form = sorted(expected, key=_order), sorted(form, key=_order)
        return all(same(a, b, close, unordered) for a, b in zip(expected, form, strict=True))
    if isinstance(expected, dict):
        if expected.keys() != form.keys():
            return False
        ((kind, content),) = expected.items()
        other = form[kind]
        if kind == "object":
            return False
        if kind in ("set", "frozenset", "dict") and isinstance(other, list) and len(other) == len(content):
            content, other = sorted(content, key=_order), sorted(other, key=_order)
            return same(content, other, close)
        return same(content, other, close, unordered)
    return bool(expected == form)


def _order(form: Any) -> str:
    return json.dumps(form)


def same_output(expected: str, printed: str, tolerance: float | None = None) -> bool:
    """Whether two outputs agree word by word, line by line; spaces at the ends of lines and of the text do not count.

    Args:
        expected: what is to be printed.
        printed: what a program printed.
        tolerance: how far two numbers may lie apart, relatively or absolutely, whatever else stands in their lines. Without
            one, numbers agree in lines of nothing but numbers: by value, and fractions `usually`.
    """
    wanted, got = ([line.split() for line in text.strip().splitlines()] for text in (expected, printed))
    if [len(line) for line in wanted] != [len(line) for line in got]:
        return False
    agree = _same_numbers if tolerance is None else _near(within(tolerance))
    return all(want == have or agree(want, have) for want, have in zip(wanted, got, strict=True))


def _near(close: Close) -> Callable[[list[str], list[str]], bool]:
    def agree(a: str, b: str) -> bool:
        return a == b or bool(_NUMBER.fullmatch(a) and _NUMBER.fullmatch(b) and close(float(a), float(b)))

    return lambda want, have: all(map(agree, want, have))


def _same_numbers(want: list[str], have: list[str]) -> bool:
    """Whether two lines are numbers, and each agrees with its own."""
    return all(map(_NUMBER.fullmatch, (*want, *have))) and all(map(_same_number, want, have))


def _same_number(want: str, have: str) -> bool:
    if want == have:
        return True
    integer = _INTEGER.fullmatch(want), _INTEGER.fullmatch(have)
    if all(integer) or _PADDED.match(want) or _PADDED.match(have):  # 011 is no way to write 11
        return False
    if Decimal(want) == Decimal(have):
        return True
    floats = float(want), float(have)
    return not any(integer) and all(map(math.isfinite, floats)) and usually(*floats)
