"""Families of numbers: unions of arithmetic progressions, such as x = pi/4 + k pi with k in Z, x = 3 (mod 7), odd integers.

A progression has an offset and a step. In a family of points or intervals both are vectors.
"""

import math
import re
from fractions import Fraction

from .grammar.expressions import parse
from .grammar.notation import ParseError
from .grammar.tree import Node, signed, substituted
from .values.claims import claim
from .values.evaluation import NotEvaluated, contains, symbols, value
from .values.exact import TooLarge, Undefined, exact
from .values.identity import DIGITS, Undecided, as_fraction
from .words import WRAPPED

MAX_RESIDUES = 240
"""Maximum number of residues modulo the common step of two families."""
ROUNDING, PLACES = Fraction(1, 10**28), 26
"""Largest rounding error of numbers with 40 digits, and the decimal places that are compared."""
MAX_DENOMINATOR = 10_000
"""Largest denominator of the ratio of two steps."""
LETTERS = frozenset("kmnltjqzKNMst")
"""Letters that run through the integers if the answer does not state another domain."""

MAX_TEXT = 300
"""Maximum length of a family's text, in characters."""

_TURNS = (2, 3, -5, 40)
"""Whole numbers k at which even spacing is tested: the member at k must lie on the progression through those at 0 and 1."""
_MAY_BE = re.compile(r"mathbb\s*\{?\s*Z|\\?p?mod\b|integer|\bZ\b")
_CONGRUENCE = re.compile(
    r"(?:(?P<left>[^=]{1,40}?)\s*(?:\\equiv|≡|=)\s*)?(?P<offsets>[^=]{1,80}?)\s{0,3}[({]?\s{0,3}"
    r"\\?p?(?:mod(?:ulo)?)\b\s{0,3}\{?(?P<step>[^{}()]{1,40})\}?[)\s]{0,3}"
)
_WRITTEN = re.compile(r"\\equiv|≡|\\pmod|\(\s*\\?mod")
"""Notations of a congruence. "17 mod 5" is a number."""
_IN_Z = re.compile(
    r"\b([A-Za-z])\s*(?:\\in\s*(?:\\mathbb\s*\{?\s*Z\s*\}?|\\mathbf\s*\{Z\}|Z)"
    r"|(?:is|be|are)?\s*(?:an?y?\s+|all\s+)?(?:arbitrary\s+)?integers?)[\s).}]*$"
)
_FOR_INTEGERS = re.compile(
    r"\b(?:for|where)\s+(?:(?:all|any|some|every|an?)\s+)?integers?\s+(?:values? of\s+)?([A-Za-z])[\s).]*$"
)
_JOINT = re.compile(r"(?:[\s,;:|]|\\mid\b|\\vert\b|\b(?:for|where|with|and|all|any|some|every|integers?)\b)+$|\s\($")
"""Text between a family's formula and the domain of its letter."""
_NAMED = {
    "integers": (0, 1), "even integers": (0, 2), "even numbers": (0, 2), "odd integers": (1, 2), "odd numbers": (1, 2),
}  # fmt: skip
_Line = tuple[list[Fraction], list[Fraction], tuple[bool, bool]]
"""Offset and step of a progression, and which ends are closed if it consists of intervals."""


def parse_family(text: str) -> Node | None:
    """Returns the family that a normalized text describes. None if it describes none.

    Raises:
        ParseError: It describes a family, but of something outside the grammar, or with members that are not evenly spaced.
    """
    if len(text) > MAX_TEXT or not _MAY_BE.search(text):
        return None
    plain = WRAPPED.sub(r" \1 ", text).strip()
    if re.fullmatch(r"(?:[A-Za-z]\s*\\in\s*)?\\mathbb\s*\{?\s*Z\s*\}?", plain):
        plain = "all integers"
    words = re.sub(r"^(?:the )?(?:set of )?(?:all |every )?(?:the )?", "", plain.lower())
    if words in _NAMED and words != plain.lower():
        offset, step = _NAMED[words]
        return _progressions([Node("number", (), Fraction(offset))], Node("number", (), Fraction(step)))
    if (found := _CONGRUENCE.fullmatch(plain)) and _WRITTEN.search(plain):
        return _progressions(_members(parse(found["offsets"])), parse(found["step"]))
    builder = re.fullmatch(r"(?:[A-Za-z]\s*(?:\\in|=)\s*)?\\\{(.*)\\\}", plain)
    inside = builder[1] if builder else plain
    found = _IN_Z.search(inside) or _FOR_INTEGERS.search(inside)
    if not found or not (body := _JOINT.sub("", inside[: found.start()])):
        return None
    return _family_of(parse(re.sub(r"\s+\b(?:or|and)\b\s+", " , ", body)), found[1])


