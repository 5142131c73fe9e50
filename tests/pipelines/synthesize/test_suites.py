import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core import Problem, Status, UserError, Verdict
from tenfold.pipelines.synthesize import inputs, mutation, suites
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
    with suites.sandbox_of_two() as box:
        yield box


def synthesize(programs: str | list[str], entry_point: str, box: Sandbox, count: int = 12, **options: Any) -> suites.Suite:
    """Draws a fifth of the inputs that are drawn by default."""
    return suites.synthesize(programs, entry_point, count=count, box=box, **options)


@pytest.fixture(scope="module")
def suite(box: Sandbox) -> suites.Suite:
    return synthesize(MERGE, "merge", box)


def judge(suite: suites.Suite, program: str) -> Verdict:
    return code.verify(Problem("", (), json.loads(json.dumps(suite.answer())), ""), program)


def test_a_suite_passes_its_program_and_notices_mistakes(suite: suites.Suite) -> None:
    assert judge(suite, MERGE).score == 1
    assert judge(suite, WRONG_MERGE).score == 0
    assert judge(suite, "def merge(spans): return []").score == 0
    report = suite.report
    assert report.killed_private == report.killed
    assert report.score is not None
    assert report.score > 0.85
    assert suites.score_of(suite.answer(), MERGE) == report.score
    assert (report.private, report.public) == (8, 2)
    assert report.minimal <= report.private
    assert report.inputs >= report.private + report.public


def test_public_tests_are_shown_and_are_not_the_private_ones(suite: suites.Suite) -> None:
    shown = forms.public_test_texts(suite.answer())
    assert len(shown) == 2
    assert all(test.startswith("assert merge([") for test in shown)
    assert not any(test in suite.private for test in suite.public)
    names: dict[str, Any] = {}
    exec(MERGE + "\n".join(shown), names)  # they are Python, and hold


def test_equal_seeds_write_equal_tests_and_others_do_not(box: Sandbox, suite: suites.Suite) -> None:
    assert synthesize(MERGE, "merge", box) == suite
    assert synthesize(MERGE, "merge", box, seed=1).private != suite.private


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("import random; return random.random()", "chance"),
        ("return id(object()) * len(text) + time.perf_counter_ns()", "time and place"),
        ("return list({text, 'a', 'b', 'c', 'd', 'e', 'f', 'g'})", "hashes, which differ between processes"),
        ("seen.append(text); return len(seen)", "what was called before"),
        ("raise ValueError(text)", "it fails"),
        ("return lambda: text", "objects"),
        ("time.sleep(3600)", "it never ends"),
    ],
)
def test_outputs_that_cannot_be_relied_on_are_left_out(box: Sandbox, body: str, why: str) -> None:
    program = f"import time\nseen = []\ndef f(text: str):\n    {body}\n"
    with pytest.raises(UserError, match="no input gives f a stable output"):
        synthesize(program, "f", box, count=3)


def test_inputs_that_fail_are_left_out_and_none_is_an_output(box: Sandbox) -> None:
    program = "def f(n: int):\n    return None if n == 0 else 12 // n if n != 3 else {}[n]\n"
    suite = synthesize(program, "f", box)
    assert suite.report.failing == 1
    assert judge(suite, program).score == 1
    assert judge(suite, program.replace("None", "0")).score == 0


def test_without_a_reference_candidates_have_to_agree(box: Sandbox) -> None:
    add, odd = "def f(a: int, b: int): return a + b", "def f(a: int, b: int): return a + b if a < 5 else 0"
    suite = synthesize([odd, add, "def f(a, b): return b + a"], "f", box)
    assert suite.program != odd
    assert judge(suite, add).score == 1
    assert judge(suite, odd).score == 0
    with pytest.raises(UserError, match="differ"):
        synthesize([add, "def f(a, b): return a - b - 1", "def f("], "f", box, count=5)


def test_a_reference_that_was_voted_for_passes_its_own_tests(box: Sandbox) -> None:
    wrong = [f"def f(x: int): return -1 if x == {number} else x * x" for number in (3, 4, 5)]
    suite = synthesize(wrong, "f", box)
    assert judge(suite, suite.program).score == 1
    assert suite.report.unstable >= 1


def test_outputs_that_time_does_not_allow_to_check_are_left_out(box: Sandbox) -> None:
    program = "import random, time\ndef f(x: int):\n    time.sleep(0.3)\n    return random.getrandbits(40)"
    with pytest.raises(UserError, match="no input gives f a stable output"):
        synthesize(program, "f", box, count=12)


def test_outputs_may_come_in_any_order(box: Sandbox) -> None:
    program = "def f(xs: list[int]): return sorted(set(xs))"
    suite = synthesize(program, "f", box, unordered=True)
    assert judge(suite, "def f(xs): return sorted(set(xs), reverse=True)").score == 1
    assert judge(synthesize(program, "f", box), "def f(xs): return sorted(set(xs), reverse=True)").score == 0


