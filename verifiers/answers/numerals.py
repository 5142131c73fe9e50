"""Notations of numbers: thousands, dozens and millions, times of day, ordinals, other bases."""

import re
from fractions import Fraction

from .grammar.expressions import parse
from .grammar.tree import Node, number
from .quantities import with_unit
from .words import NUMBERS, WRAPPED

DIGITS = r"\d+(?:\.\d+)?|\.\d+"
_GROUPED = r"[1-9]\d{0,2}(?:,\d{3})+"
_THOUSANDS = re.compile(rf"(?<![\d.,]){_GROUPED}(?!\d|,(?!\s*[A-Za-z]))")
_LIST_OF_THOUSANDS = re.compile(rf"{_GROUPED}(?:,\s+{_GROUPED})+")
"""A list whose separators are distinct from the commas in its numbers: 1,000, 2,000."""
_ARGUMENT = re.compile(r"(?:\\frac|\\sqrt(?:\s*\[[^\]]*\])?|\})\s*\{$")
"""The start of a group in braces that is one number and no set."""
TIME_OR_RATIO = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?\s*((?:[ap]\.?\s?m\.?)?)", re.IGNORECASE)
_MULTIPLES = {"dozen": 12, "hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_MULTIPLE = re.compile(rf"([-+]?(?:{DIGITS}))\s*({'|'.join(_MULTIPLES)})s?\b(.*)", re.IGNORECASE)
_BASED = re.compile(
    r"[(\[]?\s*(?P<digits>[0-9A-Z]{1,60})\s*[)\]]?\s*(?:_\s*\{?\s*\(?\s*(?:base\s*)?|[,(]?\s*(?:in\s+)?base[\s-]*)"
    r"(?P<base>\d{1,2}|[a-z]{3,9})\s*\)?\s*\}?\s*\)?"
)
_PREFIXED = re.compile(r"0x(?P<x>[0-9A-Fa-f]{1,60})|0b(?P<b>[01]{1,60})|0o(?P<o>[0-7]{1,60})")
"""Numbers with a prefix for the base, as in programs: 0x1A."""
_SMALL_DIGITS = re.compile(r"[(\[]?\s*\d[0-9a-f]{0,59}\s*[)\]]?\s*_\s*\{?\s*16\s*\}?")
_ORDINAL = re.compile(
    r"(?P<number>\d{1,12})\s*(?:\^\s*)?(?:\{\s*)?(?:\\(?:text|mathrm|textrm|mbox|textsuperscript)\s*\{\s*)?(?P<end>st|nd|rd|th)"
    r"\s*\}{0,2}(?P<noun>(?:\s+|\\(?:text|mathrm)\s*\{\s*)[A-Za-z ]{2,30}\}?)?"
)


def number_with_base(text: str) -> Node | None:
    """Returns a number with a stated base: (52)_8, 2A_{16}, 52 base 8, 52_{\\text{eight}}, 0x2A. None if there is none."""
    if text.startswith("-"):
        positive = number_with_base(text[1:].lstrip()) if text[1:2] != "-" else None
        return positive and Node("neg", (positive,))
    if text[:2] in ("0x", "0b", "0o") and (prefixed := _PREFIXED.fullmatch(text)):
        sign = str(prefixed.lastgroup)
        return Node("based", (), (prefixed[sign].upper().lstrip("0") or "0", {"x": 16, "o": 8, "b": 2}[sign]))
    if "_" not in text and "base" not in text:
        return None
    found = _BASED.fullmatch(WRAPPED.sub(r" \1 ", text.upper() if _SMALL_DIGITS.fullmatch(text) else text).strip())
    if not found:
        return None
    base = int(found["base"]) if found["base"].isdigit() else NUMBERS.get(found["base"], 0)
    digits = found["digits"]
    if not 2 <= base <= 36 or any(int(digit, 36) >= base for digit in digits):
        return None
    return Node("based", (), (digits.lstrip("0") or "0", base))


def ordinal(text: str) -> str | None:
    """Returns the digits of an ordinal number ("12th", "12^{\\text{th}}") and the noun after it. None if it is not one."""
    found = _ORDINAL.fullmatch(text)
    if not found or re.search(r"root|power|of\b", found["noun"] or ""):
        return None
    digits = found["number"]
    end = "th" if digits[-2:-1] == "1" else {"1": "st", "2": "nd", "3": "rd"}.get(digits[-1], "th")
    return digits + (found["noun"] or "") if found["end"] == end else None


def join_thousands(text: str) -> str:
    """Returns "1,234" as "1234", except in brackets, where a comma separates two items.

    The braces of a fraction or root are not such brackets.
    """
    if "," not in text:
        return text
    if _LIST_OF_THOUSANDS.fullmatch(text):
        return re.sub(r",(?=\d)", "", text)

    def joined(found: re.Match[str]) -> str:
        opened = _up_to_open_bracket(text[: found.start()])
        return found[0] if opened and not _ARGUMENT.search(opened) else found[0].replace(",", "")

    return _THOUSANDS.sub(joined, text)


def _up_to_open_bracket(text: str) -> str:
    """Returns a text up to its last bracket that is not closed. Empty if there is none."""
    depth = 0
    for position in range(len(text) - 1, -1, -1):
        depth += (text[position] in ")]}") - (text[position] in "([{")
        if depth < 0:
            return text[: position + 1]
    return ""


def time_or_ratio(found: re.Match[str]) -> Node:
    """Returns "12:30" as a ratio that may be a time. With a.m. or p.m., or minutes from 00 to 09, it is a time as text."""
    half = re.sub(r"[^apm]", "", found[4].lower())
    if half or found[2][0] == "0":
        return Node("text", (), ":".join(filter(None, (f"{int(found[1])}:{found[2]}", found[3]))) + half)
    numbers = tuple(number(part) for part in found.groups()[:3] if part)
    clock = all(part.value < 60 for part in numbers)
    return Node("ratio", numbers, "clock" if clock and numbers[0].value < 25 else None)


def named_multiple(text: str) -> Node | None:
    """Returns a multiple of a named number: "2.5 million", "3 dozen eggs". None if it is not one."""
    found = _MULTIPLE.fullmatch(WRAPPED.sub(r" \1 ", text))
    if not found:
        return None
    scale = Node("number", (), Fraction(_MULTIPLES[found[2].lower()]))
    product = Node("mul", (parse(found[1]), scale), "of")
    rest = found[3].strip()
    if not rest:
        return product
    if not re.fullmatch(r"[A-Za-z ]{2,40}", rest) or {*NUMBERS, *_MULTIPLES} & set(rest.lower().split()):
        return None
    return Node("quantity", (product,), rest) if with_unit(rf"1\text{{{rest}}}") else None
