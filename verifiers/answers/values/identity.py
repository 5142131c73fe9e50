"""Comparison of two numbers or two functions: exact if both are rational, else numerical.

Expressions that are not rational are evaluated with mpmath at several points, with 40 digits and then with more. A difference
that does not vanish proves that they differ. Expressions with very small or large constants are evaluated with more digits, so
that no constant is lost in rounding.
"""

import hashlib
from collections.abc import Iterator
from fractions import Fraction

import mpmath

from ..grammar.tree import Decimal, Node
from .evaluation import MpNumber, NotEvaluated, can_be_written_out, check_time, has_unexpanded_operator, symbols, value
from .exact import TooLarge, Undefined, exact
from .magnitude import equal_by_logarithm

DIGITS = 40
"""Decimal digits of the first evaluation."""
MAX_DIGITS = 2_560
"""Maximum number of decimal digits of the second evaluation. Expressions with constants that need more cannot be compared. Up
to two further evaluations have twice and four times as many digits as the second."""
POINTS = 5
"""Number of points at which two expressions with symbols must agree."""
WHOLE_POINTS = 12
"""The same for expressions with sums up to n, which are compared at whole numbers."""
MAX_TRIES = 16
"""Maximum number of points that are tried."""
EXACT_ROUNDED, DECIMAL_ROUNDED = Fraction(102, 10_000), Fraction(5, 1_000)
"""Largest relative difference between a gold decimal and a number that rounds to it. The first is for an exact number, the
second for a decimal. Our choice."""
WHOLE_NUMBER_FUNCTIONS = frozenset(["gcd", "lcm", "double factorial"])
"""Functions that are defined for whole numbers only."""
FLOAT_DIGITS = 15
"""A decimal with at least this many significant digits is compared as a printed float of an exact number."""


_NOISE = 1e-25
"""A smaller value may be zero plus rounding errors; more digits decide."""


class Undecided(Exception):
    """The comparison does not show whether the two are equal. The message says why."""


class UndecidedOperator(Undecided):
    """An integral, a limit or a sum prevents the comparison, because it is not evaluated here."""


def same_number(gold: Node, answer: Node, tolerance: Fraction | None = None) -> bool:
    """True if the answer equals the gold number, or the gold expression with symbols.

    A gold decimal with two or more digits is equal to an exact number that rounds to it. If it has three or more digits, it is
    also equal to a decimal with more digits that rounds to it. For any other gold number, the answer must be equal to it, or be
    its decimal with 15 or more digits.

    Args:
        gold: The gold expression.
        answer: The answer's expression.
        tolerance: Largest difference relative to the gold number. It replaces the rule of rounding.

    Raises:
        Undecided: The two cannot be evaluated at enough points, or agree only for whole numbers.
        TooLarge: A limit is exceeded.
    """
    check_time()
    try:
        exact_gold, exact_answer = exact(gold), exact(answer)
    except Undefined:
        return False
    except TooLarge:
        return equal_by_logarithm(gold, answer)
    if exact_gold is not None and exact_answer is not None:
        if exact_gold == exact_answer:
            return True
        return _rounds_to(gold, exact_gold, answer, exact_answer, tolerance)
    names = sorted(symbols(gold) | symbols(answer))
    if not names and (tolerance is not None or written_decimal(gold) or written_decimal(answer)):
        try:
            of_gold, of_answer = as_fraction(value(gold, {}, DIGITS)), as_fraction(value(answer, {}, DIGITS))
        except (Undefined, NotEvaluated):
            of_gold = of_answer = None
        if of_gold is not None and of_answer is not None and _rounds_to(gold, of_gold, answer, of_answer, tolerance):
            return True
    return identical(gold, answer, names)


def _rounds_to(gold: Node, gold_value: Fraction, answer: Node, answer_value: Fraction, tolerance: Fraction | None) -> bool:
    difference = abs(gold_value - answer_value)
    if tolerance is not None:
        return difference <= tolerance * abs(gold_value)
    gold_decimal, answer_decimal = written_decimal(gold), written_decimal(answer)
    if gold_decimal is not None:
        if difference > gold_decimal.unit / 2:
            return False
        if answer_decimal is None:
            return gold_decimal.digits >= 2 and difference <= abs(gold_value) * EXACT_ROUNDED
        return (
            answer_decimal.unit < gold_decimal.unit
            and gold_decimal.digits >= 3
            and difference <= abs(gold_value) * DECIMAL_ROUNDED
        )
    if answer_decimal is not None and answer_decimal.digits >= FLOAT_DIGITS and gold_value.denominator > 1:
        return difference <= abs(gold_value) / 10 ** (FLOAT_DIGITS - 1)
    return False


