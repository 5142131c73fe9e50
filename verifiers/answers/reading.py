"""What an answer's text says: an expression, a quantity with a unit, a list, words. One text may have two readings."""

import functools
import re
from fractions import Fraction

from .claims import claim
from .evaluation import symbols
from .expressions import parse
from .families import family
from .notation import Unreadable, tidy
from .tree import Node, number
from .wording import SHORT, UPRIGHT, WRAPPED, with_unit, without_lead_in, words

MAX_TEXT = 2_000
"""Characters of an answer that are read."""
MAX_PARTS = 12
"""Of an answer in parts, or cases of a function."""

_DIGITS = r"\d+(?:\.\d+)?|\.\d+"
_PLAIN = re.compile(rf"([-+]?)\s?({_DIGITS})")
_THOUSANDS = re.compile(r"(?<![\d.,])[1-9]\d{0,2}(?:,\d{3})+(?![\d,])")
_SPACED_THOUSANDS = re.compile(r"[-+]?\d{1,3}(?: \d{3})+(?:[.,]\d+)?")
_DECIMAL_COMMA = re.compile(r"([-+]?)\s?(\d+),(\d{2}|\d{4,})|([-+]?)(\d{4,}|0),(\d+)")
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?\s*((?:[ap]\.?\s?m\.?)?)", re.IGNORECASE)
_CURRENCY = re.compile(r"\s*([-+]?)\s*(?:US\s?)?(\\?\$|\\?\\pounds|[€£])\s*((?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)\s*")
_PERCENT = re.compile(r"(.*[\d}])\s*\\?(?:percent(?:age)?(?: points?)?|pct\.?|per cent)", re.IGNORECASE)
_MULTIPLES = {"dozen": 12, "hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_MULTIPLE = re.compile(rf"([-+]?(?:{_DIGITS}))\s*({'|'.join(_MULTIPLES)})s?\b(.*)", re.IGNORECASE)
_BUILDER = re.compile(r"\\\{\s*([a-z])\s*(?:\\in\s*(?:\\mathbb\s*\{R\}|\\mathbb R|R)\s*)?(?:\\mid|\\vert|\||:)\s*(.*?)\s*\\\}")
"""The set of all x with a property."""
_HEXADECIMAL = re.compile(r"\(?(?=[0-9A-F]*[A-F])([0-9A-F]{2,40})\)?\s*_\s*\{?\s*(1[1-6])\s*\}?")
_RESPECTIVELY = re.compile(r"(.*?)[\s,]*\\?(?:respectively|in that order)[\s.]*", re.IGNORECASE)
_NUMBERED = re.compile(r"(?<=\S)\s+(?=\((?:[2-9]|[b-h]|i[iv]|iii|vi{0,3})\))")
_ARTICLES = frozenset(["the", "its", "is", "are", "equals", "value", "and"])
"""Words of a label that name nothing."""
_LABEL = re.compile(
    rf"\s*({UPRIGHT}|\((?:[1-9a-h]|i{{1,3}}|i?v|vi{{1,3}})\)|\\(?:max|min)"
    rf"|[A-Za-z][A-Za-z ]{{3,30}}?(?=\s*[:=\d(\\-]|\s[a-z]\b))\s*[:=]?\s*(\S.*)"
)
_CASES = re.compile(r"(?:(?P<label>[^=]{1,40})=\s*)?\\begin\s*\{cases\}(?P<rows>.*)\\end\s*\{cases\}", re.DOTALL)
_CONDITION = re.compile(r"^(?:if|for|when|where|as)\b\s*|\bis\b", re.IGNORECASE)


def read(text: str) -> tuple[Node, ...]:
    """The readings of an answer's text, the likeliest first: never none.

    Raises:
        Unreadable: it is neither mathematics nor words, or longer than `MAX_TEXT`.
    """
    if len(text) > MAX_TEXT:
        raise Unreadable(f"more than {MAX_TEXT} characters")
    if found := _PLAIN.fullmatch(text):  # most answers are plain numbers
        node = number(found[2])
        return (Node("neg", (node,)) if found[1] == "-" else node,)
    if found := _CURRENCY.fullmatch(text):
        amount = number(found[3].replace(",", ""))
        sign = "£" if found[2].endswith("s") else found[2][-1]
        return (Node("quantity", (Node("neg", (amount,)) if found[1] == "-" else amount,), sign),)
    text = tidy(text).strip("¥ ")
    if not text:
        raise Unreadable("there is nothing")
    if text.casefold() in SHORT:
        return (words(text, Unreadable("")),)
    if found := _RESPECTIVELY.fullmatch(WRAPPED.sub(r" \1 ", text)):
        return tuple(node._replace(kind="tuple") if node.kind == "list" else node for node in read(found[1]))
    found = _HEXADECIMAL.fullmatch(WRAPPED.sub(r"\1", text))
    if found and all(int(digit, 16) < int(found[2]) for digit in found[1]):
        return (Node("based", (), (found[1].lstrip("0"), int(found[2]))),)
    if found := _CLOCK.fullmatch(text):
        return (_time_or_ratio(found),)
    if _SPACED_THOUSANDS.fullmatch(text):
        text = text.replace(" ", "")
    text = _join_thousands(text)
    if multiple := _multiple(text):
        return (multiple,)
    if infinitely_many := family(text):
        return (infinitely_many,)
    readings: list[Node] = []
    if _DECIMAL_COMMA.fullmatch(text) and text.count(",") == 1:
        readings.append(parse(text.replace(",", ".")))
    try:
        if found := _PERCENT.fullmatch(text):
            return (Node("percent", (parse(found[1]),)),)
        if quantity := _quantity(text):
            readings.append(quantity)
        if found := _BUILDER.fullmatch(text):
            readings.append(parse(found[2]))
        else:
            readings.append(parse(text))
    except Unreadable as unreadable:
        if not readings:
            readings.append(_with_words(text, unreadable))
    return tuple(readings)


@functools.lru_cache(maxsize=16_384)
def read_gold(text: str) -> tuple[Node, ...]:
    """The readings of a gold answer, which is read once; those of answers are not kept.

    What it says to be about something may be given as the rounded number, too.
    """
    readings = read(text)
    return (*readings, *(rounded for node in readings if (rounded := _rounded(node)) is not None))


def _rounded(node: Node) -> Node | None:
    """The decimal of "x = sqrt(2) = about 1.41", with the name that it has."""
    if node.kind != "relation" or node.value[-1] != "~" or symbols(node.items[-1]):
        return None
    label, _ = claim(node)
    number = node.items[-1]
    return number if label is None or not symbols(label) else Node("relation", (label, number), ("~",))


def _with_words(text: str, unreadable: Unreadable) -> Node:
    """What a text says that the grammar does not know: cases, parts with names, or words."""
    if cases := _cases(text):
        return cases
    if (rest := without_lead_in(text)) and rest != text:
        return read(rest)[0]
    return _parts(text) or words(text, unreadable)


def _join_thousands(text: str) -> str:
    """ "1,234" as "1234", outside of brackets: there a comma stands between two things."""
    if "," not in text:
        return text

    def joined(found: re.Match[str]) -> str:
        before = text[: found.start()]
        inside = any(before.count(opening) > before.count(closing) for opening, closing in ("()", "[]", "{}"))
        return found[0] if inside else found[0].replace(",", "")

    return _THOUSANDS.sub(joined, text)


def _time_or_ratio(found: re.Match[str]) -> Node:
    """ "12:30" may be a time or a ratio; with a.m. or p.m., or minutes from 00 to 09, it is a time."""
    half = re.sub(r"[^apm]", "", found[4].lower())
    if half or found[2][0] == "0":
        return Node("text", (), " ".join(filter(None, (f"{int(found[1])}:{found[2]}", found[3], half))))
    numbers = tuple(number(part) for part in found.groups()[:3] if part)
    clock = all(part.value < 60 for part in numbers)
    return Node("ratio", numbers, "clock" if clock and numbers[0].value < 25 else None)


def _multiple(text: str) -> Node | None:
    """ "2.5 million", "3 dozen eggs"."""
    found = _MULTIPLE.fullmatch(WRAPPED.sub(r" \1 ", text))
    if not found:
        return None
    scale = Node("number", (), Fraction(_MULTIPLES[found[2].lower()]))
    product = Node("mul", (parse(found[1]), scale))
    rest = found[3].strip()
    if not rest:
        return product
    return Node("quantity", (product,), rest) if re.fullmatch(r"[A-Za-z ]{2,40}", rest) else None


def _quantity(text: str) -> Node | None:
    """A number with a unit behind it, or with a noun ("72 clips")."""
    found = with_unit(text)
    if found is None:
        return None
    try:
        return Node("quantity", (parse(found[0]),), found[1])
    except Unreadable:
        return None


def _parts(text: str) -> Node | None:
    """Several things with their names, "(1) 3; (2) 5" or "quotient x+2, remainder 3", as a list; None where it is none."""
    unwrapped = WRAPPED.sub(r" \1 ", text).lstrip()
    parts = _split(_NUMBERED.sub(" , ", unwrapped) if unwrapped.startswith("(") else text)
    if not 2 <= len(parts) <= MAX_PARTS:
        return None
    items = []
    for part in parts:
        found = _LABEL.fullmatch(part)
        if not found:
            return None
        try:
            said = re.findall(r"\w+", WRAPPED.sub(r" \1 ", found[1]).casefold())
            label = " ".join(word for word in said if word not in _ARTICLES) or " ".join(said)
            items.append(Node("relation", (Node("text", (), label), parse(found[2])), ("=",)))
        except Unreadable:
            return None
    return Node("list", tuple(items))


def _split(text: str) -> list[str]:
    """The text between commas, semicolons and "and" that stand in no brackets."""
    parts, depth, start = [], 0, 0
    for mark in re.finditer(r"[(\[{]|[)\]}]|[,;]|(?<![A-Za-z\\])and(?![A-Za-z])", text):
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(mark[0], 0)
        if depth == 0 and mark[0] in (",", ";", "and"):
            parts.append(text[start : mark.start()])
            start = mark.end()
    return [part.strip() for part in [*parts, text[start:]] if part.strip()]


def _cases(text: str) -> Node | None:
    """LaTeX's cases: a system of equations as a list, a function in pieces as its values and conditions.

    Raises:
        Unreadable: a value is no mathematics.
    """
    found = _CASES.fullmatch(text)
    if not found:
        return None
    rows = [row.strip() for row in re.split(r"\\\\", found["rows"]) if row.strip()][:MAX_PARTS]
    if not any("&" in row for row in rows):
        return Node("list", tuple(parse(row.rstrip(",.; ")) for row in rows))
    pieces = []
    for row in rows:
        value, _, condition = row.partition("&")
        condition = _CONDITION.sub("", WRAPPED.sub(r" \1 ", condition).strip(" ,.;")).strip()
        pieces.append(Node("tuple", (parse(value.strip(" ,;")), read(condition)[0])))
    return Node("cases", tuple(pieces))
