"""Terms and factors of an expression, and whether it is expanded, factored or reduced."""

from collections.abc import Iterator
from fractions import Fraction
from math import isqrt

from ..grammar.tree import MINUS_ONE, Node, ordered
from .evaluation import symbols
from .exact import TooLarge, Undefined, exact

LONG_DIGITS = 20
"""A number with at least this many digits may stay a power or a factorial."""
MAX_FACTOR = 10_000
"""Largest divisor that is tried when a number is tested for primality or square factors."""


def rational_value(node: Node) -> Fraction | None:
    """Returns the rational value of an expression, 10^LONG_DIGITS if it exceeds a limit, None if it is not rational."""
    try:
        return exact(node)
    except TooLarge:
        return Fraction(10**LONG_DIGITS)
    except Undefined:
        return None


def terms(node: Node) -> Iterator[Node]:
    """Yields the terms of a sum, and of the sums in it, without their signs. A mixed number is one term."""
    for item in node.items if node.kind == "add" else (node,):
        inner = item.items[0] if item.kind == "neg" else item
        if inner.kind == "add" and (symbols(inner) or rational_value(inner) is None):
            yield from terms(inner)
        else:
            yield inner


def factors(node: Node, inverse: bool = False) -> Iterator[tuple[Node, bool]]:
    """Yields the factors of a product without signs, and whether each is in the denominator."""
    if node.kind == "neg":
        yield from factors(node.items[0], inverse)
    elif node.kind == "mul":
        for item in node.items:
            yield from factors(item, inverse)
    elif node.kind == "pow" and node.items[1] == MINUS_ONE:
        yield from factors(node.items[0], not inverse)
    else:
        yield node, inverse


def nonrational_factors(term: Node) -> Iterator[Node]:
    """Yields the factors of a term that are not rational numbers."""
    for base, inverse in factors(term):
        if symbols(base) or rational_value(base) is None:
            yield Node("pow", (base, MINUS_ONE)) if inverse else base


def denominators(node: Node) -> dict[Node, int] | None:
    """Returns the polynomials in the denominator of a rational function, each with its exponent times its degree.

    None if the expression is not a rational function, or contains nested fractions.
    """
    if node.kind == "add":
        found: dict[Node, int] = {}
        for term in terms(node):
            of_term = denominators(term) if term is not node else None
            if of_term is None:
                return None
            for base, degree in of_term.items():
                found[base] = max(found.get(base, 0), degree)
        return found
    total: dict[Node, int] = {}
    for base, inverse in factors(node):
        exponent = -1 if inverse else 1
        if base.kind == "pow":
            power = base.items[1]
            whole = rational_value(power) if not symbols(power) else None
            if whole is None or whole.denominator != 1:
                return None
            base, exponent = base.items[0], exponent * int(whole)
        degree_of_base = _degree(base)
        if degree_of_base is None:
            return None
        if exponent < 0 and degree_of_base:
            total[ordered(base)] = total.get(ordered(base), 0) - exponent * degree_of_base
    return total


def _degree(node: Node) -> int | None:
    """Returns the degree of a polynomial. None for any other expression."""
    if node.kind == "symbol":
        return 1
    if not symbols(node):
        return 0
    if node.kind == "neg":
        return _degree(node.items[0])
    if node.kind == "pow":
        power = rational_value(node.items[1]) if not symbols(node.items[1]) else None
        degree = _degree(node.items[0])
        return None if degree is None or power is None or power.denominator != 1 or power < 0 else degree * int(power)
    degrees = [_degree(item) for item in node.items] if node.kind in ("add", "mul") else [None]
    if None in degrees:
        return None
    known_degrees = [degree for degree in degrees if degree is not None]
    return max(known_degrees) if node.kind == "add" else sum(known_degrees)


def count_factors(node: Node) -> int:
    """Returns the number of factors with symbols, each counted as often as its exponent."""
    if not symbols(node):
        return 0
    if node.kind == "neg":
        return count_factors(node.items[0])
    if node.kind == "mul":
        return sum(map(count_factors, node.items))
    if node.kind == "pow":
        power = rational_value(node.items[1]) if not symbols(node.items[1]) else None
        return count_factors(node.items[0]) * int(power) if power is not None and power.denominator == 1 and power > 0 else 1
    return 1


def is_product_of_primes(node: Node) -> bool:
    """True if a number is written as a product of powers of primes."""
    for base, inverse in factors(node):
        base = base.items[0] if base.kind == "pow" else base
        if inverse or base.kind != "number" or not _is_prime(base.value):
            return False
    return True


def _is_prime(number: Fraction) -> bool:
    whole = int(number)
    return number == whole and whole > 1 and all(whole % divisor for divisor in range(2, min(isqrt(whole), MAX_FACTOR) + 1))


def has_brackets(node: Node) -> bool:
    """True if a sum with symbols is multiplied, or raised to a whole power, somewhere in the expression."""
    sums = [item for item in node.items if item.kind == "add" and symbols(item)]
    if node.kind == "mul" and sums:
        return True
    if node.kind == "pow" and node.items[0] in sums:
        power = rational_value(node.items[1]) if not symbols(node.items[1]) else None
        return power is not None and power.denominator == 1 and power > 1
    return any(map(has_brackets, node.items))


def is_reduced(node: Node) -> bool:
    """True if the numbers of each fraction have no common factor, and no square and no fraction is under a square root."""
    if node.kind == "mul":
        sides: tuple[list[int], list[int]] = ([], [])
        for base, inverse in factors(node):
            if base.kind == "number" and base.value and base.value.denominator == 1:
                sides[inverse].append(int(base.value))
        if any(Fraction(above, under).denominator != under for above in sides[0] for under in sides[1]):
            return False
    half = node.kind == "pow" and not symbols(node.items[1]) and rational_value(node.items[1]) == Fraction(1, 2)
    if half or (node.kind == "call" and node.value == "sqrt"):
        size = rational_value(node.items[0]) if not symbols(node.items[0]) else None
        if size is not None and (size.denominator > 1 or _has_square_factor(size.numerator)):
            return False
    return all(map(is_reduced, node.items))


def _has_square_factor(number: int) -> bool:
    return any(number % (divisor * divisor) == 0 for divisor in range(2, min(isqrt(abs(number)), MAX_FACTOR) + 1))
