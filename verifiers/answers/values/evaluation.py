"""Numerical evaluation of an expression at a point, with a given number of digits.

Steps, sizes of exponents and time are limited. `TooLarge` is raised beyond a limit, `Undefined` where the expression
has no value at the point (a pole, the logarithm of zero), `NotEvaluated` for an integral, a limit or an infinite product.
"""

import hashlib
import math
import threading
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any, TypeAlias

import mpmath

from ...budget import is_spent
from ..grammar.tree import INFINITY, MINUS_ONE, Node
from .exact import TooLarge, Undefined, exact

MAX_STEPS = 20_000
"""Maximum number of nodes visited in one evaluation."""
MAX_TERMS = 1_000
"""Maximum number of terms of a sum or product that is written out."""
_TERMS = (0, 1, 2, 3, 4, 7, 12)
"""Indices of the terms that represent an infinite sum, counted from its lower bound."""


class NotEvaluated(Exception):
    """The expression contains a part that is not evaluated here: an integral, a limit, an infinite product."""


_NO_VALUE = (ZeroDivisionError, ValueError, TypeError, NotImplementedError)
_UNDEFINED = (*_NO_VALUE, mpmath.libmp.ComplexResult, mpmath.libmp.NoConvergence)
"""Errors of mpmath for a function without a value, such as 3i mod 2."""
_contexts = threading.local()
Point = Mapping[str, Fraction]
"""A value for each symbol."""
MpNumber: TypeAlias = Any
"""A number of mpmath, which has no type stubs."""
MpContext: TypeAlias = Any
"""A context of mpmath, which has no type stubs."""


def _context(digits: int) -> MpContext:
    """Returns an mpmath context for a precision. Each thread has its own, because mpmath changes the precision temporarily."""
    cache = _contexts.__dict__
    if digits not in cache.setdefault("by_digits", {}):
        context = mpmath.MPContext()
        context.dps = digits
        cache["by_digits"][digits] = context
    return cache["by_digits"][digits]


def value(node: Node, point: Point, digits: int) -> MpNumber:
    """Returns the value of an expression at a point. Unknown functions get pseudo-random values that depend on the arguments.

    Args:
        node: The expression.
        point: A value for each of its symbols.
        digits: Significant decimal digits.

    Raises:
        TooLarge: An exponent, an angle or a sum exceeds a limit.
        Undefined: The expression has no value at the point.
        NotEvaluated: The expression contains an integral, a limit or an infinite product.
    """
    try:
        result = _Evaluation(_context(digits), point).evaluate(node)
    except _UNDEFINED as error:
        raise Undefined(str(error)) from None
    except (OverflowError, MemoryError, RecursionError):
        raise TooLarge("a number is too large") from None
    if not mpmath.isfinite(result):
        raise Undefined("the value is not finite")
    return result


def check_time() -> None:
    """Raises `TooLarge` if the time limit of this thread has passed."""
    if is_spent():
        raise TooLarge("the time limit has passed")


