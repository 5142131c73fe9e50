"""Sums, products and transposes of matrices, computed as one matrix of expressions."""

import itertools
from collections.abc import Iterator
from fractions import Fraction

from ..grammar.tree import ONE, ZERO, Node, substituted
from .evaluation import check_time, contains
from .exact import TooLarge, Undefined, exact
from .identity import Undecided, same_number

MAX_CELL = 500
"""Maximum number of nodes of an entry in a product of matrices."""


def as_matrix(node: Node) -> Node | None:
    """Returns a matrix, or a sum, product or transpose of matrices, as one matrix. A tuple or its transpose stays a tuple.

    None for anything else.
    """
    if node.kind == "matrix":
        return node
    if node.kind == "tuple":
        return Node("tuple", node.items)
    if is_transposed(node):
        base = as_matrix(node.items[0])
        if base is None or base.kind == "tuple":
            return base
        rows, columns = base.value
        by_column = (base.items[row * columns + column] for column in range(columns) for row in range(rows))
        return Node("matrix", tuple(by_column), (columns, rows))
    if node.kind == "neg" and (inner := as_matrix(node.items[0])):
        return inner._replace(items=tuple(Node("neg", (item,)) for item in inner.items))
    if node.kind == "add":
        parts = [as_matrix(item) for item in node.items]
        if None in parts or len({part.value for part in parts if part}) != 1:
            return None
        columns = zip(*(part.items for part in parts if part), strict=True)
        return Node("matrix", tuple(Node("add", column) for column in columns), parts[0].value)  # type: ignore[union-attr]
    if node.kind == "mul":
        result: Node | None = None
        scalars = [item for item in node.items if not has_matrix(item)]
        for item in (item for item in node.items if has_matrix(item)):
            factor = as_matrix(item)
            if factor is None or factor.kind != "matrix":
                return None
            result = factor if result is None else _product(result, factor)
            if result is None:
                return None
        if result is None:
            return None
        return result._replace(items=tuple(Node("mul", (*scalars, item)) for item in result.items)) if scalars else result
    return None


def has_matrix(node: Node) -> bool:
    """True if the node is a matrix, or a sum, product or power with a matrix in it, or the transpose of a tuple."""
    return (contains(node, "matrix") and node.kind in ("matrix", "add", "mul", "neg", "pow")) or is_transposed(node)


def is_transposed(node: Node) -> bool:
    """True for the transpose of a matrix or tuple: (1, 2)^T."""
    transposed = node.kind == "pow" and node.items[1] == Node("symbol", (), "T")
    return transposed and (node.items[0].kind == "tuple" or contains(node.items[0], "matrix"))


def _product(left: Node, right: Node) -> Node | None:
    (rows, inner), (height, columns) = left.value, right.value
    if inner != height or rows * columns * inner > 1_000:
        return None
    check_time()
    cells = (
        Node("add", tuple(Node("mul", (left.items[row * inner + k], right.items[k * columns + column])) for k in range(inner)))
        for row in range(rows)
        for column in range(columns)
    )
    return Node("matrix", tuple(_computed(cell) for cell in cells), (rows, columns))


def _computed(cell: Node) -> Node:
    """Returns a sum of products of numbers as one number, so that the entries of a product of many matrices do not grow.

    Raises:
        TooLarge: The entry has symbols and more than `MAX_CELL` nodes.
    """
    try:
        number = exact(cell)
    except Undefined:
        number = None
    if number is not None:
        return Node("number", (), number)
    if sum(1 for _ in itertools.islice(subtrees(cell), MAX_CELL)) == MAX_CELL:
        raise TooLarge("a product of matrices is too large")
    return cell


_BASIS = (Node("constant", (), "i"), Node("symbol", (), "j"), Node("symbol", (), "k"))


def in_basis(node: Node, like: Node) -> Node:
    """Returns a sum of multiples of i, j and k as a tuple of components, if `like` is a tuple of two or three items."""
    if like.kind != "tuple" or len(like.items) not in (2, 3) or node.kind not in ("add", "mul", "neg", "constant", "symbol"):
        return node
    basis = _BASIS[: len(like.items)]
    if not any(vector in basis for vector in subtrees(node)):
        return node
    components = []
    for vector in basis:
        unit_vector = {other: ONE if other == vector else ZERO for other in basis}
        components.append(substituted(node, unit_vector))
    # For i^2 + 2j this gives the components 1 and 2, which is wrong. So the components times i, j and k are added, and the sum
    # is compared with the node.
    multiples = [Node("number", (), Fraction(prime)) for prime in (2, 3, 5)[: len(basis)]]
    total = Node("add", tuple(Node("mul", pair) for pair in zip(multiples, components, strict=True)))
    try:
        is_sum = same_number(substituted(node, dict(zip(basis, multiples, strict=True))), total)
    except (TooLarge, Undecided):
        return node
    return Node("tuple", tuple(components)) if is_sum else node


def subtrees(node: Node) -> Iterator[Node]:
    """Yields a node and all nodes below it."""
    yield node
    for item in node.items:
        yield from subtrees(item)
