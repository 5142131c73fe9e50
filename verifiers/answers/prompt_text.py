"""The text of a prompt: its numbers, its expressions, and the task that it states (factor, expand, convert, ...)."""

import contextlib
import functools
import re
from fractions import Fraction

from .extraction.statements import formulas, masked
from .grammar.expressions import parse
from .grammar.notation import ParseError, normalize
from .grammar.tree import Node, canonical

MAX_TURN = 20_000
"""Maximum number of characters of a turn that are searched, from its end."""
MAX_EXPRESSIONS = 60
"""Maximum number of expressions of a prompt that are parsed, from its end."""
MAX_LENGTH = 400
"""Maximum length of an expression that is parsed, in characters."""

_FACTOR = re.compile(r"\bfactor(?!ial)|\bas a product\b|因式分解|分解质?因|素因数|因数分解", re.IGNORECASE)
_EXPAND = re.compile(r"\bexpand|\bmultipl(?:y|ied) out\b|展开", re.IGNORECASE)
_DECOMPOSE = re.compile(r"\bpartial fractions?\b|部分分式", re.IGNORECASE)
_SIMPLIFY = re.compile(
    r"\bsimpl(?:if|est)|\blowest terms\b|\breduced?\s(?:the\s)?(?:form|fraction)|\birreducible\b|化简|最简|约分"
    r"|\bcommon fraction\b",
    re.IGNORECASE,
)
_SOLVE = re.compile(
    r"\bsolve\b[^.?!\n]{0,100}\bfor\s+\W{0,3}[a-z]\b|\bin terms of\b|\bmake\b.{1,40}\bsubject\b"
    r"|\bslope[- ]intercept\b|用.{1,9}表示",
    re.IGNORECASE,
)
_CONVERT = re.compile(
    r"\b(?:convert|write|express|change|rewrite|give|turn|put|represent|what is)\b[^?!\n]{0,120}?"
    r"\b(?:fraction|decimals?|percent(?:age)?|mixed number|scientific notation|standard form|standard notation"
    r"|lowest terms|base|radians?|degrees?)\b|化[为成]|表示[为成]|写成",
    re.IGNORECASE,
)
_PERCENT = re.compile(
    r"[%％]|\bper\s?cent|\bpct\b|percentage|百分|prozent|pour\s?cent|por\s?cien?to|procent|процент|パーセント|퍼센트",
    re.IGNORECASE,
)
_DIGITS = re.compile(r"(?<!\d)\d{1,400}(?:\.\d{1,400})?(?!\d)")
_THOUSANDS = re.compile(r"(?<![\d.,])[1-9]\d{0,2}(?:,\d{3}){1,100}(?:\.\d{1,400})?(?!\d)")
_PLAIN = re.compile(
    r"(?:(?<![A-Za-z\\])(?:[A-Za-z]|sqrt|sin|cos|tan|log|ln|exp|pi)(?![A-Za-z])|\\[A-Za-z]+"
    r"|[\d+\-*/^=<>()\[\]{}|!%_.:²³√×÷−·]|[ \t])+"
)
"""Mathematics outside of formulas."""
_OPERATOR = re.compile(r"[+*/^=<>!|%:²³√×÷−·\\-]|\d\s*[A-Za-z(]")


def asks_to_factor(prompt: str) -> bool:
    """True if the prompt asks for factors."""
    return _FACTOR.search(prompt) is not None


def asks_to_expand(prompt: str) -> bool:
    """True if the prompt asks for an expanded product."""
    return _EXPAND.search(prompt) is not None


def asks_to_decompose(prompt: str) -> bool:
    """True if the prompt asks for partial fractions."""
    return _DECOMPOSE.search(prompt) is not None


def asks_to_simplify(prompt: str) -> bool:
    """True if the prompt asks for a simplest form, or for a fraction in lowest terms."""
    return _SIMPLIFY.search(prompt) is not None


def asks_to_solve(prompt: str) -> bool:
    """True if the prompt asks to solve for a letter, or to express it in terms of others."""
    return _SOLVE.search(prompt) is not None


def asks_to_convert(prompt: str) -> bool:
    """True if the prompt asks to convert a number to another notation: a fraction, a decimal, a percentage."""
    return _CONVERT.search(prompt) is not None


def mentions_percent(prompt: str) -> bool:
    """True if the prompt mentions percent."""
    return _PERCENT.search(prompt) is not None


@functools.lru_cache(maxsize=1_024)
def numbers(prompt: str) -> frozenset[Fraction]:
    """Returns the numbers of the prompt that are written with at most 400 digits. 1,234 is one number, and also 1 and 234."""
    found = [*_DIGITS.findall(prompt), *_THOUSANDS.findall(prompt)]
    return frozenset(Fraction(digits.replace(",", "")) for digits in found)


@functools.lru_cache(maxsize=1_024)
def expressions(prompt: str) -> frozenset[Node]:
    """Returns the expressions in the prompt and all their parts, in the form of `tree.canonical`."""
    found: set[Node] = set()
    for text in _expression_texts(prompt):
        with contextlib.suppress(ParseError, RecursionError):
            waiting = [canonical(parse(normalize(text)))]
            while waiting:
                node = waiting.pop()
                found.add(node)
                waiting.extend(node.items)
    return frozenset(found)


def _expression_texts(prompt: str) -> list[str]:
    """Returns the formulas of a prompt, mathematics outside of them, and the sides of equations."""
    marked = formulas(prompt)
    texts = [formula.content for formula in marked]
    for run in _PLAIN.finditer(masked(prompt, marked)):
        text = run[0].strip(" \t.:")
        if _OPERATOR.search(text):
            texts += [text, *_without_articles(text)]
    texts = [text for text in texts if len(text) <= MAX_LENGTH][-MAX_EXPRESSIONS:]
    return texts + [side for text in texts for side in re.split(r"[=,;:]", text) if side != text and side.strip()]


def _without_articles(text: str) -> list[str]:
    """Returns a text without one-letter words at its ends, ["x + 1"] for "a x + 1", or an empty list if it has none."""
    bare = re.sub(r"^(?:[aAI]\s+)+|\s+(?:[aAI]\s*)+$", "", text)
    return [bare] if bare != text else []
