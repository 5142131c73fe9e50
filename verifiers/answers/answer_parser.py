"""Parser of a final answer: an expression, a quantity, a list, words. A text may have several readings (parse trees)."""

import functools
import re

from ..budget import check_time
from . import conditions
from .grammar.expressions import parse
from .grammar.notation import ParseError, normalize
from .grammar.tree import Node, number
from .labels import labelled, labelled_parts
from .logic import parse_statement
from .numerals import DIGITS, TIME_OR_RATIO, join_thousands, named_multiple, number_with_base, ordinal, time_or_ratio
from .progressions import parse_family
from .quantities import UNIT_REQUIRED, compound, currency, with_unit
from .values.claims import claim
from .values.evaluation import symbols
from .words import SHORT_WORDS, WRAPPED, sentence_as_words, without_lead_in, words

MAX_TEXT = 2_000
"""Maximum length of an answer that is parsed, in characters."""
MAX_CASES = 12
"""Maximum number of cases of a piecewise function; further cases are ignored."""

_PLAIN = re.compile(rf"([-+]?)\s?({DIGITS})")
_SPACED_THOUSANDS = re.compile(r"[-+]?\d{1,3}(?: \d{3})+(?:[.,]\d+)?")
_DECIMAL_COMMA = re.compile(r"([-+]?)\s?(\d+),(\d{2}|\d{4,})|([-+]?)(\d{4,}|0),(\d+)")
_PERCENT = re.compile(
    r"(.*[\d}])\s*(?:\\(?:text|mathrm)\s*\{\s*per cent\s*\}|\\?(?:percent(?:age)?(?: points?)?|pct\.?|per cent))", re.IGNORECASE
)
_TO = re.compile(rf"({DIGITS})\s*(?:\\text\s*\{{\s*to\s*\}}|to)\s*({DIGITS})")
"""A ratio in words: 2 to 3."""
_POINT = re.compile(r"([A-Z]'?)\s*(\((?:[^()]|\([^()]*\))*,(?:[^()]|\([^()]*\))*\))")
"""The letter of a point and its coordinates: P(3, -1)."""
_BUILDER = re.compile(r"\\\{\s*([a-z])\s*(?:\\in\s*(?:\\mathbb\s*\{R\}|\\mathbb R|R)\s*)?(?:\\mid|\\vert|\||:)\s*(.*?)\s*\\\}")
"""The set of all x with a property."""
_RESPECTIVELY = re.compile(r"(.*?)[\s,]*\\?(?:respectively|in that order)[\s.]*", re.IGNORECASE)
_ALL_UPRIGHT = re.compile(r"\s*\\(?:text|mbox|textrm|textbf|textit|textsf|texttt|emph)\s*\{([^{}]*)\}\s*")
"""An answer that is set upright as a whole: \\text{5 apples}."""
_MAPS = re.compile(r"(?:(?P<name>[A-Za-z])\s*:\s*)?\(?(?P<letter>[a-z])\)?\s*\\mapsto\s*(?P<value>.*)")
_DERIVED = re.compile(
    r"(?:\\frac\s*\{\s*d\s*\}\s*\{\s*d\s*[A-Za-z]\s*\}[^=]*|[^=]{1,200}(?:\\[lc]?dots(?![a-z])|\.\.\.)[^=]{0,200})"
    r"=(?P<value>[^=]*)",
    re.DOTALL,
)
"""An equation whose left side is a derivative or a sum with an ellipsis; the value is its right side."""
_CASES = re.compile(r"(?:(?P<label>[^=]{1,40})=\s*)?\\begin\s*\{cases\}(?P<rows>.*)\\end\s*\{cases\}", re.DOTALL)
_CONDITION = re.compile(r"^(?:if|for|when|where|as)\b\s*|\bis\b", re.IGNORECASE)


