"""Mutants: programs with one small mistake each, which tests should kill. cosmic-ray makes them.

A test kills a mutant if the mutant fails it. The mutation score of a set of tests is the share of killed mutants (DeMillo,
Lipton and Sayward, 1978). Some mutants are equivalent to the program, and no test kills them, so a score of 1 is not always
possible.
"""

import warnings
from collections.abc import Iterator

from ... import extras

MAX_MUTANTS = 150
"""Maximal number of mutants per program, evenly spaced over all. Our choice."""
_SKIPPED = ("VariableReplacer", "VariableInserter", "ExceptionReplacer", "RemoveDecorator", "_Is", "_IsNot")
"""Operators that are left out.

VariableReplacer and VariableInserter need arguments. ExceptionReplacer and RemoveDecorator change what tests seldom run. Many
mutants with `is` or `is not` in place of another comparison, or the reverse, are equivalent to the program (`is` for `==`).
"""


def mutants(program: str, limit: int = MAX_MUTANTS) -> list[str]:
    """Returns distinct programs that differ from this one in one operator, number, truth value, condition, loop or jump.

    The result is deterministic.

    Args:
        program: source of a valid program; this is not checked.
        limit: maximum number of mutants.

    Raises:
        UserError: cosmic-ray is not installed.
    """
    with extras.required_by("a mutant"):
        found = list(dict.fromkeys(mutant for mutant in _all(program) if mutant != program))
    step = max(1.0, len(found) / limit)
    return [found[int(number * step)] for number in range(min(limit, len(found)))]


def _all(program: str) -> Iterator[str]:
    from cosmic_ray.ast import get_ast
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator, operator_names

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = get_ast(program)
        for name in operator_names():
            if name.endswith(_SKIPPED) or "_Is_" in name or "_IsNot_" in name:
                continue
            operator = get_operator(name)()
            positions = sum(1 for node in _nodes(tree) for _ in operator.mutation_positions(node))
            for occurrence in range(positions):
                mutant = mutate_code(program, operator, occurrence)
                if mutant is not None:
                    yield mutant


def _nodes(tree: object) -> Iterator[object]:
    yield tree
    for child in getattr(tree, "children", ()):
        yield from _nodes(child)
