"""Do two equations, or an equation and what it claims, say the same? Names, identities, implicit and explicit equations."""

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
from .evaluation import Unknown, symbols, value
from .exact import TooLarge, Undefined
from .identity import CannotTell, identical

Same = Callable[[Node, Node], bool]

_SPECIAL = tuple(Fraction(number) for number in range(-4, 5))
"""Numbers at which an equation that was multiplied by something may hold for no reason."""
_NO_EXPRESSIONS = frozenset(
    "text quantity tuple list set interval union intersection difference matrix reals family cases".split()
)


def same_relation(gold: Node, answer: Node, same: Same) -> bool:
    """Whether two nodes of which one at least is an equation or inequality say the same.

    Args:
        gold: what is right.
        answer: what is judged.
        same: the comparison of whatever an equation claims.

    Raises:
        CannotTell: neither can be said.
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
    if solved and answer_label is None and not _is_a_line(answer):
        return False  # 2x = 10 does not say what x is
    return same_equation(gold, answer, same)


def _is_a_line(node: Node) -> bool:
    """Whether an equation is a letter's solved one but for the side of its number: x - 5 = 0, as lines are written."""
    left, right = node.items[0], node.items[-1]
    return (
        len(node.items) == 2
        and right == ZERO
        and left.kind == "add"
        and sum(item.kind == "symbol" for item in left.items) == 1
        and all(item.kind == "symbol" or is_constant(item) for item in left.items)
    )


def _names_a_function(one: Node, other: Node, one_value: Node, other_value: Node) -> bool:
    """Whether one side names a value, y, and the other the function that gives it, f(x)."""
    for name, function, of in ((one, other, other_value), (other, one, one_value)):
        arguments = _arguments(function)
        if name.kind == "symbol" and arguments and arguments <= symbols(of) and not {name.value} & symbols(of):
            return True
    return False


def _arguments(label: Node) -> frozenset[str]:
    """The letters that the function in a label takes: x of f(x), or of f^{-1}(x), which reads as a product; none elsewhere."""
    if label.kind == "call" and str(label.value).rstrip("'") in tuple("fghFGH"):
        return frozenset(item.value for item in label.items if item.kind == "symbol")
    if label.kind == "mul" and len(label.items) == 2 and label.items[1].kind == "symbol":
        name = label.items[0].items[0] if label.items[0].kind == "pow" else label.items[0]
        return frozenset([label.items[1].value]) if name.kind == "symbol" else frozenset()
    return frozenset()


# --- identities


def _is_identity(node: Node) -> bool:
    """Whether an equation holds whatever its letters are: a(b+c) = ab+ac."""
    if node.kind != "relation" or set(node.value) != {"="} or node.items[0].kind in ("symbol", "text") or not symbols(node):
        return False
    if any(item.kind in _NO_EXPRESSIONS for item in node.items):
        return False
    names = sorted(symbols(node))
    try:
        return all(identical(item, node.items[-1], names) for item in node.items[:-1])
    except (CannotTell, Unknown, TooLarge, Undefined):
        return False


def _same_identity(gold: Node, answer: Node, same: Same) -> bool:
    """The last side of a gold identity is what was asked for; the first side alone only repeats the question."""
    asked, wanted = gold.items[:-1], gold.items[-1]
    if answer.kind != "relation":
        return not any(same_form(answer, side) for side in asked) and same(wanted, answer)
    if set(answer.value) != {"="}:
        return False
    ends = (gold.items[0], wanted)
    if len(answer.items) == 2 and any(
        same_form(ends[0], one) and same_form(ends[1], other) for one, other in (answer.items, answer.items[::-1])
    ):
        return True
    last = answer.items[-1]
    repeated = any(same_form(last, side) for side in asked)
    return same_form(answer.items[0], asked[0]) and not repeated and _is_identity(answer) and same(wanted, last)


# --- equations


def same_equation(gold: Node, answer: Node, same: Same) -> bool:
    """Whether two equations or inequalities are one.

    Two are where their sides' differences are multiples, or vanish at the same points; two chains are where they agree
    link by link.
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
    """Whether two expressions vanish at the same points, where both are linear in one letter: x y - 1 and y - 1/x."""
    names = symbols(gold)
    if names != symbols(answer) or len(names) < 2:
        return False
    for name in sorted(names, reverse=True):
        others = sorted(names - {name})
        try:
            if _differ_at_a_point(gold, answer, name, others):
                continue
            wanted, given = _linear(gold, name, others), _linear(answer, name, others)
            if wanted is None or given is None:
                continue
            crossed = (Node("mul", (wanted[0], given[1])), Node("mul", (given[0], wanted[1])))
            return identical(*crossed, others) and not _holds_for_no_reason(answer, name, others)
        except (CannotTell, Unknown, Undefined, TooLarge):
            continue
    return False


def _differ_at_a_point(gold: Node, answer: Node, name: str, others: list[str]) -> bool:
    """Whether two expressions, if they are linear in a letter, vanish at different values of it: the cheapest way to refute."""
    point = {other: Fraction(5 + 3 * place, 7) for place, other in enumerate(others)}
    g, a = ([value(node, {**point, name: Fraction(at)}, 30) for at in (0, 1)] for node in (gold, answer))
    crossed = (g[1] - g[0]) * a[0], (a[1] - a[0]) * g[0]
    return bool(abs(crossed[0] - crossed[1]) > 1e-20 * (1 + abs(crossed[0])))


def _linear(node: Node, name: str, others: list[str]) -> tuple[Node, Node] | None:
    """Slope and offset of an expression that is linear in a letter; None where it is not."""
    symbol = Node("symbol", (), name)
    zero, one, two = (substituted(node, {symbol: Node("number", (), Fraction(number))}) for number in (0, 1, 2))
    if not identical(Node("add", (zero, two)), Node("add", (one, one)), others):
        return None
    slope = Node("add", (one, Node("mul", (MINUS_ONE, zero))))
    return None if identical(slope, ZERO, others) else (slope, zero)


def _holds_for_no_reason(answer: Node, name: str, others: list[str]) -> bool:
    """Whether an equation holds for every value of a letter where another is a small number: x (y - 2x) = 0 at x = 0."""
    for other in others:
        rest = [name, *(letter for letter in others if letter != other)]
        for number in _SPECIAL:
            at = substituted(answer, {Node("symbol", (), other): Node("mul", (ONE, Node("number", (), number)))})
            try:
                if identical(at, ZERO, rest):
                    return True
            except (CannotTell, Unknown, Undefined, TooLarge):
                continue
    return False