def _with_parameter(node: Node) -> Node | None:
    """Returns the family of an expression with one unexplained letter: pi/4 + k pi."""
    names = symbols(_unlabelled(node))
    if len(names) != 1 or not names <= LETTERS:
        return None
    try:
        return _family_of(node, *names)
    except ParseError:
        return None


def same_family(gold: Node, answer: Node) -> bool:
    """True if two families contain the same numbers, points or intervals.

    Raises:
        Undecided: They have more than `MAX_RESIDUES` residues modulo their common step.
    """
    families = [node if node.kind == "family" else _with_parameter(node) for node in (gold, answer)]
    if None in families:
        return False
    rows = [[_line(*item.items) for item in node.items] for node in families if node]
    dimensions = {len(offset) for offset, _, _ in rows[0] + rows[1]}
    if len(dimensions) != 1:
        return False
    if dimensions != {1}:
        return all(any(_same_line(a, b) for b in other) for one, other in (rows, rows[::-1]) for a in one)
    first, second = ([(offset[0], step[0]) for offset, step, _ in row] for row in rows)
    return _same_residues(first, second)


def _progressions(offsets: list[Node], step: Node) -> Node:
    for number in (*offsets, step):
        _numbers(number)
    return Node("family", tuple(Node("tuple", (offset, step)) for offset in offsets))


def _members(node: Node) -> list[Node]:
    """Returns the items of a list, set or union, nested ones included, with both values of each \\pm."""
    if node.kind in ("list", "set", "union"):
        return [member for item in node.items for member in _members(item)]
    return [signed(node, sign) for sign in (1, -1)] if contains(node, "pm") else [node]


def _line(offset: Node, step: Node) -> _Line:
    """Returns a progression as numbers, and whether the ends of its intervals are closed.

    The ends of a pair in parentheses, such as (0, 1), are open, because it may be written for an open interval.
    """
    return _numbers(offset), _numbers(step), offset.value if offset.kind == "interval" else (False, False)


def _unlabelled(node: Node) -> Node:
    """Returns the values of labelled items: "x = k, y = 2k" as a tuple, any other list as a list."""
    if node.kind == "list":
        claims = [claim(item) for item in node.items]
        labels = [label for label, _ in claims if label is not None]
        several = len(labels) == len(claims) and len(set(labels)) == len(labels)
        return Node("tuple" if several else "list", tuple(claimed for _, claimed in claims))
    return claim(node)[1]


def _family_of(node: Node, name: str) -> Node:
    """Returns the family of an expression whose letter runs through the integers.

    Raises:
        ParseError: Its members are not evenly spaced.
    """
    return Node("family", tuple(row for member in _members(_unlabelled(node)) for row in _spaced_evenly(member, name)))


def _spaced_evenly(member: Node, name: str) -> list[Node]:
    """Returns the progression of a member, or one for even and one for odd numbers: (-1)^k pi/6 + k pi.

    Raises:
        ParseError: The numbers of the member are not evenly spaced.
    """
    for stride in (1, 2):
        found = [_progression(member, name, start, stride) for start in range(stride)]
        if None not in found:
            return [row for row in found if row is not None]
    raise ParseError("a family that is not spaced evenly")


