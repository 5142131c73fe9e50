"""Comparison of equations with each other and with values: names, identities, implicit and explicit equations."""

from collections.abc import Callable
from fractions import Fraction

from ..grammar.tree import MINUS_ONE, ONE, ZERO, Node, same_form, substituted
from .claims import (
    ascending,
    claim,
    difference,
    has_false_link,
    is_about_right,
    is_constant,
    is_label,
    is_sum_of_labels,
    proportion,
    renamed,
    same_label,
)
from .evaluation import NotEvaluated, symbols, value
from .exact import TooLarge, Undefined
from .identity import Undecided, identical

Same = Callable[[Node, Node], bool]
"""Compares the two values that two equations claim."""

_SPECIAL = tuple(Fraction(number) for number in range(-4, 5))
"""Values of a letter at which an equation may hold only because it was multiplied by a factor that vanishes there."""
_NO_EXPRESSIONS = frozenset(
    "text quantity tuple list set interval union intersection difference matrix reals family cases".split()
)
"""Kinds of nodes that are not expressions."""


def same_relation(gold: Node, answer: Node, same: Same) -> bool:
    """Compares two nodes, at least one of which is an equation or inequality.

    Args:
        gold: The gold answer's reading.
        answer: The answer's reading.
        same: The comparison of the values that the equations claim.

    Raises:
        Undecided: The comparison is undecided.
    """
    if _is_identity(gold):
        return _same_identity(gold, answer, same)
    if gold.kind == answer.kind and "~" in gold.value and "~" in answer.value and not is_about_right(answer):
        return False
    if has_false_link(answer):
        return False
    (gold_label, gold_value), (answer_label, answer_value) = claim(gold), claim(answer)
    if gold.kind != answer.kind:
        if gold.kind == "relation":
            return gold_label is not None and same(gold_value, answer)
        if answer_label is None and set(answer.value) == {"="}:
            if is_sum_of_labels(answer.items[0]):
                answer_label, answer_value = answer.items[0], answer.items[-1]
            elif _is_identity(answer):
                return same(gold, answer.items[-1])
        return answer_label is not None and same(gold, answer_value)
    if gold_label is not None and answer_label is not None:
        if gold_label == answer_label or not (is_label(gold_label) and is_label(answer_label)):
            return same(gold_value, answer_value)
        if same_label(gold_label, answer_label) and same(gold_value, answer_value):
            return True
        in_its_letters = renamed(answer, gold_label, answer_label)
        if in_its_letters is not None:
            return same(gold_value, in_its_letters)
        if _names_a_function(gold_label, answer_label, gold_value, answer_value):
            return same(gold_value, answer_value)
        if is_constant(gold_value) and is_constant(answer_value):
            return False
    solved = gold_label is not None and gold_label.kind == "symbol" and is_constant(gold_value)
    if solved and answer_label is None and not _is_line(answer):
        return False  # 2x = 10 does not give x
    return same_equation(gold, answer, same)


def _is_line(node: Node) -> bool:
    """True for an equation such as x - 5 = 0: one letter plus a number equals 0. This usual form of a line counts as solved."""
    left, right = node.items[0], node.items[-1]
    return (
        len(node.items) == 2
        and right == ZERO
        and left.kind == "add"
        and sum(item.kind == "symbol" for item in left.items) == 1
        and all(item.kind == "symbol" or is_constant(item) for item in left.items)
    )


def _names_a_function(first: Node, second: Node, one_value: Node, other_value: Node) -> bool:
    """True if one label is a letter (y) and the other is a function (f(x)) whose value the letter names."""
    for name, function, of in ((first, second, other_value), (second, first, one_value)):
        arguments = _arguments(function)
        if name.kind == "symbol" and arguments and arguments <= symbols(of) and not {name.value} & symbols(of):
            return True
    return False


def _arguments(label: Node) -> frozenset[str]:
    """Returns the arguments of a label's function: x of f(x), or of f^{-1}(x), which parses as a product."""
    if label.kind == "call" and str(label.value).rstrip("'") in tuple("fghFGH"):
        return frozenset(item.value for item in label.items if item.kind == "symbol")
    if label.kind == "mul" and len(label.items) == 2 and label.items[1].kind == "symbol":
        name = label.items[0].items[0] if label.items[0].kind == "pow" else label.items[0]
        return frozenset([label.items[1].value]) if name.kind == "symbol" else frozenset()
    return frozenset()


# --- identities


