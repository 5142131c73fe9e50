"""Do two readings say the same? One rule a kind of answer; expressions are `identity`'s, sets of reals `regions`'."""

import functools
import re
from fractions import Fraction

from .conditions import may_be_left_out, same_condition
from .families import same_family
from .grammar.tree import INFINITY, Node, signed, substituted
from .logic import is_set_of_letters, is_statement, same_truth
from .quantities import ONLY_WITH_A_UNIT
from .values import units
from .values.claims import claim, unpacked
from .values.equations import same_equation, same_relation
from .values.evaluation import contains, symbols
from .values.exact import TooLarge, Undefined, exact
from .values.identity import CannotTell, contains_imaginary, same_number
from .values.matrices import as_matrix, has_matrix, in_basis
from .values.regions import is_region, same_region
from .wording import same_words

MAX_UNORDERED = 60
"""Elements of a set or list that are compared in any order."""


def same(gold: Node, answer: Node, tolerance: Fraction | None = None) -> bool:
    """Whether the answer's reading says what the gold one says.

    Symmetric but for how far a gold decimal is written out, and for which left sides of an equation are only names ("x + y = 5"
    answers 5, where 5 does not answer it). A unit, or a percent sign behind more than 1, may be left out on either side: the
    question names it.

    Raises:
        CannotTell: neither can be said.
        TooLarge: the answer asks for too much.
    """
    if gold == answer:
        return True
    gold, answer = _spread(gold), _spread(answer)
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
        return is_statement(gold) and is_statement(answer) and same_truth(gold, answer)
    if is_set_of_letters(gold) or is_set_of_letters(answer):
        return same_truth(gold, answer)
    if is_region(gold) or is_region(answer):
        return _same_regions(gold, answer, tolerance)
    if "relation" in kinds:
        if "list" in kinds:
            first, second = unpacked(gold), unpacked(answer)
            if first.kind == second.kind:
                return _same_collection(first, second, tolerance)
        return same_relation(gold, answer, functools.partial(same, tolerance=tolerance))
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
    if _infinite(gold) is not None or _infinite(answer) is not None:
        return _infinite(gold) == _infinite(answer)
    return _same_scalar(gold, answer, tolerance)


def _same_under_condition(gold: Node, answer: Node, tolerance: Fraction | None) -> bool:
    bodies = [node.items[0] if node.kind == "given" else node for node in (gold, answer)]
    if gold.kind == answer.kind:
        if len(gold.items) == len(answer.items) == 2 and not same_condition(gold.items[1], answer.items[1]):
            return False
    elif gold.kind == "given" and not may_be_left_out(gold):
        return False
    return same(bodies[0], bodies[1], tolerance)


def kind(gold: Node, answer: Node) -> str:
    """What sort of comparison two readings ask for: the name of the rung that decides."""
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
            raise CannotTell("the same digits, of which only one side says the base")
        return False
    return same_number(gold, _with_its_constant(gold, answer), tolerance)


def _with_its_constant(gold: Node, answer: Node) -> Node:
    """The answer with the gold one's letter for a constant of integration: x^2 + c where the gold one has x^2 + C."""
    if gold.kind != "add" or answer.kind != "add":
        return answer
    wanted, given = ([item for item in node.items if item.kind == "symbol" and item.value in "CcKk"] for node in (gold, answer))
    if len(wanted) != 1 or len(given) != 1 or wanted[0].value in symbols(answer) or given[0].value in symbols(gold):
        return answer
    return substituted(answer, {given[0]: wanted[0]})


def _same_percent(gold: Node, answer: Node, tolerance: Fraction | None) -> bool:
    """50% is 0.5; and where the question asks for percent it is 50, which numbers up to 1 are not taken for."""
    if same_number(gold, answer, tolerance):
        return True
    bare = [node.items[0] if node.kind == "percent" else node for node in (gold, answer)]
    try:
        size = exact(bare[0])
    except (TooLarge, Undefined):
        return False
    return size is not None and abs(size) > 1 and same_number(bare[0], bare[1], tolerance)


def _infinite(node: Node) -> int | None:
    if node == INFINITY:
        return 1
    return -1 if node.kind == "neg" and node.items[0] == INFINITY else None


def _same_quantity(gold: Node, answer: Node, tolerance: Fraction | None) -> bool:
    if "degrees" in (gold.kind, answer.kind):
        gold, answer = (Node("quantity", node.items, "degree") if node.kind == "degrees" else node for node in (gold, answer))
    if gold.kind != answer.kind:
        quantity, other = (gold, answer) if gold.kind == "quantity" else (answer, gold)
        if quantity.items[-1] == ONLY_WITH_A_UNIT:
            return False
        if other.kind in ("percent", "ratio") and units.unit(quantity.value) is not None:
            return False
        bare = [node.items[0] if node.kind == "quantity" else node for node in (gold, answer)]
        return same(claim(bare[0])[1], claim(bare[1])[1], tolerance)
    of_gold, of_answer = units.unit(gold.value), units.unit(answer.value)
    numbers = claim(gold.items[0])[1], claim(answer.items[0])[1]
    if None in (of_gold, of_answer) and ONLY_WITH_A_UNIT in (gold.items[-1], answer.items[-1]):
        return False
    if gold.value == answer.value or (of_gold is not None and of_gold == of_answer):
        return same(*numbers, tolerance)
    if of_gold is not None and of_answer is not None:
        if of_gold.dimension != of_answer.dimension:
            return False
        return same_number(
            _scaled(numbers[0], of_gold), _scaled(numbers[1], of_answer), tolerance or _float_error(of_gold, of_answer)
        )
    if not same(*numbers, tolerance):
        return False
    if of_gold is None and of_answer is None and _nouns(gold.value) == _nouns(answer.value):
        return True
    raise CannotTell(f"the numbers are equal, but {gold.value!r} and {answer.value!r} may not be")