def test_a_fault_is_no_killed_mutant_and_no_reason_to_give_a_problem_up(
    suite: suites.Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = Verdict(Status.FAULT, None, "sandbox", "the service is down")
    monkeypatch.setattr(code, "verify_program", lambda *arguments: fault)
    with pytest.raises(SandboxFault, match="is down"):
        suites.score_of(suite.answer(), MERGE)


def test_a_docstring_with_a_fence_is_part_of_the_program(box: Sandbox) -> None:
    program = 'def f(x: int):\n    """Doubles.\n\n    ```\n    f(1)\n    ```\n    """\n    return 2 * x'
    suite = synthesize(program, "f", box)
    assert suites.score_of(suite.answer(), program) == suite.report.score


def test_a_model_gives_examples_where_nothing_else_does(box: Sandbox) -> None:
    program = "def f(text): return text.split('-')[2].upper()"
    with pytest.raises(UserError, match="nothing says what f takes for text"):
        synthesize(program, "f", box)
    asked = []

    def model(prompt: str) -> str:
        asked.append(prompt)
        return "Sure:\n1. ['2024-01-x']\n- [\"a-b-c-d\"]\n[__import__('os').system('true')]\n[1, 2\nnone"

    suite = synthesize(program, "f", box, model=model)
    assert program in asked[0]
    assert judge(suite, program).score == 1
    assert judge(suite, program.replace("upper", "lower")).score == 0


@given(st.lists(st.sets(st.integers(0, 12)), min_size=1, max_size=10))
def test_the_smallest_suite_kills_what_all_kill_and_none_of_it_is_needless(kills: list[set[int]]) -> None:
    kept = suites.smallest(kills, [1] * len(kills))
    assert set().union(*(kills[test] for test in kept)) == set().union(*kills)
    for left_out in kept:
        assert set().union(*(kills[test] for test in kept if test != left_out)) != set().union(*kills)


def test_mutants_differ_from_the_program_and_from_each_other() -> None:
    found = mutation.mutants(MERGE)
    assert len(found) == len(set(found)) > 20
    assert MERGE not in found
    assert found == mutation.mutants(MERGE)
    assert len(mutation.mutants(MERGE, most=7)) == 7
    assert mutation.mutants("x = y") == []


@pytest.mark.parametrize(
    ("parameters", "kinds"),
    [
        ("n: int", [int]),
        ("x: float, flag: bool = False", [float, bool]),
        ("words: List[str], at: 'int'", [list, int]),
        ("table: dict[str, list[int]], where: tuple[int, str]", [dict, tuple]),
        ("s: typing.Set[int]", [set]),
        ("how: Literal['up', 'down']", [str]),
        ("k=3", [int]),
    ],
)
def test_a_signature_says_what_is_drawn(parameters: str, kinds: list[type]) -> None:
    drawn = inputs.draw(inputs.strategy(f"def f({parameters}): ...", "f"), 20)
    assert 2 <= len(drawn) <= 20
    assert all([type(value) for value in arguments] == kinds for arguments in drawn)
    assert drawn == inputs.draw(inputs.strategy(f"def f({parameters}): ...", "f"), 20)


@pytest.mark.parametrize(
    ("program", "kinds"),
    [
        ("def f(n: int, k: Optional[int] = None): ...", {int, type(None)}),
        ("def f(n: int, k: 'float | str' = 0): ...", {int, float, str}),
        ("def f(n: int, k=-1): ...", {int}),
        ("class A:\n    def f(self, x): ...\ndef f(n: int, k: bool): ...", {bool}),
    ],
)
def test_annotation_and_default_are_drawn_both(program: str, kinds: set[type]) -> None:
    drawn = inputs.draw(inputs.strategy(program, "f"), 60)
    assert {type(k) for _, k in drawn} == kinds


def test_what_cannot_be_drawn_ends_in_one_line_and_odd_examples_do_not() -> None:
    with pytest.raises(UserError, match="no arguments can be drawn"):
        inputs.draw(inputs.strategy("def f(x: set[list[int]]): ...", "f"), 20)
    assert len(inputs.draw(inputs.strategy("def f(x=1): ...", "f", [[], [2]]), 5)) == 5
    assert inputs.draw(inputs.strategy("def f(x): ...", "f", [["\u00df"]]), 5)
    assert inputs.draw(inputs.strategy("def f(x: tuple[()]): ...", "f"), 5) == [[()]]
    assert inputs.examples_in(r"f('a\\\\', 1)", "f") == [["a\\\\", 1]]


def test_an_optional_parameter_is_drawn_as_none_too() -> None:
    drawn = inputs.draw(inputs.strategy("def f(n: int | None, m: Optional[str]): ...", "f"), 60)
    assert {type(n) for n, _ in drawn} == {int, type(None)}
    assert {type(m) for _, m in drawn} == {str, type(None)}


def test_examples_are_found_in_text_and_drawn_around() -> None:
    text = ">>> f('(()', 2)\n3\nassert f(\")(\", 1) == [f(x, 1)] and g.f(1, 2) and ff(1, 2)"
    examples = inputs.examples_in(text, "f")
    assert examples == [["(()", 2], [")(", 1]]
    drawn = inputs.draw(inputs.strategy("def f(text, n): ...", "f", examples), 50)
    assert len(drawn) == 50
    assert set("".join(text for text, _ in drawn)) == set("()")


@pytest.mark.parametrize(
    "program", ["def f(", "x = 1", "def g(n: int): ...", "#" * 200_000, "def f(n: int):\n" + " " * 9 + "\0"]
)
def test_a_program_without_the_function_ends_in_one_line(program: str) -> None:
    with pytest.raises(UserError) as error:
        suites.synthesize(program, "f")
    assert "\n" not in str(error.value)