def _progression(member: Node, name: str, start: int, stride: int) -> Node | None:
    """Returns a member's progression for every `stride`-th whole number from `start`. None if it is not spaced evenly."""

    def at(turn: int) -> Node:
        return substituted(member, {Node("symbol", (), name): Node("number", (), Fraction(start + stride * turn))})

    zero, one = _numbers(at(0)), _numbers(at(1))
    for turn in _TURNS:
        for a, b, c in zip(zero, one, _numbers(at(turn)), strict=True):
            if abs(a + turn * (b - a) - c) > ROUNDING * (1 + abs(c)):
                return None
    return Node("tuple", (at(0), _difference(at(1), at(0))))


def _difference(first: Node, second: Node) -> Node:
    if first.kind in ("tuple", "interval"):
        return Node("tuple", tuple(_difference(a, b) for a, b in zip(first.items, second.items, strict=True)))
    return Node("add", (first, Node("neg", (second,))))


def _numbers(node: Node) -> list[Fraction]:
    """Returns a number, or the coordinates of a point or ends of an interval: exact if rational, else with about 40 digits.

    Raises:
        ParseError: It is not a real number.
    """
    if node.kind in ("tuple", "interval"):
        return [number for item in node.items for number in _numbers(item)]
    if symbols(node):
        raise ParseError("a family with a letter in its offset or step")
    try:
        number = exact(node)
        if number is None:
            number = as_fraction(value(node, {}, DIGITS))
    except (Undefined, NotEvaluated, TooLarge) as error:
        raise ParseError(f"not a number: {error}") from None
    if number is None:
        raise ParseError("not a real number")
    return [number]


def _ratio(number: Fraction, unit: Fraction) -> Fraction:
    """Returns a number divided by a unit. A quotient near a fraction with a small denominator becomes that fraction."""
    near = (number / unit).limit_denominator(MAX_DENOMINATOR)
    return near if abs(number / unit - near) < ROUNDING else round(number / unit, PLACES)


def _same_residues(first: list[tuple[Fraction, Fraction]], second: list[tuple[Fraction, Fraction]]) -> bool:
    """Compares the residues of all progressions modulo a common step, in units of the first step."""
    origin, unit = first[0]
    if any(abs(step) <= ROUNDING for _, step in first + second):
        return False
    ratios = [abs(_ratio(step, unit)) for _, step in first + second]
    if any(ratio.denominator > MAX_DENOMINATOR for ratio in ratios):
        return False  # the ratio of two steps is irrational
    denominator = math.lcm(*(ratio.denominator for ratio in ratios))
    common = Fraction(math.lcm(*(int(ratio * denominator) for ratio in ratios)), denominator)
    if sum(common / ratio for ratio in ratios) > MAX_RESIDUES:
        if len(first) == len(second) == 1:
            return False  # their steps differ: equal steps would give one residue each
        raise Undecided("families with too many residues")
    residue_sets = []
    for rows, sizes in ((first, ratios[: len(first)]), (second, ratios[len(first) :])):
        residues = set()
        for (offset, _), ratio in zip(rows, sizes, strict=True):
            start = _ratio(offset - origin, unit)
            residues |= {round((start + turn * ratio) % common, PLACES - 2) % common for turn in range(int(common / ratio))}
        residue_sets.append(residues)
    return residue_sets[0] == residue_sets[1]


def _same_line(first: _Line, second: _Line) -> bool:
    """True if two progressions are equal: steps equal up to sign, offsets a whole number of steps apart."""
    (first_offset, first_step, first_closed), (second_offset, second_step, second_closed) = first, second
    if first_closed != second_closed or not (
        _same_point(first_step, second_step) or _same_point(first_step, [-number for number in second_step])
    ):
        return False
    apart = [(b - a, step) for a, b, step in zip(first_offset, second_offset, first_step, strict=True)]
    turns = {_ratio(distance, step) for distance, step in apart if abs(step) > ROUNDING}
    unmoved = all(abs(distance) <= ROUNDING for distance, step in apart if abs(step) <= ROUNDING)
    return unmoved and len(turns) <= 1 and all(turn.denominator == 1 for turn in turns)


def _same_point(first: list[Fraction], second: list[Fraction]) -> bool:
    return all(abs(a - b) <= ROUNDING * (1 + abs(a)) for a, b in zip(first, second, strict=True))
