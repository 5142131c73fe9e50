"""Sets of real numbers as sorted pieces: intervals, unions, and inequalities in one variable."""

import itertools
from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

from ..grammar.expressions import NAMED_FUNCTIONS
from ..grammar.tree import INFINITY, Node, substituted
from .evaluation import NotEvaluated, symbols
from .exact import Undefined, exact
from .identity import Undecided, same_number
from .inequalities import holds, number_of


class Piece(NamedTuple):
    """An interval. A point is an interval with equal, closed ends."""

    low: Node
    high: Node
    low_closed: bool
    high_closed: bool


_MINUS_INFINITY = Node("neg", (INFINITY,))
_ALL = (Piece(_MINUS_INFINITY, INFINITY, False, False),)
_FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "!=": "!=", "=": "="}
Region = tuple[Piece, ...]


def is_region(node: Node) -> bool:
    """True if a node can only be a set of real numbers. A pair in parentheses can also be a point."""
    if node.kind in ("interval", "union", "intersection", "difference", "reals"):
        return True
    if node.kind == "relation":
        if "in" in node.value:
            return is_region(node.items[-1])
        if _symbolic_interval(node) is not None:
            return True
        return all(sign in _FLIPPED and sign != "=" for sign in node.value) and _variable(node) is not None
    return node.kind == "list" and bool(node.items) and all(is_region(item) for item in node.items)


