"""What an answer's text says: an expression, a quantity with a unit, a list, words. One text may have two readings."""

import functools
import re

from ..budget import in_time
from . import conditions
from .families import family
from .grammar.expressions import parse
from .grammar.notation import Unreadable, tidy
from .grammar.tree import Node, number
from .labels import named, parts
from .logic import proposition
from .numerals import CLOCK, DIGITS, based, join_thousands, multiple, ordinal, time_or_ratio
from .quantities import ONLY_WITH_A_UNIT, compound, currency, with_unit
from .values.claims import claim
from .values.evaluation import symbols
from .wording import SHORT, WRAPPED, sentence, without_lead_in, words

MAX_TEXT = 2_000
"""Characters of an answer that are read."""
MAX_CASES = 12
"""Of a function in pieces."""

_PLAIN = re.compile(rf"([-+]?)\s?({DIGITS})")
_SPACED_THOUSANDS = re.compile(r"[-+]?\d{1,3}(?: \d{3})+(?:[.,]\d+)?")
_DECIMAL_COMMA = re.compile(r"([-+]?)\s?(\d+),(\d{2}|\d{4,})|([-+]?)(\d{4,}|0),(\d+)")
_PERCENT = re.compile(
    r"(.*[\d}])\s*(?:\\(?:text|mathrm)\s*\{\s*per cent\s*\}|\\?(?:percent(?:age)?(?: points?)?|pct\.?|per cent))", re.IGNORECASE
)
_TO = re.compile(rf"({DIGITS})\s*(?:\\text\s*\{{\s*to\s*\}}|to)\s*({DIGITS})")
"""A ratio in words: 2 to 3."""
_POINT = re.compile(r"([A-Z]'?)\s*(\((?:[^()]|\([^()]*\))*,(?:[^()]|\([^()]*\))*\))")
"""A point's letter, and its coordinates: P(3, -1)."""
_BUILDER = re.compile(r"\\\{\s*([a-z])\s*(?:\\in\s*(?:\\mathbb\s*\{R\}|\\mathbb R|R)\s*)?(?:\\mid|\\vert|\||:)\s*(.*?)\s*\\\}")
"""The set of all x with a property."""
_RESPECTIVELY = re.compile(r"(.*?)[\s,]*\\?(?:respectively|in that order)[\s.]*", re.IGNORECASE)
_ALL_UPRIGHT = re.compile(r"\s*\\(?:text|mbox|textrm|textbf|textit|textsf|texttt|emph)\s*\{([^{}]*)\}\s*")
"""All of an answer set upright, as \\text{5 apples}."""
_MAPS = re.compile(r"(?:(?P<name>[A-Za-z])\s*:\s*)?\(?(?P<letter>[a-z])\)?\s*\\mapsto\s*(?P<value>.*)")
_DERIVED = re.compile(
    r"(?:\\frac\s*\{\s*d\s*\}\s*\{\s*d\s*[A-Za-z]\s*\}[^=]*|[^=]{1,200}(?:\\[lc]?dots(?![a-z])|\.\.\.)[^=]{0,200})"
    r"=(?P<value>[^=]*)",
    re.DOTALL,
)
"""What a derivative that is written with its sign, or a sum that goes on, is said to be."""
_CASES = re.compile(r"(?:(?P<label>[^=]{1,40})=\s*)?\\begin\s*\{cases\}(?P<rows>.*)\\end\s*\{cases\}", re.DOTALL)
_CONDITION = re.compile(r"^(?:if|for|when|where|as)\b\s*|\bis\b", re.IGNORECASE)


