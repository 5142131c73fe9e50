"""What an answer's text says: an expression, a quantity with a unit, a list, words. One text may have two readings."""

import functools
import re
from fractions import Fraction

from .. import units
from .expressions import parse
from .notation import Unreadable, tidy
from .tree import Node, number

MAX_TEXT = 2_000
"""Characters of an answer that are read."""

_DIGITS = r"\d+(?:\.\d+)?|\.\d+"
_PLAIN = re.compile(rf"([-+]?)\s?({_DIGITS})")
_THOUSANDS = re.compile(r"(?<![\d.,])[1-9]\d{0,2}(?:,\d{3})+(?![\d,])")
_SPACED_THOUSANDS = re.compile(r"[-+]?\d{1,3}(?: \d{3})+(?:[.,]\d+)?")
_DECIMAL_COMMA = re.compile(r"([-+]?)\s?(\d+),(\d{2}|\d{4,})|([-+]?)(\d{4,}|0),(\d+)")
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::\d{2})?\s*((?:[ap]\.?\s?m\.?)?)", re.IGNORECASE)
_WRAPPED_FORM = r"\\(?:text|mathrm|mbox|textrm|textbf|textit|textnormal|textsf|rm|operatorname)\s*\{[^{}]*\}"
_FORM = rf"(?:{_WRAPPED_FORM}|[A-Za-zµμΩ°Å€£¢]+\.?)"
_EXPONENT = r"(?:\s*\^\s*(?:\{\s*-?\d\s*\}|-?\d))?"
_TAIL = re.compile(
    rf"^(?P<head>.*?[\d)}}\]!%]|.*?\\pi|.*?\bpi)(?P<gap>\s*)(?P<unit>(?:[/]\s*)?{_FORM}{_EXPONENT}(?:\s*(?:/|\\cdot|\*|\\times|)\s*{_FORM}{_EXPONENT})*)\s*[.,]?$"
)
_UNIT_FRACTION = re.compile(rf"\\frac\s*\{{\s*({_WRAPPED_FORM}{_EXPONENT})\s*\}}\s*\{{\s*({_WRAPPED_FORM}{_EXPONENT})\s*\}}")
"""One unit over another, as LaTeX's fraction."""
_WRAPPED = re.compile(r"\\(?:text|mathrm|mbox|textrm|textbf|textit|textnormal|textsf|rm|operatorname)\s*\{([^{}]*)\}")
_CURRENCY = re.compile(r"\s*([-+]?)\s*(?:US\s?)?(\\?\$|\\?\\pounds|[€£])\s*([\d,]*\.?\d+)\s*")
_SHORT_WORDS = frozenset(["yes", "no", "odd", "dne"])
_PERCENT = re.compile(r"^(.*[\d}])\s*\\?(?:percent(?:age)?(?: points?)?|pct\.?|per cent)$", re.IGNORECASE)
_OPERATORS = frozenset(
    (
        "plus minus times over divided squared cubed by or and if when where not than for with less more modulo mod pi inf "
        "infinity in is"
    ).split()
)
_MULTIPLES = {"dozen": 12, "hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_WORD_NUMBERS = dict(
    zip(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
        "eighteen nineteen twenty".split(),
        range(21),
        strict=True,
    )
)
_SYNONYMS = {
    "true": "yes", "false": "no", "none": "no solution", "no solutions": "no solution", "no real solution": "no solution",
    "no real solutions": "no solution",
    "there is no solution": "no solution", "there are no solutions": "no solution", "empty set": "no solution",
    "does not exist": "dne",
    "infinite": "infinitely many", "infinitely many solutions": "infinitely many",
}  # fmt: skip


