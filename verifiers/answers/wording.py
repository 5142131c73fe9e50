"""Words in answers: sentences and names, numbers in words, lead-ins, and nouns and units behind a number."""

import re
from fractions import Fraction

from .. import units
from .notation import Unreadable
from .tree import Node

UPRIGHT = r"\\(?:text|mathrm|mbox|textrm|textbf|textit|textnormal|textsf|rm)\s*\{[^{}]*\}"
"""Words set upright within LaTeX."""
WRAPPED = re.compile(r"\\(?:text|mathrm|mbox|textrm|textbf|textit|textnormal|textsf|rm)\s*\{([^{}]*)\}")

_FORM = rf"(?:{UPRIGHT}|[A-Za-zµμΩ°Å€£¢]++\.?)"
_EXPONENT = r"(?:\s*\^\s*(?:\{\s*-?\d\s*\}|-?\d))?"
_BETWEEN = r"(?:\s*(?:/|\\cdot|\\times|\*)\s*|\s+|(?=\\))"
_TAIL = re.compile(
    rf"(?P<head>.*?(?:[\d)}}\]!%]|\\pi|\bpi))(?P<gap>\s*)"
    rf"(?P<unit>(?:/\s*)?{_FORM}{_EXPONENT}(?:{_BETWEEN}{_FORM}{_EXPONENT}){{0,8}})\s*[.,]?"
)
_UNIT_FRACTION = re.compile(rf"\\frac\s*\{{\s*({UPRIGHT}{_EXPONENT})\s*\}}\s*\{{\s*({UPRIGHT}{_EXPONENT})\s*\}}")
"""One unit over another, as LaTeX's fraction."""
_NO_UNIT = frozenset(
    (
        "plus minus times over divided squared cubed by or and if when where not than for with less more modulo mod pi inf "
        "infinity in is"
    ).split()
)
_NUMBERS = dict(
    zip(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
        "eighteen nineteen twenty".split(),
        range(21),
        strict=True,
    )
)
_SAME = {
    "true": "yes", "false": "no", "none": "no solution", "no solutions": "no solution", "no real solution": "no solution",
    "no real solutions": "no solution", "empty set": "no solution", "does not exist": "dne", "infinite": "infinitely many",
    "infinitely many solutions": "infinitely many", "all reals": "all real numbers", "all real": "all real numbers",
}  # fmt: skip
"""Words that say the same."""
SHORT = frozenset(["yes", "no", "odd", "dne"])
"""Words of so few letters that they could be products."""
_LEAD_IN = re.compile(
    r"(?:the (?:final )?answer is|there (?:are|is)|it is|about|approximately|approx\.?|around|roughly|exactly|only)"
    r"\s*:?\s+(?=\S)",
    re.IGNORECASE,
)
_WORD_OR_SIGN = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]+|[+*/^=<>|]|-(?![A-Za-z]{2})")


def without_lead_in(text: str) -> str | None:
    """The text behind words that say nothing of their own ("about 15.7"), or None where there are none."""
    plain = WRAPPED.sub(r" \1 ", text).strip()
    rest = _LEAD_IN.sub("", plain, count=1) if _LEAD_IN.match(plain) else ""
    return rest.strip() or None


def words(text: str, unreadable: Unreadable) -> Node:
    """A text that is no mathematics, as words: its letters, numbers and signs, without punctuation and case.

    Raises:
        Unreadable: it has no words either, or it was meant as LaTeX.
    """
    plain = WRAPPED.sub(r" \1 ", text)
    if re.search(r"\\[A-Za-z]", plain) or not re.search(r"[A-Za-z]", plain) or plain.count("{") != plain.count("}"):
        raise unreadable
    if any(ord(character) < 32 and not character.isspace() for character in plain):
        raise unreadable
    plain = " ".join(_WORD_OR_SIGN.findall(plain.casefold()))
    plain = re.sub(r"^(?:an?|the|there (?:is|are)) (?=\w)", "", plain)
    if not plain:
        raise unreadable
    if plain in _NUMBERS:
        return Node("number", (), Fraction(_NUMBERS[plain]))
    said = _SAME.get(plain, plain)
    return Node("reals") if said == "all real numbers" else Node("text", (), said)


def with_unit(text: str) -> tuple[str, str] | None:
    """A number's text and the unit or noun behind it ("15 cm^2", "72 clips"), or None where there is none."""
    found = _TAIL.fullmatch(_UNIT_FRACTION.sub(r"\1/\2", text))
    if not found:
        return None
    wrapped = "{" in found["unit"] and "\\" in found["unit"]
    unit = WRAPPED.sub(r" \1 ", found["unit"]).replace("\\cdot", "*").replace("\\times", "*").replace("\\", "")
    unit = " ".join(unit.split()).rstrip(".,")
    bare = re.findall(r"[A-Za-z]+|[€£¢]", unit)
    if not bare or _NO_UNIT & {word.lower() for word in bare} or len(unit) > 60:
        return None
    if units.unit(unit) is None:
        noun = all(len(word) > 2 or word.lower() in ("of", "a", "an") for word in bare)
        if not (noun and (wrapped or max(map(len, bare)) > 3) and len(bare) <= 4) or "^" in unit:
            return None
    elif not wrapped and not found["gap"] and len(bare[0]) == 1 and bare[0].isalpha():
        return None  # 3m is three times m
    return found["head"], unit
