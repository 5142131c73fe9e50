"""Comparison of two readings, with one rule per kind of answer. A reading is the syntax tree of an answer.

Also see `values/identity.py` and `values/regions.py`.
"""

import functools
import re
from fractions import Fraction

from .conditions import may_be_omitted, same_condition
from .grammar.tree import INFINITY, Node, signed, substituted
from .logic import have_same_truth_table, is_set_expression, is_statement
from .progressions import same_family
from .quantities import UNIT_REQUIRED
from .values import units
from .values.claims import claim, unpacked
from .values.equations import same_equation, same_relation
from .values.evaluation import contains, symbols
from .values.exact import TooLarge, Undefined, exact
from .values.identity import Undecided, contains_imaginary, same_number
from .values.matrices import as_matrix, has_matrix, in_basis
from .values.regions import is_region, same_region
from .words import same_words

MAX_UNORDERED = 60
"""Maximum number of items of a set or list that are compared in any order."""


def equivalent(gold: Node, answer: Node, tolerance: Fraction | None = None) -> bool:
    """True if the answer's reading is equivalent to the gold answer's reading.

    The comparison is symmetric, with two main exceptions. The number of digits of a gold decimal sets the precision. The left
    side of an equation is ignored if the gold answer has none: the answer "x + y = 5" is accepted for the gold answer 5, but
    not the reverse.

    A unit, or the percent sign of a number above 1, may be missing on either side, because the problem usually states it. This
    does not hold for a quantity in several units (2 hours 30 minutes), or with a unit that may be a variable (5 A); see
    `UNIT_REQUIRED`.

    Args:
        gold: The gold answer's reading.
        answer: The answer's reading.
        tolerance: Largest difference of a number relative to the gold one.

    Raises:
        Undecided: The comparison is undecided.
        TooLarge: A limit is exceeded.
    """
    if gold == answer:
        return True
    gold, answer = _without_plus_minus(gold), _without_plus_minus(answer)
    kinds = {gold.kind, answer.kind}
    if "given" in kinds:
        return _same_under_condition(gold, answer, tolerance)
    if "family" in kinds:
        return same_family(gold, answer)
    if "text" in kinds:
        return same_words(gold, answer)
    if "quantity" in kinds:
        return _same_quantity(gold, answer, tolerance)
    if is_statement(gold) or is_statement(answer):
        return is_statement(gold) and is_statement(answer) and have_same_truth_table(gold, answer)
    if is_set_expression(gold) or is_set_expression(answer):
        return have_same_truth_table(gold, answer)
    if is_region(gold) or is_region(answer):
        return _same_regions(gold, answer, tolerance)
    if "relation" in kinds:
        if "list" in kinds:
            first, second = unpacked(gold), unpacked(answer)
            if first.kind == second.kind:
                return _same_collection(first, second, tolerance)
        return same_relation(gold, answer, functools.partial(equivalent, tolerance=tolerance))
    if "cases" in kinds:
        return kinds == {"cases"} and _same_collection(gold._replace(kind="list"), answer._replace(kind="list"), tolerance)
    if kinds & {"list", "set"}:
        return _same_collection(gold, answer, tolerance)
    if has_matrix(gold) or has_matrix(answer):
        return _same_matrix(gold, answer, tolerance)
    if "tuple" in kinds and kinds != {"tuple"}:
        gold, answer = (in_basis(node, other) for node, other in ((gold, answer), (answer, gold)))
    if "tuple" in kinds:
        return {gold.kind, answer.kind} == {"tuple"} and _same_in_order(gold, answer, tolerance)
    if "ratio" in kinds:
        return _same_ratio(gold, answer)
    if _sign_of_infinity(gold) is not None or _sign_of_infinity(answer) is not None:
        return _sign_of_infinity(gold) == _sign_of_infinity(answer)
    return _same_scalar(gold, answer, tolerance)


def _same_under_condition(gold: Node, answer: Node, tolerance: Fraction | None) -> bool:
    bodies = [node.items[0] if node.kind == "given" else node for node in (gold, answer)]
    same = functools.partial(equivalent, tolerance=tolerance)
    if gold.kind == answer.kind:
        if len(gold.items) == len(answer.items) == 2 and not same_condition(gold.items[1], answer.items[1], same):
            return False
    elif (gold.kind == "given" and not may_be_omitted(gold)) or (gold.kind == "family" and len(answer.items) == 2):
        return False  # k >= 0 restricts a family over all integers
    return same(bodies[0], bodies[1])


