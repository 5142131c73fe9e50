"""Answers that are infinitely many numbers, spaced evenly: x = pi/4 + k pi with k in Z, x = 3 (mod 7), all odd integers.

A family is the union of one progression or several, each an offset and a step; a family of points has vectors for both.
"""

import math
import re
from fractions import Fraction

from .grammar.expressions import parse
from .grammar.notation import Unreadable
from .grammar.tree import Node, signed, substituted
from .values.claims import claim
from .values.evaluation import Unknown, contains, symbols, value
from .values.exact import TooLarge, Undefined, exact
from .values.identity import DIGITS, CannotTell, as_fraction
from .wording import WRAPPED

MAX_RESIDUES = 240
"""Progressions that a family may be cut into, so that two have one step."""
ROUNDING, PLACES = Fraction(1, 10**28), 26
"""How far numbers of 40 digits may lie off by rounding, and the decimal places in which they are compared."""
SMALL = 10_000
"""The largest denominator of a ratio of two steps."""
LETTERS = frozenset("kmnltjqzKNMst")
"""Letters that run through the integers where nothing else is said."""

MAX_TEXT = 300
"""Characters of a family's text."""

_MAY_BE = re.compile(r"mathbb\s*\{?\s*Z|\\?p?mod\b|integer|\bZ\b")
_CONGRUENCE = re.compile(
    r"(?:(?P<left>[^=]{1,40}?)\s*(?:\\equiv|≡|=)\s*)?(?P<offsets>[^=]{1,80}?)\s{0,3}[({]?\s{0,3}"
    r"\\?p?(?:mod(?:ulo)?)\b\s{0,3}\{?(?P<step>[^{}()]{1,40})\}?[)\s]{0,3}"
)
_WRITTEN = re.compile(r"\\equiv|≡|\\pmod|\(\s*\\?mod")
"""How a congruence is written; "17 mod 5" is a number."""
_IN_Z = re.compile(
    r"\b([A-Za-z])\s*(?:\\in\s*(?:\\mathbb\s*\{?\s*Z\s*\}?|\\mathbf\s*\{Z\}|Z)"
    r"|(?:is|be|are)?\s*(?:an?y?\s+|all\s+)?(?:arbitrary\s+)?integers?)[\s).}]*$"
)
_FOR_INTEGERS = re.compile(
    r"\b(?:for|where)\s+(?:(?:all|any|some|every|an?)\s+)?integers?\s+(?:values? of\s+)?([A-Za-z])[\s).]*$"
)
_JOINT = re.compile(r"(?:[\s,;:|]|\\mid\b|\\vert\b|\b(?:for|where|with|and|all|any|some|every|integers?)\b)+$|\s\($")
"""What stands between a family's formula and the domain of its letter."""
_NAMED = {
    "integers": (0, 1), "even integers": (0, 2), "even numbers": (0, 2), "odd integers": (1, 2), "odd numbers": (1, 2),
}  # fmt: skip


