"""Mutants: programs with one small mistake each, which a suite of tests should notice. cosmic-ray makes them.

A suite's mutation score is the share of mutants that at least one of its tests fails (DeMillo, Lipton and Sayward, 1978). Some
mutants do what the program does; no suite kills these, so that 1 is not always within reach.
"""

import warnings
from collections.abc import Iterator

from ... import extras

MAX_MUTANTS = 150
"""Kept of a program's mutants, evenly over them."""
_SKIPPED = ("VariableReplacer", "VariableInserter", "ExceptionReplacer", "RemoveDecorator", "_Is", "_IsNot")
"""Operators that take arguments of their own, or whose mutants are caught by chance or by style (`is` for `==`)."""


def mutants(program: str, most: int = MAX_MUTANTS) -> list[str]:
    """Programs that differ from this one in one operator, number or branch; distinct, always the same for the same program.

    Raises:
        UserError: cosmic-ray is not installed, or cannot read the program.
    """
    with extras.required_by("a mutant"):
        found = list(dict.fromkeys(mutant for mutant in _all(program) if mutant != program))
    step = max(1.0, len(found) / most)
    return [found[int(number * step)] for number in range(min(most, len(found)))]


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
