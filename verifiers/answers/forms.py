"""Is an answer worked out? The rule, in one place.

An answer that equals the gold one counts when it is in the gold answer's form: nothing is left to do in it that is not left
to do in the gold answer.

    a number for a number    numerals: integers, decimals, percentages, mixed numbers, fractions in any terms, powers of ten.
                             Sums, products, powers, factorials, roots of squares, numbers in another base and values of
                             functions do not count, unless the number is too long to be written out (`LONG` digits).
    roots in surd form       for surds, with the constants pi, e and i; for a rounded decimal, too. sin 45 degrees is none.
    solved for solved        x = 2 is wanted: an equation or inequality that x still has to be got out of does not count.
    simplified for           like terms are collected, numbers are multiplied out, a fraction of polynomials has no more below
    simplified               than the gold one; no derivative, integral, sum or limit is left where the gold one has none.
    factored for factored    where the problem asks for factors; so expanded, and in lowest terms or simplest form.
    no repetition            an expression of the problem itself counts only where the gold answer is that expression.

Of a chain of equations the last side counts: 3^2 + 4^2 = 25 is worked out. Without the problem nobody knows what is repeated or
asked for, and equality decides alone.
"""

import functools
from collections.abc import Iterator

from . import asked
from .grammar.tree import MINUS_ONE, Node, core, same_form
from .values.claims import claim
from .values.evaluation import contains, symbols
from .values.factors import below, count, has_brackets, is_lowest, of_primes, worth
from .values.unfinished import (
    CLOSED_FORM,
    FUNCTIONS,
    OPEN,
    PARTS,
    SCALARS,
    UNSOLVED,
    contains_i,
    is_numeral,
    to_do,
)

FORMS = ("worked_out", "any")
"""Values of a verifier's option `form`: the rule above, or equality alone."""
_EXACT_ONLY = frozenset([CLOSED_FORM, "a logarithm", "an inverse trigonometric function"])
"""What an exact number may have that stands for a rounded decimal."""


def left_to_do(gold: Node, answer: Node, problem: str) -> str | None:
    """What an answer that equals the gold one leaves to do, or None where it is in the gold answer's form.

    Args:
        gold: the gold answer's reading.
        answer: the answer's reading.
        problem: what the problem says; empty where nobody knows.
    """
    if not problem or answer == gold or (answer.kind == "number" and gold.kind in ("number", "decimal", "quantity")):
        return None
    wanted, told = concluded(gold), concluded(answer)
    if wanted.kind == "based" and told.kind in SCALARS and (told.kind != "based" or told.value[1] != wanted.value[1]):
        return f"a number in base {wanted.value[1]}"
    if gold.kind == answer.kind == "relation" and set(answer.value) == {"="} and None in (claim(gold)[0], claim(answer)[0]):
        wanted, told = gold, answer  # an equation counts as a whole, and may be written as curves are: x^2 + y^2 = 5^2
        lacking = {UNSOLVED} & to_do(answer, equation=True)
    else:
        lacking = to_do(answer)
    if lacking:
        lacking -= _allowed(gold, asked.to_solve(problem))
    if lacking:
        return min(lacking)
    if told.kind in SCALARS and wanted.kind in SCALARS:
        if symbols(told) and not symbols(wanted):
            return "letters that cancel"
        under = below(wanted), below(told)
        if None not in under and sum((under[1] or {}).values()) > sum((under[0] or {}).values()):
            return "a fraction to cancel"
        if lacks := _asked_for(wanted, told, problem):
            return lacks
    return "the problem's own expression" if _is_repeated(wanted, told, answer, problem) else None


def concluded(node: Node) -> Node:
    """What an answer claims: the last side of a chain of equations, the number that is said to be about another."""
    if node.kind != "relation":
        return node.items[0] if node.kind in ("quantity", "given") else node
    if node.value[-1] == "~" and is_numeral(node.items[-1]):
        return node.items[-1]
    label, claimed = claim(node)
    if label is None and set(claimed.value or ()) == {"="}:
        return concluded(claimed.items[-1])
    return claimed if claimed is node else concluded(claimed)