def readings_of(text: str) -> tuple[Node, ...]:
    """Returns the readings of an answer's text, at least one, the most probable first.

    Raises:
        ParseError: The text is neither mathematics nor words, or longer than `MAX_TEXT`.
    """
    check_time()  # each removal of leading words and each split at a condition parses the text again
    if len(text) > MAX_TEXT:
        raise ParseError(f"more than {MAX_TEXT} characters")
    if found := _PLAIN.fullmatch(text):  # most answers are plain numbers
        node = number(found[2])
        return (Node("neg", (node,)) if found[1] == "-" else node,)
    if (found := _ALL_UPRIGHT.fullmatch(text)) and re.search(r"\d", found[1]):
        text = found[1]
    if amount := currency(text.strip()):
        return (amount,)
    text = normalize(text).strip("¥ ")
    if not text:
        raise ParseError("the text is empty")
    if text.casefold() in SHORT_WORDS:
        return (words(text, ParseError("")),)
    if found := _RESPECTIVELY.fullmatch(WRAPPED.sub(r" \1 ", text)):
        return tuple(node._replace(kind="tuple") if node.kind == "list" else node for node in readings_of(found[1]))
    if in_base := number_with_base(text):
        return (in_base,)
    if found := TIME_OR_RATIO.fullmatch(text):
        return (time_or_ratio(found),)
    if "to" in text and (found := _TO.fullmatch(text)):
        return (Node("ratio", (number(found[1]), number(found[2]))),)
    if _SPACED_THOUSANDS.fullmatch(text):
        text = text.replace(" ", "")
    text = join_thousands(text)
    if text[0] in "+-.0123456789":
        text = ordinal(text) or text
        if several := named_multiple(text) or compound(text):
            return (several,)
    family_error: ParseError | None = None
    try:
        if infinitely_many := parse_family(text):
            return (infinitely_many,)
    except ParseError as error:
        family_error = error
    if statement := parse_statement(text):
        return (statement,)
    if found := _MAPS.fullmatch(text):
        text = f"{found['name'] or 'f'}({found['letter']}) = {found['value']}"
    if conditional_readings := _readings_under_condition(text):
        return conditional_readings
    if "=" in text and ("dots" in text or "..." in text or "frac" in text) and (found := _DERIVED.fullmatch(text)):
        return tuple(Node("relation", (Node("text", (), "it"), node), ("=",)) for node in readings_of(found["value"]))
    if family_error is not None:
        raise family_error
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
        if with_condition := conditions.split_list(readings[-1]):
            readings.append(with_condition)
        if quantity and len(quantity.items) > 1:
            readings.append(quantity)
        if found := _POINT.fullmatch(text):
            readings.append(parse(f"{found[1]} = {found[2]}"))
    except ParseError as error:
        if not readings and quantity is not None:
            readings.append(quantity)
        if not readings:
            readings.append(_worded_reading(text, error))
    return tuple(readings)


@functools.lru_cache(maxsize=16_384)
def readings_of_gold(text: str) -> tuple[Node, ...]:
    """Returns the readings of a gold answer. This function is cached; `readings_of` is not.

    A gold answer with an approximation, such as "\\sqrt{2} \\approx 1.41", also has the rounded number as a reading.
    """
    try:
        readings = readings_of(text)
    except ParseError:
        if (words := sentence_as_words(text)) is None:
            raise
        readings = (words,)
    return (*readings, *(rounded for node in readings if (rounded := _rounded(node)) is not None))


def _rounded(node: Node) -> Node | None:
    """Returns the decimal of "x = \\sqrt{2} \\approx 1.41", with its label."""
    if node.kind != "relation" or node.value[-1] != "~" or symbols(node.items[-1]):
        return None
    label, _ = claim(node)
    number = node.items[-1]
    return number if label is None or not symbols(label) else Node("relation", (label, number), ("~",))


def _worded_reading(text: str, error: ParseError) -> Node:
    """Returns the reading of a text outside the grammar: cases, labelled parts, or words."""
    if cases := _cases(text):
        return cases
    if (rest := without_lead_in(text)) and rest != text:
        return readings_of(rest)[0]
    return labelled_parts(text) or labelled(text, readings_of) or words(text, error)


def _readings_under_condition(text: str) -> tuple[Node, ...]:
    """Returns the readings of a formula with a condition after it. Empty if there is no condition."""
    found = conditions.split_condition(text)
    if found is None:
        return ()
    body, condition, for_all = found
    try:
        under = readings_of(condition)[0] if condition else None
        nodes = (conditions.with_condition(reading, under, for_all) for reading in readings_of(body))
        return tuple(node for node in nodes if node is not None)
    except ParseError:
        return ()


def _quantity(text: str) -> Node | None:
    """Returns a number with a unit or a noun after it ("72 clips")."""
    found = with_unit(text)
    if found is None:
        return None
    try:
        amount = parse(found[0])
        return Node("quantity", (amount,) if found[2] else (amount, UNIT_REQUIRED), found[1])
    except ParseError:
        return None


def _cases(text: str) -> Node | None:
    """Returns LaTeX's cases: a system of equations as a list, a piecewise function as values and conditions.

    Raises:
        ParseError: A value is not mathematics.
    """
    found = _CASES.fullmatch(text)
    if not found:
        return None
    rows = [row.strip() for row in re.split(r"\\\\", found["rows"]) if row.strip()][:MAX_CASES]
    if all(re.search(r"&\s*=|=\s*&", row) for row in rows):  # marks for alignment
        rows = [row.replace("&", "") for row in rows]
    if not any("&" in row for row in rows):
        return Node("list", tuple(parse(row.rstrip(",.; ")) for row in rows))
    pieces = []
    for row in rows:
        value, _, condition = row.partition("&")
        condition = _CONDITION.sub("", WRAPPED.sub(r" \1 ", condition).strip(" ,.;")).strip()
        pieces.append(Node("tuple", (parse(value.strip(" ,;")), readings_of(condition)[0])))
    return Node("cases", tuple(pieces))
