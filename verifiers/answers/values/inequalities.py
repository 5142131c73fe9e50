"""Whether an inequality holds at a number."""

import operator
from fractions import Fraction

from ..grammar.tree import Node, substituted
from .evaluation import NotEvaluated, symbols, value
from .exact import Undefined, exact
from .identity import DIGITS, Undecided, as_fraction, identical


def holds(relation: Node, variable: Node, at: Node) -> bool:
    """True if an inequality, or each one of a list, holds at a number. False if a side has no real value.

    Args:
        relation: The inequality or the list. If the list is joined by "or", one inequality must hold.
        variable: Its variable.
        at: The number.

    Raises:
        Undecided: It is unknown whether two sides are equal.
        TooLarge: A limit is exceeded.
    """
    if relation.kind == "list":
        return (any if relation.value == "or" else all)(holds(item, variable, at) for item in relation.items)
    sides = [substituted(item, {variable: at}) for item in relation.items]
    try:
        numbers = [number_of(side) for side in sides]
    except Undecided:
        return False
    differences = [_difference(sides[i : i + 2], numbers[i : i + 2]) for i in range(len(relation.value))]
    return all(_SIGNS[sign](difference, 0) for difference, sign in zip(differences, relation.value, strict=True))


def _difference(sides: list[Node], numbers: list[Fraction]) -> Fraction:
    """Returns the difference of two constants. It is zero if and only if they are equal, even if their numbers are rounded."""
    difference = numbers[0] - numbers[1]
    if abs(difference) > max(1, abs(numbers[0])) / 10 ** (DIGITS - 10) or None not in map(exact, sides):
        return difference
    if identical(sides[0], sides[1], []):
        return Fraction(0)
    raise Undecided("two sides of an inequality are almost equal")


_SIGNS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq, "!=": operator.ne}


def number_of(node: Node) -> Fraction:
    """Returns a constant as a fraction, rounded to `DIGITS` digits if it is irrational.

    Raises:
        Undecided: It is not a real number.
    """
    try:
        exact_value = exact(node)
        if exact_value is not None:
            return exact_value
        if symbols(node):
            raise Undecided("an end of an interval is not a number")
        number = as_fraction(value(node, {}, DIGITS))
    except (Undefined, NotEvaluated) as error:
        raise Undecided(str(error)) from None
    if number is None:
        raise Undecided("an end of an interval is complex")
    return number
