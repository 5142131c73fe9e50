"""Labels before answers: "maximum value 7", "Area = 5", "(1) 3; (2) 5", "quotient x+2, remainder 3"."""

import re
from collections.abc import Callable

from .grammar.expressions import parse
from .grammar.notation import ParseError
from .grammar.tree import Node
from .words import UPRIGHT, WRAPPED

MAX_PARTS = 12
"""Maximum number of parts of an answer."""

_NUMBERED = re.compile(r"(?<=\S)\s+(?=\((?:[2-9]|[b-h]|i[iv]|iii|vi{0,3})\))")
_ARTICLES = frozenset(["the", "its", "is", "are", "equals", "value", "and"])
"""Words of a label that carry no meaning."""
_LABEL = re.compile(
    rf"\s*({UPRIGHT}|\((?:[1-9a-h]|i{{1,3}}|i?v|vi{{1,3}})\)|\\(?:max|min)"
    rf"|[A-Za-z][A-Za-z ]{{2,30}}?(?=\s*[:=\d(\\-]|\s[a-z]\b))\s*[:=]?\s*(\S.*)"
)
_ABBREVIATED = re.compile(r"^\s*Ans\s*\.", re.IGNORECASE)
_FUNCTION_NAME = re.compile(r"\\(max|min|sup|inf)(?=\s*[=:])")
_LABELLED = re.compile(
    r"\s*(?P<label>[A-Za-z][A-Za-z'\s]{1,60}?)\s*"
    r"(?P<sign>[:=]\s*|\\approx(?![A-Za-z])|(?<![A-Za-z])(?:is|are|equals?|was)(?![A-Za-z])\s*[:=]?)?"
    r"\s*(?P<value>[^A-Za-z\s:=<>!].*|(?<![A-Za-z])[A-Za-z](?:_\S{1,9})?\s*=.*)",
    re.DOTALL,
)
_CHANGES = frozenset(
    (
        "not no never nor neither either unless except without less more fewer greater smaller larger than least most "
        "half twice double triple thrice third quarter negative minus plus opposite reciprocal inverse square squared "
        "cube cubed root log multiple divisible factor times wrong incorrect false yes true if isn't can't cannot "
        "doesn't don't between by up below above unlike anything nothing or option choice statement case step type "
        "figure part question problem"
    ).split()
)
"""Words that change the number after them, or that name a statement by its number."""
_NOUNS = frozenset(
    (
        "value maximum minimum max min answer ans total sum area volume perimeter circumference result length width "
        "height depth number count average mean median mode range probability distance speed velocity time age cost "
        "price profit product difference quotient remainder radius diameter degree slope solution supremum infimum "
        "maximal minimal exactly"
    ).split()
)
"""Nouns that need no sign before their value: "maximum value 7"."""


def labelled(text: str, read: Callable[[str], tuple[Node, ...]]) -> Node | None:
    """Returns an answer with a label in words as an equation with the label on its left side. None if there is no label.

    The value alone is returned if it is an equation ("result x = 7"), or if the label only announces it ("answer: 7").

    Args:
        text: The normalized text.
        read: The parser of the value.

    Raises:
        ParseError: The value is not mathematics.
    """
    plain = _ABBREVIATED.sub("Ans ", WRAPPED.sub(r" \1 ", _FUNCTION_NAME.sub(r" \1 ", text)))
    found = _LABELLED.fullmatch(plain)
    if not found or len(found["value"]) > 400:
        return None
    words = found["label"].lower().split()
    if _CHANGES & set(words) or not (found["sign"] or words[-1] in _NOUNS):
        return None
    if len(words) == 1 and len(words[0]) < 3:
        return None
    value = read(found["value"])[0]
    if value.kind == "text" or (value.kind == "relation" and set(value.value) - {"=", "~"}):
        return None
    label = " ".join(word for word in words if word not in _ARTICLES) or " ".join(words)
    if label in ("answer", "ans", "final answer", "result", "solution", "final", "so", "thus", "hence", "therefore"):
        return value
    return value if value.kind == "relation" else Node("relation", (Node("text", (), label), value), ("=",))


def labelled_parts(text: str) -> Node | None:
    """Returns labelled parts, "(1) 3; (2) 5" or "quotient x+2, remainder 3", as a list. None if there are none."""
    unwrapped = WRAPPED.sub(r" \1 ", text).lstrip()
    found = _split(_NUMBERED.sub(" , ", unwrapped) if unwrapped.startswith("(") else text)
    if not 2 <= len(found) <= MAX_PARTS:
        return None
    items = []
    for part in found:
        matched = _LABEL.fullmatch(part)
        if not matched:
            return None
        try:
            label_words = re.findall(r"\w+", WRAPPED.sub(r" \1 ", matched[1]).casefold())
            label = " ".join(word for word in label_words if word not in _ARTICLES) or " ".join(label_words)
            items.append(Node("relation", (Node("text", (), label), parse(matched[2])), ("=",)))
        except ParseError:
            return None
    return Node("list", tuple(items))


def _split(text: str) -> list[str]:
    """Splits a text at commas, semicolons and "and" outside of brackets."""
    found, depth, start = [], 0, 0
    for mark in re.finditer(r"[(\[{]|[)\]}]|[,;]|(?<![A-Za-z\\])and(?![A-Za-z])", text):
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(mark[0], 0)
        if depth == 0 and mark[0] in (",", ";", "and"):
            found.append(text[start : mark.start()])
            start = mark.end()
    return [part.strip() for part in [*found, text[start:]] if part.strip()]
