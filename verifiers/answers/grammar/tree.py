"""The syntax tree of an answer: `Node`, and functions that build and transform nodes."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, NamedTuple

from .notation import ParseError


class Node(NamedTuple):
    """A node of the tree.

    Kinds. The brackets contain `value`, if the kind uses it:

    - number (Fraction), decimal (`Decimal`), constant (pi, e, i, oo), symbol (a name), text (words), reals
    - add, mul ("/" for a fraction), pow, neg, pm (1 or -1), percent, degrees, call (the function's name)
    - bound (sum, prod, int, lim): an operator with a bound variable; items are the lower bound, the upper bound and the body
    - tuple ("[" for square brackets), list ("and" or "or" if all separators are this word, else None)
    - set, interval (which ends are closed)
    - union, intersection, difference, matrix (shape)
    - relation (the signs between the items), ratio, based (digits and base), quantity (the text of the unit)
    - and, or, xor, not, implies, iff (statements, see `logic.py`)
    - cases: items are tuples of a value and its condition; family: items are tuples of an offset and a step
    - given ("," after a comma): items are a formula and, if it is stated, its condition
    """

    kind: str
    items: tuple["Node", ...] = ()
    value: Any = None


class Decimal(NamedTuple):
    """A number written with a decimal point or an exponent."""

    value: Fraction
    unit: Fraction
    """The value of one unit in the last written digit."""
    digits: int
    """Significant digits."""


ZERO, ONE, MINUS_ONE = (Node("number", (), Fraction(value)) for value in (0, 1, -1))
INFINITY = Node("constant", (), "oo")


def number(text: str) -> Node:
    """Returns the node of a number that is written in digits, possibly with a point or an exponent."""
    mantissa, _, exponent = text.lower().partition("e")
    whole, point, places = mantissa.partition(".")
    if len(exponent.lstrip("+-")) > 3:
        raise ParseError("an exponent of more than three digits")
    if len(mantissa) > 4_000:
        raise ParseError("more than 4,000 digits")
    if not point and not exponent:
        return Node("number", (), Fraction(int(whole)))
    unit = Fraction(10) ** (int(exponent or 0) - len(places))
    value = int(whole + places) * unit
    return Node("decimal", (), Decimal(value, unit, len((whole + places).lstrip("0"))))


def product(factors: list[Node]) -> Node:
    """Returns the product of factors as one node."""
    return factors[0] if len(factors) == 1 else Node("mul", tuple(factors))


def fraction(above: Node, below: Node) -> Node:
    """Returns the quotient of two nodes. Its value "/" distinguishes it from other products."""
    return Node("mul", (above, Node("pow", (below, MINUS_ONE))), "/")


def is_whole(node: Node) -> bool:
    """True if the node is a whole number with or without a sign."""
    node = node.items[0] if node.kind == "neg" else node
    return node.kind == "number" and node.value.denominator == 1


def is_mixed(whole: Node, part: Node) -> bool:
    """True if two nodes form a mixed number such as `1\\frac{2}{3}`: all numbers are whole, and the fraction is below one."""
    if not is_whole(whole) or part.value != "/":
        return False
    above, below = part.items[0], part.items[1].items[0]
    return above.kind == below.kind == "number" and 0 < above.value < below.value


def mixed(whole: Node, part: Node) -> Node:
    """Returns a mixed number. A minus sign applies to both parts."""
    if whole.kind == "neg":
        return Node("neg", (mixed(whole.items[0], part),))
    return Node("add", (whole, part))


def matrix(rows: list[list[Node]]) -> Node:
    """Returns a matrix with these rows."""
    if not rows or len({len(row) for row in rows}) != 1:
        raise ParseError("a matrix with rows of different lengths")
    return Node("matrix", tuple(cell for row in rows for cell in row), (len(rows), len(rows[0])))


def grouped(items: list[Node], separators: list[str]) -> Node:
    """Returns items in groups that semicolons separate: "p=5,q=2;p=7,q=2" as a list of two tuples."""
    groups: list[list[Node]] = [[items[0]]]
    for item, separator in zip(items[1:], separators, strict=True):
        if separator == ",":
            groups[-1].append(item)
        else:
            groups.append([item])
    return Node("list", tuple(group[0] if len(group) == 1 else Node("tuple", tuple(group)) for group in groups))


def substituted(node: Node, replacements: Mapping[Node, Node]) -> Node:
    """Returns the expression with these parts replaced, all at once."""
    if node in replacements:
        return replacements[node]
    return node._replace(items=tuple(substituted(item, replacements) for item in node.items))


def signed(node: Node, sign: int) -> Node:
    """Returns the expression with \\pm read as plus (`sign` 1) or as minus (`sign` -1)."""
    if node.kind == "pm":
        inner = signed(node.items[0], sign)
        return inner if node.value == sign else Node("neg", (inner,))
    return node._replace(items=tuple(signed(item, sign) for item in node.items))


def same_form(first: Node, second: Node) -> bool:
    """True if two expressions are equal up to the order of terms and factors."""
    return first == second or ordered(first) == ordered(second)


def ordered(node: Node) -> Node:
    """Returns the expression with terms and factors sorted, and nested sums and products flattened."""
    items = [ordered(item) for item in node.items]
    if node.kind in ("add", "mul"):
        items = [part for item in items for part in (item.items if item.kind == node.kind else (item,))]
    if node.kind in ("add", "mul", "union", "intersection", "and", "or"):
        items.sort(key=repr)
    return Node(node.kind, tuple(items), None if node.kind == "mul" else node.value)


def canonical(node: Node) -> Node:
    """Returns the expression sorted and without neutral parts: added 0, factor or exponent 1, double signs."""
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
