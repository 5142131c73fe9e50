"""The rule for answers that are not worked out: which answers that equal the gold answer are correct.

An answer that is not worked out is correct only if the gold answer contains the same unfinished computation.

    gold answer   an equal answer counts if it is
    a number      a numeral: an integer, a decimal, a percentage, a mixed number, a fraction in any terms, a power of ten.
                  Sums, products, powers, factorials, roots of squares, numbers in another base and function values do not
                  count, unless the number has at least `LONG_DIGITS` digits.
    with roots    in surd form, with the constants pi, e and i. sin 45 degrees does not count.
    a decimal     a numeral as above. If the decimal is rounded, also an exact number in surd form, or with a logarithm or an
                  inverse trigonometric function.
    solved        solved: for x = 2, an equation or inequality that is not solved for x does not count, except x - 2 = 0.
    simplified    simplified: like terms are collected, numbers are multiplied, and no denominator is larger than in the gold
                  answer. No derivative, integral, sum or limit is left unless the gold answer has one.
    factored      factored, if the prompt asks for factors. The same for expanded, lowest terms and simplest form.
    any           not an expression of the prompt itself, unless the gold answer is that expression.

The last side of a chain of equations counts: 3^2 + 4^2 = 25 is worked out. Without a prompt only equality counts, because
repetition and the requested form are unknown.
"""

import functools
from collections.abc import Iterator

from . import prompt_text
from .grammar.tree import MINUS_ONE, Node, canonical, same_form
from .values.claims import claim
from .values.evaluation import contains, symbols
from .values.factors import count_factors, denominators, has_brackets, is_product_of_primes, is_reduced, rational_value
from .values.unfinished import (
    CLOSED_FORM,
    FUNCTIONS,
    ITEMIZED,
    OPEN_OPERATORS,
    SCALARS,
    UNSOLVED,
    contains_i,
    is_numeral,
    unfinished_parts,
)

FORMS = ("worked_out", "any", "integer")
"""Values of a verifier's option `form`: the rule above, equality alone, or the rule above and `is_integer`."""
_EXACT_ONLY = frozenset([CLOSED_FORM, "a logarithm", "an inverse trigonometric function"])
"""Unfinished computation that an exact answer may contain if the gold answer is a rounded decimal."""


def unfinished_computation(gold: Node, answer: Node, prompt: str) -> str | None:
    """Returns the unfinished computation in an answer that equals the gold answer. None if it is finished.

    Args:
        gold: The gold answer's reading.
        answer: The answer's reading.
        prompt: The text of the prompt. Empty if unknown.
    """
    if not prompt or answer == gold or (answer.kind == "number" and gold.kind in ("number", "decimal", "quantity")):
        return None
    gold_value, answer_value = final_value(gold), final_value(answer)
    if (
        gold_value.kind == "based"
        and answer_value.kind in SCALARS
        and (answer_value.kind != "based" or answer_value.value[1] != gold_value.value[1])
    ):
        return f"a number in base {gold_value.value[1]}"
    if gold.kind == answer.kind == "relation" and set(answer.value) == {"="} and None in (claim(gold)[0], claim(answer)[0]):
        gold_value, answer_value = gold, answer  # a whole equation, which need not be computed: x^2 + y^2 = 5^2 is a circle
        unfinished = {UNSOLVED} & unfinished_parts(answer, equation=True)
    else:
        unfinished = unfinished_parts(answer)
    if unfinished:
        unfinished -= _allowed(gold, prompt_text.asks_to_solve(prompt))
    if unfinished:
        return min(unfinished)
    if answer_value.kind in SCALARS and gold_value.kind in SCALARS:
        if symbols(answer_value) and not symbols(gold_value):
            return "letters that cancel"
        gold_below, answer_below = denominators(gold_value), denominators(answer_value)
        if gold_below is not None and answer_below is not None and sum(answer_below.values()) > sum(gold_below.values()):
            return "a fraction to cancel"
        if missing := _missing_form(gold_value, answer_value, prompt):
            return missing
    return "the prompt's own expression" if _is_repeated(gold_value, answer_value, answer, prompt) else None


def final_value(node: Node) -> Node:
    """Returns the value of an answer: the last side of a chain of equations, or the approximation of a number."""
    if node.kind != "relation":
        return node.items[0] if node.kind in ("quantity", "given") else node
    if node.value[-1] == "~" and is_numeral(node.items[-1]):
        return node.items[-1]
    label, claimed = claim(node)
    if label is None and set(claimed.value or ()) == {"="}:
        return final_value(claimed.items[-1])
    return claimed if claimed is node else final_value(claimed)


