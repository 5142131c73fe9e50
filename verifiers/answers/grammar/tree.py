"""An answer as a tree: its one kind of node, and how nodes are put together."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, NamedTuple

from .notation import Unreadable


class Node(NamedTuple):
    """A part of an answer: its kind, its parts, and what else there is to say.

    number (value: Fraction), decimal (value: Decimal), constant (pi, e, i, oo), symbol (a name), text (words), reals
    add, mul, pow, neg, pm (value 1 or -1), percent, degrees, call (value: the function's name), bound (sum, prod, int, lim)
    tuple, set, list, interval (value: whether the ends belong to it), union, intersection, difference, matrix (value: shape)
    relation (value: the signs between the items), ratio, based (value: digits and base), quantity (value: the unit's text)
    cases (tuples of a value and its condition), family (tuples of an offset and a step)
    """

    kind: str
    items: tuple[Any, ...] = ()
    value: Any = None


class Decimal(NamedTuple):
    """A number written with a point or an exponent."""

    value: Fraction
    unit: Fraction
    """What one more in its last digit would add."""
    digits: int
    """Significant digits."""


ZERO, ONE, MINUS_ONE = (Node("number", (), Fraction(value)) for value in (0, 1, -1))
INFINITY = Node("constant", (), "oo")


def number(text: str) -> Node:
    """A number's text, digits with a point or an exponent among them, as a node."""
    mantissa, _, exponent = text.lower().partition("e")
    whole, point, places = mantissa.partition(".")
    if len(exponent) > 4:
        raise Unreadable("an exponent of more than three digits")
    if not point and not exponent:
        if len(whole) > 4_000:
            raise Unreadable("more than 4,000 digits")
        return Node("number", (), Fraction(int(whole)))
    unit = Fraction(10) ** (int(exponent or 0) - len(places))
    value = int(whole + places) * unit
    if len(mantissa) > 4_000:
        raise Unreadable("more than 4,000 digits")
    return Node("decimal", (), Decimal(value, unit, len((whole + places).lstrip("0"))))


def product(factors: list[Node]) -> Node:
    """Factors as one node."""
    return factors[0] if len(factors) == 1 else Node("mul", tuple(factors))


def fraction(above: Node, below: Node) -> Node:
    """One expression over another; the value "/" tells a fraction from a product."""
    return Node("mul", (above, Node("pow", (below, MINUS_ONE))), "/")


def is_whole(node: Node) -> bool:
    """Whether a node is a whole number, with or without a sign."""
    node = node.items[0] if node.kind == "neg" else node
    return node.kind == "number" and node.value.denominator == 1


def is_mixed(whole: Node, part: Node) -> bool:
    """Whether `1\\frac{2}{3}` stands here: whole numbers all three, the fraction less than one."""
    if not is_whole(whole) or part.value != "/":
        return False
    above, below = part.items[0], part.items[1].items[0]
    return above.kind == below.kind == "number" and 0 < above.value < below.value


def mixed(whole: Node, part: Node) -> Node:
    """A mixed number, whose sign is that of both of its parts."""
    if whole.kind == "neg":
        return Node("neg", (mixed(whole.items[0], part),))
    return Node("add", (whole, part))


def matrix(rows: list[list[Node]]) -> Node:
    """Rows of nodes as one."""
    if not rows or len({len(row) for row in rows}) != 1:
        raise Unreadable("a matrix with rows of different lengths")
    return Node("matrix", tuple(cell for row in rows for cell in row), (len(rows), len(rows[0])))


def grouped(items: list[Node], separators: list[str]) -> Node:
    """ "p=5,q=2;p=7,q=2" as two tuples."""
    groups: list[list[Node]] = [[items[0]]]
    for item, separator in zip(items[1:], separators, strict=True):
        if separator == ",":
            groups[-1].append(item)
        else:
            groups.append([item])
    return Node("list", tuple(group[0] if len(group) == 1 else Node("tuple", tuple(group)) for group in groups))


def substituted(node: Node, replacements: Mapping[Node, Node]) -> Node:
    """The expression with some of its parts replaced, all at once."""
    if node in replacements:
        return replacements[node]
    return node._replace(items=tuple(substituted(item, replacements) for item in node.items))


def signed(node: Node, sign: int) -> Node:
    """The expression with its \\pm read as plus (1) or as minus (-1)."""
    if node.kind == "pm":
        inner = signed(node.items[0], sign)
        return inner if node.value == sign else Node("neg", (inner,))
    return node._replace(items=tuple(signed(item, sign) for item in node.items))


def same_form(one: Node, other: Node) -> bool:
    """Whether two expressions are written alike but for the order of their terms and factors."""
    return one == other or ordered(one) == ordered(other)


def ordered(node: Node) -> Node:
    """The expression with its terms and factors in one order, nested sums and products flattened."""
    items = [ordered(item) for item in node.items]
    if node.kind in ("add", "mul"):
        items = [part for item in items for part in (item.items if item.kind == node.kind else (item,))]
    if node.kind in ("add", "mul", "union", "intersection", "and", "or"):
        items.sort(key=repr)
    return Node(node.kind, tuple(items), None if node.kind == "mul" else node.value)


def core(node: Node) -> Node:
    """An expression without what changes nothing, in one order: no 0 added, no factor or exponent 1, no double sign."""
    return ordered(_bare(node))


def _bare(node: Node) -> Node:
    items = tuple(map(_bare, node.items))
    if node.kind == "neg" and items[0].kind == "neg":
        return items[0].items[0]
    if node.kind == "pow" and items[1] == ONE:
        return items[0]
    if node.kind in ("add", "mul"):
        neutral = ZERO if node.kind == "add" else ONE
        items = tuple(item for item in items if item != neutral and item != Node("pow", (ONE, MINUS_ONE))) or (neutral,)
        if len(items) == 1:
            return items[0]
    return node._replace(items=items)
