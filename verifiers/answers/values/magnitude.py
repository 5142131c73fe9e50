"""Numbers that are too large to write out, by their logarithms: 2004! and 2006!, 2^100000 and 4^50000."""

from fractions import Fraction
from typing import Any

import mpmath

from ..grammar.tree import Node
from .exact import TooLarge, Undefined, exact

DIGITS = 60
"""Significant digits in which two logarithms are compared, beyond those that the numbers in them have."""
MAX_DIGITS = 3_000
MAX_MAGNITUDE = 10**12
"""Of a factorial's argument and of an exponent, so that the logarithm itself stays small."""


def same_size(gold: Node, answer: Node) -> bool:
    """Whether two products of powers and factorials of rational numbers are equal.

    Raises:
        TooLarge: one of them is no such product, or has too many digits.
    """
    digits = DIGITS + _digits(gold) + _digits(answer)
    if digits > MAX_DIGITS:
        raise TooLarge("a number")
    context = mpmath.MPContext()
    context.dps = digits + 20
    (sign, first), (other_sign, second) = _logarithm(gold, context), _logarithm(answer, context)
    if sign != other_sign or not sign:
        return sign == other_sign
    return bool(abs(first - second) <= max(abs(first), abs(second), 1) / context.mpf(10) ** digits)


def _digits(node: Node) -> int:
    """Digits of all numbers that are written in an expression."""
    if node.kind in ("number", "decimal"):
        number: Fraction = node.value if node.kind == "number" else node.value.value
        return int(0.302 * (number.numerator.bit_length() + number.denominator.bit_length())) + 1
    own = 0
    if node.kind == "add":
        try:
            total = exact(node)
        except Undefined:
            total = None
        own = 0 if total is None else int(0.302 * (total.numerator.bit_length() + total.denominator.bit_length()))
    return own + sum(map(_digits, node.items))


def _logarithm(node: Node, context: Any) -> tuple[int, Any]:
    """The sign of a number and the natural logarithm of its size.

    Raises:
        TooLarge: it is no product of powers and factorials.
    """
    match node.kind:
        case "neg":
            sign, size = _logarithm(node.items[0], context)
            return -sign, size
        case "mul":
            sign, size = 1, context.zero
            for item in node.items:
                of_item, log = _logarithm(item, context)
                sign, size = sign * of_item, size + log
            return sign, size
        case "pow":
            return _of_power(node.items[0], node.items[1], context)
        case "call" if node.value == "factorial":
            return 1, context.loggamma(_whole(node.items[0]) + 1)
        case "call" if node.value == "binom" and len(node.items) == 2:
            above, below = map(_whole, node.items)
            if below > above:
                return 0, context.zero
            parts = (above, below, above - below)
            first, *rest = (context.loggamma(part + 1) for part in parts)
            return 1, first - sum(rest)
    number = _exactly(node)
    if not number:
        return 0, context.zero
    size = abs(number)
    return (1 if number > 0 else -1), context.log(size.numerator) - context.log(size.denominator)


def _of_power(base: Node, exponent: Node, context: Any) -> tuple[int, Any]:
    power = _exactly(exponent)
    if abs(power) > MAX_MAGNITUDE:
        raise TooLarge("a power")
    sign, size = _logarithm(base, context)
    if not sign or (sign < 0 and power.denominator > 1):
        raise TooLarge("a power of zero, or a root of a negative number")
    return (sign if power.numerator % 2 else 1), size * power.numerator / power.denominator


def _exactly(node: Node) -> Fraction:
    try:
        number = exact(node)
    except Undefined:
        number = None
    if number is None:
        raise TooLarge("a number")
    return number


def _whole(node: Node) -> int:
    number = _exactly(node)
    if number.denominator != 1 or not 0 <= number <= MAX_MAGNITUDE:
        raise TooLarge("a factorial")
    return int(number)
