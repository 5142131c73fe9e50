"""Are two expressions the same number, or the same function? Exactly where both are rational, else by refutation.

Two expressions that are no fractions are evaluated with mpmath at several points, to 40 digits and then to more: a
difference that does not vanish refutes. What survives at all points agrees to more digits than the constants of
either side can hide in.
"""

import hashlib
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import mpmath

from ..grammar.tree import Decimal, Node
from .evaluation import Unknown, in_time, is_finite, is_open, symbols, value
from .exact import TooLarge, Undefined, exact
from .magnitude import same_size

DIGITS = 40
"""Decimal digits of the first evaluation."""
MAX_DIGITS = 2_560
"""Of the last; constants that reach further down cannot be told apart."""
POINTS = 5
"""Points of agreement that are asked for where there are symbols."""
WHOLE_POINTS = 12
"""Where sums up to n stand in one of them: n is a whole number."""
MAX_TRIES = 16
EXACT_ROUNDED, DECIMAL_ROUNDED = Fraction(102, 10_000), Fraction(5, 1_000)
"""How far what rounds to a gold decimal may lie off, relative to it: an exact number, and a decimal. These bounds are ours."""
OF_WHOLE_NUMBERS = frozenset(["gcd", "lcm", "double factorial"])
FLOAT_DIGITS = 15
"""Significant digits of a decimal that stands for whatever exact number a float prints so."""


_NOISE = 1e-25
"""Values below this may be zero and the rest of a rounding: more digits tell."""


class CannotTell(Exception):
    """Neither equal nor unequal can be said; the message says why."""


class NotWorkedOut(CannotTell):
    """An integral, a limit or a sum stands in the way, which is not worked out here."""


def same_number(gold: Node, answer: Node, tolerance: Fraction | None = None) -> bool:
    """Whether the answer is the gold number, or the gold expression of symbols.

    A gold decimal is met by what rounds to it: by an exact number, or by a decimal of more digits where the gold one has three
    or more. Any other gold wants equality, which a decimal of 15 or more digits may state as a float prints it.

    Args:
        gold: the expression that is right.
        answer: the expression to judge.
        tolerance: how far a number may lie off, relative to the gold one; it replaces the rule of rounding.

    Raises:
        CannotTell: they cannot be evaluated where it matters, or agree for whole numbers only.
        TooLarge: they ask for too much.
    """
    in_time()
    try:
        exact_gold, exact_answer = exact(gold), exact(answer)
    except Undefined:
        return False
    except TooLarge:
        return same_size(gold, answer)
    if exact_gold is not None and exact_answer is not None:
        if exact_gold == exact_answer:
            return True
        return _near(gold, exact_gold, answer, exact_answer, tolerance)
    names = sorted(symbols(gold) | symbols(answer))
    if not names and (tolerance is not None or written_decimal(gold) or written_decimal(answer)):
        try:
            of_gold, of_answer = as_fraction(value(gold, {}, DIGITS)), as_fraction(value(answer, {}, DIGITS))
        except (Undefined, Unknown):
            of_gold = of_answer = None
        if of_gold is not None and of_answer is not None and _near(gold, of_gold, answer, of_answer, tolerance):
            return True
    return identical(gold, answer, names)


def _near(gold: Node, gold_value: Fraction, answer: Node, answer_value: Fraction, tolerance: Fraction | None) -> bool:
    difference = abs(gold_value - answer_value)
    if tolerance is not None:
        return difference <= tolerance * abs(gold_value)
    written, answered = written_decimal(gold), written_decimal(answer)
    if written is not None:
        if difference > written.unit / 2:
            return False
        if answered is None:
            return written.digits >= 2 and difference <= abs(gold_value) * EXACT_ROUNDED
        return answered.unit < written.unit and written.digits >= 3 and difference <= abs(gold_value) * DECIMAL_ROUNDED
    if answered is not None and answered.digits >= FLOAT_DIGITS and gold_value.denominator > 1:
        return difference <= abs(gold_value) / 10 ** (FLOAT_DIGITS - 1)
    return False


def written_decimal(node: Node) -> Decimal | None:
    """The decimal that an expression is, with its sign, percent and power of ten."""
    if node.kind == "decimal":
        return node.value
    if node.kind in ("neg", "percent", "degrees"):
        inner = written_decimal(node.items[0])
        return inner and (inner._replace(unit=inner.unit / 100) if node.kind == "percent" else inner)
    if node.kind == "mul" and len(node.items) == 2 and (inner := written_decimal(node.items[0])):
        try:
            scale = exact(node.items[1])
        except (TooLarge, Undefined):
            return None
        if scale and (node.items[1].kind == "number" or _is_power_of_ten(node.items[1])):
            return inner._replace(unit=inner.unit * abs(scale))
    return None


