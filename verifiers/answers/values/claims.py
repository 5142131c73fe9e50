"""Labels and values of equations: "x = 2 + 3 = 5" has the label x and the value 5."""

import itertools
from fractions import Fraction

from ..grammar.parts import FUNCTIONS
from ..grammar.tree import MINUS_ONE, Node, substituted
from .evaluation import MpNumber, NotEvaluated, contains, has_unevaluated_operator, symbols, value
from .exact import TooLarge, Undefined, exact
from .identity import DIGITS, Undecided, as_fraction, identical, written_decimal

_KNOWN = FUNCTIONS | {"root", "factorial", "double factorial"}
"""Functions with a definition."""
ROUNDING = 1e-30
"""Largest rounding error of a difference of numbers with 40 digits."""


def claim(node: Node) -> tuple[Node | None, Node]:
    """Returns the label and the value of an equation: x and 5 for "x = 2 + 3 = 5". (None, node) if it has no label or is false.

    An approximation is ignored if an exact value precedes it.
    """
    if node.kind != "relation" or (not set(node.value) <= {"=", "~"} and node.value[0] != "in"):
        return None, node
    if node.value[0] == "in":
        return (node.items[0], node.items[1]) if len(node.items) == 2 and _is_unknown_value(node.items[0]) else (None, node)
    if node.value[0] == "~" and is_constant(node.items[0]):
        if not is_about_right(node):
            return None, node
        return node.items[0], node.items[0]  # a number and its approximation
    if _is_false(node):
        return None, node
    last = len(node.items) - 1
    if is_constant(node.items[0]) and last == 1 and node.items[1].kind == "symbol":
        return node.items[1], node.items[0]  # 5 = x
    of_matrix = node.items[last].kind == "matrix" and bool(symbols(node.items[0]))  # A^2, AB
    worked_out = of_matrix or (
        has_unevaluated_operator(node.items[0])
        and is_constant(node.items[last])
        and not has_unevaluated_operator(node.items[last])
    )
    if not is_label(node.items[0]) and not worked_out and not (is_constant(node.items[0]) and is_constant(node.items[last])):
        return None, node
    while last > 1 and node.value[last - 1] == "~":
        last -= 1
    return node.items[0], node.items[last]


def _is_unknown_value(node: Node) -> bool:
    """True if a left side is a label that is not a number."""
    return is_label(node) and (bool(symbols(node)) or node.kind in ("text", "tuple"))


def _is_false(node: Node) -> bool:
    """True if an equation states that two different numbers are equal: 4 = 5, x = 43 = 42."""
    return any(
        sign == "=" and is_constant(left) and is_constant(right) and not _may_be_equal(left, right)
        for left, sign, right in zip(node.items, node.value, node.items[1:], strict=False)
    )


def _may_be_equal(left: Node, right: Node) -> bool:
    """True if two numbers are equal, or the second rounds the first (2/3 = 0.67), or one has no value."""
    try:
        exact_values = exact(left), exact(right)
        if None not in exact_values and (
            exact_values[0] == exact_values[1] or not (contains(left, "decimal") or contains(right, "decimal"))
        ):
            return exact_values[0] == exact_values[1]
        first, second = (as_fraction(value(number, {}, DIGITS)) for number in (left, right))
    except (TooLarge, Undefined, NotEvaluated):
        return True
    if first is None or second is None or _has_unknown_function(left) or _has_unknown_function(right):
        return True
    decimals = [decimal.unit for number in (left, right) if (decimal := written_decimal(number)) is not None]
    if right.kind == "number" and right.value.denominator == 1:
        decimals.append(Fraction(1, 2))
    return abs(first - second) <= max(decimals, default=Fraction(0)) + Fraction(1, 10**20) * (1 + abs(first))


def _has_unknown_function(node: Node) -> bool:
    """True if the expression contains an unknown function, such as f(2), which may have any value."""
    return (node.kind == "call" and node.value not in _KNOWN) or any(map(_has_unknown_function, node.items))


