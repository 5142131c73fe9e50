"""Conditions after a formula: 2^{n-1} for n >= 1, f(x) = 2x + 1 for all real x, C e^x where C is a constant.

A condition that only states the formula's domain is separated from it. A condition that selects a case ("if n is odd") stays
part of the answer.
"""

import contextlib
import functools
import math
import re
from collections.abc import Callable
from fractions import Fraction

from .grammar.notation import ParseError
from .grammar.tree import Node
from .values.evaluation import symbols
from .values.identity import Undecided
from .values.inequalities import holds
from .values.regions import finite_ends, membership, region
from .words import WRAPPED

MAX_CONDITION = 160
"""Maximum length of a condition, in characters."""
_NEAR = Fraction(1, 10**6)
"""Distance of test points from the ends of a condition. Our choice."""

_CONNECTIVE = re.compile(
    r"\\forall(?![A-Za-z])|(?<![A-Za-z\\])(?:for|where|when(?:ever)?|with|provided(?: that)?|as long as|given that|if)\b"
)
_OPENED = re.compile(r"\\(?:text|mathrm|mbox|textrm|textbf|textit)\s*\{[\s,;(]*$")
"""An upright command that opens before a connecting word."""
_PARENTHESIS = re.compile(r"\s*\((?P<relation>[^()]{1,80}(?:[<>]|\\(?:ne|neq|le|ge|leq|geq|in)(?![A-Za-z]))[^()]{1,80})\)\s*")
"""A relation in parentheses after a formula."""
_DOMAIN = re.compile(
    r"\\in\s*(?:\\mathbb\s*\{?\s*[A-Z]\s*\}?(?:\s*\^\s*(?:\{[^{}]*\}|[+*\d]))?(?:\s*_\s*(?:\{[^{}]*\}|[+\d]))?|[RZNQC](?![A-Za-z]))"
)
_INTEGER_LIST = re.compile(r"=\s*-?\d+\s*,\s*-?\d+\s*(?:,\s*-?\d+\s*)*,?\s*(?:\\[lc]?dots|\.\.\.)(?:\s*,\s*\w+)?")
"""A list of integers: n = 1, 2, 3, ..."""
_ALL = frozenset("all any every each forall".split())
_DOMAIN_WORDS = _ALL | frozenset(
    (
        "some a an the arbitrary is are be as real reals integer integers natural naturals whole rational complex "
        "number numbers positive nonnegative nonzero constant constants value values of in and domain parameter "
        "parameters integration variable variables free for where with if when given that provided"
    ).split()
)
_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}|\\forall(?![A-Za-z])|(?<![\\A-Za-z])a(?![A-Za-z])(?=\s+[a-z]{2})")
_LETTER = r"(?:[A-Za-z]|\\[a-z]+)(?:\s*_\s*(?:\w|\{\w+\}))?"
_LETTERS = re.compile(rf"[\s,;()]*(?:{_LETTER}[\s,;()]*){{0,4}}")
_FIRST_LETTERS = re.compile(rf"^\s*(?:{_LETTER}\s*,\s*){{1,4}}")
"""Letters before a relation, in a text whose words were removed: "C, x > 0", from "C is a constant, x > 0"."""
_LAST_LETTER = re.compile(rf",\s*{_LETTER}\s*$")
"""A letter after a relation, in a text whose words were removed: "n > 0, n", from "n > 0, where n is an integer"."""
_RELATION = re.compile(r"[<>]|\\(?:ne|neq|le|ge|leq|geq)(?![A-Za-z])|!=|(?P<interval>\\in\s*[(\[\]])")
_AND = re.compile(r"[\s,]*\band\b")
_CLAUSE_END = re.compile(r"[,;]|\b(?:and|or)\b")
_BRACKETED = re.compile(r"[(\[\]][^()\[\]]*[)\[\]]")


def split_condition(text: str) -> tuple[str, str, bool] | None:
    """Returns the text of a formula, the relation under which it holds ("" for none), and whether it holds for all values.

    None if there is no condition, if it restricts more than the domain, or if a second case follows it.
    """
    if found := _CONNECTIVE.search(text):
        body, condition = text[: found.start()], text[found.start() :]
        if opened := _OPENED.search(body):
            body, condition = body[: opened.start()], condition.replace("}", " ", 1)
        body = body.rstrip(" ,;(")
    elif (found := _PARENTHESIS.search(text)) and found.end() == len(text):
        body, condition = text[: found.start()], found["relation"]
    else:
        return None
    if not body.strip() or len(condition) > MAX_CONDITION:
        return None
    condition = WRAPPED.sub(r" \1 ", condition).replace("non-", "non")
    if _has_second_case(condition):
        return None
    words = [word.lstrip("\\").lower() for word in _WORD.findall(condition)]
    if any(word not in _DOMAIN_WORDS for word in words):
        return None
    for_all = bool(_ALL & set(words))
    rest = _DOMAIN.sub(" ", _INTEGER_LIST.sub(" ", _WORD.sub(" ", _AND.sub(",", condition))))
    selects_case = bool({"if", "when", "whenever"} & set(words[:1]))
    if relation := _RELATION.search(rest):
        rest = _FIRST_LETTERS.sub("", rest)
        if words[1:]:
            rest = _LAST_LETTER.sub("", rest)
        return body, rest.strip(" ,;." if relation["interval"] else " ,;()."), for_all
    if not _LETTERS.fullmatch(rest.strip(" .")) or (selects_case and rest.strip(" .,;()") == condition.strip(" .,;()")):
        return None
    return body, "", for_all


