"""What an equation or inequality claims, and of what: labels, left sides, multiples."""

import itertools
from fractions import Fraction
from typing import Any

from ..grammar.parts import FUNCTIONS
from ..grammar.tree import MINUS_ONE, Node, substituted
from .evaluation import Unknown, contains, is_unworked, symbols, value
from .exact import TooLarge, Undefined, exact
from .identity import DIGITS, CannotTell, as_fraction, identical, written_decimal

_KNOWN = FUNCTIONS | {"root", "factorial", "double factorial"}
ROUNDING = 1e-30
"""What a difference of numbers of 40 digits is at most where it should vanish."""


def claim(node: Node) -> tuple[Node | None, Node]:
    """What an equation claims, and of what: "x = 2 + 3 = 5" claims 5 of x. (None, the node) where it claims nothing.

    What comes after "about" is left out where something exact stands before.
    """
    if node.kind != "relation" or (not set(node.value) <= {"=", "~"} and node.value[0] != "in"):
        return None, node
    if node.value[0] == "in":
        return (node.items[0], node.items[1]) if len(node.items) == 2 and _is_unknown(node.items[0]) else (None, node)
    if node.value[0] == "~" and is_constant(node.items[0]):
        if not is_about_right(node):
            return None, node
        return node.items[0], node.items[0]  # a number, and about how much that is
    if _is_false(node):
        return None, node
    last = len(node.items) - 1
    if is_constant(node.items[0]) and last == 1 and node.items[1].kind == "symbol":
        return node.items[1], node.items[0]  # 5 = x
    of_matrix = node.items[last].kind == "matrix" and bool(symbols(node.items[0]))  # A^2, AB
    worked_out = of_matrix or (
        is_unworked(node.items[0]) and is_constant(node.items[last]) and not is_unworked(node.items[last])
    )
    if not is_label(node.items[0]) and not worked_out and not (is_constant(node.items[0]) and is_constant(node.items[last])):
        return None, node
    while last > 1 and node.value[last - 1] == "~":
        last -= 1
    return node.items[0], node.items[last]


def _is_unknown(node: Node) -> bool:
    """Whether a left side names something, and is no number."""
    return is_label(node) and (bool(symbols(node)) or node.kind in ("text", "tuple"))


def _is_false(node: Node) -> bool:
    """Whether numbers beside one another are said to be equal that are not: 4 = 5, x = 43 = 42."""
    return any(
        sign == "=" and is_constant(one) and is_constant(other) and not _may_be_equal(one, other)
        for one, sign, other in zip(node.items, node.value, node.items[1:], strict=False)
    )


def _may_be_equal(one: Node, other: Node) -> bool:
    """Whether a number is another, or the second rounds the first: 2/3 = 0.67; what is no number may be anything."""
    try:
        exactly = exact(one), exact(other)
        if None not in exactly and (exactly[0] == exactly[1] or not (contains(one, "decimal") or contains(other, "decimal"))):
            return exactly[0] == exactly[1]
        first, second = (as_fraction(value(number, {}, DIGITS)) for number in (one, other))
    except (TooLarge, Undefined, Unknown):
        return True
    if first is None or second is None or _has_a_name(one) or _has_a_name(other):
        return True
    decimals = [decimal.unit for number in (one, other) if (decimal := written_decimal(number)) is not None]
    if other.kind == "number" and other.value.denominator == 1:
        decimals.append(Fraction(1, 2))
    return abs(first - second) <= max(decimals, default=Fraction(0)) + Fraction(1, 10**20) * (1 + abs(first))


def _has_a_name(node: Node) -> bool:
    """Whether an expression holds an unknown function: f(2) may be anything."""
    return (node.kind == "call" and node.value not in _KNOWN) or any(map(_has_a_name, node.items))


