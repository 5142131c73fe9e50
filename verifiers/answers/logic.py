"""Statements and sets of letters: p -> q, not p or q, A union B. They are compared by truth tables.

The two sides of an implication are compared separately, because its contrapositive has the same truth table but is another
statement.
"""

import itertools
import re
from collections.abc import Mapping

from .grammar.notation import ParseError, TokenReader
from .grammar.tree import Node
from .values.evaluation import contains

MAX_LETTERS = 8
"""Maximum number of different letters in two statements together, for a truth table."""

_SIGNS = re.compile(
    r"\\(?:to|rightarrow|Rightarrow|implies|Longrightarrow|leftrightarrow|Leftrightarrow|iff|neg|lnot|land|lor|wedge|vee|oplus"
    r"|sim)(?![A-Za-z])|->|=>"
)
_PLAIN_SIGNS = (("<->", r" \iff "), ("<=>", r" \iff "), ("->", r" \to "), ("=>", r" \to "))
_AND, _OR, _XOR, _NOT = ("land", "wedge"), ("lor", "vee"), ("oplus",), ("neg", "lnot", "sim")
_IF = ("to", "rightarrow", "Rightarrow", "implies", "Longrightarrow")
_IFF = ("leftrightarrow", "Leftrightarrow", "iff")
_CONNECTIVES = frozenset(["implies", "iff", "and", "or", "xor", "not"])
_OF_SETS = {"union": "or", "intersection": "and", "difference": "without"}
_COMPLEMENTS = (Node("symbol", (), "c"), Node("symbol", (), "C"))


def parse_statement(text: str) -> Node | None:
    """Returns the statement in a normalized text. None if the text is not a statement."""
    if not _SIGNS.search(text) or len(text) > 300:
        return None
    for sign, replacement in _PLAIN_SIGNS:
        text = text.replace(sign, replacement)
    try:
        grammar = _Grammar(text)
        tree = grammar.equivalence()
    except ParseError:
        return None
    return tree if grammar.peek() is None and tree.kind in _CONNECTIVES else None


class _Grammar(TokenReader):
    """The parser of statements, from the weakest to the strongest connective: iff, implies, or, and, not."""

    def equivalence(self) -> Node:
        left = self.implication()
        while self.take(*_IFF):
            left = Node("iff", (left, self.implication()))
        return left

    def implication(self) -> Node:
        left = self.either()
        return Node("implies", (left, self.implication())) if self.take(*_IF) else left

    def either(self) -> Node:
        left = self.both()
        while self.at(*_OR, *_XOR):
            left = Node("or" if self.next().value in _OR else "xor", (left, self.both()))
        return left

    def both(self) -> Node:
        left = self.negation()
        while self.take(*_AND):
            left = Node("and", (left, self.negation()))
        return left

    def negation(self) -> Node:
        negations = 0
        while self.take(*_NOT):
            negations += 1
            if negations > 20:
                raise ParseError("too many negations")
        node = self.letter()
        return Node("not", (node,)) if negations % 2 else node

    def letter(self) -> Node:
        token = self.next()
        for opening, closing in (("(", ")"), ("[", "]"), ("{", "}")):
            if token.kind == "mark" and token.value == opening:
                self.depth = getattr(self, "depth", 0) + 1
                if self.depth > 40:
                    raise ParseError("nested too deep")
                inside = self.equivalence()
                self.expect(closing)
                self.depth -= 1
                return inside
        if token.kind == "name" and len(token.value) == 1:
            return Node("symbol", (), token.value)
        raise ParseError("not a statement")


def is_statement(node: Node) -> bool:
    """True if a node is a statement of letters."""
    return node.kind in _CONNECTIVES


def is_set_expression(node: Node) -> bool:
    """True if a node is a union, intersection or difference of sets that are letters, or the complement of one."""
    return contains(node, *_OF_SETS) and _is_made_of_letters(node)


def _is_made_of_letters(node: Node) -> bool:
    """True if a node is the empty set, a letter, or built from them by the operations of sets."""
    if node.kind == "symbol":
        return True
    if node.kind == "set" and not node.items:
        return True
    inner = _complemented(node)
    if inner is not None:
        return _is_made_of_letters(inner)
    return node.kind in _OF_SETS and all(map(_is_made_of_letters, node.items))


def _complemented(node: Node) -> Node | None:
    """Returns the set whose complement a node is: A for A^c, A' and an A with a bar."""
    if node.kind == "symbol" and node.value.endswith("'"):
        return Node("symbol", (), node.value[:-1])
    if node.kind == "pow" and node.items[1] in _COMPLEMENTS:
        return node.items[0]
    if node.kind == "call" and node.value in ("overline", "bar") and len(node.items) == 1:
        return node.items[0]
    return None


def have_same_truth_table(gold: Node, answer: Node) -> bool:
    """True if two statements, or two sets of letters, are equivalent.

    If the two have more than `MAX_LETTERS` letters together, their trees must be equal. Two implications must have equivalent
    left sides and equivalent right sides.
    """
    kinds = {gold.kind, answer.kind}
    if kinds & {"implies", "iff"}:
        if len(kinds) > 1:
            return False
        (a, b), (c, d) = gold.items, answer.items
        straight = have_same_truth_table(a, c) and have_same_truth_table(b, d)
        return straight or (gold.kind == "iff" and have_same_truth_table(a, d) and have_same_truth_table(b, c))
    if not all(is_statement(node) or _is_made_of_letters(node) for node in (gold, answer)):
        return False
    names = sorted(_letters(gold) | _letters(answer))
    if len(names) > MAX_LETTERS:
        return gold == answer
    rows = (dict(zip(names, row, strict=True)) for row in itertools.product((False, True), repeat=len(names)))
    return all(_truth(gold, row) == _truth(answer, row) for row in rows)


def _letters(node: Node) -> frozenset[str]:
    inner = _complemented(node)
    if inner is not None:
        return _letters(inner)
    if node.kind == "symbol":
        return frozenset([node.value])
    return frozenset().union(*map(_letters, node.items))


def _truth(node: Node, row: Mapping[str, bool]) -> bool:
    """Returns the truth value of a statement, or whether a point is in a set, for given truth values of the letters."""
    inner = _complemented(node)
    if inner is not None:
        return not _truth(inner, row)
    if node.kind == "symbol":
        return row[node.value]
    parts = [_truth(item, row) for item in node.items]
    match _OF_SETS.get(node.kind, node.kind):
        case "not":
            return not parts[0]
        case "and":
            return all(parts)
        case "or":
            return any(parts)
        case "without":
            return parts[0] and not parts[1]
        case "implies":
            return not parts[0] or parts[1]
        case "iff":
            return parts[0] == parts[1]
        case "xor":
            return parts[0] != parts[1]
    return False  # the empty set
