import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core import Problem, Status, UserError, Verdict
from tenfold.pipelines.synthesize import inputs, mutation, selection, suites
from tenfold.pipelines.synthesize.examples import examples_in, prompt, read_written
from tenfold.verifiers import code
from tenfold.verifiers.programs import forms
from tenfold.verifiers.sandbox import Sandbox, SandboxFault

MERGE = """def merge(spans: list[tuple[int, int]]) -> list[list[int]]:
    merged = []
    for start, end in sorted((min(pair), max(pair)) for pair in spans):
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    return merged
"""
WRONG_MERGE = MERGE.replace("max(merged[-1][1], end)", "end")


@pytest.fixture(scope="module")
def box(sandboxed: None) -> Iterator[Sandbox]:
    with suites.two_worker_sandbox() as box:
        yield box


def synthesize(programs: str | list[str], entry_point: str, box: Sandbox, count: int = 12, **options: Any) -> suites.Suite:
    """Generates a fifth of the default number of inputs."""
    return suites.synthesize(programs, entry_point, inputs_per_round=count, box=box, **options)


@pytest.fixture(scope="module")
def suite(box: Sandbox) -> suites.Suite:
    return synthesize(MERGE, "merge", box)


def judge(suite: suites.Suite, program: str) -> Verdict:
    return code.verify(Problem("", (), json.loads(json.dumps(suite.answer())), ""), program)


def test_the_program_passes_its_tests_and_wrong_programs_fail(suite: suites.Suite) -> None:
    assert judge(suite, MERGE).score == 1
    assert judge(suite, WRONG_MERGE).score == 0
    assert judge(suite, "def merge(spans): return []").score == 0
    report = suite.report
    assert report.killed_private == report.killed
    assert report.score is not None
    assert report.score > 0.85
    assert suites.mutation_score(suite.answer(), MERGE) == report.score
    assert (report.private, report.public) == (8, 2)
    assert report.minimal <= report.private
    assert report.inputs >= report.private + report.public


def test_public_tests_are_shown_and_differ_from_the_private_ones(suite: suites.Suite) -> None:
    shown = forms.public_test_texts(suite.answer())
    assert len(shown) == 2
    assert all(test.startswith("assert merge([") for test in shown)
    assert not any(test in suite.private for test in suite.public)
    names: dict[str, Any] = {}
    exec(MERGE + "\n".join(shown), names)  # the shown tests are valid assertions


def test_tests_depend_on_the_seed_only(box: Sandbox, suite: suites.Suite) -> None:
    assert synthesize(MERGE, "merge", box) == suite
    assert synthesize(MERGE, "merge", box, seed=1).private != suite.private


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("import random; return random.random()", "random"),
        ("return id(object()) * len(text) + time.perf_counter_ns()", "depends on address and time"),
        ("return list({text, 'a', 'b', 'c', 'd', 'e', 'f', 'g'})", "depends on hashes, which differ between processes"),
        ("seen.append(text); return len(seen)", "depends on earlier calls"),
        ("raise ValueError(text)", "fails"),
        ("return lambda: text", "returns a function"),
        ("time.sleep(3600)", "never ends"),
    ],
)
def test_unstable_outputs_are_dropped(box: Sandbox, body: str, why: str) -> None:
    program = f"import time\nseen = []\ndef f(text: str):\n    {body}\n"
    with pytest.raises(UserError, match="no input of f has a stable output"):
        synthesize(program, "f", box, count=3)


def test_failing_inputs_are_dropped_and_none_is_a_valid_output(box: Sandbox) -> None:
    program = "def f(n: int):\n    return None if n == 0 else 12 // n if n != 3 else {}[n]\n"
    suite = synthesize(program, "f", box)
    assert suite.report.failing == 1
    assert judge(suite, program).score == 1
    assert judge(suite, program.replace("None", "0")).score == 0


def test_without_a_reference_candidates_must_agree(box: Sandbox) -> None:
    add, odd = "def f(a: int, b: int): return a + b", "def f(a: int, b: int): return a + b if a < 5 else 0"
    suite = synthesize([odd, add, "def f(a, b): return b + a"], "f", box)
    assert suite.program != odd
    assert judge(suite, add).score == 1
    assert judge(suite, odd).score == 0
    assert synthesize(["def f(", add, "def f(a, b): return b + a"], "f", box).program == add
    with pytest.raises(UserError, match="differ"):
        synthesize([add, "def f(a, b): return a - b - 1", "def f("], "f", box, count=5)


