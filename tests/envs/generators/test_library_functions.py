import ast
from collections.abc import Mapping

import pytest

from tenfold.core import UserError
from tenfold.envs.generators.library_functions import FUNCTIONS, functions
from tenfold.envs.problems import sources
from tenfold.pipelines.synthesize import inputs
from tenfold.verifiers.sandbox import Call, Limits, LocalSandbox

URI = "generate:tenfold.envs.generators.library_functions:functions"


def every() -> list[Mapping[str, str]]:
    with pytest.raises(UserError, match=r"size=10000: the standard library of this Python has \d+ of the functions") as error:
        list(functions(size=10_000))
    return list(functions(size=int(str(error.value).split(" of the functions")[0].rpartition(" ")[2])))


def test_there_are_many_distinct_functions_in_both_parts() -> None:
    rows = every()
    assert len(rows) >= 100
    assert len({row["id"] for row in rows}) == len({row["solution"] for row in rows}) == len(rows)
    held_out = {row["id"] for row in functions(size=5, part="held_out")}
    train = {row["id"] for row in functions(size=80, part="train")}
    assert not held_out & train


def test_the_first_functions_do_not_depend_on_the_size_but_on_the_seed() -> None:
    first = [row["id"] for row in functions(size=5)]
    assert [row["id"] for row in functions(size=20)][:5] == first
    assert [row["id"] for row in functions(size=5, seed=1)] != first
    assert [problem.id for problem in sources.load(f"{URI}?size=5")] == first


def test_a_function_has_types_and_all_that_it_needs() -> None:
    (quote,) = [row for row in every() if row["id"] == "shlex/join"]
    assert quote["entry_point"] == "join"
    tree = ast.parse(quote["solution"])
    assert [ast.unparse(node)[:30].splitlines()[0] for node in tree.body] == [
        "import re",
        "def join(split_command: list[s",
        "_find_unsafe = re.compile('[^\\",
        "def quote(s):",
    ]


def test_every_function_returns_values_for_most_inputs_of_its_types(sandboxed: None) -> None:
    box = LocalSandbox(workers=1)
    try:
        few = {}
        for row in every():
            values = inputs.generate(inputs.strategy(row["solution"], row["entry_point"]), 6)
            calls = [Call(row["entry_point"], arguments) for arguments in values]
            results = box.run(row["solution"], calls, limits=Limits(cpu_seconds=10, wall_seconds=60)).results
            good = [result for result in results if result.error is None and '{"object"' not in str(result.value)]
            if len(good) < len(values) / 2:
                few[row["id"]] = (len(good), len(values))
    finally:
        box.close()
    assert few == {}


def test_the_table_names_each_function_once() -> None:
    names = [f"{module}:{signature.partition('(')[0]}" for module, signatures in FUNCTIONS.items() for signature in signatures]
    assert len(names) == len(set(names))
