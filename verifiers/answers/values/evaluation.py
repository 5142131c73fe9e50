"""What an expression is worth at a point, to as many digits as are asked for.

Everything is bounded: the steps of sums, the magnitude of exponents, the time. What would pass a bound raises `TooLarge`, what
has no value at the point (a pole, a logarithm of zero) raises `Undefined`, and what is not worked out here `Unknown`.
"""

import hashlib
import math
import threading
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

import mpmath

from ...budget import is_spent
from ..grammar.tree import INFINITY, MINUS_ONE, Node
from .exact import TooLarge, Undefined, exact

MAX_STEPS = 20_000
"""Nodes that one evaluation visits."""
MAX_TERMS = 1_000
"""Of a sum or product that is written out."""


class Unknown(Exception):
    """The expression has a value, it may be, that plain evaluation does not find: an integral, a limit, an infinite sum."""


_UNDEFINED = (
    ZeroDivisionError,
    ValueError,
    TypeError,
    NotImplementedError,
    mpmath.libmp.ComplexResult,
    mpmath.libmp.NoConvergence,
)
"""What mpmath raises where a function has no value, as 3i mod 2 has none."""
_contexts = threading.local()
Point = Mapping[str, Fraction]


def _context(digits: int) -> Any:
    """This thread's mpmath of that precision: its own, because mpmath changes the precision of a context while it works."""
    known = _contexts.__dict__
    if digits not in known.setdefault("by_digits", {}):
        context = mpmath.MPContext()
        context.dps = digits
        known["by_digits"][digits] = context
    return known["by_digits"][digits]


def value(node: Node, point: Point, digits: int) -> Any:
    """The value at a point, an mpmath number; unknown functions have pseudo-random values that depend on their arguments alone.

    Raises:
        TooLarge: an exponent, an angle or a sum passes the bounds.
        Undefined: it has none there.
    """
    try:
        result = _Evaluation(_context(digits), point).of(node)
    except _UNDEFINED as error:
        raise Undefined(str(error)) from None
    except (OverflowError, MemoryError, RecursionError):
        raise TooLarge("a number") from None
    if not mpmath.isfinite(result):
        raise Undefined("it is not finite")
    return result


def in_time() -> None:
    """Raises `TooLarge` where the thread's time is used up."""
    if is_spent():
        raise TooLarge("it takes too long")


