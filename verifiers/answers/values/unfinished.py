"""Unfinished computation in an answer: arithmetic, like terms, an unsolved equation, an integral, an unevaluated function."""

from fractions import Fraction

from ..grammar.tree import INFINITY, MINUS_ONE, ZERO, Node, is_mixed, ordered
from .claims import claim, is_label
from .evaluation import contains, symbols
from .factors import LONG_DIGITS, factors, nonrational_factors, rational_value, terms
from .matrices import is_transposed

ARITHMETIC, LIKE_TERMS, UNSOLVED, CLOSED_FORM = "arithmetic", "like terms", "an equation to solve", "a number to write out"
"""Names of the kinds of unfinished computation, as verdicts give them."""
SCALARS = frozenset("number decimal constant symbol add mul pow neg percent degrees call bound based".split())
"""Kinds of nodes that are one number or expression."""
ITEMIZED = frozenset("list tuple set interval union matrix ratio cases pm".split())
"""Kinds of nodes whose items are judged one by one."""
OPEN_OPERATORS = {"int": "an integral", "lim": "a limit", "sum": "a sum", "prod": "a product"}
"""Names of the operators with a bound variable."""
FUNCTIONS = {
    **dict.fromkeys("sin cos tan cot sec csc".split(), "a trigonometric function"),
    **dict.fromkeys("arcsin arccos arctan arccot arcsec arccsc".split(), "an inverse trigonometric function"),
    **dict.fromkeys("log ln lg arsinh arcosh artanh".split(), "a logarithm"),
    **dict.fromkeys("sinh cosh tanh coth sech csch".split(), "a hyperbolic function"),
}
"""Names of unevaluated functions."""
_SURDS = frozenset(["sqrt", "root", "exp"])


def unfinished_parts(node: Node, equation: bool = False) -> set[str]:
    """Returns the kinds of unfinished computation in an answer.

    Args:
        node: The answer's reading.
        equation: True if the gold answer is an equation, so that the whole equation counts and not only its last side.
    """
    found: set[str] = set()
    _add_from_answer(node, found, equation)
    return found


def _add_from_answer(node: Node, found: set[str], equation: bool) -> None:
    """Adds the kinds of unfinished computation in an answer, or in one element of it, to `found`."""
    if node.kind == "relation":
        _add_from_relation(node, found, equation)
    elif node.kind in ("quantity", "given"):
        _add_from_answer(node.items[0], found, equation)
    elif node.kind == "union" and all(item.kind == "set" for item in node.items):
        found.add("a union")
    elif node.kind in ITEMIZED:
        for item in node.items:
            _add_from_answer(item, found, equation)
    elif node.kind == "intersection" and not symbols(node):
        found.add("an intersection")
    elif node.kind == "degrees" or (node.kind == "neg" and node.items[0].kind == "degrees"):
        _add_from_answer(node.items[0], found, equation)  # the number of an angle, because its unit may be left out
    elif contains(node, "matrix"):
        _add_from_matrix(node, found)
    elif node.kind in SCALARS:
        if node.kind == "add":  # terms with factor 0, as in 5 + 0i, do not count
            left = tuple(item for item in node.items if item.kind != "mul" or ZERO not in item.items)
            node = left[0] if len(left) == 1 else node._replace(items=left or (ZERO,))
        if not symbols(node) and rational_value(node) is None and node not in (INFINITY, Node("neg", (INFINITY,))):
            found.add(CLOSED_FORM)
        _add_from_expression(node, found)


def _add_from_matrix(node: Node, found: set[str]) -> None:
    """Adds the unfinished computation in an expression of matrices.

    Two forms are finished: one matrix with numbers before it, and a vector that is written as a transpose.
    """
    if is_transposed(node) and 1 in (node.items[0].value or ()):
        _add_from_answer(node.items[0], found, False)
    elif node.kind != "mul" or sum(contains(item, "matrix") for item in node.items) > 1:
        found.add(ARITHMETIC)
    else:
        for item in node.items:
            _add_from_answer(item, found, False)


def _add_from_relation(node: Node, found: set[str], equation: bool) -> None:
    if node.value[-1] == "~" and is_numeral(node.items[-1]):
        return
    label, claimed = claim(node)
    if label is not None:
        if label.kind == "symbol" and label.value in symbols(claimed):
            found.add(UNSOLVED)
        _add_from_answer(claimed, found, equation)
    elif set(node.value) == {"="} and not equation:
        _add_from_answer(node.items[-1], found, equation)
    else:
        with_symbols = [item for item in node.items if symbols(item)]
        is_solved = (
            len(with_symbols) == 1
            and is_label(with_symbols[0])
            and (with_symbols[0].kind != "call" or with_symbols[0].value == "abs")
        )
        if not is_solved and not _is_line(node):
            found.add(UNSOLVED)
        for item in node.items:
            if not symbols(item):
                _add_from_answer(item, found, equation)
            elif item.kind in SCALARS:
                _add_from_expression(item, found)