def _is_power_of_ten(node: Node) -> bool:
    return node.kind == "pow" and node.items[0] == Node("number", (), Fraction(10))


def as_fraction(number: Any) -> Fraction | None:
    """A real mpmath number as the fraction that it is; None for a complex one."""
    if number.imag:
        return None
    sign, mantissa, exponent, _ = number.real._mpf_
    return (-1) ** sign * Fraction(mantissa) * Fraction(2) ** exponent


def identical(gold: Node, answer: Node, names: list[str]) -> bool:
    """Whether two expressions have one value at every point that is tried.

    Raises:
        CannotTell: too few points have a value, or they agree for whole numbers only.
        TooLarge: they ask for too much.
    """
    try:
        if names and ((is_open(gold) and is_finite(gold) and is_finite(answer)) or of_whole_numbers(gold, answer)):
            agreed = _agree_at(gold, answer, _whole_points(names, WHOLE_POINTS), WHOLE_POINTS)
            if agreed is not None:
                return agreed
        agreed = _agree_at(gold, answer, _points(names, MAX_TRIES if names else 1), POINTS if names else 1)
        if agreed is None:
            raise CannotTell("the two have no value where they could be compared")
        if not agreed and names and contains_whole(gold, answer) and _agree_for_whole_numbers(gold, answer, names):
            raise CannotTell("they agree for whole numbers, not for all")
    except Unknown as error:
        raise NotWorkedOut(str(error)) from None
    if not agreed and is_open(gold) != is_open(answer):
        raise NotWorkedOut("a sum that is not worked out")
    return agreed


def _agree_for_whole_numbers(gold: Node, answer: Node, names: list[str]) -> bool:
    """Whether they do, and not because both vanish there, as sin(pi x) and its double do."""
    values = [_value_or_none(gold, point) for point in _whole_points(names, 6)]
    vanishes = not any(number is not None and abs(number) > _NOISE for number in values)
    return not (vanishes and symbols(gold) and symbols(answer)) and bool(_agree_at(gold, answer, _whole_points(names, 6), 4))


def of_whole_numbers(*nodes: Node) -> bool:
    """Whether a function that is defined for whole numbers only stands somewhere: gcd, lcm, a double factorial."""
    return any((node.kind == "call" and node.value in OF_WHOLE_NUMBERS) or of_whole_numbers(*node.items) for node in nodes)


def contains_whole(*nodes: Node) -> bool:
    """Whether a function that people use for whole numbers stands somewhere: (-1)^n, a factorial, a floor, a cosine of n pi."""
    return any(
        (node.kind == "call" and node.value in ("factorial", "binom", "floor", "ceil", "mod", "sin", "cos"))
        or (node.kind == "pow" and node.items[0].kind == "neg")
        or contains_whole(*node.items)
        for node in nodes
    )


def _agree_at(gold: Node, answer: Node, points: Iterator[dict[str, Fraction]], wanted: int) -> bool | None:
    """True when they agree at `wanted` points, False where they differ or only one has values, None when neither has."""
    complex_meant = contains_imaginary(gold) or contains_imaginary(answer)
    agreed, alone = 0, 0
    for point in points:
        negative = any(number < 0 for number in point.values())
        try:
            first, second = _value_or_none(gold, point), _value_or_none(answer, point)
        except TooLarge:
            if max(map(abs, point.values()), default=0) > 3:
                continue  # e^(x^3) is, at 1000
            raise
        if first is None or second is None:
            alone += (first is None) != (second is None)
            continue
        if negative and not complex_meant and (first.imag or second.imag):
            continue  # roots and logarithms of negative numbers: outside of what is asked
        if not _vanishes(gold, answer, point, first, second):
            return False
        agreed += 1
        if agreed == wanted:
            return True
    if agreed < max(1, wanted - 2):
        return False if alone else None
    return True


def _value_or_none(node: Node, point: dict[str, Fraction]) -> Any:
    try:
        return value(node, point, DIGITS)
    except Undefined:
        return None


def contains_imaginary(node: Node) -> bool:
    """Whether i stands in an expression."""
    return (node.kind == "constant" and node.value == "i") or any(contains_imaginary(item) for item in node.items)