def has_false_link(node: Node) -> bool:
    """Whether a chain of equations holds two neighbours of the same letters that are not the same: f(x) = 2x = 3x."""
    if node.kind != "relation" or len(node.items) < 3 or set(node.value) != {"="}:
        return False
    name = node.items[0]
    for one, other in itertools.pairwise(node.items[1:]):
        letters_of = symbols(one)
        if not letters_of or letters_of != symbols(other) or (name.kind == "symbol" and name.value in letters_of):
            continue
        try:
            if not identical(one, other, sorted(letters_of)):
                return True
        except (CannotTell, TooLarge, Undefined):
            continue
    return False


def is_about_right(node: Node) -> bool:
    """Whether a number that is said to be about another rounds it; what is no number may be about anything."""
    for exactly, sign, about in zip(node.items, node.value, node.items[1:], strict=False):
        if sign != "~" or not (is_constant(exactly) and is_constant(about)):
            continue
        try:
            one, other = (as_fraction(value(number, {}, DIGITS)) for number in (exactly, about))
        except (TooLarge, Undefined, Unknown):
            continue
        if one is not None and other is not None and abs(one - other) > _rounding(about, other):
            return False
    return True


def _rounding(written: Node, number: Fraction) -> Fraction:
    """How far a rounded number may lie off: half of its last digit, a whole one where it has several and may be cut off."""
    decimal = written_decimal(written)
    if decimal is not None:
        return decimal.unit if decimal.digits > 1 else decimal.unit / 2
    if number.denominator > 1 or not number:
        return abs(number) / 50
    digits = str(abs(number.numerator))
    unit = Fraction(10 ** (len(digits) - len(digits.rstrip("0"))))
    return unit if len(digits.rstrip("0")) > 1 else unit / 2


def unpacked(node: Node) -> Node:
    """ "(x, y) = (2, 5)" as the list "x = 2, y = 5"; any other node as it is."""
    label, claimed = claim(node)
    if label is None or label.kind != "tuple" or claimed.kind != "tuple" or len(label.items) != len(claimed.items):
        return node
    pairs = zip(label.items, claimed.items, strict=True)
    return Node("list", tuple(Node("relation", pair, ("=",)) for pair in pairs))


def is_label(node: Node) -> bool:
    """Whether an expression can be the name of what is asked for: x, f(x), (x, y), |AB|, AB/CD, S_1 : S_2."""
    if node.kind in ("symbol", "text") or (node.kind == "constant" and node.value in ("e", "i")):
        return True
    if node.kind == "call":
        return all(is_label(item) or item.kind == "number" or _is_event(item) for item in node.items)
    if node.kind in ("tuple", "list", "ratio"):
        return all(is_label(item) for item in node.items)
    if node.kind == "mul":
        return all(is_label(item) or (item.kind == "pow" and is_label(item.items[0])) for item in node.items)
    return False


def _is_event(node: Node) -> bool:
    """Whether an equation or a set within a name says of what a probability is: P(X = 1), P(A and B)."""
    return node.kind in ("relation", "union", "intersection", "difference") and all(
        is_label(item) or item.kind == "number" or _is_event(item) for item in node.items
    )


def is_constant(node: Node) -> bool:
    """Whether nothing in an expression is unknown."""
    return node.kind not in ("relation", "list", "set") and not symbols(node)


def is_sum_of_labels(node: Node) -> bool:
    """Whether a left side only adds up what is asked for, as x + y."""
    return node.kind == "add" and all(is_label(item.items[0] if item.kind == "neg" else item) for item in node.items)


def same_label(gold: Node, answer: Node) -> bool:
    """Whether two left sides name the same: y and y(x), "radius" and r, "maximum" and \\max."""
    names = letters(gold), letters(answer)
    if gold == answer or (names[0] is not None and names[0] == names[1]):
        return True
    if "text" in (gold.kind, answer.kind) and None not in names:
        short, long = sorted(map(str, names), key=len)
        return long.startswith(short) and (len(short) == 1 or short in ("max", "min"))
    return _function(gold) == answer or _function(answer) == gold