def region(node: Node) -> Region:
    """Returns the set of real numbers that a node describes.

    Raises:
        Undecided: The node is not a set of real numbers in a known form.
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
            if (common and node.value != "or") or (node.value == "and" and any(item.kind == "relation" for item in node.items)):
                return common  # "x < 1 and x > 2" holds nowhere, but "(0, 1) and (2, 3)" are two intervals
            return _merged([piece for part in parts for piece in part])
        case "relation":
            return _of_relation(node)
    return _point(node)


def same_region(gold: Node, answer: Node, tolerance: Fraction | None = None) -> bool:
    """True if two nodes describe the same set of real numbers.

    Args:
        gold: The gold answer's reading.
        answer: The answer's reading.
        tolerance: Largest difference of an end relative to the gold one.

    Raises:
        Undecided: One of them is not such a set, or ends cannot be compared.
        TooLarge: A limit is exceeded.
    """
    symbolic = _symbolic_pieces(gold), _symbolic_pieces(answer)
    if None not in symbolic:
        return _same_pieces(*symbolic, tolerance)  # type: ignore[arg-type]
    try:
        gold_region = region(gold)
    except Undecided:
        if symbolic[0] is not None and answer.kind != "relation":
            return False
        if gold.kind == "relation":
            return _holds_exactly_on(region(answer), gold)
        raise
    try:
        answer_region = region(answer)
    except Undecided:
        return answer.kind == "relation" and _holds_exactly_on(
            gold_region, answer
        )  # any other answer is not a set of real numbers
    return len(gold_region) == len(answer_region) and all(
        _same_piece(a, b, tolerance) for a, b in zip(gold_region, answer_region, strict=True)
    )


def _symbolic_interval(node: Node) -> Piece | None:
    """Returns the interval of a < x < b, if its ends contain letters."""
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


def _symbolic_pieces(node: Node) -> list[Piece] | None:
    """Returns the intervals of a node as written, if an end contains letters. None for any other node."""
    pieces = _as_written(node)
    return pieces if pieces and any(symbols(end) for piece in pieces for end in (piece.low, piece.high)) else None


def _as_written(node: Node) -> list[Piece] | None:
    if node.kind == "interval":
        closed = tuple(is_closed and not _is_infinite(end) for end, is_closed in zip(node.items, node.value, strict=True))
        return [Piece(node.items[0], node.items[1], *closed)]
    if node.kind == "tuple" and len(node.items) == 2:
        return [Piece(*node.items, False, False)]
    if node.kind == "relation":
        if node.value == ("in",):
            return _as_written(node.items[-1])
        between = _symbolic_interval(node)
        return None if between is None else [between]
    if node.kind == "union":
        sides = [_as_written(item) for item in node.items]
        return None if None in sides else [piece for side in sides for piece in side or ()]
    return None


def _same_pieces(gold: list[Piece], answer: list[Piece], tolerance: Fraction | None) -> bool:
    """True if the intervals of two nodes are the same in any order."""
    unmatched = list(answer)
    for gold_piece in gold:
        match = next((piece for piece in unmatched if _same_piece(gold_piece, piece, tolerance)), None)
        if match is None:
            return False
        unmatched.remove(match)
    return not unmatched


def _same_piece(a: Piece, b: Piece, tolerance: Fraction | None) -> bool:
    return (
        (a.low_closed, a.high_closed) == (b.low_closed, b.high_closed)
        and _same_end(a.low, b.low, tolerance)
        and _same_end(a.high, b.high, tolerance)
    )


def _holds_exactly_on(pieces: Region, relation: Node) -> bool:
    """True if an inequality holds exactly on a region. It is tested at the ends, near them, between them, and elsewhere."""
    variable = _variable(relation)
    if variable is None:
        raise Undecided("an inequality in several unknowns")
    ends, is_in = finite_ends(pieces), membership(pieces)
    steps = [end + step for end in ends for step in (Fraction(1, 10**9), Fraction(-1, 10**9), 3, -3, Fraction(1, 3))]
    between = [(low + high) / 2 for low, high in itertools.pairwise(sorted(ends))]
    spread = [Fraction(number, 7) for number in range(-80, 81, 3)]
    far = [Fraction(sign * 3**power, 2) for power in range(3, 8) for sign in (1, -1)]
    numbers = {at: Node("number", (), at) for at in (*steps, *between, *spread, *far)}
    # An end is tested as it is written, because its rounded number is not the end.
    return all(is_in(at) == holds(relation, variable, node) for at, node in {**numbers, **ends}.items())


def finite_ends(pieces: Region) -> dict[Fraction, Node]:
    """Returns the finite ends. The key of an end is its number, rounded to `DIGITS` digits if it is irrational."""
    return {number_of(end): end for piece in pieces for end in (piece.low, piece.high) if not _is_infinite(end)}


def membership(pieces: Region) -> Callable[[Fraction], bool]:
    """Returns a function that is true for the numbers in a region."""
    ends = [(_position(piece.low), _position(piece.high), piece) for piece in pieces]
    return lambda at: any(
        (low < at or (piece.low_closed and low == at)) and (at < high or (piece.high_closed and high == at))
        for low, high, piece in ends
    )


def _same_end(gold: Node, answer: Node, tolerance: Fraction | None) -> bool:
    if _is_infinite(gold) or _is_infinite(answer):
        return _is_infinite(gold) and _is_infinite(answer) and _position(gold) == _position(answer)
    return same_number(gold, answer, tolerance)


def _is_infinite(node: Node) -> bool:
    return node == INFINITY or (node.kind == "neg" and node.items[0] == INFINITY)


def _position(node: Node) -> Fraction | float:
    """Returns the position of an end as a number that can be sorted."""
    if _is_infinite(node):
        return float("inf") if node == INFINITY else float("-inf")
    return number_of(node)


def _valid(piece: Piece) -> Region:
    low, high = _position(piece.low), _position(piece.high)
    if low > high:
        raise Undecided("an interval whose left end is greater than its right end")
    # An infinite end is never closed, however it is written.
    piece = piece._replace(
        low_closed=piece.low_closed and not _is_infinite(piece.low),
        high_closed=piece.high_closed and not _is_infinite(piece.high),
    )
    return (piece,) if low < high or (piece.low_closed and piece.high_closed) else ()


def _point(node: Node) -> Region:
    if node.kind in ("text", "matrix", "relation", "ratio", "tuple", "quantity"):
        raise Undecided(f"a {node.kind} is not a number")
    _position(node)
    return (Piece(node, node, True, True),)


def _merged(pieces: list[Piece]) -> Region:
    """Returns the union of pieces: sorted, with adjacent pieces joined."""
    merged: list[Piece] = []
    for piece in sorted(pieces, key=lambda piece: (_position(piece.low), not piece.low_closed)):
        if merged:
            last = merged[-1]
            end, start = _position(last.high), _position(piece.low)
            if start < end or (start == end and (last.high_closed or piece.low_closed)):
                further = (_position(piece.high), piece.high_closed) > (end, last.high_closed)
                if further:
                    merged[-1] = last._replace(high=piece.high, high_closed=piece.high_closed)
                continue
        merged.append(piece)
    return tuple(merged)


def _intersection(first: Region, second: Region) -> Region:
    found: list[Piece] = []
    for a in first:
        for b in second:
            low, low_closed = max((_position(a.low), not a.low_closed, 0), (_position(b.low), not b.low_closed, 1))[2], False
            low_piece = (a, b)[low]
            low_closed = low_piece.low_closed
            high_piece = (a, b)[min((_position(a.high), a.high_closed, 0), (_position(b.high), b.high_closed, 1))[2]]
            if _position(low_piece.low) > _position(high_piece.high):
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
    """Returns the variable of an inequality, if it has exactly one."""
    names = symbols(node)
    if len(names) != 1:
        return None
    return Node("symbol", (), next(iter(names)))


def _of_relation(node: Node) -> Region:
    if "in" in node.value:
        return region(node.items[-1])
    variable = _variable(node)
    if variable is None:
        raise Undecided("an inequality in several unknowns")
    result: Region = _ALL
    for left, sign, right in zip(node.items, node.value, node.items[1:], strict=False):
        result = _intersection(result, _half_line(left, sign, right, variable))
    return result


def _half_line(left: Node, sign: str, right: Node, variable: Node) -> Region:
    if symbols(right) and not symbols(left):
        left, sign, right = right, _FLIPPED[sign], left
    if sign not in _FLIPPED:
        raise Undecided(f"unsupported sign {sign} in an inequality")
    if not symbols(right):
        if left == variable or (left.kind == "call" and left.items == (variable,) and left.value in NAMED_FUNCTIONS):
            return _ray(sign, right)
        if left == Node("call", (variable,), "abs"):
            return _symmetric_interval(sign, right)
    return _linear(left, sign, right, variable)


def _ray(sign: str, end: Node) -> Region:
    match sign:
        case "<" | "<=":
            return _valid(Piece(_MINUS_INFINITY, end, False, sign == "<="))
        case ">" | ">=":
            return _valid(Piece(end, INFINITY, sign == ">=", False))
        case "=":
            return _point(end)
    return _complement(_point(end))


def _symmetric_interval(sign: str, distance: Node) -> Region:
    negative = Node("neg", (distance,))
    within = _valid(Piece(negative, distance, sign in ("<=", ">", "="), sign in ("<=", ">", "=")))
    if sign in ("<", "<="):
        return within
    if sign in (">", ">="):
        return _complement(_valid(Piece(negative, distance, sign == ">", sign == ">")))
    ends = _merged([*_point(negative), *_point(distance)])
    return ends if sign == "=" else _complement(ends)


_TEST_POINTS = (*map(Fraction, (0, 1, 2, -7, 101)), Fraction(-5, 3), Fraction(13, 7))
"""Numbers at which an inequality is tested for linearity."""


def _linear(left: Node, sign: str, right: Node, variable: Node) -> Region:
    """Solves a x + b < 0 with rational a and b. They are computed from x = 0 and 1 and checked at other points."""
    difference = Node("add", (left, Node("neg", (right,))))
    try:
        values = [exact(substituted(difference, {variable: Node("number", (), Fraction(at))})) for at in _TEST_POINTS]
    except (Undefined, NotEvaluated) as error:
        raise Undecided(str(error)) from None
    at_zero, at_one = values[:2]
    if at_zero is None or at_one is None or at_one == at_zero:
        raise Undecided("an inequality that is not linear")
    slope = at_one - at_zero
    if any(found != at_zero + slope * at for at, found in zip(_TEST_POINTS, values, strict=True)):
        raise Undecided("an inequality that is not linear")
    return _ray(sign if slope > 0 else _FLIPPED[sign], Node("number", (), -at_zero / slope))
