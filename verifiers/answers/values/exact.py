"""Exact values of expressions of rational numbers. The size of the numbers is limited."""

import math
from fractions import Fraction

from ..grammar.tree import Node

MAX_BITS = 20_000
"""Maximum number of bits of a numerator or denominator."""


class TooLarge(Exception):
    """A limit of size, steps or time would be exceeded."""


class Undefined(Exception):
    """The expression has no value: a pole, infinity, or not a number."""


def exact(node: Node) -> Fraction | None:
    """Returns the value of an expression of rational numbers. None if it is irrational, or arithmetic does not suffice.

    Raises:
        TooLarge: A numerator or denominator may have more than `MAX_BITS` bits, or the argument of a factorial or a binomial
            coefficient is too large.
        Undefined: The expression divides by zero.
    """
    match node.kind:
        case "number":
            return node.value
        case "decimal":
            return node.value.value
        case "neg":
            inner = exact(node.items[0])
            return None if inner is None else -inner
        case "percent":
            inner = exact(node.items[0])
            return None if inner is None else inner / 100
        case "based":
            digits, base = node.value
            return Fraction(int(digits, base))
        case "add" | "mul":
            total = Fraction(0) if node.kind == "add" else Fraction(1)
            for item in node.items:
                part = exact(item)
                if part is None:
                    return None
                total = total + part if node.kind == "add" else total * part
                _bounded(total)
            return total
        case "pow":
            base_value = exact(node.items[0])
            power = exact(node.items[1]) if base_value is not None else None
            return None if base_value is None or power is None else _power(base_value, power)
        case "call":
            return _exact_call(node)
    return None


def _exact_call(node: Node) -> Fraction | None:
    if node.value not in (
        "factorial",
        "double factorial",
        "binom",
        "abs",
        "floor",
        "ceil",
        "gcd",
        "lcm",
        "max",
        "min",
        "mod",
        "sqrt",
        "root",
    ):
        return None
    values = [exact(item) for item in node.items]
    if not values or None in values:
        return None
    numbers = [value for value in values if value is not None]
    first = numbers[0]
    whole = all(value.denominator == 1 for value in numbers)
    match node.value:
        case "abs":
            return abs(first)
        case "floor":
            return Fraction(math.floor(first))
        case "ceil":
            return Fraction(math.ceil(first))
        case "max":
            return max(numbers)
        case "min":
            return min(numbers)
        case "factorial" if whole and first >= 0:
            if first > 1_500:
                raise TooLarge("a factorial is too large")
            return Fraction(math.factorial(int(first)))
        case "double factorial" if whole and first >= 0:
            if first > 2_000:
                raise TooLarge("a double factorial is too large")
            return Fraction(math.prod(range(int(first), 0, -2)))
        case "binom" if whole and len(numbers) == 2 and numbers[1] >= 0 and first >= 0:
            if first > 5_000:
                raise TooLarge("a binomial coefficient is too large")
            return Fraction(math.comb(int(first), int(numbers[1])))
        case "gcd" | "lcm" if whole:
            found = Fraction(int(first))
            for number in numbers[1:]:
                found = Fraction((math.gcd if node.value == "gcd" else math.lcm)(int(found), int(number)))
                _bounded(found)
            return found
        case "mod" if len(numbers) == 2 and numbers[1]:
            return first % numbers[1]
        case "sqrt":
            return _root(first, 2)
        case "root" if len(numbers) == 2 and numbers[1].denominator == 1 and 2 <= numbers[1] <= 1_000:
            return _root(first, int(numbers[1]))
    return None


def _power(base: Fraction, power: Fraction) -> Fraction | None:
    if power.denominator != 1:
        if base >= 0 and power.denominator <= 1_000:
            root = _root(base, power.denominator)
            return None if root is None else _power(root, Fraction(power.numerator))
        return None
    if base == 0 and power < 0:
        raise Undefined("a division by zero")
    if power == 0:
        return Fraction(1)  # also for 0^0, as in `evaluation.py`
    if base in (0, 1, -1):
        return base if power % 2 else base * base
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if abs(power) * bits > MAX_BITS and abs(power) != 1:
        raise TooLarge("a power is too large")
    return base ** int(power)


def _root(value: Fraction, degree: int) -> Fraction | None:
    """Returns the real root if it is rational."""
    if value < 0:
        inner = _root(-value, degree) if degree % 2 else None
        return None if inner is None else -inner
    parts = [_whole_root(part, degree) for part in (value.numerator, value.denominator)]
    return None if None in parts else Fraction(*parts)  # type: ignore[arg-type]


def _whole_root(value: int, degree: int) -> int | None:
    if degree == 2:
        root = math.isqrt(value)
    elif value.bit_length() > 1_000:
        return None
    else:
        root = round(value ** (1 / degree))
    return root if root**degree == value else None


def _bounded(value: Fraction) -> None:
    if value.numerator.bit_length() > MAX_BITS or value.denominator.bit_length() > MAX_BITS:
        raise TooLarge("a fraction is too large")
