"""What a problem says: its numbers, its expressions, what it asks to do with them."""

import contextlib
import functools
import re
from fractions import Fraction

from .extraction.statements import formulas, masked
from .grammar.expressions import parse
from .grammar.notation import Unreadable, tidy
from .grammar.tree import Node, core

MAX_TEXT = 20_000
"""Characters, from the last one, of a turn that are read."""
MAX_EXPRESSIONS = 60
"""Expressions of a problem, from the last one, that are read."""
MAX_LENGTH = 400
"""Characters of an expression."""

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
_DIGITS = re.compile(r"\d+(?:\.\d+)?")
_PLAIN = re.compile(
    r"(?:(?<![A-Za-z\\])(?:[A-Za-z]|sqrt|sin|cos|tan|log|ln|exp|pi)(?![A-Za-z])|\\[A-Za-z]+"
    r"|[\d+\-*/^=<>()\[\]{}|!%_.:²³√×÷−·]|[ \t])+"
)
"""A run of what mathematics is written with, outside of formulas."""
_OPERATOR = re.compile(r"[+*/^=<>!|%:²³√×÷−·\\-]|\d\s*[A-Za-z(]")


def to_factor(problem: str) -> bool:
    """Whether a problem asks for factors."""
    return _FACTOR.search(problem) is not None


def to_expand(problem: str) -> bool:
    """Whether a problem asks to multiply out."""
    return _EXPAND.search(problem) is not None


def to_decompose(problem: str) -> bool:
    """Whether a problem asks for partial fractions."""
    return _DECOMPOSE.search(problem) is not None


def to_simplify(problem: str) -> bool:
    """Whether a problem asks for a simplest form, or for a fraction in lowest terms."""
    return _SIMPLIFY.search(problem) is not None


def to_solve(problem: str) -> bool:
    """Whether a problem asks to solve for something, or to express it by something else."""
    return _SOLVE.search(problem) is not None


def to_convert(problem: str) -> bool:
    """Whether a problem asks to write a number in another way: as a fraction, a decimal, a percentage."""
    return _CONVERT.search(problem) is not None


def of_percent(problem: str) -> bool:
    """Whether a problem speaks of percent."""
    return _PERCENT.search(problem) is not None


@functools.lru_cache(maxsize=1_024)
def numbers(problem: str) -> frozenset[Fraction]:
    """The numbers that a problem says in digits."""
    return frozenset(map(Fraction, _DIGITS.findall(problem)))


@functools.lru_cache(maxsize=1_024)
def expressions(problem: str) -> frozenset[Node]:
    """The expressions that a problem says, and all parts of them, as `tree.core` has them."""
    found: set[Node] = set()
    for text in _written(problem):
        with contextlib.suppress(Unreadable, RecursionError):
            waiting = [core(parse(tidy(text)))]
            while waiting:
                node = waiting.pop()
                found.add(node)
                waiting.extend(node.items)
    return frozenset(found)


def _written(problem: str) -> list[str]:
    """The formulas of a text, and the runs of mathematics outside of them; the sides of equations, too."""
    marked = formulas(problem)
    texts = [formula.content for formula in marked]
    for run in _PLAIN.finditer(masked(problem, marked)):
        text = run[0].strip(" \t.:")
        if _OPERATOR.search(text):
            texts += [text, *_trimmed(text)]
    texts = [text for text in texts if len(text) <= MAX_LENGTH][-MAX_EXPRESSIONS:]
    return texts + [side for text in texts for side in re.split(r"[=,;:]", text) if side != text and side.strip()]


def _trimmed(text: str) -> list[str]:
    """A run without the words of one letter at its ends: "a x + 1"."""
    bare = re.sub(r"^(?:[aAI]\s+)+|\s+(?:[aAI]\s*)+$", "", text)
    return [bare] if bare != text else []