def written_decimal(node: Node) -> Decimal | None:
    """Returns the decimal of an expression that is a decimal with a sign, a percent sign or a power of ten."""
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


def as_fraction(number: MpNumber) -> Fraction | None:
    """Returns the exact value of a real mpmath number. None for a complex number."""
    if number.imag:
        return None
    sign, mantissa, exponent, _ = number.real._mpf_
    return (-1) ** sign * Fraction(mantissa) * Fraction(2) ** exponent


def identical(gold: Node, answer: Node, names: list[str]) -> bool:
    """True if two expressions have the same value at every point that is tried.

    Args:
        gold: The gold expression.
        answer: The answer's expression.
        names: The symbols of both, sorted.

    Raises:
        Undecided: Too few points have a value, or the two agree only for whole numbers.
        TooLarge: A limit is exceeded.
    """
    try:
        if names and (
            (has_unexpanded_operator(gold) and can_be_written_out(gold) and can_be_written_out(answer))
            or contains_whole_number_function(gold, answer)
        ):
            agreed = _agree_at(gold, answer, _whole_points(names, WHOLE_POINTS), WHOLE_POINTS)
            if agreed is not None:
                return agreed
        agreed = _agree_at(gold, answer, _points(names, MAX_TRIES if names else 1), POINTS if names else 1)
        if agreed is None:
            raise Undecided("the two have no value at the points where they are compared")
        if not agreed and names and suggests_whole_numbers(gold, answer) and _agree_for_whole_numbers(gold, answer, names):
            raise Undecided("they agree for whole numbers, but not for all numbers")
    except NotEvaluated as error:
        raise UndecidedOperator(str(error)) from None
    if not agreed and has_unexpanded_operator(gold) != has_unexpanded_operator(answer):
        raise UndecidedOperator("a sum that is not evaluated")
    return agreed


def _agree_for_whole_numbers(gold: Node, answer: Node, names: list[str]) -> bool:
    """True if the two agree for whole numbers. False if both contain symbols and vanish there: sin(pi x), 2 sin(pi x)."""
    values = [_value_or_none(gold, point) for point in _whole_points(names, 6)]
    vanishes = not any(number is not None and abs(number) > _NOISE for number in values)
    return not (vanishes and symbols(gold) and symbols(answer)) and bool(_agree_at(gold, answer, _whole_points(names, 6), 4))


def contains_whole_number_function(*nodes: Node) -> bool:
    """True if a node contains a function that is defined for whole numbers only: gcd, lcm, a double factorial."""
    return any(
        (node.kind == "call" and node.value in WHOLE_NUMBER_FUNCTIONS) or contains_whole_number_function(*node.items)
        for node in nodes
    )


def suggests_whole_numbers(*nodes: Node) -> bool:
    """True if a node contains a function typical of whole numbers: (-1)^n, a factorial, a floor, a cosine of n pi."""
    return any(
        (node.kind == "call" and node.value in ("factorial", "binom", "floor", "ceil", "mod", "sin", "cos"))
        or (node.kind == "pow" and node.items[0].kind == "neg")
        or suggests_whole_numbers(*node.items)
        for node in nodes
    )


def _agree_at(gold: Node, answer: Node, points: Iterator[dict[str, Fraction]], required: int) -> bool | None:
    """True if the two agree at `required` points, or at up to two fewer if the points run out. False if they differ at one.

    If too few points can be compared: false if only one of the two has a value at some point, else None.
    """
    complex_meant = contains_imaginary(gold) or contains_imaginary(answer)
    agreed, one_sided = 0, 0
    for point in points:
        negative = any(number < 0 for number in point.values())
        try:
            first, second = _value_or_none(gold, point), _value_or_none(answer, point)
        except TooLarge:
            if max(map(abs, point.values()), default=0) > 3:
                continue  # such as e^(x^3) at 1000
            raise
        if first is None or second is None:
            one_sided += (first is None) != (second is None)
            continue
        if negative and not complex_meant and (first.imag or second.imag):
            continue  # roots and logarithms of negative numbers are outside the domain
        if not _vanishes(gold, answer, point, first, second):
            return False
        agreed += 1
        if agreed == required:
            return True
    if agreed < max(1, required - 2):
        return False if one_sided else None
    return True


def _value_or_none(node: Node, point: dict[str, Fraction]) -> MpNumber:
    try:
        return value(node, point, DIGITS)
    except Undefined:
        return None


def contains_imaginary(node: Node) -> bool:
    """True if the expression contains the imaginary unit i."""
    return (node.kind == "constant" and node.value == "i") or any(contains_imaginary(item) for item in node.items)