def kind(gold: Node, answer: Node) -> str:
    """Returns the kind of comparison of two readings, which is the method that a verdict names."""
    kinds = {gold.kind, answer.kind}
    if "family" in kinds:
        return "family"
    if "text" in kinds:
        return "words"
    if "quantity" in kinds or "degrees" in kinds:
        return "quantity"
    if is_statement(gold) or is_statement(answer):
        return "logic"
    if is_region(gold) or is_region(answer):
        return "interval"
    if contains(gold, "matrix") or contains(answer, "matrix"):
        return "matrix"
    if "cases" in kinds:
        return "cases"
    if contains(gold, "pm") or contains(answer, "pm") or kinds & {"list", "set"}:
        return "set"
    for name in ("tuple", "ratio"):
        if name in kinds:
            return name
    if gold.kind == "relation":
        label, _ = claim(gold)
        if label is None:
            return "equation"
    gold, answer = claim(gold)[1], claim(answer)[1]
    if contains_imaginary(gold) or contains_imaginary(answer):
        return "complex"
    try:
        if exact(gold) is not None and exact(answer) is not None:
            return "decimal" if contains(gold, "decimal") else "rational"
    except (TooLarge, Undefined):
        pass
    return "symbolic"


# --- numbers


def _same_scalar(gold: Node, answer: Node, tolerance: Fraction | None) -> bool:
    if "percent" in (gold.kind, answer.kind) and gold.kind != answer.kind:
        return _same_percent(gold, answer, tolerance)
    if "degrees" in (gold.kind, answer.kind) and gold.kind != answer.kind:
        bare = [node.items[0] if node.kind == "degrees" else node for node in (gold, answer)]
        return same_number(bare[0], bare[1], tolerance) or same_number(gold, answer, tolerance)
    if gold.kind == answer.kind == "degrees":
        return same_number(gold.items[0], answer.items[0], tolerance)
    if "based" in (gold.kind, answer.kind) and gold.kind != answer.kind:
        based, other = (gold, answer) if gold.kind == "based" else (answer, gold)
        if same_number(gold, answer, tolerance):
            return True
        if other.kind == "number" and str(other.value) == based.value[0]:
            raise Undecided("the digits are equal, but only one side states the base")
        return False
    return same_number(gold, _with_gold_constant(gold, answer), tolerance)


def _with_gold_constant(gold: Node, answer: Node) -> Node:
    """Returns the answer with the gold answer's constant of integration: x^2 + C for x^2 + c."""
    if gold.kind != "add" or answer.kind != "add":
        return answer
    gold_constants, answer_constants = (
        [item for item in node.items if item.kind == "symbol" and item.value in "CcKk"] for node in (gold, answer)
    )
    if (
        len(gold_constants) != 1
        or len(answer_constants) != 1
        or gold_constants[0].value in symbols(answer)
        or answer_constants[0].value in symbols(gold)
    ):
        return answer
    return substituted(answer, {answer_constants[0]: gold_constants[0]})


def _same_percent(gold: Node, answer: Node, tolerance: Fraction | None) -> bool:
    """Compares a percentage with a number: 50% equals 0.5. It also equals 50, because 50 is greater than 1."""
    if same_number(gold, answer, tolerance):
        return True
    bare = [node.items[0] if node.kind == "percent" else node for node in (gold, answer)]
    try:
        size = exact(bare[0])
    except (TooLarge, Undefined):
        return False
    return size is not None and abs(size) > 1 and same_number(bare[0], bare[1], tolerance)


def _sign_of_infinity(node: Node) -> int | None:
    if node == INFINITY:
        return 1
    return -1 if node.kind == "neg" and node.items[0] == INFINITY else None