class _Evaluation:
    """One evaluation at one point."""

    def __init__(self, context: MpContext, point: Point):
        self.context, self.steps = context, 0
        self.point = {name: context.mpf(number.numerator) / number.denominator for name, number in point.items()}

    def evaluate(self, node: Node) -> MpNumber:
        """Returns the value of a node."""
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise TooLarge(f"more than {MAX_STEPS} steps")
        if not self.steps % 256:
            check_time()
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
                    raise Undefined("infinity is not a number")
                return {"pi": mp.pi, "e": mp.e, "i": mp.j}[node.value] * 1
            case "add":
                return sum((self.evaluate(item) for item in node.items[1:]), self.evaluate(node.items[0]))
            case "mul":
                product = self.evaluate(node.items[0])
                for item in node.items[1:]:
                    product = product * self.evaluate(item)
                return product
            case "neg":
                return -self.evaluate(node.items[0])
            case "percent":
                return self.evaluate(node.items[0]) / 100
            case "degrees":
                return self.evaluate(node.items[0]) * mp.pi / 180
            case "pow":
                return self.power(node)
            case "call":
                return self.call(node.value, [self.evaluate(item) for item in node.items])
            case "bound":
                return self.bound(node)
            case "based":
                return mp.mpf(int(*node.value))
            case "union" | "intersection":  # of events, as in P(A and B)
                sets = [self.evaluate(item) for item in node.items]
                return self.unknown(node.kind, [sum(sets), sum(one * one for one in sets)])
            case "difference":
                return self.unknown(node.kind, [self.evaluate(item) for item in node.items])
        raise Undefined(f"a {node.kind} has no value")

    def power(self, node: Node) -> MpNumber:
        """Returns the value of a power."""
        mp = self.context
        base, exponent = node.items
        if exponent == MINUS_ONE:
            return 1 / self.evaluate(base)
        if base.kind == "constant" and base.value == "e":
            return self.exponential(self.evaluate(exponent))
        below, above = self.evaluate(base), self.evaluate(exponent)
        if mp.mag(above) > 20 or (below and abs(mp.mag(below)) > 100_000):
            raise TooLarge("a power is too large")
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
            # An odd root of a negative number is the real root: (-8)^(1/3) is -2.
            root = abs(below) ** (mp.mpf(rational.numerator) / rational.denominator)
            return -root if rational.numerator % 2 else root
        return below**above

    def exponential(self, argument: MpNumber) -> MpNumber:
        """Returns e to the power of the argument."""
        if self.context.mag(argument) > 20:
            raise TooLarge("an exponential is too large")
        return self.context.exp(argument)

    def call(self, name: str, arguments: list[MpNumber]) -> MpNumber:
        """Returns the value of a function."""
        mp = self.context
        first = arguments[0]
        if name in _PLAIN and len(arguments) == 1:
            if name not in ("abs", "floor", "ceil", "sqrt") and mp.mag(first) > 60:
                raise TooLarge("an argument is too large")
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
                    raise TooLarge("a factorial is too large")
                return mp.factorial(first)
            case "double factorial":
                if mp.mag(first) > 12:
                    raise TooLarge("a double factorial is too large")
                return mp.fac2(first)
            case "gcd" | "lcm" if all(mp.isint(argument) for argument in arguments):
                whole = [int(mp.re(argument)) for argument in arguments]
                return mp.mpf(math.gcd(*whole) if name == "gcd" else math.lcm(*whole))
            case "gcd" | "lcm":
                return self.unknown(name, [sum(arguments), sum(argument**2 for argument in arguments)])
            case "binom" if len(arguments) == 2:
                if max(mp.mag(argument) for argument in arguments) > 16:
                    raise TooLarge("a binomial coefficient is too large")
                return mp.binomial(*arguments)
            case "max" | "min":
                if any(mp.im(argument) for argument in arguments):
                    raise Undefined("complex numbers have no order")
                return max(arguments) if name == "max" else min(arguments)
            case "mod" if len(arguments) == 2:
                return mp.fmod(*arguments)
        return self.unknown(name, arguments)

    def unknown(self, name: str, arguments: list[MpNumber]) -> MpNumber:
        """Returns a pseudo-random value for an unknown function, the same for the same name and arguments."""
        random_numbers = _pseudo_random(name)
        total = next(random_numbers) * self.context.one
        for argument in arguments:
            # Without the cosine, all third differences would be 0, and an identity that is false for most functions would hold.
            wave = self.context.cos(argument * next(random_numbers)) if self.context.mag(argument) < 60 else 0
            total = total + next(random_numbers) * argument + next(random_numbers) * argument * argument + wave
        return total

    def bound(self, node: Node) -> MpNumber:
        """Returns the value of a sum or product with whole bounds. Other sums have pseudo-random values, set by their parts."""
        below, above, body = node.items
        variable = below.items[0] if below.kind == "relation" and len(below.items) == 2 else None
        ends = _whole_bounds(node) or self.bounds_at_point(node)
        if node.value in ("sum", "prod") and ends is not None and variable is not None and variable.kind == "symbol":
            if ends[1] - ends[0] > MAX_TERMS:
                raise TooLarge(f"more than {MAX_TERMS} terms")
            return self.written_out(node.value, variable.value, *ends, body)
        if node.value != "sum" or variable is None or variable.kind != "symbol":
            raise NotEvaluated(f"an operator {node.value} that is not evaluated")
        if above == INFINITY:
            return self.infinite_sum(variable.value, self.evaluate(below.items[1]), body)
        total = []
        for draw in (Fraction(1, 3), Fraction(5, 7)):
            with _BoundVariable(self.point, variable.value, self.context.mpf(draw.numerator) / draw.denominator):
                total.append(self.evaluate(body))
        return self.unknown("sum", [self.evaluate(below.items[1]), self.evaluate(above), *total])

    def infinite_sum(self, variable: str, start: MpNumber, body: Node) -> MpNumber:
        """Returns a combination of some terms in place of the sum. A shift of the index does not change it.

        It is linear, so that a constant factor may stand before the sum or in it.
        """
        weights = _pseudo_random("infinite sum")
        result = self.context.zero
        for index in _TERMS:
            with _BoundVariable(self.point, variable, start + index):
                result = result + next(weights) * self.evaluate(body)
        return result

    def bounds_at_point(self, node: Node) -> tuple[int, int] | None:
        """Returns the bounds of a sum with symbolic bounds, if they are whole numbers at this point."""
        if not has_symbolic_bounds(node):
            return None
        start, end = self.evaluate(node.items[0].items[1]), self.evaluate(node.items[1])
        whole = all(self.context.isint(number) and abs(number) <= MAX_TERMS for number in (start, end))
        return (int(start), int(end)) if whole else None

    def written_out(self, name: str, variable: str, start: int, end: int, body: Node) -> MpNumber:
        """Returns the value of a finite sum or product, term by term."""
        result = self.context.zero if name == "sum" else self.context.one
        for index in range(start, end + 1):
            with _BoundVariable(self.point, variable, self.context.mpf(index)):
                term = self.evaluate(body)
            result = result + term if name == "sum" else result * term
        return result