def read(text: str) -> tuple[Node, ...]:
    """The readings of an answer's text, the likeliest first: never none.

    Raises:
        Unreadable: it is neither mathematics nor words, or longer than `MAX_TEXT`.
    """
    in_time()  # what is read without its first words, or as a value and a condition, is read again and again
    if len(text) > MAX_TEXT:
        raise Unreadable(f"more than {MAX_TEXT} characters")
    if found := _PLAIN.fullmatch(text):  # most answers are plain numbers
        node = number(found[2])
        return (Node("neg", (node,)) if found[1] == "-" else node,)
    if (found := _ALL_UPRIGHT.fullmatch(text)) and re.search(r"\d", found[1]):
        text = found[1]
    if amount := currency(text.strip()):
        return (amount,)
    text = tidy(text).strip("¥ ")
    if not text:
        raise Unreadable("there is nothing")
    if text.casefold() in SHORT:
        return (words(text, Unreadable("")),)
    if found := _RESPECTIVELY.fullmatch(WRAPPED.sub(r" \1 ", text)):
        return tuple(node._replace(kind="tuple") if node.kind == "list" else node for node in read(found[1]))
    if in_base := based(text):
        return (in_base,)
    if found := CLOCK.fullmatch(text):
        return (time_or_ratio(found),)
    if "to" in text and (found := _TO.fullmatch(text)):
        return (Node("ratio", (number(found[1]), number(found[2]))),)
    if _SPACED_THOUSANDS.fullmatch(text):
        text = text.replace(" ", "")
    text = join_thousands(text)
    if text[0] in "+-.0123456789":
        text = ordinal(text) or text
        if several := multiple(text) or compound(text):
            return (several,)
    not_spaced: Unreadable | None = None
    try:
        if infinitely_many := family(text):
            return (infinitely_many,)
    except Unreadable as error:
        not_spaced = error
    if statement := proposition(text):
        return (statement,)
    if found := _MAPS.fullmatch(text):
        text = f"{found['name'] or 'f'}({found['letter']}) = {found['value']}"
    if given := _given(text):
        return given
    if "=" in text and ("dots" in text or "..." in text or "frac" in text) and (found := _DERIVED.fullmatch(text)):
        return tuple(Node("relation", (Node("text", (), "it"), node), ("=",)) for node in read(found["value"]))
    if not_spaced is not None:
        raise not_spaced
    readings: list[Node] = []
    quantity: Node | None = None
    if _DECIMAL_COMMA.fullmatch(text) and text.count(",") == 1:
        readings.append(parse(text.replace(",", ".")))
    try:
        if found := _PERCENT.fullmatch(text):
            return (Node("percent", (parse(found[1]),)),)
        quantity = _quantity(text)
        if quantity and len(quantity.items) == 1:
            readings.append(quantity)
        if found := _BUILDER.fullmatch(text):
            readings.append(parse(found[2]))
        else:
            readings.append(parse(text))
        if under_condition := conditions.of_list(readings[-1]):
            readings.append(under_condition)
        if quantity and len(quantity.items) > 1:
            readings.append(quantity)
        if found := _POINT.fullmatch(text):
            readings.append(parse(f"{found[1]} = {found[2]}"))
    except Unreadable as invalid_gold:
        if not readings and quantity is not None:
            readings.append(quantity)
        if not readings:
            readings.append(_with_words(text, invalid_gold))
    return tuple(readings)


@functools.lru_cache(maxsize=16_384)
def read_gold(text: str) -> tuple[Node, ...]:
    """The readings of a gold answer, which is read once; those of answers are not kept.

    What it says to be about something may be given as the rounded number, too.
    """
    try:
        readings = read(text)
    except Unreadable:
        if (said := sentence(text)) is None:
            raise
        readings = (said,)
    return (*readings, *(rounded for node in readings if (rounded := _rounded(node)) is not None))


def _rounded(node: Node) -> Node | None:
    """The decimal of "x = sqrt(2) = about 1.41", with the name that it has."""
    if node.kind != "relation" or node.value[-1] != "~" or symbols(node.items[-1]):
        return None
    label, _ = claim(node)
    number = node.items[-1]
    return number if label is None or not symbols(label) else Node("relation", (label, number), ("~",))


def _with_words(text: str, invalid_gold: Unreadable) -> Node:
    """What a text says that the grammar does not know: cases, parts with names, or words."""
    if cases := _cases(text):
        return cases
    if (rest := without_lead_in(text)) and rest != text:
        return read(rest)[0]
    return parts(text) or named(text, read) or words(text, invalid_gold)


def _given(text: str) -> tuple[Node, ...]:
    """The readings of a formula with a condition behind it; none where there is no condition."""
    found = conditions.split(text)
    if found is None:
        return ()
    body, condition, for_all = found
    try:
        under = read(condition)[0] if condition else None
        made = (conditions.conditional(one, under, for_all) for one in read(body))
        return tuple(one for one in made if one is not None)
    except Unreadable:
        return ()


def _quantity(text: str) -> Node | None:
    """A number with a unit behind it, or with a noun ("72 clips")."""
    found = with_unit(text)
    if found is None:
        return None
    try:
        amount = parse(found[0])
        return Node("quantity", (amount,) if found[2] else (amount, ONLY_WITH_A_UNIT), found[1])
    except Unreadable:
        return None


def _cases(text: str) -> Node | None:
    """LaTeX's cases: a system of equations as a list, a function in pieces as its values and conditions.

    Raises:
        Unreadable: a value is no mathematics.
    """
    found = _CASES.fullmatch(text)
    if not found:
        return None
    rows = [row.strip() for row in re.split(r"\\\\", found["rows"]) if row.strip()][:MAX_CASES]
    if not any("&" in row for row in rows):
        return Node("list", tuple(parse(row.rstrip(",.; ")) for row in rows))
    pieces = []
    for row in rows:
        value, _, condition = row.partition("&")
        condition = _CONDITION.sub("", WRAPPED.sub(r" \1 ", condition).strip(" ,.;")).strip()
        pieces.append(Node("tuple", (parse(value.strip(" ,;")), read(condition)[0])))
    return Node("cases", tuple(pieces))