def family(text: str) -> Node | None:
    """The family that a tidied text describes, or None where it describes none.

    Raises:
        Unreadable: it is a family, of something that the grammar does not know.
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
        offsets = parse(found["offsets"])
        return _progressions(list(offsets.items) if offsets.kind in ("list", "set") else [offsets], parse(found["step"]))
    builder = re.fullmatch(r"(?:[A-Za-z]\s*(?:\\in|=)\s*)?\\\{(.*)\\\}", plain)
    inside = builder[1] if builder else plain
    found = _IN_Z.search(inside) or _FOR_INTEGERS.search(inside)
    if not found or not (body := _JOINT.sub("", inside[: found.start()])):
        return None
    return _of(parse(re.sub(r"\s+\b(?:or|and)\b\s+", " , ", body)), found[1])


def _with_parameter(node: Node) -> Node | None:
    """The family that an expression gives whose one letter nobody explains: pi/4 + k pi."""
    names = symbols(_claimed(node))
    if len(names) != 1 or not names <= LETTERS:
        return None
    try:
        return _of(node, *names)
    except Unreadable:
        return None


def same_family(gold: Node, answer: Node) -> bool:
    """Whether two families hold the same numbers, or points.

    Raises:
        CannotTell: their steps have no common multiple that is small enough.
    """
    families = [node if node.kind == "family" else _with_parameter(node) for node in (gold, answer)]
    if None in families:
        return False
    first, second = ([(_numbers(item.items[0]), _numbers(item.items[1])) for item in node.items] for node in families if node)
    dimensions = {len(offset) for offset, _ in first + second}
    if len(dimensions) != 1:
        return False
    if dimensions != {1}:
        return len(first) == len(second) == 1 and _same_line(first[0], second[0])
    return _same_residues([(a[0], b[0]) for a, b in first], [(a[0], b[0]) for a, b in second])


def _progressions(offsets: list[Node], step: Node) -> Node:
    for number in (*offsets, step):
        _numbers(number)
    return Node("family", tuple(Node("tuple", (offset, step)) for offset in offsets))


def _claimed(node: Node) -> Node:
    """What stands behind the names: "x = k, y = 2k" as a tuple, a list without its labels."""
    if node.kind == "list":
        claims = [claim(item) for item in node.items]
        labels = [label for label, _ in claims if label is not None]
        several = len(labels) == len(claims) and len(set(labels)) == len(labels)
        return Node("tuple" if several else "list", tuple(claimed for _, claimed in claims))
    return claim(node)[1]


def _of(node: Node, name: str) -> Node:
    """The family that an expression gives as its letter runs through the integers.

    Raises:
        Unreadable: it is not spaced evenly.
    """
    node = _claimed(node)
    progressions = []
    for item in node.items if node.kind in ("list", "set") else (node,):
        for sign in (1, -1) if contains(item, "pm") else (1,):
            member = signed(item, sign)
            at = [substituted(member, {Node("symbol", (), name): Node("number", (), Fraction(k))}) for k in (0, 1, 2)]
            zero, one, two = (_numbers(one) for one in at)
            if any(abs((b - a) - (c - b)) > ROUNDING * (1 + abs(c)) for a, b, c in zip(zero, one, two, strict=True)):
                raise Unreadable("a family that is not spaced evenly")
            progressions.append(Node("tuple", (at[0], _difference(at[1], at[0]))))
    return Node("family", tuple(progressions))


def _difference(first: Node, second: Node) -> Node:
    if first.kind == "tuple":
        return Node("tuple", tuple(_difference(a, b) for a, b in zip(first.items, second.items, strict=True)))
    return Node("add", (first, Node("neg", (second,))))


def _numbers(node: Node) -> list[Fraction]:
    """A number, or a point's coordinates: exactly where they are fractions, else to some 40 digits.

    Raises:
        Unreadable: it is no real number.
    """
    if node.kind == "tuple":
        return [number for item in node.items for number in _numbers(item)]
    if symbols(node):
        raise Unreadable("a family with a letter in its offset or step")
    try:
        known = exact(node)
        if known is None:
            known = as_fraction(value(node, {}, DIGITS))
    except (Undefined, Unknown, TooLarge) as error:
        raise Unreadable(f"no number: {error}") from None
    if known is None:
        raise Unreadable("no real number")
    return [known]


def _share(number: Fraction, unit: Fraction) -> Fraction:
    """How many units a number is; a fraction of small terms where it is one but for rounding."""
    near = (number / unit).limit_denominator(SMALL)
    return near if abs(number / unit - near) < ROUNDING else round(number / unit, PLACES)


def _same_residues(first: list[tuple[Fraction, Fraction]], second: list[tuple[Fraction, Fraction]]) -> bool:
    """Cuts all progressions to one common step, and compares the offsets that are left, in units of the first step."""
    origin, unit = first[0]
    if any(not step for _, step in first + second):
        return False
    shares = [abs(_share(step, unit)) for _, step in first + second]
    if any(share.denominator > SMALL for share in shares):
        return False  # no step of the one is ever one of the other's
    bottom = math.lcm(*(share.denominator for share in shares))
    common = Fraction(math.lcm(*(int(share * bottom) for share in shares)), bottom)
    if sum(common / share for share in shares) > MAX_RESIDUES:
        raise CannotTell("families of too many classes")
    halves = []
    for rows, sizes in ((first, shares[: len(first)]), (second, shares[len(first) :])):
        residues = set()
        for (offset, _), share in zip(rows, sizes, strict=True):
            start = _share(offset - origin, unit)
            residues |= {round((start + turn * share) % common, PLACES - 2) % common for turn in range(int(common / share))}
        halves.append(residues)
    return halves[0] == halves[1]


def _same_line(first: tuple[list[Fraction], list[Fraction]], second: tuple[list[Fraction], list[Fraction]]) -> bool:
    """Whether two progressions of points are one: equal steps up to direction, offsets whole steps apart."""
    (one, step), (other, stride) = first, second
    if stride not in (step, [-number for number in step]):
        return False
    turns = {(b - a) / along if along else None for a, b, along in zip(one, other, step, strict=True) if along or a != b}
    return len(turns) <= 1 and all(turn is not None and turn.denominator == 1 for turn in turns)