class _Evaluation:
    def __init__(self, context: Any, point: Point):
        self.context, self.steps = context, 0
        self.point = {name: context.mpf(number.numerator) / number.denominator for name, number in point.items()}

    def of(self, node: Node) -> Any:
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise TooLarge("a sum")
        if not self.steps % 256:
            in_time()
        mp = self.context
        match node.kind:
            case "number":
                return mp.mpf(node.value.numerator) / node.value.denominator
            case "decimal":
                return mp.mpf(node.value.value.numerator) / node.value.value.denominator
            case "symbol":
                return self.point[node.value]
            case "constant":
                if node.value == "oo":
                    raise Undefined("infinity")
                return {"pi": mp.pi, "e": mp.e, "i": mp.j}[node.value] * 1
            case "add":
                return sum((self.of(item) for item in node.items[1:]), self.of(node.items[0]))
            case "mul":
                product = self.of(node.items[0])
                for item in node.items[1:]:
                    product = product * self.of(item)
                return product
            case "neg":
                return -self.of(node.items[0])
            case "percent":
                return self.of(node.items[0]) / 100
            case "degrees":
                return self.of(node.items[0]) * mp.pi / 180
            case "pow":
                return self.power(node)
            case "call":
                return self.call(node.value, [self.of(item) for item in node.items])
            case "bound":
                return self.bound(node)
            case "based":
                return mp.mpf(int(*node.value))
            case "union" | "intersection":  # of events, whose probability somebody gives
                sets = [self.of(item) for item in node.items]
                return self.unknown(node.kind, [sum(sets), sum(one * one for one in sets)])
            case "difference":
                return self.unknown(node.kind, [self.of(item) for item in node.items])
        raise Undefined(f"a {node.kind} has no value")

    def power(self, node: Node) -> Any:
        mp = self.context
        base, exponent = node.items
        if exponent == MINUS_ONE:
            return 1 / self.of(base)
        if base.kind == "constant" and base.value == "e":
            return self.exponential(self.of(exponent))
        below, above = self.of(base), self.of(exponent)
        if mp.mag(above) > 20 or (below and abs(mp.mag(below)) > 100_000):
            raise TooLarge("a power")
        if below == 0:
            if mp.re(above) > 0:
                return mp.zero
            if above == 0:
                return mp.one
            raise Undefined("a division by zero")
        rational = exact(exponent) if exponent.kind != "number" else exponent.value
        if (
            rational is not None
            and rational.denominator % 2
            and rational.denominator > 1
            and mp.im(below) == 0
            and mp.re(below) < 0
        ):
            # Of the roots of odd degree the real one is meant: (-8)^(1/3) is -2.
            root = abs(below) ** (mp.mpf(rational.numerator) / rational.denominator)
            return -root if rational.numerator % 2 else root
        return below**above

    def exponential(self, argument: Any) -> Any:
        if self.context.mag(argument) > 20:
            raise TooLarge("an exponential")
        return self.context.exp(argument)

    def call(self, name: str, arguments: list[Any]) -> Any:
        mp = self.context
        first = arguments[0]
        if name in _PLAIN and len(arguments) == 1:
            if name not in ("abs", "floor", "ceil", "sqrt") and mp.mag(first) > 60:
                raise TooLarge("an argument")
            return getattr(mp, _PLAIN[name])(first)
        match name:
            case "log" if len(arguments) == 2:
                return mp.log(first) / mp.log(arguments[1])
            case "log":
                return mp.log(first)
            case "lg":
                return mp.log(first, 10)
            case "root" if len(arguments) == 2:
                degree = arguments[1]
                if mp.im(first) == 0 and mp.re(first) < 0 and degree == int(mp.re(degree)) and int(mp.re(degree)) % 2:
                    return -(abs(first) ** (1 / degree))
                return first ** (1 / degree)
            case "factorial":
                if mp.mag(first) > 16:
                    raise TooLarge("a factorial")
                return mp.factorial(first)
            case "double factorial":
                if mp.mag(first) > 12:
                    raise TooLarge("a double factorial")
                return mp.fac2(first)
            case "gcd" | "lcm" if all(mp.isint(argument) for argument in arguments):
                whole = [int(mp.re(argument)) for argument in arguments]
                return mp.mpf(math.gcd(*whole) if name == "gcd" else math.lcm(*whole))
            case "gcd" | "lcm":
                return self.unknown(name, [sum(arguments), sum(argument**2 for argument in arguments)])
            case "binom" if len(arguments) == 2:
                if max(mp.mag(argument) for argument in arguments) > 16:
                    raise TooLarge("a binomial coefficient")
                return mp.binomial(*arguments)
            case "max" | "min":
                if any(mp.im(argument) for argument in arguments):
                    raise Undefined("complex numbers have no order")
                return max(arguments) if name == "max" else min(arguments)
            case "mod" if len(arguments) == 2:
                return mp.fmod(*arguments)
        return self.unknown(name, arguments)

    def unknown(self, name: str, arguments: list[Any]) -> Any:
        """An unknown function as a pseudo-random one, seeded by its name: equal arguments give equal values."""
        draws = _draws(name)
        total = next(draws) * self.context.one
        for argument in arguments:
            # The cosine, or differences of some order would vanish that do not for other functions.
            wave = self.context.cos(argument * next(draws)) if self.context.mag(argument) < 60 else 0
            total = total + next(draws) * argument + next(draws) * argument * argument + wave
        return total

    def bound(self, node: Node) -> Any:
        """A short sum or product is written out; any other, an integral and a limit are functions of their parts."""
        below, above, body = node.items
        variable = below.items[0] if below.kind == "relation" and len(below.items) == 2 else None
        ends = _ends(node) or self.ends_here(node)
        if node.value in ("sum", "prod") and ends is not None and variable is not None and variable.kind == "symbol":
            if ends[1] - ends[0] > MAX_TERMS:
                raise TooLarge(f"more than {MAX_TERMS} terms")
            return self.written_out(node.value, variable.value, *ends, body)
        if node.value != "sum" or variable is None or variable.kind != "symbol":
            raise Unknown(f"{node.value} is not computed")
        total = []
        for draw in (Fraction(1, 3), Fraction(5, 7)):
            with _bound(self.point, variable.value, self.context.mpf(draw.numerator) / draw.denominator):
                total.append(self.of(body))
        if above == INFINITY:
            return self.unknown("infinite sum", [self.of(below.items[1]), *total])
        return self.unknown("sum", [self.of(below.items[1]), self.of(above), *total])

    def ends_here(self, node: Node) -> tuple[int, int] | None:
        """The ends of a sum up to a letter, where that letter is a whole number at this point."""
        if not runs_to_a_letter(node):
            return None
        start, end = self.of(node.items[0].items[1]), self.of(node.items[1])
        whole = all(self.context.isint(number) and abs(number) <= MAX_TERMS for number in (start, end))
        return (int(start), int(end)) if whole else None

    def written_out(self, name: str, variable: str, start: int, end: int, body: Node) -> Any:
        result = self.context.zero if name == "sum" else self.context.one
        before = self.point.get(variable)
        for index in range(start, end + 1):
            self.point[variable] = self.context.mpf(index)
            term = self.of(body)
            result = result + term if name == "sum" else result * term
        if before is not None:
            self.point[variable] = before
        return result