@functools.lru_cache(maxsize=65_536)
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
        return (
            Node(
                "quantity",
                (Node("neg", (amount,)) if found[1] == "-" else amount,),
                "£" if found[2].endswith("s") else found[2][-1],
            ),
        )
    text = tidy(text).strip("¥ ")
    if not text:
        raise Unreadable("there is nothing")
    if text.casefold() in _SHORT_WORDS:
        return (words(text, Unreadable("")),)
    if found := _CLOCK.fullmatch(text):
        clock = Node("text", (), f"{int(found[1])}:{found[2]} {re.sub(r'[^apm]', '', found[3].lower())}".strip())
        ratio = Node("ratio", (number(found[1]), number(found[2])))
        return (clock,) if found[3] or found[2][0] == "0" else (ratio,)
    readings: list[Node] = []
    if _SPACED_THOUSANDS.fullmatch(text):
        text = text.replace(" ", "")
    text = _join_thousands(text)
    if (found := _DECIMAL_COMMA.fullmatch(text)) and text.count(",") == 1:
        readings.append(parse(text.replace(",", ".")))
    if multiple := _multiple(text):
        return (multiple,)
    try:
        if found := _PERCENT.match(text):
            return (Node("percent", (parse(found[1]),)),)
        if quantity := _quantity(text):
            readings.append(quantity)
        readings.append(parse(text))
    except Unreadable as unreadable:
        if not readings:
            readings.append(words(text, unreadable))
    return tuple(readings)


def words(text: str, unreadable: Unreadable) -> Node:
    """A text that is no mathematics, as words: what is compared is its letters and digits.

    Raises:
        Unreadable: it has no words either, or it was meant as LaTeX.
    """
    plain = _WRAPPED.sub(r" \1 ", text)
    if re.search(r"\\[A-Za-z]", plain) or not re.search(r"[A-Za-z]", plain) or plain.count("{") != plain.count("}"):
        raise unreadable
    if any(ord(character) < 32 and not character.isspace() for character in plain):
        raise unreadable
    plain = " ".join(re.findall(r"[^\W_]+", plain.casefold()))
    plain = re.sub(r"^(?:an?|the) (?=\w)", "", plain)
    if not plain:
        raise unreadable
    if plain in _WORD_NUMBERS:
        return Node("number", (), Fraction(_WORD_NUMBERS[plain]))
    return Node("text", (), _SYNONYMS.get(plain, plain))


def _join_thousands(text: str) -> str:
    """ "1,234" as "1234", outside of brackets: there a comma stands between two things."""
    if "," not in text:
        return text

    def joined(found: re.Match[str]) -> str:
        before = text[: found.start()]
        inside = any(before.count(opening) > before.count(closing) for opening, closing in ("()", "[]", "{}"))
        return found[0] if inside else found[0].replace(",", "")

    return _THOUSANDS.sub(joined, text)


def _multiple(text: str) -> Node | None:
    """ "2.5 million", "3 dozen eggs"."""
    found = re.match(rf"^([-+]?(?:{_DIGITS}))\s*({'|'.join(_MULTIPLES)})s?\b(.*)$", _WRAPPED.sub(r" \1 ", text), re.IGNORECASE)
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
    found = _TAIL.match(_UNIT_FRACTION.sub(r"\1/\2", text))
    if not found:
        return None
    wrapped = "{" in found["unit"] and "\\" in found["unit"]
    unit = " ".join(
        _WRAPPED.sub(r" \1 ", found["unit"]).replace("\\cdot", "*").replace("\\times", "*").replace("\\", "").split()
    ).rstrip(".,")
    bare = re.findall(r"[A-Za-z]+|[€£¢]", unit)
    if not bare or _OPERATORS & {word.lower() for word in bare} or len(unit) > 60:
        return None
    known = units.unit(unit)
    if known is None:
        noun = all(len(word) > 2 or word.lower() in ("of", "a", "an") for word in bare)
        if not (noun and (wrapped or max(map(len, bare)) > 3) and len(bare) <= 4) or "^" in unit:
            return None
    elif not wrapped and not found["gap"] and len(bare[0]) == 1 and bare[0].isalpha():
        return None  # 3m is three times m
    try:
        return Node("quantity", (parse(found["head"]),), unit)
    except Unreadable:
        return None