def is_integer(answer: Node) -> bool:
    """True if the value of an answer is written as an integer, in digits alone: 25, 025, x = 25 or 25 cm, not 25.0."""
    value = final_value(answer)
    if value.kind in ("quantity", "degrees"):
        value = value.items[0]
    return value.kind == "number" and value.value.denominator == 1


def open_operators(node: Node) -> frozenset[str]:
    """Returns the names of integrals, limits, sums and products that are left in an answer's last side."""
    if not contains(node, "bound"):
        return frozenset()
    return frozenset(unfinished_parts(final_value(node))) & frozenset(OPEN_OPERATORS.values())


@functools.lru_cache(maxsize=4_096)
def _allowed(gold: Node, to_solve: bool) -> frozenset[str]:
    """Returns the unfinished computation that an answer may contain: that of the gold answer, and the gold answer's functions.

    Args:
        gold: The gold answer's reading.
        to_solve: True if the prompt asks to solve for a letter.
    """
    allowed = unfinished_parts(gold, equation=True) | {name for name in _functions(gold)}
    if contains(gold, "decimal"):
        allowed |= _EXACT_ONLY
    if contains(gold, "degrees"):
        allowed.add(CLOSED_FORM)  # a multiple of pi
    if _is_polar(gold):
        allowed.add(FUNCTIONS["cos"])
    label, claimed = claim(gold)
    if label is not None and symbols(claimed) and not to_solve:
        allowed.add(UNSOLVED)  # y = 2x + 3 may be written as 2x - y + 3 = 0
    return frozenset(allowed)


def _is_polar(node: Node) -> bool:
    """True if the expression contains e to an imaginary power, which may also be written with cosine and sine."""
    power = node.kind == "pow" and node.items[0] == Node("constant", (), "e") and contains_i(node.items[1])
    return power or any(map(_is_polar, node.items))


def _functions(node: Node) -> Iterator[str]:
    if node.kind == "call":
        yield FUNCTIONS.get(node.value, f"the function {node.value}")
    for item in node.items:
        yield from _functions(item)


def _missing_form(gold_value: Node, answer_value: Node, prompt: str) -> str | None:
    """Returns what the prompt asks for if the gold answer has it and the answer does not."""
    if prompt_text.asks_to_factor(prompt) and count_factors(gold_value) > count_factors(answer_value):
        return "factors to find"
    product = gold_value.kind in ("mul", "pow") and not symbols(gold_value) and not is_numeral(gold_value)
    if product and prompt_text.asks_to_factor(prompt) and not is_product_of_primes(answer_value):
        return "factors to find"
    if gold_value.kind == "add" and answer_value.kind != "add" and prompt_text.asks_to_decompose(prompt):
        return "a fraction to decompose"
    if (
        prompt_text.asks_to_expand(prompt)
        and gold_value.kind == "add"
        and has_brackets(answer_value)
        and not has_brackets(gold_value)
    ):
        return "brackets to expand"
    if prompt_text.asks_to_simplify(prompt):
        if not is_reduced(answer_value) and is_reduced(gold_value):
            return "a fraction to reduce"
        if answer_value.kind == "add" and has_brackets(answer_value) and not has_brackets(gold_value):
            return "brackets to expand"
    return None


def _is_repeated(gold_value: Node, answer_value: Node, answer: Node, prompt: str) -> bool:
    """True if an answer is an expression of the prompt and the gold answer is not."""
    if answer_value.kind in ("symbol", "constant") or same_form(canonical(gold_value), canonical(answer_value)):
        return False
    if is_numeral(answer_value):
        bare, size = answer_value.items[0] if answer_value.kind == "neg" else answer_value, rational_value(answer_value)
        if (
            _notation(bare) == "fraction"
            and size is not None
            and size.denominator != abs(rational_value(bare.items[1].items[0]) or 1)
        ):
            return canonical(bare) in prompt_text.expressions(prompt)
        if _notation(answer_value) == _notation(gold_value) or not prompt_text.asks_to_convert(prompt):
            return False
        return canonical(bare) in prompt_text.expressions(prompt) or (
            bare.kind == "number" and bare.value in prompt_text.numbers(prompt)
        )
    if answer_value.kind not in SCALARS and answer.kind != "relation" and answer_value.kind not in ITEMIZED:
        return False
    expressions = prompt_text.expressions(prompt)
    return canonical(answer_value) in expressions or (answer.kind == "relation" and canonical(answer) in expressions)


def _notation(node: Node) -> str:
    """Returns the notation of a number: an integer, decimal, fraction, percentage, mixed number, or power of ten."""
    if node.kind == "neg":
        return _notation(node.items[0])
    return "fraction" if node.kind == "mul" and node.items[1].items[1:] == (MINUS_ONE,) else node.kind