def opens(node: Node) -> frozenset[str]:
    """The integrals, limits, sums and products that an answer's last side leaves open."""
    if not contains(node, "bound"):
        return frozenset()
    return frozenset(to_do(concluded(node))) & frozenset(OPEN.values())


@functools.lru_cache(maxsize=4_096)
def _allowed(gold: Node, to_solve: bool) -> frozenset[str]:
    """What an answer may leave to do: what the gold one does, and the functions that it has.

    Args:
        gold: the gold answer's reading.
        to_solve: whether the problem asks to solve for something.
    """
    allowed = to_do(gold, equation=True) | {name for name in _functions(gold)}
    if contains(gold, "decimal"):
        allowed |= _EXACT_ONLY
    if contains(gold, "degrees"):
        allowed.add(CLOSED_FORM)  # of pi
    if _is_polar(gold):
        allowed.add(FUNCTIONS["cos"])
    label, claimed = claim(gold)
    if label is not None and symbols(claimed) and not to_solve:
        allowed.add(UNSOLVED)  # y = 2x + 3 may be written as 2x - y + 3 = 0
    return frozenset(allowed)


def _is_polar(node: Node) -> bool:
    """Whether a power of e with i in its exponent stands in an expression, for which people write cosine and sine, too."""
    power = node.kind == "pow" and node.items[0] == Node("constant", (), "e") and contains_i(node.items[1])
    return power or any(map(_is_polar, node.items))


def _functions(node: Node) -> Iterator[str]:
    if node.kind == "call":
        yield FUNCTIONS.get(node.value, f"the function {node.value}")
    for item in node.items:
        yield from _functions(item)


def _asked_for(wanted: Node, told: Node, problem: str) -> str | None:
    """What a problem asks for that the gold answer has and the answer lacks."""
    if asked.to_factor(problem) and count(wanted) > count(told):
        return "factors to find"
    product = wanted.kind in ("mul", "pow") and not symbols(wanted) and not is_numeral(wanted)
    if product and asked.to_factor(problem) and not of_primes(told):
        return "factors to find"
    if wanted.kind == "add" and told.kind != "add" and asked.to_decompose(problem):
        return "a fraction to decompose"
    if asked.to_expand(problem) and wanted.kind == "add" and has_brackets(told) and not has_brackets(wanted):
        return "brackets to expand"
    if asked.to_simplify(problem):
        if not is_lowest(told) and is_lowest(wanted):
            return "a fraction to reduce"
        if told.kind == "add" and has_brackets(told) and not has_brackets(wanted):
            return "brackets to expand"
    return None


def _is_repeated(wanted: Node, told: Node, answer: Node, problem: str) -> bool:
    """Whether an answer is an expression of the problem's, and the gold answer is not."""
    if told.kind in ("symbol", "constant") or same_form(core(wanted), core(told)):
        return False
    if is_numeral(told):
        bare, size = told.items[0] if told.kind == "neg" else told, worth(told)
        if _notation(bare) == "fraction" and size is not None and size.denominator != abs(worth(bare.items[1].items[0]) or 1):
            return core(bare) in asked.expressions(problem)
        if _notation(told) == _notation(wanted) or not asked.to_convert(problem):
            return False
        return core(bare) in asked.expressions(problem) or (bare.kind == "number" and bare.value in asked.numbers(problem))
    if told.kind not in SCALARS and answer.kind != "relation" and told.kind not in PARTS:
        return False
    expressions = asked.expressions(problem)
    return core(told) in expressions or (answer.kind == "relation" and core(answer) in expressions)


def _notation(node: Node) -> str:
    """How a number is written: as an integer, a decimal, a fraction, a percentage, a mixed number, in powers of ten."""
    if node.kind == "neg":
        return _notation(node.items[0])
    return "fraction" if node.kind == "mul" and node.items[1].items[1:] == (MINUS_ONE,) else node.kind