def _is_identity(node: Node) -> bool:
    """True if an equation holds for all values of its letters, such as a(b+c) = ab+ac."""
    if node.kind != "relation" or set(node.value) != {"="} or node.items[0].kind in ("symbol", "text") or not symbols(node):
        return False
    if any(item.kind in _NO_EXPRESSIONS for item in node.items):
        return False
    names = sorted(symbols(node))
    try:
        return all(identical(item, node.items[-1], names) for item in node.items[:-1])
    except (Undecided, NotEvaluated, TooLarge, Undefined):
        return False


def _same_identity(gold: Node, answer: Node, same: Same) -> bool:
    """Compares an answer with a gold identity. Its last side is the result, and its other sides only repeat the problem."""
    repeated_sides, result = gold.items[:-1], gold.items[-1]
    if answer.kind != "relation":
        return not any(same_form(answer, side) for side in repeated_sides) and same(result, answer)
    if set(answer.value) != {"="}:
        return False
    ends = (gold.items[0], result)
    if len(answer.items) == 2 and any(
        same_form(ends[0], first) and same_form(ends[1], second) for first, second in (answer.items, answer.items[::-1])
    ):
        return True
    last = answer.items[-1]
    repeated = any(same_form(last, side) for side in repeated_sides)
    return same_form(answer.items[0], repeated_sides[0]) and not repeated and _is_identity(answer) and same(result, last)


# --- equations


def same_equation(gold: Node, answer: Node, same: Same) -> bool:
    """True if two equations or inequalities are equivalent.

    Two equations are equivalent if the differences of their sides are multiples of each other or vanish at the same points.
    Two chains are equivalent if they agree link by link.

    Args:
        gold: The gold answer's reading.
        answer: The answer's reading.
        same: The comparison of the links of chains.
    """
    first, second = ascending(gold), ascending(answer)
    if len(first.items) != len(second.items):
        return False
    if len(first.items) > 2:
        return first.value == second.value and all(same(a, b) for a, b in zip(first.items, second.items, strict=True))
    if first.value != second.value:
        return False
    sign = proportion(difference(first), difference(second))
    if sign:
        return sign > 0 or first.value[0] in ("=", "!=", "~")
    return first.value == ("=",) and _same_solutions(difference(first), difference(second))


def _same_solutions(gold: Node, answer: Node) -> bool:
    """True if two expressions that are linear in one letter vanish at the same points, such as x y - 1 and y - 1/x."""
    names = symbols(gold)
    if names != symbols(answer) or len(names) < 2:
        return False
    for name in sorted(names, reverse=True):
        others = sorted(names - {name})
        try:
            if _differ_at_a_point(gold, answer, name, others):
                continue
            gold_line, answer_line = _linear(gold, name, others), _linear(answer, name, others)
            if gold_line is None or answer_line is None:
                continue
            crossed = (Node("mul", (gold_line[0], answer_line[1])), Node("mul", (answer_line[0], gold_line[1])))
            return identical(*crossed, others) and not _has_vanishing_factor(answer, name, others)
        except (Undecided, NotEvaluated, Undefined, TooLarge):
            continue
    return False


def _differ_at_a_point(gold: Node, answer: Node, name: str, others: list[str]) -> bool:
    """True if two expressions, assumed linear in a letter, vanish at different values of it. Cheap, so it is tested first."""
    point = {other: Fraction(5 + 3 * place, 7) for place, other in enumerate(others)}
    g, a = ([value(node, {**point, name: Fraction(at)}, 30) for at in (0, 1)] for node in (gold, answer))
    crossed = (g[1] - g[0]) * a[0], (a[1] - a[0]) * g[0]
    return bool(abs(crossed[0] - crossed[1]) > 1e-20 * (1 + abs(crossed[0])))


def _linear(node: Node, name: str, others: list[str]) -> tuple[Node, Node] | None:
    """Returns the slope and offset of an expression that is linear in a letter. None if it is not linear."""
    symbol = Node("symbol", (), name)
    zero, one, two = (substituted(node, {symbol: Node("number", (), Fraction(number))}) for number in (0, 1, 2))
    if not identical(Node("add", (zero, two)), Node("add", (one, one)), others):
        return None
    slope = Node("add", (one, Node("mul", (MINUS_ONE, zero))))
    return None if identical(slope, ZERO, others) else (slope, zero)


def _has_vanishing_factor(answer: Node, name: str, others: list[str]) -> bool:
    """True if an equation always holds with a certain small integer in place of one letter: x (y - 2x) = 0 at x = 0."""
    for other in others:
        rest = [name, *(letter for letter in others if letter != other)]
        for number in _SPECIAL:
            at = substituted(answer, {Node("symbol", (), other): Node("mul", (ONE, Node("number", (), number)))})
            try:
                if identical(at, ZERO, rest):
                    return True
            except (Undecided, NotEvaluated, Undefined, TooLarge):
                continue
    return False