def _has_second_case(condition: str) -> bool:
    """True if a condition continues with a formula that has its own condition: "for x > 1, 2x for x < 1"."""
    for part in _CONNECTIVE.split(condition)[1:-1]:
        _, *clauses = _CLAUSE_END.split(_BRACKETED.sub("", part))
        if clauses and clauses[-1].strip() and not (_WORD.search(clauses[-1]) or _RELATION.search(clauses[-1])):
            return True
    return False


def with_condition(body: Node, condition: Node | None, for_all: bool) -> Node | None:
    """Returns a formula with its condition. None if the formula has no letters and `for_all` is false.

    Args:
        body: The formula.
        condition: The relation under which it holds, if any.
        for_all: True if the text states that it holds for all values.

    Raises:
        ParseError: The formula is text, cases or a family, or the condition is not a relation or a list of relations.
    """
    if body.kind in ("text", "cases", "family"):
        raise ParseError("a condition after text, cases or a family")
    if condition is not None and not all(map(_restricts, condition.items if condition.kind == "list" else (condition,))):
        raise ParseError("a condition that is not a relation")
    if not symbols(body) and not for_all:
        return None
    return Node("given", (body, condition) if condition is not None else (body,))


def _restricts(node: Node) -> bool:
    return node.kind == "relation" and set(node.value) <= {"<", "<=", ">", ">=", "!=", "in"}


def split_list(node: Node) -> Node | None:
    """Returns "2^{n-1}, n >= 1" as a formula with its condition, or None."""
    if node.kind != "list" or len(node.items) != 2:
        return None
    body, condition = node.items
    formula = body.kind not in ("text", "list", "cases") and not (body.kind == "relation" and set(body.value) - {"=", "~"})
    of_body = symbols(body if body.kind != "relation" else body.items[-1])
    if not (_restricts(condition) and formula and symbols(condition)):
        return None
    in_set = set(condition.value) == {"in"}
    condition_letters = {name for name in symbols(condition) if not name.startswith("set ")}
    if not condition_letters or not condition_letters <= of_body:
        return None
    return Node("given", (body,) if in_set else (body, condition), ",")


def may_be_omitted(conditional: Node) -> bool:
    """True if an answer may omit the gold answer's condition.

    A condition such as "for n >= 1" may be omitted. A relation after a comma may not, unless it is != or
    states that x is in a set.
    """
    return conditional.value != "," or len(conditional.items) == 1 or conditional.items[1].value == ("!=",)


def _holds_at(condition: Node, letter: Node, at: Fraction) -> bool:
    """True if a condition holds at a number."""
    return holds(condition, letter, Node("number", (), at))


def same_condition(gold: Node, answer: Node, same: Callable[[Node, Node], bool]) -> bool:
    """True if two conditions on the same letters are the same by a comparison, or agree at all test points.

    Test points are used for conditions on one letter. They are integers for letters such as n, unless no integer satisfies the
    gold answer's condition. Conditions on different letters are not compared and count as equal.

    Args:
        gold: The gold answer's condition.
        answer: The answer's condition.
        same: The comparison; see `comparison.equivalent`.
    """
    letters = symbols(gold)
    if letters != symbols(answer):
        return True
    with contextlib.suppress(Undecided):
        if same(gold, answer):
            return True
    if len(letters) != 1:
        return False
    letter, ends = Node("symbol", (), next(iter(letters))), list[Fraction]()
    tests: list[Callable[[Fraction], bool]] = []
    for condition in (gold, answer):
        try:
            pieces = region(condition)
        except Undecided:
            tests.append(functools.partial(_holds_at, condition, letter))
        else:
            tests.append(membership(pieces))
            ends += finite_ends(pieces)
    integers = {*range(-30, 61), *(math.floor(end) + step for end in ends for step in (-1, 0, 1, 2))}
    points = [Fraction(at) for at in integers]
    if letter.value not in "nkmijrpq" or not any(map(tests[0], points)):
        points = [Fraction(number, 2) for number in range(-60, 121)]
        points += [end + step for end in ends for step in (0, _NEAR, -_NEAR)]
    return all(tests[0](at) == tests[1](at) for at in points)