def test_the_candidate_that_becomes_the_reference_passes_its_tests(box: Sandbox) -> None:
    wrong = [f"def f(x: int): return -1 if x == {number} else x * x" for number in (3, 4, 5)]
    suite = synthesize(wrong, "f", box, count=60)
    assert judge(suite, suite.program).score == 1
    assert suite.report.unstable >= 1


def test_outputs_that_cannot_be_verified_in_time_are_dropped(box: Sandbox) -> None:
    program = "import random, time\ndef f(x: int):\n    time.sleep(0.3)\n    return random.getrandbits(40)"
    with pytest.raises(UserError, match="no input of f has a stable output"):
        synthesize(program, "f", box, count=12)


def test_outputs_can_be_compared_without_order(box: Sandbox) -> None:
    program = "def f(xs: list[int]): return sorted(set(xs))"
    suite = synthesize(program, "f", box, unordered=True)
    assert judge(suite, "def f(xs): return sorted(set(xs), reverse=True)").score == 1
    assert judge(synthesize(program, "f", box), "def f(xs): return sorted(set(xs), reverse=True)").score == 0


def test_tests_without_assertions_have_no_mutation_score() -> None:
    with pytest.raises(UserError, match="the problem's own tests cannot be used: the tests assert nothing"):
        suites.mutation_score({"entry_point": "merge", "test": "def check(candidate): pass"}, MERGE)


