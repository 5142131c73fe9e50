"""Answers in words: sentences and names, numbers in words, and introductory phrases."""

import re
from fractions import Fraction

from .grammar.notation import ParseError
from .grammar.tree import INFINITY, Node
from .values.claims import spelled_word
from .values.identity import Undecided

UPRIGHT = r"\\(?:text|mathrm|mbox|textrm|textbf|textit|textnormal|textsf|rm)\s*\{[^{}]*\}"
"""Upright text within LaTeX."""
WRAPPED = re.compile(r"\\(?:text|mathrm|mbox|textrm|textbf|textit|textnormal|textsf|rm)\s*\{([^{}]*)\}")

_TO_NINETEEN = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
NUMBERS = dict(
    zip(
        [*_TO_NINETEEN, *(f"{ten} {unit}".removesuffix(" zero") for ten in _TENS for unit in _TO_NINETEEN[:10])],
        range(100),
        strict=True,
    )
)
"""Whole numbers in words, up to ninety nine."""
_INFINITE = frozenset(["infinity", "positive infinity"])
_SYNONYMS = {
    "true": "yes", "false": "no", "none": "no solution", "no solutions": "no solution", "no real solution": "no solution",
    "no real solutions": "no solution", "empty set": "no solution", "does not exist": "dne", "infinite": "infinitely many",
    "infinitely many solutions": "infinitely many", "limit does not exist": "dne",
    "all reals": "all real numbers", "all real": "all real numbers",
}  # fmt: skip
"""Answers in words with the same meaning."""
SHORT_WORDS = frozenset(["yes", "no", "odd", "dne"])
"""Words so short that they could be products of letters."""
_LEAD_IN = re.compile(
    r"(?:the (?:final )?answer is|there (?:are|is)|it is|about|approximately|approx\.?|around|roughly|exactly|only)"
    r"\s*:?\s+(?=\S)|(?:一?共计?|总共|大?约)有?\s*(?=[-\d\\])",
    re.IGNORECASE,
)
_WORD_OR_SIGN = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]+|[+*/^=<>|()\[\]]|(?<=\d),(?=\s?\d)|(?<![A-Za-z])-|-(?![A-Za-z]{2})")


def without_lead_in(text: str) -> str | None:
    """Returns the text after an introductory phrase without content ("about 15.7"). None if there is no such phrase."""
    plain = WRAPPED.sub(r" \1 ", text).strip()
    rest = _LEAD_IN.sub("", plain, count=1) if _LEAD_IN.match(plain) else ""
    return rest.strip() or None


def _has_bracketed_comma(text: str) -> bool:
    """True if a comma stands in brackets, as in an interval or a pair."""
    for inside in re.split(r"[)\]]", text)[:-1]:
        opening = re.search(r"[(\[]", inside)
        if opening and "," in inside[opening.end() :]:
            return True
    return False


def words(text: str, error: ParseError) -> Node:
    """Returns a text outside the grammar as words: letters, numbers and signs, without punctuation and case.

    Raises:
        ParseError: `error`, if the text has no words, or contains LaTeX.
    """
    plain = WRAPPED.sub(r" \1 ", text)
    if re.search(r"\\[A-Za-z]", plain) or not re.search(r"[A-Za-z]", plain) or plain.count("{") != plain.count("}"):
        raise error
    if any(ord(character) < 32 and not character.isspace() for character in plain):
        raise error
    plain = re.sub(r"\s*_\s*\{?\s*(\d+)\s*\}?\s*", r"\1", plain)
    if not _has_bracketed_comma(plain):  # brackets around a pair have a meaning
        plain = re.sub(r"[()\[\]]", " ", plain)
    formula = re.fullmatch(r"\s*[A-Z]\w*[A-Z]\w*[+-]?\s*", plain) and (
        not plain.strip().isupper() or re.search(r"\d", plain)
    )  # AaBb is not AABB
    plain = " ".join(_WORD_OR_SIGN.findall(plain if formula else plain.casefold()))
    plain = re.sub(r"^(?:an?|the|there (?:is|are)) (?=\w)", "", plain)
    if not plain:
        raise error
    sign, _, rest = plain.partition(" ")
    negative = sign in ("-", "minus", "negative")
    unsigned = rest if negative else plain
    if unsigned in NUMBERS or unsigned in _INFINITE:
        size = Node("number", (), Fraction(NUMBERS[unsigned])) if unsigned in NUMBERS else INFINITY
        return Node("neg", (size,)) if negative else size
    phrase = _SYNONYMS.get(plain, plain)
    return Node("reals") if phrase == "all real numbers" else Node("text", (), phrase)


def sentence_as_words(text: str) -> Node | None:
    """Converts a gold answer to words if it is a sentence with formulas. None if it is not a sentence."""
    bare = re.sub(r"\$[^$]*\$|\\[A-Za-z]+", " ", WRAPPED.sub(r" \1 ", text))
    words = len(re.findall(r"(?<![A-Za-z])[A-Za-z]{3,}(?![A-Za-z])", bare))
    if not words or (words < 3 and text.count("$") < 4):
        return None
    return Node("text", (), " ".join(re.findall(r"\\?[^\W_]+|[^\w\s${}\\]", text.casefold())))


def same_words(gold: Node, answer: Node) -> bool:
    """Compares two answers, at least one of which is words.

    Equal words are equal, and two different single words differ. A sentence equals the gold words if it ends in "is" and these
    words. Other sentences are not interpreted.

    Raises:
        Undecided: The two are different sentences.
    """
    if gold.kind == answer.kind:
        if gold.value == answer.value or _joined(gold.value) == _joined(answer.value):
            return True
        words = set(gold.value.split()), set(answer.value.split())
        if (" " not in gold.value and gold.value not in words[1]) or (words[0] & _DENIALS) != (words[1] & _DENIALS):
            return False
        if (
            not words[1] & _DENIALS
            and not (words[1] - words[0]) & _HEDGES
            and re.search(rf"\b(?:is|are) (?:an? |the )?{re.escape(gold.value)}$", answer.value)
        ):
            return True
        if re.search(r"[\d<>=+*/^]", gold.value + answer.value) and _signs(gold.value) != _signs(answer.value):
            return False
        raise Undecided("sentences in different words")
    if gold.kind == "text":
        if _spells(answer, gold.value):
            return True
        if answer.kind == "set" and not answer.items:
            return gold.value == "no solution"
        return False
    if gold.kind == "set" and not gold.items:
        return answer.value == "no solution"
    return _spells(gold, answer.value)


def _spells(letters: Node, text: str) -> bool:
    """True if a product of letters spells words ("odd" parses as o times d times d), or a formula (H_2 O) in the same case."""
    words, spelled = text.replace(" ", ""), spelled_word(letters) if letters.kind in ("symbol", "constant", "mul") else None
    return spelled is not None and (spelled.casefold() == words or spelled.replace("_", "") == words)


_DENIALS = frozenset("not no never non except neither without un".split())
_HEDGES = frozenset("whether if or false wrong unknown cannot only maybe perhaps possibly may might could".split())
"""Words that change the meaning of "the function is odd"."""


def _joined(words: str) -> str:
    """Returns words without spaces between letters. Digits and signs stay separate."""
    return re.sub(r"(?<=[a-z]) (?=[a-z])", "", words)


def _signs(words: str) -> list[str]:
    """Returns the numbers and signs in a text."""
    return re.findall(r"\d+(?:\.\d+)?|[<>=+*/^-]", words)
