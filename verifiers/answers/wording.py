"""Words in answers: sentences and names, numbers in words, lead-ins, and nouns and units behind a number."""

import re
from fractions import Fraction

from .. import units
from .claims import letters
from .identity import CannotTell
from .notation import Unreadable
from .tree import Node

UPRIGHT = r"\\(?:text|mathrm|mbox|textrm|textbf|textit|textnormal|textsf|rm)\s*\{[^{}]*\}"
"""Words set upright within LaTeX."""
WRAPPED = re.compile(r"\\(?:text|mathrm|mbox|textrm|textbf|textit|textnormal|textsf|rm)\s*\{([^{}]*)\}")

_FORM = rf"(?:{UPRIGHT}|[A-Za-zµμΩ°Å€£¢]++\.?|[\u4e00-\u9fff]{{1,4}})"
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
        "infinity in is out below above negative positive zero debt fewer cent half halves third thirds quarter quarters"
    ).split()
)
_DEGREES = re.compile(r"\s*\^\s*\{?\s*\\circ\s*\}?\s*(?:\\(?:text|mathrm)\s*\{\s*([CF])\s*\}|([CF])\b)")
_MICRO = re.compile(r"(?<=\d)\s*\\mu\s*(?:\\(?:text|mathrm)\s*\{\s*)?(m|g|s|L|l|C|F|A|V|mol)\b\}?")
"""Degrees Celsius and Fahrenheit, and units with the prefix micro, as LaTeX writes them."""
_PLAIN_NUMBER = re.compile(r"[-+]?[\d.,]+(?:\s*(?:\\times|\\cdot|\*)\s*10\s*\^\s*\{?-?\d+\}?)?|10\s*\^\s*\{?-?\d+\}?")
_LONE = frozenset("msghNJWVLK")
"""Letters that are units where they stand alone behind a number and a space."""
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
_WORD_OR_SIGN = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]+|[+*/^=<>|()\[\]]|(?<=\d),(?=\s?\d)|-(?![A-Za-z]{2})")


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
    plain = re.sub(r"\s*_\s*\{?\s*(\d+)\s*\}?\s*", r"\1", plain)
    if not re.search(r"[(\[][^)\]]*,[^)\]]*[)\]]", plain):  # brackets say something where they hold an interval or a pair
        plain = re.sub(r"[()\[\]]", " ", plain)
    formula = re.fullmatch(r"\s*[A-Z]\w*[A-Z]\w*[+-]?\s*", plain) and (
        not plain.strip().isupper() or re.search(r"\d", plain)
    )  # AaBb is not AABB
    plain = " ".join(_WORD_OR_SIGN.findall(plain if formula else plain.casefold()))
    plain = re.sub(r"^(?:an?|the|there (?:is|are)) (?=\w)", "", plain)
    if not plain:
        raise unreadable
    if plain in _NUMBERS:
        return Node("number", (), Fraction(_NUMBERS[plain]))
    said = _SAME.get(plain, plain)
    return Node("reals") if said == "all real numbers" else Node("text", (), said)


def with_unit(text: str) -> tuple[str, str] | None:
    """A number's text and the unit or noun behind it ("15 cm^2", "72 clips"), or None where there is none."""
    text = _DEGREES.sub(lambda degrees: rf"\text{{deg{degrees[1] or degrees[2]}}}", text)
    text = WRAPPED.sub(lambda words: words[0].replace("\\Omega", "ohm").replace("\\mu ", "μ"), text)
    text = _MICRO.sub(r"\\text{μ\1}", re.sub(r"(?<=\d)\s*\\Omega\b", r" \\text{ohm}", text))
    found = _TAIL.fullmatch(_UNIT_FRACTION.sub(r"\1/\2", text))
    if not found:
        return None
    wrapped = "{" in found["unit"] and "\\" in found["unit"]
    unit = WRAPPED.sub(r" \1 ", found["unit"]).replace("\\cdot", "*").replace("\\times", "*").replace("\\", "")
    unit = " ".join(unit.split()).rstrip(".,")
    bare = re.findall(r"[A-Za-z]+|[€£¢Ω°Å]", unit)
    if re.fullmatch(r"[\u4e00-\u9fff]{1,4}", unit):
        return found["head"], unit  # 120棵
    if any(re.fullmatch(r"[a-z]+(?:ths?|fths?)", word) for word in bare) or not re.search(r"[A-Za-z€£¢ΩÅ]", unit):
        return None  # 5 tenths are no five of anything
    if not bare or _NO_UNIT & {word.lower() for word in bare} or len(unit) > 60:
        return None
    if units.unit(unit) is None:
        noun = all(len(word) > 2 or word.lower() in ("of", "a", "an") for word in bare)
        if not (noun and (wrapped or max(map(len, bare)) > 3) and len(bare) <= 4) or "^" in unit:
            return None
    elif not wrapped and all(len(word) == 1 and word.isalpha() for word in bare) and "/" not in unit:
        # 3m is three times m, and so is \\frac{1}{2} m; 3 m may be a length.
        plain = _PLAIN_NUMBER.fullmatch(found["head"].strip())
        if not plain or not found["gap"] or len(bare) > 1 or bare[0] not in _LONE:
            return None
    return found["head"], unit


def same_words(gold: Node, answer: Node) -> bool:
    """Whether two answers of which one at least is words say the same.

    Equal words do, two different single words do not; what sentences mean is not said here.

    Raises:
        CannotTell: they are sentences.
    """
    if gold.kind == answer.kind:
        if gold.value == answer.value or _joined(gold.value) == _joined(answer.value):
            return True
        words = set(gold.value.split()), set(answer.value.split())
        if (" " not in gold.value and gold.value not in words[1]) or (words[0] & _DENIALS) != (words[1] & _DENIALS):
            return False
        if not words[1] & (_DENIALS | _HEDGES) and re.search(
            rf"\b(?:is|are) (?:an? |the )?{re.escape(gold.value)}$", answer.value
        ):
            return True
        if re.search(r"[\d<>=+*/^]", gold.value + answer.value) and _signs(gold.value) != _signs(answer.value):
            return False
        raise CannotTell("sentences that are not the same words")
    if gold.kind == "text":
        if answer.kind in ("symbol", "constant", "mul") and letters(answer) == gold.value.replace(" ", ""):
            return True
        if answer.kind == "set" and not answer.items:
            return gold.value == "no solution"
        return False
    if gold.kind == "set" and not gold.items:
        return answer.value == "no solution"
    return gold.kind in ("symbol", "constant", "mul") and letters(gold) == answer.value.replace(" ", "")


_DENIALS = frozenset("not no never non except neither without un".split())
_HEDGES = frozenset("whether if or false wrong unknown cannot only".split())
"""Words with which "the function is odd" says something else."""


def _joined(words: str) -> str:
    """Words without the spaces between letters; digits and signs stay apart."""
    return re.sub(r"(?<=[a-z]) (?=[a-z])", "", words)


def _signs(words: str) -> list[str]:
    """The numbers and signs among words."""
    return re.findall(r"\d+(?:\.\d+)?|[<>=+*/^-]", words)