def has_false_link(node: Node) -> bool:
    """True if a chain of equations contains two different neighbours with the same letters: f(x) = 2x = 3x."""
    if node.kind != "relation" or len(node.items) < 3 or set(node.value) != {"="}:
        return False
    name = node.items[0]
    for left, right in itertools.pairwise(node.items[1:]):
        letters_of = symbols(left)
        if not letters_of or letters_of != symbols(right) or (name.kind == "symbol" and name.value in letters_of):
            continue
        try:
            if not identical(left, right, sorted(letters_of)):
                return True
        except (Undecided, TooLarge, Undefined):
            continue
    return False


def is_about_right(node: Node) -> bool:
    """True if each approximation rounds the number before it. A number without a value is skipped."""
    for exact_side, sign, rounded in zip(node.items, node.value, node.items[1:], strict=False):
        if sign != "~" or not (is_constant(exact_side) and is_constant(rounded)):
            continue
        try:
            exact_value, rounded_value = (as_fraction(value(number, {}, DIGITS)) for number in (exact_side, rounded))
        except (TooLarge, Undefined, NotEvaluated):
            continue
        if (
            exact_value is not None
            and rounded_value is not None
            and abs(exact_value - rounded_value) > _rounding(rounded, rounded_value)
        ):
            return False
    return True


def _rounding(written: Node, number: Fraction) -> Fraction:
    """Returns the largest error of a rounded number: half a unit in its last digit if it has one significant digit.

    With more digits it is one unit, because the number may be truncated instead of rounded.
    A number that is neither a decimal nor an integer, such as a fraction, may differ by 2%.
    """
    decimal = written_decimal(written)
    if decimal is not None:
        return decimal.unit if decimal.digits > 1 else decimal.unit / 2
    if number.denominator > 1 or not number:
        return abs(number) / 50
    digits = str(abs(number.numerator))
    unit = Fraction(10 ** (len(digits) - len(digits.rstrip("0"))))
    return unit if len(digits.rstrip("0")) > 1 else unit / 2


def unpacked(node: Node) -> Node:
    """Returns "(x, y) = (2, 5)" and "x = y = 5" as lists such as "x = 2, y = 5", and any other node unchanged."""
    label, claimed = claim(node)
    if label is not None and set(node.value) == {"="} and len(node.items) > 2:
        names = node.items[:-1]
        several = len(set(names)) == len(names) and all(name.kind == "symbol" for name in names)
        return Node("list", tuple(Node("relation", (name, claimed), ("=",)) for name in names)) if several else node
    if label is None or label.kind != "tuple" or claimed.kind != "tuple" or len(label.items) != len(claimed.items):
        return node
    pairs = zip(label.items, claimed.items, strict=True)
    return Node("list", tuple(Node("relation", pair, ("=",)) for pair in pairs))


def is_label(node: Node) -> bool:
    """True if an expression can name the requested value: x, f(x), (x, y), |AB|, AB/CD, S_1 : S_2."""
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
    """True if the node is the event of a probability: P(X = 1), P(A and B)."""
    return node.kind in ("relation", "union", "intersection", "difference") and all(
        is_label(item) or item.kind == "number" or _is_event(item) for item in node.items
    )


def is_constant(node: Node) -> bool:
    """True if the node is not a relation, list or set, and contains no symbol."""
    return node.kind not in ("relation", "list", "set") and not symbols(node)


def is_sum_of_labels(node: Node) -> bool:
    """True if a left side is a sum of labels, such as x + y."""
    return node.kind == "add" and all(is_label(item.items[0] if item.kind == "neg" else item) for item in node.items)


def same_label(gold: Node, answer: Node) -> bool:
    """True if two labels name the same value: y and y(x), "radius" and r, "maximum" and \\max."""
    names = [word and word.casefold() for word in (spelled_word(gold), spelled_word(answer))]
    if gold == answer or (names[0] is not None and names[0] == names[1]):
        return True
    if "text" in (gold.kind, answer.kind) and None not in names:
        short, long = sorted(map(str, names), key=len)
        return long.startswith(short) and (len(short) == 1 or short in ("max", "min"))
    return _function_name(gold) == answer or _function_name(answer) == gold


def _function_name(label: Node) -> Node | None:
    """Returns y for y(x), which parses as a product."""
    one_of_another = label.kind == "mul" and len(label.items) == 2 and {item.kind for item in label.items} == {"symbol"}
    return label.items[0] if one_of_another else None


