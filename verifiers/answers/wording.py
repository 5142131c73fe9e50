"""Words in answers: sentences and names, numbers in words, and lead-ins."""

import re
from fractions import Fraction

from .grammar.notation import Unreadable
from .grammar.tree import INFINITY, Node
from .values.claims import letters
from .values.identity import CannotTell

UPRIGHT = r"\\(?:text|mathrm|mbox|textrm|textbf|textit|textnormal|textsf|rm)\s*\{[^{}]*\}"
"""Words set upright within LaTeX."""
WRAPPED = re.compile(r"\\(?:text|mathrm|mbox|textrm|textbf|textit|textnormal|textsf|rm)\s*\{([^{}]*)\}")

NUMBERS = dict(
    zip(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
        "eighteen nineteen twenty".split(),
        range(21),
        strict=True,
    )
)
"""Whole numbers in words."""
_INFINITE = {"infinity": INFINITY, "positive infinity": INFINITY, "negative infinity": Node("neg", (INFINITY,))}
_SAME = {
    "true": "yes", "false": "no", "none": "no solution", "no solutions": "no solution", "no real solution": "no solution",
    "no real solutions": "no solution", "empty set": "no solution", "does not exist": "dne", "infinite": "infinitely many",
    "infinitely many solutions": "infinitely many", "limit does not exist": "dne",
    "all reals": "all real numbers", "all real": "all real numbers",
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


def _holds_a_pair(text: str) -> bool:
    """Whether a comma stands in brackets, as in an interval or a pair."""
    for inside in re.split(r"[)\]]", text)[:-1]:
        opening = re.search(r"[(\[]", inside)
        if opening and "," in inside[opening.end() :]:
            return True
    return False


def words(text: str, invalid_gold: Unreadable) -> Node:
    """A text that is no mathematics, as words: its letters, numbers and signs, without punctuation and case.

    Raises:
        Unreadable: it has no words either, or it was meant as LaTeX.
    """
    plain = WRAPPED.sub(r" \1 ", text)
    if re.search(r"\\[A-Za-z]", plain) or not re.search(r"[A-Za-z]", plain) or plain.count("{") != plain.count("}"):
        raise invalid_gold
    if any(ord(character) < 32 and not character.isspace() for character in plain):
        raise invalid_gold
    plain = re.sub(r"\s*_\s*\{?\s*(\d+)\s*\}?\s*", r"\1", plain)
    if not _holds_a_pair(plain):  # there brackets say something
        plain = re.sub(r"[()\[\]]", " ", plain)
    formula = re.fullmatch(r"\s*[A-Z]\w*[A-Z]\w*[+-]?\s*", plain) and (
        not plain.strip().isupper() or re.search(r"\d", plain)
    )  # AaBb is not AABB
    plain = " ".join(_WORD_OR_SIGN.findall(plain if formula else plain.casefold()))
    plain = re.sub(r"^(?:an?|the|there (?:is|are)) (?=\w)", "", plain)
    if not plain:
        raise invalid_gold
    if plain in NUMBERS:
        return Node("number", (), Fraction(NUMBERS[plain]))
    if plain in _INFINITE:
        return _INFINITE[plain]
    said = _SAME.get(plain, plain)
    return Node("reals") if said == "all real numbers" else Node("text", (), said)


def sentence(text: str) -> Node | None:
    """A gold answer that is a sentence with formulas in it, as words; None where it is no sentence."""
    bare = re.sub(r"\$[^$]*\$|\\[A-Za-z]+", " ", WRAPPED.sub(r" \1 ", text))
    words = len(re.findall(r"(?<![A-Za-z])[A-Za-z]{3,}(?![A-Za-z])", bare))
    if not words or (words < 3 and text.count("$") < 4):
        return None
    return Node("text", (), " ".join(re.findall(r"\\?[^\W_]+|[^\w\s${}\\]", text.casefold())))


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