def _vanishes(gold: Node, answer: Node, point: dict[str, Fraction], first: MpNumber, second: MpNumber) -> bool:
    """True if the difference at a point is zero: it shrinks with more digits, while a true difference does not.

    Args:
        gold, answer: The two expressions.
        point: The point.
        first, second: Their values there, with `DIGITS` digits.
    """
    difference, size = abs(first - second), max(abs(first), abs(second))
    if difference > size * 10**-6 and size > _NOISE:
        return False
    of_gold, of_answer = hidden_digits(gold), hidden_digits(answer)
    if of_answer > MAX_DIGITS >= of_gold:
        return False  # the answer has a constant that no form of the gold answer needs
    required = DIGITS + max(of_gold, of_answer)
    digits = 2 * DIGITS  # doubled, so that few precisions occur: each has its own context
    while digits < required and digits <= MAX_DIGITS:
        digits *= 2
    if digits > MAX_DIGITS:
        raise Undecided(f"their constants need more than {MAX_DIGITS} digits")
    for _ in range(3):
        try:
            first, second = value(gold, point, digits), value(answer, point, digits)
        except Undefined:
            return False
        finer, size = abs(first - second), max(abs(first), abs(second))
        if finer <= size / (1 << int(3.32 * (digits - 10))):
            return True
        if difference and finer > difference * 10**-10:
            return False  # the difference does not shrink
        difference, digits = finer, 2 * digits
    return True


def hidden_digits(node: Node) -> int:
    """Returns the number of digits by which a constant can be smaller or larger than its neighbours: 60 for 10^{-60}."""
    return _hidden_digits(node)[0]


def _hidden_digits(node: Node) -> tuple[int, bool]:
    """Returns the hidden digits of a node, and whether it is constant (contains no symbol)."""
    if node.kind == "symbol":
        return 0, False
    parts = [_hidden_digits(item) for item in node.items]
    if all(constant for _, constant in parts):
        digit_count = sum(digits for digits, _ in parts)
        if node.kind == "call" and node.value in ("tanh", "coth"):
            digit_count += int(abs(_absolute_value(node.items[0])))
        return digit_count + abs(_digits_before_point(node)), True
    digit_count = max(digits for digits, _ in parts)
    if node.kind != "pow":
        return digit_count, False
    try:
        power = exact(node.items[1])
    except (TooLarge, Undefined):
        return MAX_DIGITS + 1, False
    return digit_count if power is None else min(MAX_DIGITS + 1, digit_count * max(1, int(abs(power))) + int(abs(power))), False


def _digits_before_point(node: Node) -> int:
    """Returns about the number of decimal digits before the point of a constant. Negative for zeros after the point.

    For a written number it is the number of digits of the numerator and denominator together, which is never negative.
    """
    if node.kind in ("number", "decimal"):
        number: Fraction = node.value if node.kind == "number" else node.value.value
        return int(0.302 * (number.numerator.bit_length() + number.denominator.bit_length()))
    if node.kind not in ("pow", "call", "mul"):
        return 0
    try:
        found = value(node, {}, 15)
    except TooLarge:
        return MAX_DIGITS + 1
    except (Undefined, NotEvaluated):
        return 0
    return 0 if not found else int(0.302 * mpmath.mag(found))


def _absolute_value(node: Node) -> float:
    try:
        return float(abs(value(node, {}, 15)))
    except (TooLarge, Undefined, NotEvaluated, OverflowError):
        return 0.0


_SCALES = (2, 2, 1000, 2, Fraction(1, 2), 8, 1, 2, Fraction(1, 8), 2, 100, 1, 2, 4, Fraction(1, 4), 2)
"""Factors of the points' coordinates."""


def _points(names: list[str], count: int) -> Iterator[dict[str, Fraction]]:
    """Yields fixed pseudo-random points: all positive, all negative, large, of mixed signs, small, and so on."""
    for index in range(count):
        point = {}
        for position, name in enumerate(names):
            digest = hashlib.sha256(f"{index} {name}".encode()).digest()
            share = Fraction(int.from_bytes(digest[:4], "big"), 1 << 32)
            number = (share + Fraction(1, 7)) * _SCALES[index % len(_SCALES)]
            negative = index == 1 or (index % 2 and (position + index // 2) % 2)
            point[name] = -number if negative else number
        yield point


_WITH_DIVISORS = (6, 4, 10, 9, 12, 15, 14, 3, 8, 5, 18, 7)
"""Whole numbers, most of which have common divisors."""


def _whole_points(names: list[str], count: int) -> Iterator[dict[str, Fraction]]:
    """Yields points whose coordinates are whole numbers."""
    for index in range(count):
        if index % 2:
            yield {name: Fraction(_WITH_DIVISORS[(index + 5 * position) % 12]) for position, name in enumerate(names)}
        else:
            yield {name: Fraction(2 + index + 3 * position) for position, name in enumerate(names)}