def _function(label: Node) -> Node | None:
    """y of y(x), which reads as a product."""
    one_of_another = label.kind == "mul" and len(label.items) == 2 and {item.kind for item in label.items} == {"symbol"}
    return label.items[0] if one_of_another else None


def renamed(answer: Node, gold_label: Node, answer_label: Node) -> Node | None:
    """The answer's claim in the gold answer's letters, where both define a function: f(t) = t^2 says what f(x) = x^2 does."""
    if gold_label.kind != "call" or answer_label.kind != "call" or gold_label.value != answer_label.value:
        return None
    pairs = list(zip(gold_label.items, answer_label.items, strict=False))
    if len(gold_label.items) != len(answer_label.items) or any(a.kind != "symbol" or b.kind != "symbol" for a, b in pairs):
        return None
    claimed = claim(answer)[1]
    if not {b.value for _, b in pairs} <= symbols(claimed) and not _is_of_variables(answer_label):
        return None  # P(A) = 1/6 says nothing of P(B)
    return substituted(claimed, {b: a for a, b in pairs})


def _is_of_variables(label: Node) -> bool:
    """Whether a label is a function of variables, f(x), which may be constant."""
    return str(label.value).rstrip("'") in ("f", "g", "h") and all(item.value in tuple("xyztsuvw") for item in label.items)


def ascending(node: Node) -> Node:
    """A chain with its signs turned to < and <=."""
    if any(sign in (">", ">=") for sign in node.value):
        turned = {">": "<", ">=": "<=", "<": ">", "<=": ">="}
        return Node("relation", node.items[::-1], tuple(turned.get(sign, sign) for sign in node.value[::-1]))
    return node


def difference(node: Node) -> Node:
    """Left side minus right side."""
    return Node("add", (node.items[0], Node("neg", (node.items[1],))))


def proportion(first: Node, second: Node) -> int:
    """1 or -1 where one expression is a positive or negative multiple of the other, 0 where it is none."""
    names = sorted(symbols(first) | symbols(second))
    point = {name: Fraction(3 + 2 * place, 7) for place, name in enumerate(names)}
    try:
        at_first, at_second = (_or_zero(value(node, point, DIGITS)) for node in (first, second))
    except (Undefined, Unknown) as error:
        raise CannotTell(str(error)) from None
    if not at_first or not at_second:
        return 1 if not at_first and not at_second and identical(first, second, names) else 0
    share = _fraction_of(at_first / at_second)
    if share is None:
        return 0
    # first * b = second * a, with a / b the ratio found at one point, must hold at all.
    multiple = Node("mul", (second, Node("mul", (_frozen(first, point), Node("pow", (_frozen(second, point), MINUS_ONE))))))
    return (1 if share > 0 else -1) if identical(first, multiple, names) else 0


def _or_zero(number: Any) -> Any:
    """A number, or 0 where it may be nothing but the rounding of a difference."""
    return 0 if abs(number) < ROUNDING else number


def _frozen(node: Node, point: dict[str, Fraction]) -> Node:
    """The expression's value at a point, as an expression without symbols."""
    return substituted(node, {Node("symbol", (), name): Node("number", (), number) for name, number in point.items()})


def _fraction_of(number: object) -> float | None:
    real, imaginary = float(number.real), float(number.imag)  # type: ignore[attr-defined]
    return None if abs(imaginary) > 1e-9 * abs(real) else real


def letters(node: Node) -> str | None:
    """The word that a product of letters spells ("odd" reads as o times d times d), or that a label is."""
    if node.kind == "text":
        return str(node.value).replace(" ", "")
    if node.kind in ("symbol", "constant"):
        return str(node.value).casefold()
    if node.kind == "mul":
        spelled = [letters(item) for item in node.items]
        return None if None in spelled else "".join(map(str, spelled))
    return None