def _is_line(node: Node) -> bool:
    """True for an equation such as x - 5 = 0: one letter plus a number equals 0. This usual form of a line counts as solved."""
    left = node.items[0]
    with_symbols = [item for item in left.items if symbols(item)] if left.kind == "add" else []
    return node.value == ("=",) and node.items[1] == ZERO and len(with_symbols) == 1 and with_symbols[0].kind == "symbol"


def _add_from_expression(node: Node, found: set[str]) -> None:
    """Adds the unfinished computation in one expression."""
    if node.kind == "based":
        found.add(f"a number in base {node.value[1]}")
    if node.kind in ("number", "decimal", "constant", "symbol", "based") or node.kind not in SCALARS:
        return
    if node.kind == "bound":
        found.add(OPEN_OPERATORS[node.value])
        return
    constant = not symbols(node)
    size = rational_value(node) if constant else None
    if size is not None:
        if contains(node, "based"):
            found.add("a number in another base")
        if not is_numeral(node) and not _is_long(size):
            found.add(ARITHMETIC)
        return
    if node.kind == "add":
        _add_from_sum(node, found)
    elif node.kind == "mul":
        _add_from_product(node, constant, found)
        return
    elif node.kind == "call" and node.value not in _SURDS and constant:
        found.add(FUNCTIONS.get(node.value, f"the function {node.value}"))
    elif node.kind == "pow" and constant and _is_power_to_expand(node):
        found.add(ARITHMETIC)
    for item in node.items:
        _add_from_expression(item, found)


def _add_from_sum(node: Node, found: set[str]) -> None:
    parts = list(terms(node))
    rational = [term for term in parts if not symbols(term) and rational_value(term) is not None]
    if len(rational) > 1:
        found.add(ARITHMETIC)
    alike = [ordered(Node("mul", tuple(nonrational_factors(term)))) for term in parts if term not in rational]
    if len(set(alike)) < len(alike):
        found.add(LIKE_TERMS)


def _add_from_product(node: Node, constant: bool, found: set[str]) -> None:
    """Adds a product's unfinished computation: several numbers above or below a fraction bar, or constant sums to multiply."""
    above = under = brackets = 0
    for base, inverse in factors(node):
        if not symbols(base) and (size := rational_value(base)) is not None:
            if abs(size) != 1 and not _is_power_of_ten(base) and not _is_long(size):
                above, under = above + (not inverse), under + inverse
        elif base.kind == "add":
            brackets += not inverse
            if constant and inverse and contains_i(base):
                found.add(ARITHMETIC)
        _add_from_expression(base, found)
    if above > 1 or under > 1 or (constant and brackets > 1):
        found.add(ARITHMETIC)


def _is_power_to_expand(node: Node) -> bool:
    """True if a constant is a whole power of a sum or of i, or is divided by i."""
    base, exponent = node.items
    whole = rational_value(exponent) if not symbols(exponent) else None
    if whole is None or whole.denominator != 1:
        return False
    return contains_i(base) if whole < 0 else base.kind == "add" or contains_i(base)


def contains_i(node: Node) -> bool:
    """True if the expression contains the imaginary unit."""
    return (node.kind == "constant" and node.value == "i") or any(map(contains_i, node.items))


def is_numeral(node: Node) -> bool:
    """True if the node is a written-out number: 7, -0.5, 50%, 3/4 or 6/8, 2 1/2, 5 x 10^3."""
    if node.kind in ("number", "decimal", "based"):
        return True
    if node.kind in ("neg", "percent", "degrees"):
        return is_numeral(node.items[0])
    if node.kind == "add":
        return len(node.items) == 2 and is_mixed(*node.items)
    if node.kind == "pow":
        return _is_power_of_ten(node)
    if node.kind != "mul" or len(node.items) != 2:
        return False
    first, second = node.items
    if second.kind == "pow" and second.items[1] == MINUS_ONE:
        return _is_whole(first) and _is_whole(second.items[0]) and not _is_division(first, second.items[0])
    return is_numeral(first) and first.kind not in ("add", "mul") and (_is_power_of_ten(second) or node.value == "of")


def _is_whole(node: Node) -> bool:
    return node.kind == "number" or (node.kind == "neg" and node.items[0].kind == "number")


def _is_division(above: Node, under: Node) -> bool:
    """True for a fraction that is a whole number other than its numerator, such as 84/2. False for 5/1."""
    first, second = rational_value(above), rational_value(under)
    return bool(first and second) and abs(second or 1) != 1 and (first or 0) % (second or 1) == 0


def _is_power_of_ten(node: Node) -> bool:
    return node.kind == "pow" and node.items[0] == Node("number", (), Fraction(10)) and _is_whole(node.items[1])


def _is_long(size: Fraction) -> bool:
    return max(abs(size.numerator), size.denominator) >= 10 ** (LONG_DIGITS - 1)
