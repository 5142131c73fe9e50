"""Functions with one mistake, to be repaired so that they pass unit tests.

A function of `function_sources.py` gets a number for its `K`, and one operator, number, `min` or `max` of it is changed. At
least one test fails for the changed function, and the prompt shows failing tests. The verifier `code` judges the repaired
function. Problems with the same changed function differ in their tests and are in the same part.
"""

import ast
import copy
import functools
import random
import types
from collections.abc import Iterator, Sequence

from ...core import Problem
from ..problems.parts import Draft, distinct, integer
from .function_sources import FUNCTIONS
from .words import WORDS

URI = "generate:tenfold.envs.generators.repairs:problems"
TESTS = 14
"""Number of tests of a problem. Our choice."""
SHOWN = 2
"""Largest number of tests that the prompt shows. Our choice."""
SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Mod: ast.FloorDiv, ast.FloorDiv: ast.Mod,
    ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
"""The operator that replaces each operator in a mutant."""
NAMES = {"min": "max", "max": "min"}
"""The function that replaces each function in a mutant."""


def problems(size: int = 500, seed: int = 0, part: str = "train", mistakes: int = 1) -> Iterator[Problem]:
    """Yields problems.

    Args:
        size: number of problems.
        seed: seed of the random choices.
        part: all, train or held_out; see `parts.in_part`.
        mistakes: number of changes.
    """
    integer("mistakes", mistakes, 1, 3)

    def draw(rng: random.Random) -> Draft:
        while True:
            name = rng.choice([*FUNCTIONS])
            function, number = FUNCTIONS[name], str(rng.randint(2, 9))
            argument = function.argument
            solution = f"def {name}({argument}):\n{function.source.replace('K', number)}"
            broken = solution
            for _ in range(mistakes):
                broken = rng.choice(mutants(broken))
            inputs = [_argument(rng, argument) for _ in range(TESTS)]
            expected, found = _values(solution, name, inputs), _values(broken, name, inputs)
            failing = [place for place in range(TESTS) if found[place] != expected[place]]
            if failing:
                break
        order = [*failing, *(place for place in range(TESTS) if place not in failing)]
        calls = [{"arguments": [inputs[place]], "output": expected[place]} for place in order]
        shown = order[: min(SHOWN, len(failing))]
        tests = "\n".join(f"assert {name}({inputs[place]!r}) == {expected[place]!r}" for place in shown)
        prompt = (
            f"The function {name}({argument}) should return {function.description.replace('K', number)}. It has "
            f"{'a mistake' if mistakes == 1 else f'up to {mistakes} mistakes'}:\n\n```python\n{broken}\n```\n\nThese tests "
            f"fail:\n\n```python\n{tests}\n```\n\nCorrect the function. Further tests will be run."
        )
        answer = {"entry_point": name, "calls": calls, "public": len(shown)}
        meta = {"solution": f"```python\n{solution}\n```", "function": name}
        return Draft(prompt, answer, meta, key=broken + tests, family=broken)

    return distinct(URI, draw, size, seed, part)


@functools.lru_cache(1_000)
def mutants(program: str) -> Sequence[str]:
    """Returns the programs that differ from this one in one operator, number, or use of min or max."""
    tree = ast.parse(program)
    original, found = ast.unparse(tree), []
    for node in ast.walk(tree):
        for change in _changes(node):
            before = {field: getattr(node, field) for field in change}
            for fields in (change, before):
                for field, value in fields.items():
                    setattr(node, field, value)
                if fields is change:
                    found.append(ast.unparse(tree))
    return [*dict.fromkeys(mutant for mutant in found if mutant != original)]


def _changes(node: ast.AST) -> Iterator[dict[str, object]]:
    """Yields fields of a node with other values."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
        yield {"ops": [SWAPS[type(node.ops[0])]()]}
    elif isinstance(node, ast.BinOp | ast.AugAssign | ast.BoolOp) and type(node.op) in SWAPS:
        yield {"op": SWAPS[type(node.op)]()}
    elif isinstance(node, ast.Constant) and type(node.value) is int:
        yield {"value": node.value + 1}
        if node.value > 0:
            yield {"value": node.value - 1}
    elif isinstance(node, ast.Name) and node.id in NAMES:
        yield {"id": NAMES[node.id]}


def _values(program: str, name: str, arguments: Sequence[object]) -> list[object]:
    """Returns what a function of `FUNCTIONS`, or a mutant of it, returns or raises for each argument. Every call ends."""
    namespace: dict[str, object] = {}
    exec(compile(program, "<function>", "exec"), namespace)
    function = namespace[name]
    assert isinstance(function, types.FunctionType)
    values: list[object] = []
    for argument in arguments:
        try:
            values.append(function(copy.deepcopy(argument)))
        except Exception as error:
            values.append(type(error))
    return values


def _argument(rng: random.Random, kind: str) -> int | str | Sequence[object]:
    match kind:
        case "number":
            return rng.randint(0, 60)
        case "text":
            return " ".join(rng.choices(WORDS, k=rng.randint(0, 7)))
        case "pairs":
            return [[rng.randint(0, 9), rng.randint(0, 9)] for _ in range(rng.randint(0, 6))]
        case _:
            return [rng.randint(-12, 20) for _ in range(rng.randint(0, 9))]