def _same_quantity(gold: Node, answer: Node, tolerance: Fraction | None) -> bool:
    if "degrees" in (gold.kind, answer.kind):
        gold, answer = (Node("quantity", node.items, "degree") if node.kind == "degrees" else node for node in (gold, answer))
    if gold.kind != answer.kind:
        quantity, other = (gold, answer) if gold.kind == "quantity" else (answer, gold)
        if quantity.items[-1] == UNIT_REQUIRED:
            return False
        if other.kind in ("percent", "ratio") and units.unit(quantity.value) is not None:
            return False
        bare = [node.items[0] if node.kind == "quantity" else node for node in (gold, answer)]
        return equivalent(claim(bare[0])[1], claim(bare[1])[1], tolerance)
    gold_unit, answer_unit = units.unit(gold.value), units.unit(answer.value)
    numbers = claim(gold.items[0])[1], claim(answer.items[0])[1]
    if None in (gold_unit, answer_unit) and UNIT_REQUIRED in (gold.items[-1], answer.items[-1]):
        return False
    if gold.value == answer.value or (gold_unit is not None and gold_unit == answer_unit):
        return equivalent(*numbers, tolerance)
    if gold_unit is not None and answer_unit is not None:
        if gold_unit.dimension != answer_unit.dimension:
            return False
        return same_number(
            _scaled(numbers[0], gold_unit), _scaled(numbers[1], answer_unit), tolerance or _float_error(gold_unit, answer_unit)
        )
    if not equivalent(*numbers, tolerance):
        return False
    if gold_unit is None and answer_unit is None and _nouns(gold.value) == _nouns(answer.value):
        return True
    raise Undecided(f"the numbers are equal, but it is unknown whether {gold.value!r} and {answer.value!r} mean the same")


def _scaled(number: Node, unit: units.Unit) -> Node:
    scaled = Node("mul", (number, Node("number", (), unit.factor)))
    return Node("add", (scaled, Node("number", (), unit.offset))) if unit.offset else scaled


def _float_error(*found: units.Unit) -> Fraction | None:
    """Returns the relative error of pint's factors, which are floats, if one of them has many digits."""
    many = any(unit.factor.denominator > 10**9 or unit.factor.numerator > 10**15 for unit in found)
    return Fraction(1, 10**9) if many else None


def _nouns(text: str) -> str:
    return " ".join(word.rstrip("s") for word in re.findall(r"[a-z]+", text.lower()))


def _same_ratio(gold: Node, answer: Node) -> bool:
    """Compares ratios: 1:2 is 2:4 and the fraction 1/2."""
    if gold.value == answer.value == "clock":
        return gold.items == answer.items
    parts = [node.items if node.kind == "ratio" else (node, Node("number", (), Fraction(1))) for node in (gold, answer)]
    values = [[_fraction(item) for item in items] for items in parts]
    if len(values[0]) != len(values[1]):
        return False
    if any(number is None for row in values for number in row):
        if gold.kind == answer.kind:
            return all(equivalent(a, b) for a, b in zip(gold.items, answer.items, strict=True))
        return False
    first, second = ([number or Fraction(0) for number in row] for row in values)
    if not any(first) or not any(second):
        return False
    return all(first[i] * second[j] == first[j] * second[i] for i in range(len(first)) for j in range(i))


def _fraction(node: Node) -> Fraction | None:
    try:
        return exact(node)
    except (TooLarge, Undefined):
        return None


# --- sets, lists, tuples, matrices


def _without_plus_minus(node: Node) -> Node:
    """Returns `1 \\pm 2` as a list of both values. In a list or set the two values join the other items."""
    if node.kind in ("list", "set") and any(contains(item, "pm") for item in node.items):
        items: list[Node] = []
        for item in node.items:
            spread = _without_plus_minus(item)
            items.extend(spread.items if spread.kind == "list" and item.kind != "list" else (spread,))
        return node._replace(items=tuple(items))
    if node.kind == "tuple" and contains(node, "pm"):
        return Node("list", (signed(node, 1), signed(node, -1)))
    if node.kind == "relation" and contains(node, "pm"):
        label, claimed = claim(node)
        return _without_plus_minus(claimed) if label is not None else node
    if node.kind not in ("list", "set", "relation", "cases") and contains(node, "pm"):
        return Node("list", (signed(node, 1), signed(node, -1)))
    return node


