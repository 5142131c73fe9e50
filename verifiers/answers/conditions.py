"""Conditions after a formula: 2^{n-1} for n >= 1, f(x) = 2x + 1 for all real x, C e^x where C is a constant.

A domain of the formula is separated from it. A condition that selects a case ("if n is odd") stays part of the answer.
"""

import re
from fractions import Fraction

from .grammar.notation import ParseError
from .grammar.tree import Node
from .values.evaluation import symbols
from .values.regions import holds
from .words import WRAPPED

MAX_CONDITION = 160
"""Maximum length of a condition, in characters."""

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
_RELATION = re.compile(r"[<>]|\\(?:ne|neq|le|ge|leq|geq)(?![A-Za-z])|!=")


def split_condition(text: str) -> tuple[str, str, bool] | None:
    """Returns the text of a formula, the relation under which it holds ("" for none), and whether it holds for all values.

    None if there is no condition, or if it restricts more than the domain.
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
    words = [word.lstrip("\\").lower() for word in _WORD.findall(condition)]
    if any(word not in _DOMAIN_WORDS for word in words):
        return None
    for_all = bool(_ALL & set(words))
    rest = _DOMAIN.sub(" ", _INTEGER_LIST.sub(" ", _WORD.sub(" ", condition)))
    selects_case = bool({"if", "when", "whenever"} & set(words[:1]))
    if _RELATION.search(rest):
        return body, rest.strip(" ,;()."), for_all
    if not _LETTERS.fullmatch(rest.strip(" .")) or (selects_case and rest.strip(" .,;()") == condition.strip(" .,;()")):
        return None
    return body, "", for_all


def with_condition(body: Node, condition: Node | None, for_all: bool) -> Node | None:
    """Returns a formula with its condition. None if the formula does not depend on the condition's letters.

    Args:
        body: The formula.
        condition: The relation under which it holds, if any.
        for_all: True if the text states that it holds for all values.

    Raises:
        ParseError: The formula is text, cases or a family.
    """
    if body.kind in ("text", "cases", "family"):
        raise ParseError("a condition after text, cases or a family")
    if not symbols(body) and not for_all:
        return None
    return Node("given", (body, condition) if condition is not None else (body,))


def split_list(node: Node) -> Node | None:
    """Returns "2^{n-1}, n >= 1" as a formula with its condition, or None."""
    if node.kind != "list" or len(node.items) != 2:
        return None
    body, condition = node.items
    restricts = condition.kind == "relation" and set(condition.value) <= {"<", "<=", ">", ">=", "!=", "in"}
    formula = body.kind not in ("text", "list", "cases") and not (body.kind == "relation" and set(body.value) - {"=", "~"})
    of_body = symbols(body if body.kind != "relation" else body.items[-1])
    if not (restricts and formula and symbols(condition)):
        return None
    in_set = set(condition.value) == {"in"}
    condition_letters = {name for name in symbols(condition) if not name.startswith("set ")}
    if not condition_letters or not condition_letters <= of_body:
        return None
    return Node("given", (body,) if in_set else (body, condition), ",")


def may_be_omitted(conditional: Node) -> bool:
    """True if an answer may omit the gold answer's condition.

    A condition such as "for n >= 1" may be omitted. A relation after a comma may not, except x in a set and !=.
    """
    return conditional.value != "," or len(conditional.items) == 1 or conditional.items[1].value == ("!=",)


def same_condition(gold: Node, answer: Node) -> bool:
    """True if two conditions on the same letter agree at all test points: integers for letters such as n, else also halves.

    Conditions on different letters are not compared and count as equal.
    """
    if gold == answer:
        return True
    letters = symbols(gold)
    if letters != symbols(answer) or len(letters) != 1:
        return letters != symbols(answer)
    letter = Node("symbol", (), next(iter(letters)))
    numbers = range(-30, 61) if letter.value in "nkmijrpq" else [Fraction(number, 2) for number in range(-60, 121)]
    points = [Node("number", (), Fraction(at)) for at in numbers]
    return all(holds(gold, letter, at) == holds(answer, letter, at) for at in points)