class _BoundVariable:
    """A context manager that gives a symbol another value, that of a bound variable."""

    def __init__(self, point: dict[str, MpNumber], name: str, inside: MpNumber):
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
"""Functions of one argument, with mpmath's names."""


def _pseudo_random(name: str) -> Iterator[Fraction]:
    """Yields fixed pseudo-random numbers from 1/2 to 3/2 for a name."""
    number = 0
    while True:
        digest = hashlib.sha256(f"{name} {number}".encode()).digest()
        yield Fraction(1, 2) + Fraction(int.from_bytes(digest[:3], "big"), 1 << 24)
        number += 1


def _whole_bounds(node: Node) -> tuple[int, int] | None:
    """Returns the bounds of a sum or product, if they are whole numbers."""
    below, above, _ = node.items
    if below.kind != "relation" or len(below.items) != 2:
        return None
    try:
        start, end = exact(below.items[1]), exact(above)
    except (TooLarge, Undefined):
        return None
    if start is None or end is None or start.denominator != 1 or end.denominator != 1:
        return None
    return int(start), int(end)


def has_unexpanded_operator(node: Node) -> bool:
    """True if the expression contains a sum, product, integral or limit without whole-number bounds."""
    return any(_whole_bounds(part) is None for part in _bounds(node))


def has_symbolic_bounds(node: Node) -> bool:
    """True for a sum or product with a symbolic bound, such as n. It has a value where the bounds are whole numbers."""
    below, above, _ = node.items
    ends = (*below.items[1:], above)
    return (
        node.value in ("sum", "prod")
        and below.kind == "relation"
        and len(below.items) == 2
        and not any(contains(end, "constant", "tuple", "bound") for end in ends)
        and any(map(symbols, ends))
    )


def can_be_written_out(node: Node) -> bool:
    """True if each sum and product in the expression has a value at whole numbers, and there is no integral or limit."""
    if node.kind == "bound" and not (node.value in ("sum", "prod") and (_whole_bounds(node) or has_symbolic_bounds(node))):
        return False
    return all(map(can_be_written_out, node.items))


def has_unevaluated_operator(node: Node) -> bool:
    """True if the expression contains an integral, a limit, or a sum or product without whole-number bounds."""
    return any(part.value in ("int", "lim") or _whole_bounds(part) is None for part in _bounds(node))


def _bounds(node: Node) -> list[Node]:
    """Returns all sums, products, integrals and limits in the expression, nested ones included."""
    found: list[Node] = []
    waiting = [node]
    while waiting:
        part = waiting.pop()
        if part.kind == "bound":
            found.append(part)
        waiting.extend(part.items)
    return found


def too_large(node: Node) -> bool:
    """True if evaluating the expression exceeds a limit."""
    try:
        if exact(node) is None:
            value(node, dict.fromkeys(symbols(node), Fraction(3, 2)), 15)
    except TooLarge:
        return True
    except (Undefined, NotEvaluated):
        return False
    return False


def symbols(node: Node) -> frozenset[str]:
    """Returns the names of the symbols in an expression."""
    found: set[str] = set()
    waiting = [node]
    while waiting:
        part = waiting.pop()
        if part.kind == "symbol":
            found.add(part.value)
        waiting.extend(part.items)
    return frozenset(found)


def contains(node: Node, *kinds: str) -> bool:
    """True if the node or any part of it is of one of these kinds."""
    waiting = [node]
    while waiting:
        part = waiting.pop()
        if part.kind in kinds:
            return True
        waiting.extend(part.items)
    return False
