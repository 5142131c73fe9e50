"""Sets of real numbers: intervals, unions and inequalities in one variable, all as sorted pieces."""

import itertools
import operator
from fractions import Fraction
from typing import Any, NamedTuple

from ..grammar.expressions import NAMED_FUNCTIONS
from ..grammar.tree import INFINITY, Node, substituted
from .evaluation import Unknown, symbols, value
from .exact import Undefined, exact
from .identity import DIGITS, CannotTell, as_fraction, same_number


class Piece(NamedTuple):
    """An interval; one point is an interval whose ends are equal and closed."""

    low: Node
    high: Node
    low_closed: bool
    high_closed: bool


_MINUS_INFINITY = Node("neg", (INFINITY,))
_ALL = (Piece(_MINUS_INFINITY, INFINITY, False, False),)
_FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "!=": "!=", "=": "="}
Region = tuple[Piece, ...]


def is_region(node: Node) -> bool:
    """Whether a node can only be meant as a set of real numbers; a pair in parentheses can be a point, too."""
    if node.kind in ("interval", "union", "intersection", "difference", "reals"):
        return True
    if node.kind == "relation":
        if "in" in node.value:
            return is_region(node.items[-1])
        if _between(node) is not None:
            return True
        return all(sign in _FLIPPED and sign != "=" for sign in node.value) and _variable(node) is not None
    return node.kind == "list" and bool(node.items) and all(is_region(item) for item in node.items)


def region(node: Node) -> Region:
    """The set of real numbers that a node says.

    Raises:
        CannotTell: it says none that is known here.
    """
    match node.kind:
        case "reals":
            return _ALL
        case "interval":
            low, high = node.items
            return _valid(Piece(low, high, *node.value))
        case "tuple" if len(node.items) == 2:
            return _valid(Piece(*node.items, False, False))
        case "set":
            return _merged([piece for item in node.items for piece in _point(item)])
        case "union":
            return _merged([piece for item in node.items for piece in region(item)])
        case "intersection":
            return _intersection(region(node.items[0]), region(node.items[1]))
        case "difference":
            return _intersection(region(node.items[0]), _complement(region(node.items[1])))
        case "list" if node.items:
            parts = [region(item) for item in node.items]
            common = parts[0]
            for part in parts[1:]:
                common = _intersection(common, part)
            if node.value == "and" or (common and node.value != "or"):
                return common
            return _merged([piece for part in parts for piece in part])
        case "relation":
            return _of_relation(node)
    return _point(node)


def same_region(gold: Node, answer: Node, tolerance: Fraction | None = None) -> bool:
    """Whether two nodes say the same set of real numbers.

    Raises:
        CannotTell: one of them is no such set, or ends cannot be compared.
        TooLarge: an end asks for too much.
    """
    lettered = _lettered(gold), _lettered(answer)
    if None not in lettered:
        return _same_lettered(*lettered, tolerance)  # type: ignore[arg-type]
    try:
        wanted = region(gold)
    except CannotTell:
        if lettered[0] is not None and answer.kind != "relation":
            return False
        if gold.kind == "relation" and answer.kind != "relation":
            return _agrees(region(answer), gold)
        raise
    try:
        given = region(answer)
    except CannotTell:
        return answer.kind == "relation" and _agrees(wanted, answer)  # anything else is a set of real numbers, or is none
    return len(wanted) == len(given) and all(_same_piece(a, b, tolerance) for a, b in zip(wanted, given, strict=True))


def _between(node: Node) -> Piece | None:
    """The interval that a < x < b says, with letters in its ends."""
    if node.kind != "relation" or len(node.items) != 3 or node.items[1].kind != "symbol":
        return None
    low, middle, high = node.items
    if not (symbols(low) | symbols(high)) or symbols(middle) & (symbols(low) | symbols(high)):
        return None
    if set(node.value) <= {"<", "<="}:
        return Piece(low, high, node.value[0] == "<=", node.value[1] == "<=")
    if set(node.value) <= {">", ">="}:
        return Piece(high, low, node.value[1] == ">=", node.value[0] == ">=")
    return None


def _lettered(node: Node) -> list[Piece] | None:
    """The intervals of a node that have letters in their ends, as they are written; None where it is anything else."""
    pieces = _as_written(node)
    return pieces if pieces and any(symbols(end) for piece in pieces for end in (piece.low, piece.high)) else None


