"""Families of numbers: unions of arithmetic progressions, such as x = pi/4 + k pi with k in Z, x = 3 (mod 7), odd integers.

A progression has an offset and a step. In a family of points both are vectors.
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


def parse_family(text: str) -> Node | None:
    """Returns the family that a normalized text describes. None if it describes none.

    Raises:
        ParseError: It describes a family, but of something outside the grammar.
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
    """True if two families contain the same numbers or points.

    Raises:
        Undecided: The least common multiple of their steps is too large.
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


def _unlabelled(node: Node) -> Node:
    """Returns the values of labelled items: "x = k, y = 2k" as a tuple, a list without its labels."""
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
    node = _unlabelled(node)
    progressions = []
    for item in node.items if node.kind in ("list", "set") else (node,):
        for sign in (1, -1) if contains(item, "pm") else (1,):
            member = signed(item, sign)
            at = [substituted(member, {Node("symbol", (), name): Node("number", (), Fraction(k))}) for k in (0, 1, 2)]
            zero, one, two = (_numbers(member) for member in at)
            if any(abs((b - a) - (c - b)) > ROUNDING * (1 + abs(c)) for a, b, c in zip(zero, one, two, strict=True)):
                raise ParseError("a family that is not spaced evenly")
            progressions.append(Node("tuple", (at[0], _difference(at[1], at[0]))))
    return Node("family", tuple(progressions))


def _difference(first: Node, second: Node) -> Node:
    if first.kind == "tuple":
        return Node("tuple", tuple(_difference(a, b) for a, b in zip(first.items, second.items, strict=True)))
    return Node("add", (first, Node("neg", (second,))))


def _numbers(node: Node) -> list[Fraction]:
    """Returns a number, or the coordinates of a point: exact if rational, else with about 40 digits.

    Raises:
        ParseError: It is not a real number.
    """
    if node.kind == "tuple":
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
    """Returns a number divided by a unit. A fraction with a small denominator if it equals one up to rounding."""
    near = (number / unit).limit_denominator(MAX_DENOMINATOR)
    return near if abs(number / unit - near) < ROUNDING else round(number / unit, PLACES)


def _same_residues(first: list[tuple[Fraction, Fraction]], second: list[tuple[Fraction, Fraction]]) -> bool:
    """Compares the residues of all progressions modulo a common step, in units of the first step."""
    origin, unit = first[0]
    if any(not step for _, step in first + second):
        return False
    ratios = [abs(_ratio(step, unit)) for _, step in first + second]
    if any(ratio.denominator > MAX_DENOMINATOR for ratio in ratios):
        return False  # the ratio of two steps is irrational
    denominator = math.lcm(*(ratio.denominator for ratio in ratios))
    common = Fraction(math.lcm(*(int(ratio * denominator) for ratio in ratios)), denominator)
    if sum(common / ratio for ratio in ratios) > MAX_RESIDUES:
        raise Undecided("families with too many residues")
    residue_sets = []
    for rows, sizes in ((first, ratios[: len(first)]), (second, ratios[len(first) :])):
        residues = set()
        for (offset, _), ratio in zip(rows, sizes, strict=True):
            start = _ratio(offset - origin, unit)
            residues |= {round((start + turn * ratio) % common, PLACES - 2) % common for turn in range(int(common / ratio))}
        residue_sets.append(residues)
    return residue_sets[0] == residue_sets[1]


def _same_line(first: tuple[list[Fraction], list[Fraction]], second: tuple[list[Fraction], list[Fraction]]) -> bool:
    """True if two progressions of points are equal: steps equal up to sign, offsets a whole number of steps apart."""
    (first_offset, first_step), (second_offset, second_step) = first, second
    if second_step not in (first_step, [-number for number in first_step]):
        return False
    turns = {
        (b - a) / component if component else None
        for a, b, component in zip(first_offset, second_offset, first_step, strict=True)
        if component or a != b
    }
    return len(turns) <= 1 and all(turn is not None and turn.denominator == 1 for turn in turns)
