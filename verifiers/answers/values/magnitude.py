"""Comparison of numbers that are too large to write out, by their logarithms: 2004! and 2006!, 2^100000 and 4^50000."""

from fractions import Fraction

import mpmath

from ..grammar.tree import Node
from .evaluation import MpContext, MpNumber
from .exact import TooLarge, Undefined, exact

DIGITS = 60
"""Significant digits in which two logarithms are compared, in addition to the digits of the numbers in them."""
MAX_DIGITS = 3_000
"""Maximum precision of the logarithms, in significant digits."""
MAX_MAGNITUDE = 10**12
"""Largest argument of a factorial and largest exponent, so that the logarithms stay small."""


def equal_by_logarithm(gold: Node, answer: Node) -> bool:
    """True if two products of powers and factorials of rational numbers are equal.

    Raises:
        TooLarge: One of them is not such a product, or has too many digits.
    """
    digits = DIGITS + _digits(gold) + _digits(answer)
    if digits > MAX_DIGITS:
        raise TooLarge("a number is too large")
    context = mpmath.MPContext()
    context.dps = digits + 20
    (sign, first), (other_sign, second) = _logarithm(gold, context), _logarithm(answer, context)
    if sign != other_sign or not sign:
        return sign == other_sign
    return bool(abs(first - second) <= max(abs(first), abs(second), 1) / context.mpf(10) ** digits)


def _digits(node: Node) -> int:
    """Returns the total number of digits of all numbers in an expression."""
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


def _logarithm(node: Node, context: MpContext) -> tuple[int, MpNumber]:
    """Returns the sign of a number and the natural logarithm of its absolute value.

    Raises:
        TooLarge: The expression is not a product of powers and factorials.
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
            return _logarithm_of_power(node.items[0], node.items[1], context)
        case "call" if node.value == "factorial":
            return 1, context.loggamma(_whole_number(node.items[0]) + 1)
        case "call" if node.value == "binom" and len(node.items) == 2:
            above, below = map(_whole_number, node.items)
            if below > above:
                return 0, context.zero
            parts = (above, below, above - below)
            first, *rest = (context.loggamma(part + 1) for part in parts)
            return 1, first - sum(rest)
    number = _rational(node)
    if not number:
        return 0, context.zero
    size = abs(number)
    return (1 if number > 0 else -1), context.log(size.numerator) - context.log(size.denominator)


def _logarithm_of_power(base: Node, exponent: Node, context: MpContext) -> tuple[int, MpNumber]:
    power = _rational(exponent)
    if abs(power) > MAX_MAGNITUDE:
        raise TooLarge("a power is too large")
    sign, size = _logarithm(base, context)
    if not sign or (sign < 0 and power.denominator > 1):
        raise TooLarge("a power of zero, or a root of a negative number, has no logarithm")
    return (sign if power.numerator % 2 else 1), size * power.numerator / power.denominator


def _rational(node: Node) -> Fraction:
    try:
        number = exact(node)
    except Undefined:
        number = None
    if number is None:
        raise TooLarge("a number is too large")
    return number


def _whole_number(node: Node) -> int:
    number = _rational(node)
    if number.denominator != 1 or not 0 <= number <= MAX_MAGNITUDE:
        raise TooLarge("a factorial is too large")
    return int(number)
