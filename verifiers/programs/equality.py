"""Equality of values that programs returned and of texts that they printed.

If a problem gives no tolerance, returned floats, also those in lists, are compared approximately as evalplus compares them: see
`default_close`. Printed numbers are compared as LiveCodeBench compares them: by value, in lines that contain only numbers (0.50
equals 0.5, and 3.0 equals 3). Printed numbers with a decimal point or an exponent have the same tolerance as returned floats.
This is stricter than the graders of APPS and TACO, which allow 1e-5.
"""

import json
import math
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

Close = Callable[[float, float], bool]
"""Called as close(expected, actual); true if the actual float is close enough."""

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_PADDED = re.compile(r"[+-]?0[0-9]")


def exactly(expected: float, actual: float) -> bool:
    """True if the two are equal."""
    return expected == actual


def default_close(expected: float, actual: float) -> bool:
    """True if the two differ by at most 1e-6, or a relative 1e-9 for large numbers.

    The relative difference of small numbers must also be at most 0.1, unless they differ by at most 1e-12.
    """
    difference, size = abs(expected - actual), abs(expected)
    near = difference <= max(1e-6, 1e-9 * size) and difference <= max(1e-12, 0.1 * size)
    return expected == actual or (near and math.isfinite(difference))


def within(tolerance: float | None) -> Close:
    """Returns a comparison with this relative and absolute tolerance; `default_close` if the tolerance is None."""
    if tolerance is None:
        return default_close
    return lambda expected, actual: math.isclose(expected, actual, rel_tol=tolerance, abs_tol=tolerance)


def same(expected: object, actual: object, close: Close = exactly, unordered: bool = False) -> bool:
    """True if two encoded values (see `wire.encode`) are equal and of the same type.

    Args:
        expected: the encoded expected value.
        actual: the encoded value that a program sent.
        close: compares two floats.
        unordered: compare lists and tuples as multisets.
    """
    if isinstance(expected, float) and isinstance(actual, float):
        return close(expected, actual) or (math.isnan(expected) and math.isnan(actual))
    if type(expected) is not type(actual):
        return False
    if isinstance(expected, list) and isinstance(actual, list):
        if len(expected) != len(actual):
            return False
        if unordered:
            expected, actual = sorted(expected, key=_order), sorted(actual, key=_order)
        return all(same(a, b, close, unordered) for a, b in zip(expected, actual, strict=True))
    if isinstance(expected, dict) and isinstance(actual, dict):
        if expected.keys() != actual.keys():
            return False
        ((kind, content),) = expected.items()
        other = actual[kind]
        if kind == "object":
            return False
        if kind in ("set", "frozenset", "dict") and isinstance(other, list) and len(other) == len(content):
            content, other = sorted(content, key=_order), sorted(other, key=_order)
            return all(_same_item(a, b, close, unordered and kind == "dict") for a, b in zip(content, other, strict=True))
        return same(content, other, close, unordered)
    return bool(expected == actual)


def _same_item(expected: Any, actual: Any, close: Close, unordered: bool) -> bool:
    """True if two items of a set, or two pairs of a dictionary, are equal. `unordered` is for the values of a dictionary."""
    if not unordered:
        return same(expected, actual, close)
    is_pair = isinstance(actual, list) and len(actual) == 2
    return is_pair and same(expected[0], actual[0], close) and same(expected[1], actual[1], close, unordered)


def _order(encoded: object) -> tuple[Any, ...]:
    """Returns a sort key of an encoded value. Floats are sorted by value, so that close ones come in the same order."""
    if isinstance(encoded, float) and not math.isnan(encoded):
        return 0, encoded
    if isinstance(encoded, list):
        return 1, [_order(item) for item in encoded]
    if isinstance(encoded, dict):
        return 2, [(kind, _order(content)) for kind, content in sorted(encoded.items())]
    return 3, json.dumps(encoded)


def same_output(expected: str, printed: str, tolerance: float | None = None) -> bool:
    """True if two outputs have equal words in equal lines. Spaces at the ends of lines and of the text are ignored.

    Args:
        expected: the expected output.
        printed: the program's output.
        tolerance: relative and absolute tolerance for numbers, in all lines. By default numbers are compared by value only in
            lines that contain nothing else. Those with a decimal point or an exponent are compared with `default_close`.
    """
    expected_lines, lines = ([line.split() for line in text.strip().splitlines()] for text in (expected, printed))
    if [len(line) for line in expected_lines] != [len(line) for line in lines]:
        return False
    agree = _same_numbers if tolerance is None else _near(within(tolerance))
    return all(want == have or agree(want, have) for want, have in zip(expected_lines, lines, strict=True))


def _near(close: Close) -> Callable[[list[str], list[str]], bool]:
    def agree(a: str, b: str) -> bool:
        return a == b or bool(_NUMBER.fullmatch(a) and _NUMBER.fullmatch(b) and close(float(a), float(b)))

    return lambda want, have: all(map(agree, want, have))


def _same_numbers(want: list[str], have: list[str]) -> bool:
    """True if both lines contain only numbers, and these agree one by one."""
    return all(map(_NUMBER.fullmatch, (*want, *have))) and all(map(_same_number, want, have))


def _same_number(want: str, have: str) -> bool:
    if want == have:
        return True
    integer = _INTEGER.fullmatch(want), _INTEGER.fullmatch(have)
    if _PADDED.match(want) or _PADDED.match(have):  # 011 is not an acceptable form of 11
        return False
    if Decimal(want) == Decimal(have):
        return True
    floats = float(want), float(have)
    return not any(integer) and all(map(math.isfinite, floats)) and default_close(*floats)