def _same_collection(gold: Node, answer: Node, tolerance: Fraction | None) -> bool:
    if "tuple" in (gold.kind, answer.kind) or "matrix" in (gold.kind, answer.kind):
        # A list without brackets may be meant as a tuple; a set may not.
        return "set" not in (gold.kind, answer.kind) and _same_in_order(gold, answer, tolerance)
    first, second = (list(node.items) if node.kind in ("list", "set") else [node] for node in (gold, answer))
    if "set" in (gold.kind, answer.kind) or all(item.kind == "tuple" for item in first + second):
        first, second = _distinct(first), _distinct(second)  # repeated solutions count once
    if len(first) != len(second):
        return False
    if len(first) > MAX_UNORDERED:
        return all(equivalent(a, b, tolerance) for a, b in zip(first, second, strict=True))
    if _have_different_labels(first) and not any(item.kind == "relation" for item in second) and answer.kind == "list":
        return all(equivalent(a, b, tolerance) for a, b in zip(first, second, strict=True))
    unmatched = list(second)
    for gold_item in first:
        match = next((item for item in unmatched if _same_item(gold_item, item, tolerance)), None)
        if match is None:
            return False
        unmatched.remove(match)
    return True


def _have_different_labels(items: list[Node]) -> bool:
    """True if the items are equations for different letters or labels: "a = 3, b = 5", "(1) 3; (2) 5".

    An answer's values without letters must then be in the same order.
    """
    names = [item.items[0].value for item in items if item.kind == "relation" and item.items[0].kind in ("symbol", "text")]
    return 1 < len(names) == len(items) and len({name.partition("_")[0] for name in names}) == len(names)


def _same_item(gold: Node, answer: Node, tolerance: Fraction | None) -> bool:
    """Like `equivalent`, but two texts, or values with labels in words, count as different if the comparison is undecided."""
    try:
        return equivalent(gold, answer, tolerance)
    except Undecided:
        if all((node.items[0] if node.kind == "relation" else node).kind == "text" for node in (gold, answer)):
            return False
        raise


def _distinct(items: list[Node]) -> list[Node]:
    found: list[Node] = []
    for item in items[:MAX_UNORDERED]:
        if not any(_is_repetition(earlier, item) for earlier in found):
            found.append(item)
    return found + items[MAX_UNORDERED:]


def _is_repetition(first: Node, second: Node) -> bool:
    """True if an item repeats another one. A decimal that only rounds another item does not repeat it."""
    return first == second or (
        not contains(first, "decimal") and not contains(second, "decimal") and _same_item(first, second, None)
    )


def _same_in_order(gold: Node, answer: Node, tolerance: Fraction | None) -> bool:
    return len(gold.items) == len(answer.items) and all(
        equivalent(a, b, tolerance) for a, b in zip(gold.items, answer.items, strict=True)
    )


def _same_matrix(gold: Node, answer: Node, tolerance: Fraction | None) -> bool:
    if not all(has_matrix(node) or node.kind == "tuple" for node in (gold, answer)):
        return False
    first, second = as_matrix(gold), as_matrix(answer)
    if first is None:
        raise Undecided("an expression of matrices that cannot be computed")
    if second is None:
        return False
    shapes = first.value, second.value
    if None in shapes:  # a tuple is a row vector or a column vector
        vector = all(shape is None or 1 in shape for shape in shapes)
        return vector and _same_in_order(first, second, tolerance)
    return shapes[0] == shapes[1] and _same_in_order(first, second, tolerance)


def _same_regions(gold: Node, answer: Node, tolerance: Fraction | None) -> bool:
    names = [symbols(node) for node in (gold, answer) if node.kind == "relation" and "in" not in node.value]
    if len(names) == 2 and names[0] != names[1]:
        return False
    if gold.kind == answer.kind == "relation" and "in" not in gold.value + answer.value:
        try:
            return same_region(gold, answer, tolerance)
        except Undecided:
            return same_equation(gold, answer, functools.partial(equivalent, tolerance=tolerance))
    if not all(is_region(node) or node.kind in ("tuple", "set", "list", "relation") for node in (gold, answer)):
        return False
    return same_region(gold, answer, tolerance)