def test_a_sandbox_fault_raises_an_error_and_kills_no_mutant(suite: suites.Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = Verdict(Status.FAULT, None, "sandbox", "the service is down")
    monkeypatch.setattr(code, "verify_program", lambda *arguments: fault)
    with pytest.raises(SandboxFault, match="is down"):
        suites.mutation_score(suite.answer(), MERGE)


def test_a_code_fence_in_a_docstring_is_part_of_the_program(box: Sandbox) -> None:
    program = 'def f(x: int):\n    """Doubles.\n\n    ```\n    f(1)\n    ```\n    """\n    return 2 * x'
    suite = synthesize(program, "f", box)
    assert suites.mutation_score(suite.answer(), program) == suite.report.score


def test_a_policy_can_write_examples(box: Sandbox) -> None:
    program = "def f(text): return text.split('-')[2].upper()"
    with pytest.raises(UserError, match="unknown type of parameter text of f"):
        synthesize(program, "f", box)
    assert program in prompt(program, "f")[0]["content"]
    written = read_written(
        "Sure:\n1. ['2024-01-x']\n- [\"a-b-c-d\"]\n[__import__('os').system('true')]\n[1, 2\n['a']\nnone", "f"
    )
    assert written == [["2024-01-x"], ["a-b-c-d"], ["a"]]
    suite = synthesize(program, "f", box, written=written)
    assert suite.report.written == 2, "there is no third part in a"
    assert judge(suite, program).score == 1
    assert judge(suite, program.replace("upper", "lower")).score == 0


@given(st.lists(st.sets(st.integers(0, 12)), min_size=1, max_size=10))
def test_a_minimal_suite_kills_all_killed_mutants_without_redundant_tests(kills: list[set[int]]) -> None:
    kept = selection.minimal_tests(kills, [1] * len(kills))
    assert set().union(*(kills[test] for test in kept)) == set().union(*kills)
    for removed in kept:
        assert set().union(*(kills[test] for test in kept if test != removed)) != set().union(*kills)


def test_mutants_differ_from_the_program_and_from_each_other() -> None:
    found = mutation.mutants(MERGE)
    assert len(found) == len(set(found)) > 20
    assert MERGE not in found
    assert found == mutation.mutants(MERGE)
    assert len(mutation.mutants(MERGE, limit=7)) == 7
    assert mutation.mutants("x = y") == []


@pytest.mark.parametrize(
    ("parameters", "kinds"),
    [
        ("n: int", [int]),
        ("x: float, flag: bool = False", [float, bool]),
        ("words: List[str], at: 'int'", [list, int]),
        ("table: dict[str, list[int]], where: tuple[int, str]", [dict, tuple]),
        ("s: typing.Set[int]", [set]),
        ("s: frozenset[int], t: set[FrozenSet[int]]", [frozenset, set]),
        ("how: Literal['up', 'down']", [str]),
        ("k=3", [int]),
    ],
)
def test_inputs_have_the_types_of_the_signature(parameters: str, kinds: list[type]) -> None:
    generated = inputs.generate(inputs.strategy(f"def f({parameters}): ...", "f"), 20)
    assert 2 <= len(generated) <= 20
    assert all([type(value) for value in arguments] == kinds for arguments in generated)
    assert generated == inputs.generate(inputs.strategy(f"def f({parameters}): ...", "f"), 20)


@pytest.mark.parametrize(
    ("program", "kinds"),
    [
        ("def f(n: int, k: Optional[int] = None): ...", {int, type(None)}),
        ("def f(n: int, k: 'float | str' = 0): ...", {int, float, str}),
        ("def f(n: int, k=-1): ...", {int}),
        ("class A:\n    def f(self, x): ...\ndef f(n: int, k: bool): ...", {bool}),
    ],
)
def test_inputs_have_the_types_of_annotation_and_default(program: str, kinds: set[type]) -> None:
    generated = inputs.generate(inputs.strategy(program, "f"), 60)
    assert {type(k) for _, k in generated} == kinds


def test_all_literals_of_an_annotation_are_generated() -> None:
    generated = inputs.generate(inputs.strategy("def f(way: Literal[-1, 1, 'up']): ...", "f"), 60)
    assert sorted(generated, key=repr) == [["up"], [-1], [1]]
    with pytest.raises(UserError, match="unknown type of parameter x of f"):
        inputs.strategy("def f(x: Literal[Color.RED]): ...", "f")


def test_impossible_inputs_raise_a_one_line_error_and_unusual_examples_do_not() -> None:
    with pytest.raises(UserError, match="no arguments can be generated"):
        inputs.generate(inputs.strategy("def f(x: set[list[int]]): ...", "f"), 20)
    assert len(inputs.generate(inputs.strategy("def f(x=1): ...", "f", [[], [2]]), 5)) == 5
    assert inputs.generate(inputs.strategy("def f(x): ...", "f", [["\u00df"]]), 5)
    assert inputs.generate(inputs.strategy("def f(x: tuple[()]): ...", "f"), 5) == [[()]]
    assert examples_in(r"f('a\\\\', 1)", "f") == [["a\\\\", 1]]
    assert examples_in("f(...) = f([1, 2, ...]) = f({'a': (...,)}) = f('...')", "f") == [["..."]]


@pytest.mark.parametrize("examples", [[[1], [5]], [[0.0], [0.25]], [[[1, 0]], [[2]]]])
def test_inputs_are_negative_only_if_an_example_is(examples: list[list[Any]]) -> None:
    generated = inputs.generate(inputs.strategy("def f(x): ...", "f", examples), 100)
    assert len(generated) == 100
    assert all(number >= 0 for [x] in generated for number in (x if isinstance(x, list) else [x]))
    negative = inputs.generate(inputs.strategy("def f(x): ...", "f", [[-3], [5]]), 100)
    assert min(negative)[0] < -3


def test_inputs_do_not_depend_on_the_modules_that_are_imported(lab: Path) -> None:
    source = inputs.strategy("def f(n: int, s: str): ...", "f")
    before = inputs.generate(source, 60)
    (lab / "lab_constants.py").write_text(f"NUMBERS = {[*range(-110, 110)]}\nTEXTS = ['cab', 'C A', 'a0', '19']\n")
    importlib.import_module("lab_constants")
    assert inputs.generate(source, 60) == before


def test_inputs_do_not_depend_on_the_hashes_of_a_process() -> None:
    program = (
        "from tenfold.pipelines.synthesize import inputs\n"
        "examples = [[{b'a', b'b', b'c', 1, 'd', 'e'}]]\n"
        "for [x] in inputs.generate(inputs.strategy('def f(x): ...', 'f', examples), 30): print(sorted(map(repr, x)))"
    )
    first, second = (
        subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in "12"
    )
    assert first == second


def test_an_optional_parameter_can_be_none() -> None:
    generated = inputs.generate(inputs.strategy("def f(n: int | None, m: Optional[str]): ...", "f"), 60)
    assert {type(n) for n, _ in generated} == {int, type(None)}
    assert {type(m) for _, m in generated} == {str, type(None)}


def test_inputs_resemble_the_examples_in_a_text() -> None:
    text = ">>> f('(()', 2)\n3\nassert f(\")(\", 1) == [f(x, 1)] and g.f(1, 2) and ff(1, 2)"
    examples = examples_in(text, "f")
    assert examples == [["(()", 2], [")(", 1]]
    generated = inputs.generate(inputs.strategy("def f(text, n): ...", "f", examples), 50)
    assert len(generated) == 50
    assert set("".join(text for text, _ in generated)) == set("()")


@pytest.mark.parametrize(
    "program", ["def f(", "x = 1", "def g(n: int): ...", "#" * 200_000, "def f(n: int):\n" + " " * 9 + "\0"]
)
def test_a_program_without_the_function_raises_a_one_line_error(program: str) -> None:
    with pytest.raises(UserError) as error:
        suites.synthesize(program, "f")
    assert "\n" not in str(error.value)