def _scaled(number: Node, unit: units.Unit) -> Node:
    scaled = Node("mul", (number, Node("number", (), unit.factor)))
    return Node("add", (scaled, Node("number", (), unit.offset))) if unit.offset else scaled


def _float_error(*found: units.Unit) -> Fraction | None:
    """pint's factors are floats: where one has many digits, it is exact to so much only."""
    many = any(unit.factor.denominator > 10**9 or unit.factor.numerator > 10**15 for unit in found)
    return Fraction(1, 10**9) if many else None


def _nouns(text: str) -> str:
    return " ".join(word.rstrip("s") for word in re.findall(r"[a-z]+", text.lower()))


def _same_ratio(gold: Node, answer: Node) -> bool:
    """1:2 is 2:4, and the fraction 1/2."""
    if gold.value == answer.value == "clock":
        return gold.items == answer.items
    parts = [node.items if node.kind == "ratio" else (node, Node("number", (), Fraction(1))) for node in (gold, answer)]
    values = [[_fraction(item) for item in items] for items in parts]
    if len(values[0]) != len(values[1]):
        return False
    if any(number is None for row in values for number in row):
        if gold.kind == answer.kind:
            return all(same(a, b) for a, b in zip(gold.items, answer.items, strict=True))
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


def _spread(node: Node) -> Node:
    """`1 \\pm 2` as the list of both; within a list or set, its elements join the others."""
    if node.kind in ("list", "set") and any(contains(item, "pm") for item in node.items):
        items: list[Node] = []
        for item in node.items:
            spread = _spread(item)
            items.extend(spread.items if spread.kind == "list" and item.kind != "list" else (spread,))
        return node._replace(items=tuple(items))
    if node.kind == "tuple" and contains(node, "pm"):
        return Node("list", (signed(node, 1), signed(node, -1)))
    if node.kind == "relation" and contains(node, "pm"):
        label, claimed = claim(node)
        return _spread(claimed) if label is not None else node
    if node.kind not in ("list", "set", "relation", "cases") and contains(node, "pm"):
        return Node("list", (signed(node, 1), signed(node, -1)))
    return node


def _same_collection(gold: Node, answer: Node, tolerance: Fraction | None) -> bool:
    if "tuple" in (gold.kind, answer.kind) or "matrix" in (gold.kind, answer.kind):
        # A bare list may be meant as the tuple, in its order; a set may not.
        return "set" not in (gold.kind, answer.kind) and _same_in_order(gold, answer, tolerance)
    first, second = (list(node.items) if node.kind in ("list", "set") else [node] for node in (gold, answer))
    if "set" in (gold.kind, answer.kind) or all(item.kind == "tuple" for item in first + second):
        first, second = _distinct(first), _distinct(second)  # a solution that is said twice is said
    if len(first) != len(second):
        return False
    if len(first) > MAX_UNORDERED:
        return all(same(a, b, tolerance) for a, b in zip(first, second, strict=True))
    if _are_of_several(first) and not any(item.kind == "relation" for item in second) and answer.kind == "list":
        return all(same(a, b, tolerance) for a, b in zip(first, second, strict=True))
    left = list(second)
    for wanted in first:
        match = next((item for item in left if _same_or_not(wanted, item, tolerance)), None)
        if match is None:
            return False
        left.remove(match)
    return True


def _are_of_several(items: list[Node]) -> bool:
    """Whether values are given of different letters, "a = 3, b = 5": bare values are theirs in this order only."""
    names = [item.items[0].value for item in items if item.kind == "relation" and item.items[0].kind == "symbol"]
    return 1 < len(names) == len(items) and len({name.partition("_")[0] for name in names}) == len(names)


def _same_or_not(gold: Node, answer: Node, tolerance: Fraction | None) -> bool:
    """Within a collection an element that cannot be told apart from none is told so only by the whole."""
    try:
        return same(gold, answer, tolerance)
    except CannotTell:
        if gold.kind == answer.kind == "text":
            return False
        raise


def _distinct(items: list[Node]) -> list[Node]:
    found: list[Node] = []
    for item in items[:MAX_UNORDERED]:
        if not any(_is_again(other, item) for other in found):
            found.append(item)
    return found + items[MAX_UNORDERED:]


def _is_again(one: Node, other: Node) -> bool:
    """Whether an element says another once more; what only rounds to it does not."""
    return one == other or (not contains(one, "decimal") and not contains(other, "decimal") and _same_or_not(one, other, None))


def _same_in_order(gold: Node, answer: Node, tolerance: Fraction | None) -> bool:
    return len(gold.items) == len(answer.items) and all(
        same(a, b, tolerance) for a, b in zip(gold.items, answer.items, strict=True)
    )


def _same_matrix(gold: Node, answer: Node, tolerance: Fraction | None) -> bool:
    if not all(has_matrix(node) or node.kind == "tuple" for node in (gold, answer)):
        return False
    first, second = as_matrix(gold), as_matrix(answer)
    if first is None:
        raise CannotTell("an expression of matrices")
    if second is None:
        return False
    shapes = first.value, second.value
    if None in shapes:  # a tuple, which is a vector of either direction
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
        except CannotTell:
            return same_equation(gold, answer, functools.partial(same, tolerance=tolerance))
    if not all(is_region(node) or node.kind in ("tuple", "set", "list", "relation") for node in (gold, answer)):
        return False
    return same_region(gold, answer, tolerance)
