"""When two values that programs returned, or two texts that they printed, are the same."""

import json
import math
from typing import Any


def same(expected: Any, form: Any, tolerance: float | None = None, unordered: bool = False) -> bool:
    """Whether two forms (see `wire.encode`) say the same value, of the same type.

    Args:
        expected: the form that is wanted.
        form: the form that a program sent.
        tolerance: how far two floats may lie apart, relatively or absolutely.
        unordered: whether lists and tuples compare as multisets.
    """
    if isinstance(expected, float) and isinstance(form, float):
        close = tolerance is not None and math.isclose(expected, form, rel_tol=tolerance, abs_tol=tolerance)
        return expected == form or close or (math.isnan(expected) and math.isnan(form))
    if type(expected) is not type(form):
        return False
    if isinstance(expected, list):
        if len(expected) != len(form):
            return False
        if unordered:
            expected, form = sorted(expected, key=_order), sorted(form, key=_order)
        return all(same(a, b, tolerance, unordered) for a, b in zip(expected, form, strict=True))
    if isinstance(expected, dict):
        if expected.keys() != form.keys():
            return False
        ((kind, content),) = expected.items()
        other = form[kind]
        if kind == "object":
            return False
        if kind in ("set", "frozenset", "dict") and isinstance(other, list):
            content, other = sorted(content, key=_order), sorted(other, key=_order)
            return same(content, other, tolerance)
        return same(content, other, tolerance, unordered)
    return expected == form


def _order(form: Any) -> str:
    return json.dumps(form)


def same_output(expected: str, printed: str, tolerance: float | None = None) -> bool:
    """Whether two outputs agree word by word, line by line; spaces at the ends of lines and of the text do not count."""
    wanted, got = ([line.split() for line in text.rstrip().splitlines()] for text in (expected, printed))
    if [len(line) for line in wanted] != [len(line) for line in got]:
        return False
    pairs = ((a, b) for want, have in zip(wanted, got, strict=True) for a, b in zip(want, have, strict=True))
    return all(a == b or (tolerance is not None and _near(a, b, tolerance)) for a, b in pairs)


def _near(expected: str, printed: str, tolerance: float) -> bool:
    try:
        return math.isclose(float(expected), float(printed), rel_tol=tolerance, abs_tol=tolerance)
    except ValueError:
        return False