def _as_written(node: Node) -> list[Piece] | None:
    if node.kind == "interval":
        closed = tuple(is_closed and not _is_infinite(end) for end, is_closed in zip(node.items, node.value, strict=True))
        return [Piece(*node.items, *closed)]
    if node.kind == "tuple" and len(node.items) == 2:
        return [Piece(*node.items, False, False)]
    if node.kind == "relation":
        if node.value == ("in",):
            return _as_written(node.items[-1])
        between = _between(node)
        return None if between is None else [between]
    if node.kind == "union":
        sides = [_as_written(item) for item in node.items]
        return None if None in sides else [piece for side in sides for piece in side or ()]
    return None


def _same_lettered(gold: list[Piece], answer: list[Piece], tolerance: Fraction | None) -> bool:
    """Whether the intervals of two nodes are the same, in any order."""
    left = list(answer)
    for wanted in gold:
        match = next((piece for piece in left if _same_piece(wanted, piece, tolerance)), None)
        if match is None:
            return False
        left.remove(match)
    return not left


def _same_piece(a: Piece, b: Piece, tolerance: Fraction | None) -> bool:
    return (
        (a.low_closed, a.high_closed) == (b.low_closed, b.high_closed)
        and _same_end(a.low, b.low, tolerance)
        and _same_end(a.high, b.high, tolerance)
    )


def _agrees(wanted: Region, relation: Node) -> bool:
    """Whether an inequality that is not solved here holds just where a region lies: at its ends, beside them, and between."""
    variable = _variable(relation)
    if variable is None:
        raise CannotTell("an inequality in several unknowns")
    ends = sorted({Fraction(_place(end)) for piece in wanted for end in (piece.low, piece.high) if not _is_infinite(end)})
    near = [end + step for end in ends for step in (0, Fraction(1, 10**6), Fraction(-1, 10**6))]
    between = [(low + high) / 2 for low, high in itertools.pairwise(ends)]
    spread = [Fraction(number, 7) for number in range(-80, 81, 3)] + [Fraction(1000), Fraction(-1000)]
    for at in [*near, *between, *spread, *(end + step for end in ends for step in (3, -3, Fraction(1, 3)))]:
        inside = any(
            (_place(p.low) < at or (p.low_closed and _place(p.low) == at))
            and (at < _place(p.high) or (p.high_closed and _place(p.high) == at))
            for p in wanted
        )
        if inside != holds(relation, variable, at):
            return False
    return True


def holds(relation: Node, variable: Node, at: Fraction) -> bool:
    """Whether an inequality holds at a number; where a side has no real value it does not."""
    try:
        numbers = [_number(substituted(item, {variable: Node("number", (), at)})) for item in relation.items]
    except CannotTell:
        return False
    signs = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq, "!=": operator.ne}
    return all(signs[sign](a, b) for a, sign, b in zip(numbers, relation.value, numbers[1:], strict=False))


def _same_end(gold: Node, answer: Node, tolerance: Fraction | None) -> bool:
    if _is_infinite(gold) or _is_infinite(answer):
        return _is_infinite(gold) and _is_infinite(answer) and _place(gold) == _place(answer)
    return same_number(gold, answer, tolerance)


def _is_infinite(node: Node) -> bool:
    return node == INFINITY or (node.kind == "neg" and node.items[0] == INFINITY)


def _place(node: Node) -> Any:
    """Where an end lies on the line, as a number that sorts."""
    if _is_infinite(node):
        return float("inf") if node == INFINITY else float("-inf")
    return _number(node)


def _number(node: Node) -> Fraction:
    """A constant as a fraction, to `DIGITS` digits where it is none.

    Raises:
        CannotTell: it is no real number.
    """
    try:
        known = exact(node)
        if known is not None:
            return known
        if symbols(node):
            raise CannotTell("an end of an interval is no number")
        number = as_fraction(value(node, {}, DIGITS))
    except (Undefined, Unknown) as error:
        raise CannotTell(str(error)) from None
    if number is None:
        raise CannotTell("an end of an interval is complex")
    return number


def _valid(piece: Piece) -> Region:
    low, high = _place(piece.low), _place(piece.high)
    if low > high:
        raise CannotTell("an interval from right to left")
    # An end at infinity belongs to nothing, however it is written.
    piece = piece._replace(
        low_closed=piece.low_closed and not _is_infinite(piece.low),
        high_closed=piece.high_closed and not _is_infinite(piece.high),
    )
    return (piece,) if low < high or (piece.low_closed and piece.high_closed) else ()


def _point(node: Node) -> Region:
    if node.kind in ("text", "matrix", "relation", "ratio", "tuple", "quantity"):
        raise CannotTell(f"a {node.kind} is no number")
    _place(node)
    return (Piece(node, node, True, True),)