def renamed(answer: Node, gold_label: Node, answer_label: Node) -> Node | None:
    """Returns the answer's value in the gold answer's variables, if both labels name the same function: f(t) = t^2, f(x) = x^2.

    Args:
        answer: The answer's equation.
        gold_label: The label of the gold answer.
        answer_label: The label of the answer.
    """
    if gold_label.kind != "call" or answer_label.kind != "call" or gold_label.value != answer_label.value:
        return None
    pairs = list(zip(gold_label.items, answer_label.items, strict=False))
    if len(gold_label.items) != len(answer_label.items) or any(a.kind != "symbol" or b.kind != "symbol" for a, b in pairs):
        return None
    claimed = claim(answer)[1]
    if ({a.value for a, _ in pairs} - {b.value for _, b in pairs}) & symbols(claimed):
        return None  # f(t) = x + 1 does not give f(x)
    if not {b.value for _, b in pairs} <= symbols(claimed) and not _is_of_variables(answer_label):
        return None  # P(A) = 1/6 does not give P(B)
    return substituted(claimed, {b: a for a, b in pairs})


def _is_of_variables(label: Node) -> bool:
    """True if a label is a function of variables, such as f(x). Its value may be constant."""
    return str(label.value).rstrip("'") in ("f", "g", "h") and all(item.value in tuple("xyztsuvw") for item in label.items)


def ascending(node: Node) -> Node:
    """Returns a chain with its signs turned to < and <=."""
    if any(sign in (">", ">=") for sign in node.value):
        flipped = {">": "<", ">=": "<=", "<": ">", "<=": ">="}
        return Node("relation", node.items[::-1], tuple(flipped.get(sign, sign) for sign in node.value[::-1]))
    return node


def difference(node: Node) -> Node:
    """Returns left side minus right side."""
    return Node("add", (node.items[0], Node("neg", (node.items[1],))))


def proportion(first: Node, second: Node) -> int:
    """Returns 1 or -1 if one expression is a positive or negative multiple of the other, else 0.

    Raises:
        Undecided: They have no value at the points where they are compared.
        TooLarge: A limit is exceeded.
    """
    names = sorted(symbols(first) | symbols(second))
    for numerator, denominator in ((3, 7), (29, 11), (-13, 17)):
        point = {name: Fraction(numerator + 2 * position, denominator) for position, name in enumerate(names)}
        try:
            at_first, at_second = (_or_zero(value(node, point, DIGITS)) for node in (first, second))
        except (Undefined, NotEvaluated) as error:
            raise Undecided(str(error)) from None
        if at_first or at_second:
            break
    if not at_first or not at_second:
        return 1 if not at_first and not at_second and identical(first, second, names) else 0
    ratio = _real_part(at_first / at_second)
    if ratio is None:
        return 0
    # The ratio a / b at one point must hold everywhere: first * b = second * a.
    multiple = Node("mul", (second, Node("mul", (_at_point(first, point), Node("pow", (_at_point(second, point), MINUS_ONE))))))
    return (1 if ratio > 0 else -1) if identical(first, multiple, names) else 0


def _or_zero(number: MpNumber) -> MpNumber:
    """Returns a number, or 0 if it may be a rounding error."""
    return 0 if abs(number) < ROUNDING else number


def _at_point(node: Node, point: dict[str, Fraction]) -> Node:
    """Returns the value of an expression at a point as an expression without symbols."""
    return substituted(node, {Node("symbol", (), name): Node("number", (), number) for name, number in point.items()})


def _real_part(number: object) -> float | None:
    real, imaginary = float(number.real), float(number.imag)  # type: ignore[attr-defined]
    return None if abs(imaginary) > 1e-9 * abs(real) else real


def spelled_word(node: Node) -> str | None:
    """Returns the word of a label, or the word that a product of letters spells ("odd" parses as o times d times d)."""
    if node.kind == "text":
        return str(node.value).replace(" ", "")
    if node.kind in ("symbol", "constant"):
        return str(node.value)
    if node.kind == "mul":
        spelled = [spelled_word(item) for item in node.items]
        return None if None in spelled else "".join(map(str, spelled))
    return None