def _vanishes(gold: Node, answer: Node, point: dict[str, Fraction], first: Any, second: Any) -> bool:
    """Whether the difference at a point is zero: it shrinks as digits are added, where a true difference stays."""
    difference, size = abs(first - second), max(abs(first), abs(second))
    if difference > size * 10**-6 and size > _NOISE:
        return False
    of_gold, of_answer = hidden_digits(gold), hidden_digits(answer)
    if of_answer > MAX_DIGITS >= of_gold:
        return False  # nobody writes the gold answer so
    wanted = DIGITS + max(of_gold, of_answer)
    digits = 2 * DIGITS  # doubled, so that there are few precisions: each has a context of its own
    while digits < wanted and digits <= MAX_DIGITS:
        digits *= 2
    if digits > MAX_DIGITS:
        raise CannotTell(f"their constants reach further than {MAX_DIGITS} digits")
    for _ in range(3):
        try:
            first, second = value(gold, point, digits), value(answer, point, digits)
        except Undefined:
            return False
        finer, size = abs(first - second), max(abs(first), abs(second))
        if finer <= size / (1 << int(3.32 * (digits - 10))):
            return True
        if difference and finer > difference * 10**-10:
            return False  # it stays
        difference, digits = finer, 2 * digits
    return True


def hidden_digits(node: Node) -> int:
    """How many digits below or above its neighbours a constant in the expression may stand: 10^{-60} hides 60."""
    return _hidden(node)[0]


def _hidden(node: Node) -> tuple[int, bool]:
    """The hidden digits of a node, and whether it is a constant: no symbol is in it."""
    if node.kind == "symbol":
        return 0, False
    parts = [_hidden(item) for item in node.items]
    if all(constant for _, constant in parts):
        most = sum(digits for digits, _ in parts)
        if node.kind == "call" and node.value in ("tanh", "coth"):
            most += int(abs(_size(node.items[0])))
        return most + abs(_magnitude(node)), True
    most = max(digits for digits, _ in parts)
    if node.kind != "pow":
        return most, False
    try:
        power = exact(node.items[1])
    except (TooLarge, Undefined):
        return MAX_DIGITS + 1, False
    return most if power is None else min(MAX_DIGITS + 1, most * max(1, int(abs(power))) + int(abs(power))), False


def _magnitude(node: Node) -> int:
    """Decimal digits before the point of a constant, or zeros behind it as a negative number."""
    if node.kind in ("number", "decimal"):
        number: Fraction = node.value if node.kind == "number" else node.value.value
        return int(0.302 * (number.numerator.bit_length() + number.denominator.bit_length()))
    if node.kind not in ("pow", "call", "mul"):
        return 0
    try:
        found = value(node, {}, 15)
    except TooLarge:
        return MAX_DIGITS + 1
    except (Undefined, Unknown):
        return 0
    return 0 if not found else int(0.302 * mpmath.mag(found))


def _size(node: Node) -> float:
    try:
        return float(abs(value(node, {}, 15)))
    except (TooLarge, Undefined, Unknown, OverflowError):
        return 0.0


_SCALES = (2, 2, 1000, 2, Fraction(1, 2), 8, 1, 2, Fraction(1, 8), 2, 100, 1, 2, 4, Fraction(1, 4), 2)


def _points(names: list[str], count: int) -> Iterator[dict[str, Fraction]]:
    """Points of fixed draws: all positive, all negative, large, of mixed signs, small, and so on."""
    for index in range(count):
        point = {}
        for place, name in enumerate(names):
            digest = hashlib.sha256(f"{index} {name}".encode()).digest()
            share = Fraction(int.from_bytes(digest[:4], "big"), 1 << 32)
            number = (share + Fraction(1, 7)) * _SCALES[index % len(_SCALES)]
            negative = index == 1 or (index % 2 and (place + index // 2) % 2)
            point[name] = -number if negative else number
        yield point


_WITH_DIVISORS = (6, 4, 10, 9, 12, 15, 14, 3, 8, 5, 18, 7)


def _whole_points(names: list[str], count: int) -> Iterator[dict[str, Fraction]]:
    for index in range(count):
        if index % 2:
            yield {name: Fraction(_WITH_DIVISORS[(index + 5 * place) % 12]) for place, name in enumerate(names)}
        else:
            yield {name: Fraction(2 + index + 3 * place) for place, name in enumerate(names)}