def _merged(pieces: list[Piece]) -> Region:
    """The union: sorted, and pieces that meet joined."""
    merged: list[Piece] = []
    for piece in sorted(pieces, key=lambda piece: (_place(piece.low), not piece.low_closed)):
        if merged:
            last = merged[-1]
            end, start = _place(last.high), _place(piece.low)
            if start < end or (start == end and (last.high_closed or piece.low_closed)):
                further = (_place(piece.high), piece.high_closed) > (end, last.high_closed)
                if further:
                    merged[-1] = last._replace(high=piece.high, high_closed=piece.high_closed)
                continue
        merged.append(piece)
    return tuple(merged)


def _intersection(first: Region, second: Region) -> Region:
    found: list[Piece] = []
    for a in first:
        for b in second:
            low, low_closed = max((_place(a.low), not a.low_closed, 0), (_place(b.low), not b.low_closed, 1))[2], False
            low_piece = (a, b)[low]
            low_closed = low_piece.low_closed
            high_piece = (a, b)[min((_place(a.high), a.high_closed, 0), (_place(b.high), b.high_closed, 1))[2]]
            if _place(low_piece.low) > _place(high_piece.high):
                continue
            found.extend(_valid(Piece(low_piece.low, high_piece.high, low_closed, high_piece.high_closed)))
    return _merged(found)


def _complement(pieces: Region) -> Region:
    found: list[Piece] = []
    low, closed = _MINUS_INFINITY, False
    for piece in pieces:
        if not _is_infinite(piece.low):
            found.extend(_valid(Piece(low, piece.low, closed, not piece.low_closed)))
        low, closed = piece.high, not piece.high_closed
    if low != INFINITY:
        found.extend(_valid(Piece(low, INFINITY, closed, False)))
    return tuple(found)


# --- inequalities


def _variable(node: Node) -> Node | None:
    """The one unknown of an inequality: a symbol, or an expression in it that stands alone, as f(x) in 0 < f(x) < 1."""
    names = symbols(node)
    if len(names) != 1:
        return None
    return Node("symbol", (), next(iter(names)))


def _of_relation(node: Node) -> Region:
    if "in" in node.value:
        return region(node.items[-1])
    variable = _variable(node)
    if variable is None:
        raise CannotTell("an inequality in several unknowns")
    result: Region = _ALL
    for left, sign, right in zip(node.items, node.value, node.items[1:], strict=False):
        result = _intersection(result, _half_line(left, sign, right, variable))
    return result


def _half_line(left: Node, sign: str, right: Node, variable: Node) -> Region:
    if symbols(right) and not symbols(left):
        left, sign, right = right, _FLIPPED[sign], left
    if sign not in _FLIPPED:
        raise CannotTell(f"the sign {sign}")
    if not symbols(right):
        if left == variable or (left.kind == "call" and left.items == (variable,) and left.value in NAMED_FUNCTIONS):
            return _beyond(sign, right)
        if left == Node("call", (variable,), "abs"):
            return _around(sign, right)
    return _linear(left, sign, right, variable)


def _beyond(sign: str, end: Node) -> Region:
    match sign:
        case "<" | "<=":
            return _valid(Piece(_MINUS_INFINITY, end, False, sign == "<="))
        case ">" | ">=":
            return _valid(Piece(end, INFINITY, sign == ">=", False))
        case "=":
            return _point(end)
    return _complement(_point(end))


def _around(sign: str, distance: Node) -> Region:
    negative = Node("neg", (distance,))
    within = _valid(Piece(negative, distance, sign in ("<=", ">", "="), sign in ("<=", ">", "=")))
    if sign in ("<", "<="):
        return within
    if sign in (">", ">="):
        return _complement(_valid(Piece(negative, distance, sign == ">", sign == ">")))
    ends = _merged([*_point(negative), *_point(distance)])
    return ends if sign == "=" else _complement(ends)


_PLACES = (*map(Fraction, (0, 1, 2, -7, 101)), Fraction(-5, 3), Fraction(13, 7))


def _linear(left: Node, sign: str, right: Node, variable: Node) -> Region:
    """Solves a x + b < 0 with rational a and b, which are read off at x = 0 and 1 and hold at others."""
    difference = Node("add", (left, Node("neg", (right,))))
    try:
        values = [exact(substituted(difference, {variable: Node("number", (), Fraction(at))})) for at in _PLACES]
    except (Undefined, Unknown) as error:
        raise CannotTell(str(error)) from None
    at_zero, at_one = values[:2]
    if at_zero is None or at_one is None or at_one == at_zero:
        raise CannotTell("an inequality that is not linear")
    slope = at_one - at_zero
    if any(found != at_zero + slope * at for at, found in zip(_PLACES, values, strict=True)):
        raise CannotTell("an inequality that is not linear")
    return _beyond(sign if slope > 0 else _FLIPPED[sign], Node("number", (), -at_zero / slope))