class _bound:
    """A symbol that means something else within a sum."""

    def __init__(self, point: dict[str, Any], name: str, inside: Any):
        self.point, self.name, self.inside = point, name, inside

    def __enter__(self) -> None:
        self.outside = self.point.get(self.name)
        self.point[self.name] = self.inside

    def __exit__(self, *raised: object) -> None:
        if self.outside is not None:
            self.point[self.name] = self.outside


_PLAIN = {
    "sin": "sin", "cos": "cos", "tan": "tan", "cot": "cot", "sec": "sec", "csc": "csc",
    "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arccot": "acot", "arcsec": "asec", "arccsc": "acsc",
    "sinh": "sinh", "cosh": "cosh", "tanh": "tanh", "coth": "coth", "sech": "sech", "csch": "csch",
    "arsinh": "asinh", "arcosh": "acosh", "artanh": "atanh",
    "exp": "exp", "abs": "fabs", "floor": "floor", "ceil": "ceil", "sqrt": "sqrt",
}  # fmt: skip
"""Functions of one argument, with mpmath's names for them."""


def _draws(name: str) -> Iterator[Fraction]:
    """Numbers from 1/2 to 3/2 that depend on a name alone."""
    number = 0
    while True:
        digest = hashlib.sha256(f"{name} {number}".encode()).digest()
        yield Fraction(1, 2) + Fraction(int.from_bytes(digest[:3], "big"), 1 << 24)
        number += 1


def _ends(node: Node) -> tuple[int, int] | None:
    """The whole numbers from which to which a sum or product runs."""
    below, above, _ = node.items
    if below.kind != "relation" or len(below.items) != 2:
        return None
    start, end = exact(below.items[1]), exact(above)
    if start is None or end is None or start.denominator != 1 or end.denominator != 1:
        return None
    return int(start), int(end)


def is_open(node: Node) -> bool:
    """Whether a sum or product stands in an expression that cannot be written out, so that it is only compared as it is."""
    return any(_ends(part) is None for part in _bounds(node))


def runs_to_a_letter(node: Node) -> bool:
    """Whether this is a sum or product from or to something that a letter says, as n: it has a value at whole numbers."""
    below, above, _ = node.items
    ends = (*below.items[1:], above)
    return (
        node.value in ("sum", "prod")
        and below.kind == "relation"
        and len(below.items) == 2
        and not any(contains(end, "constant", "tuple", "bound") for end in ends)
        and any(map(symbols, ends))
    )


def is_finite(node: Node) -> bool:
    """Whether every sum and product in an expression has a value at whole numbers, and nothing else is left open."""
    if node.kind == "bound" and _ends(node) is None and not runs_to_a_letter(node):
        return False
    return all(map(is_finite, node.items))


def is_unworked(node: Node) -> bool:
    """Whether an integral, a limit, or a sum that cannot be written out stands in an expression."""
    return any(part.value in ("int", "lim") or _ends(part) is None for part in _bounds(node))


def _bounds(node: Node) -> list[Node]:
    """The sums, products, integrals and limits of an expression, those within others among them."""
    found: list[Node] = []
    waiting = [node]
    while waiting:
        part = waiting.pop()
        if part.kind == "bound":
            found.append(part)
        waiting.extend(part.items)
    return found


def too_large(node: Node) -> bool:
    """Whether an expression by itself passes the bounds."""
    try:
        if exact(node) is None:
            value(node, dict.fromkeys(symbols(node), Fraction(3, 2)), 15)
    except TooLarge:
        return True
    except (Undefined, Unknown):
        return False
    return False


def symbols(node: Node) -> frozenset[str]:
    """Names of the symbols in an expression."""
    found: set[str] = set()
    waiting = [node]
    while waiting:
        part = waiting.pop()
        if part.kind == "symbol":
            found.add(part.value)
        waiting.extend(part.items)
    return frozenset(found)


def contains(node: Node, *kinds: str) -> bool:
    """Whether a node or any part of it is of one of these kinds."""
    waiting = [node]
    while waiting:
        part = waiting.pop()
        if part.kind in kinds:
            return True
        waiting.extend(part.items)
    return False
