from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tenfold
from tenfold.core import Problem, Status, UserError, Verdict
from tenfold.verifiers import code, sandbox
from tenfold.verifiers.programs import equality, forms
from tenfold.verifiers.sandbox import SandboxFault
from tenfold.verifiers.sandbox.inside.wire import decode, encode

pytestmark = pytest.mark.usefixtures("sandboxed")

CALLS = {"entry_point": "add", "calls": [{"arguments": [1, 2], "output": 3}, {"arguments": [0, 0], "output": 0}]}
ADD = "def add(a, b):\n    return a + b\n"


def judge(answer: Any, response: str, share: bool = False) -> Verdict:
    return (code.verify_share if share else code.verify)(Problem("p", (), answer, "here"), response)


@pytest.mark.parametrize(
    ("response", "score"),
    [
        (ADD, 1),
        (f"Let me think: 1 + 2 is 3.\n```python\n{ADD}```\nDone.", 1),
        (f"<think>```python\ndef add(a, b): return 0\n```</think>```py\n{ADD}```", 1),
        (f"```python\ndef add(a, b): return 0\n```\nNo, rather:\n```\n{ADD}```", 1),
        (f"```python\n{ADD}```\nand it prints\n```text\n3\n```", 1),
        (f"```python\n{ADD}", 1),
        (f"```python\n{ADD}<|im_end|>", 1),
        (f"<|python_tag|>{ADD}<|eom_id|>", 1),
        (f"<|python_tag|>{ADD} + 1<|eom_id|>", 0),
        (f"```python\n{ADD}```</s>\n", 1),
        (f"{ADD}```\nThis adds a and b.", 1),
        (f"{ADD}```\nor, the same:\n```python\ndef add(a, b): return b + a\n```", 1),
        (f"import math\n{ADD}```", 1),
        (f"Here it is:\n```\n{ADD}", 1),
        ("def add(a, b):\n    return a - b", 0),
        ("def add(a, b):\n    return str(a + b)", 0),
        ("def plus(a, b):\n    return a + b", 0),
        ("the sum of a and b", 0),
        ("", 0),
        ("\0", 0),
        ("```python\n```", 0),
        ("def add(a, b) return a + b", 0),
    ],
)
def test_the_program_of_a_response_is_judged(response: str, score: int) -> None:
    verdict = judge(CALLS, response)
    assert (verdict.status, verdict.score) == (Status.SCORED, score), verdict


def test_a_verdict_lists_test_results_and_the_first_failure() -> None:
    verdict = judge(CALLS, "def add(a, b): return 0")
    assert verdict.reason == "1 of 2 tests pass: -+ (test 1: returned 0)"
    assert verdict.method == "tests"
    assert tenfold.verify(CALLS, "def add(a, b): return 0", verifier="code_share").score == 0.5


def test_a_program_may_complete_its_header() -> None:
    header = "from math import floor\n\ndef half(x):\n    return x / 2\n\ndef f(x):\n    'half of x, rounded down'\n"
    answer = {"entry_point": "f", "test": "def check(candidate):\n    assert candidate(5) == 2", "header": header}
    assert judge(answer, "    return floor(half(x))\n").score == 1
    assert judge(answer, "def f(x):\n    return floor(half(x))\n").score == 1
    assert judge(answer, "    return floor(half(x))\n```\nThat rounds it down.").score == 1
    assert judge(answer, "    pass").score == 0


@pytest.mark.parametrize(
    ("options", "output", "returned", "score"),
    [
        ({}, 0.3, "0.1 + 0.2", 1),
        ({}, [0.3, [0.7]], "[0.1 + 0.2, [0.6 + 0.1]]", 1),
        ({}, {"a": 0.3}, "{'a': 0.1 + 0.2}", 1),
        ({}, [0.3], "[0.3001]", 0),
        ({}, [0.3], "[0.30001]", 0),
        ({}, [0.3, 1.0], "[1.0, 0.3]", 0),
        ({}, [0.3], "[0.3, 0.3]", 0),
        ({}, 1e-9, "0.0", 0),
        ({}, 1e-9, "2e-9", 0),
        ({}, 0.0, "1e-17", 1),
        ({}, 1e12, "1e12 + 1e-3", 1),
        ({}, 1e6, "1e6 + 0.5", 0),
        ({}, 0.5, "float('nan')", 0),
        ({}, 0.5, "float('inf')", 0),
        ({}, [0.3], "['0.3']", 0),
        ({"tolerance": 0}, 0.3, "0.1 + 0.2", 0),
        ({"tolerance": 1e-6}, 0.3, "0.1 + 0.2", 1),
        ({"tolerance": 1e-6}, [0.3, 1], "[0.1 + 0.2, 1]", 1),
        ({"tolerance": 1e-6}, 3, "3.0", 0),
        ({}, [1, 2], "[2, 1]", 0),
        ({"unordered": True}, [1, 2, 2], "[2, 1, 2]", 1),
        ({"unordered": True}, [1, 2, 2], "[1, 1, 2]", 0),
        ({}, {1, 2}, "{2, 1}", 1),
        ({}, {"a": [1]}, "{'a': [1]}", 1),
        ({}, {"a": 1, "b": 2}, "dict(b=2, a=1)", 1),
        ({}, (1, 2), "[1, 2]", 0),
        ({}, True, "1", 0),
        ({}, 2**99, "2 ** 99", 1),
        ({}, float("inf"), "float('inf')", 1),
        ({}, None, "None", 1),
        ({}, b"x", "b'x'", 1),
        ({}, {"a": 1}, "__import__('collections').Counter('a')", 1),
        ({}, 5, "__import__('numpy').int64(5)", 1),
        ({"checker": "def check(arguments, output, expected): return sorted(output) == expected"}, [1, 2], "[2, 1]", 1),
        ({"checker": "def check(arguments, output, expected): return sorted(output) == expected"}, [1, 2], "7", 0),
    ],
)
def test_values_compare_by_type_and_content(options: dict[str, Any], output: Any, returned: str, score: int) -> None:
    answer = {"entry_point": "f", "calls": [{"output": output}], **options}
    assert judge(answer, f"def f(): return {returned}").score == score


@pytest.mark.parametrize(
    "answer",
    [
        {"asserts": ["class Tests:\n    def test(self):\n        assert add(1, 2) == 3\nTests().test()"]},
        {"setup": "from __future__ import annotations", "asserts": ["assert add(1, 2) == 3"]},
        {
            "setup": "def holds(f, x, y):\n    return f(*x) == y",
            "asserts": ["assert holds(add, (1, 2), 3)"],
            "functions": ["add"],
        },
    ],
)
def test_assertions_in_classes_and_behind_future_imports(answer: Any) -> None:
    assert code.invalid_gold(Problem("p", (), answer, "here")) is None
    assert judge(answer, ADD).score == 1
    assert judge(answer, "def add(a, b): return 7").score == 0


def test_parameters_of_the_tests_own_functions_are_not_the_program_s_functions() -> None:
    source = "async def check(f, *rest, key=None):\n    return f(*rest) or key()\nassert check(inc, 1)\nassert inc(2) == 3"
    assert forms.undefined_calls(source) == ["inc"]


@pytest.mark.parametrize("name", ["at", "fails_at", "raises_to"])
def test_the_name_of_the_judged_function_does_not_change_a_share(name: str) -> None:
    asserts = [f"assert {name}({number}) == {number}" for number in (0, 1, 2)]
    assert judge({"asserts": asserts}, f"def {name}(x): return x or 9", share=True).score == pytest.approx(2 / 3)


@pytest.mark.parametrize("leaving", ["exit()", "quit(0)", "sys.exit()", "sys.exit(None)", "raise SystemExit", "os._exit(0)"])
def test_an_exit_does_not_count_as_returning_none(leaving: str) -> None:
    program = f"import os, sys\ndef f(): {leaving}"
    assert judge({"entry_point": "f", "calls": [{"output": None}]}, program).score == 0
    assert judge({"entry_point": "f", "test": "def check(c):\n    assert c() is None"}, program).score == 0
    assert judge({"asserts": ["assert f() == None"], "functions": ["f"]}, program).score == 0
    assert judge({"entry_point": "f", "calls": [{"output": None}]}, "def f(): return None\nexit()").score == 1


def test_assertions_run_in_a_separate_process() -> None:
    answer = {
        "asserts": ["assert add(1, 2) == 3", "assert math.isclose(add(.1, .2), .3)", "assert add([1], [2]) == [1, 2]"],
        "setup": "import math",
    }
    assert judge(answer, ADD).score == 1
    assert judge(answer, "def add(a, b): return int(a + b)").reason.startswith("1 of 3 tests pass: +--")


FLOOD = """
import json, os, struct
body = json.dumps({"value": {"set": [i * (2**61 - 1) for i in range(100000)]}}).encode()
def f():
    sent = struct.pack("<I", len(body)) + body
    while sent:
        sent = sent[os.write(3, sent):]
    os._exit(0)
"""


def test_a_set_of_colliding_numbers_is_compared_without_being_constructed() -> None:
    verdict = judge({"entry_point": "f", "calls": [{"output": {1, 2}}]}, FLOOD)
    assert (verdict.status, verdict.score) == (Status.SCORED, 0)
    assert "returned" in verdict.reason


def test_an_endless_loop_is_a_timeout() -> None:
    verdict = judge(CALLS | {"limits": {"cpu_seconds": 0.2, "wall_seconds": 3}}, "def add(a, b):\n    while True: pass")
    assert (verdict.status, verdict.score) == (Status.TIMEOUT, 0)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        None,
        {"calls": []},
        {"entry_point": "f", "test": "x = 1\ndef check(c): pass"},
        {"asserts": ["assert ("]},
        {"calls": [{"output": 1}]},
        CALLS | {"limits": {"cpus": 1}},
        CALLS | {"limits": {"cpu_seconds": float("inf")}},
        CALLS | {"limits": {"memory": 5e8}},
        CALLS | {"limits": [5]},
        CALLS | {"tolerance": "0.1"},
        CALLS | {"tolerance": -1},
        CALLS | {"tolerance": float("nan")},
        CALLS | {"header": ["import math"]},
        CALLS | {"checker": "def check(arguments: return True"},
        {"asserts": ["assert add(1, 2) == 3"], "functions": "add"},
        {"asserts": ["assert add(1, 2) == 3"], "setup": ["import math"]},
        {
            "asserts": ["import pytest\n@pytest.mark.parametrize('x', [1])\ndef test(x): assert add(x, 1) == 9"],
            "functions": ["add"],
        },
        {"asserts": ["def test_add():\n    assert add(1, 2) == 4"]},
        {"asserts": ["class Tests:\n    def test_add(self):\n        self.assertEqual(add(1, 2), 4)"], "functions": ["add"]},
        {
            "asserts": [
                "import unittest\nclass T(unittest.TestCase):\n    def test(t): t.assertEqual(add(1, 2), 4)\nunittest.main()"
            ]
        },
    ],
)
def test_a_problem_without_usable_tests_is_undecided(answer: Any) -> None:
    assert code.invalid_gold(Problem("p", (), answer, "here"))
    verdict = judge(answer, ADD)
    assert (verdict.status, verdict.score) == (Status.UNDECIDED, None)


def test_a_sandbox_failure_is_retried_once_and_then_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    real, failures = sandbox.shared(), [1]

    class Failing:
        def run(self, *arguments: Any, **keywords: Any) -> Any:
            if failures:
                failures.pop()
                raise SandboxFault("the service is down")
            return real.run(*arguments, **keywords)

    monkeypatch.setattr(sandbox, "shared", Failing)
    assert judge(CALLS, ADD).score == 1
    failures.extend([1, 1])
    verdict = judge(CALLS, ADD)
    assert (verdict.status, verdict.score, verdict.reason) == (Status.FAULT, None, "the service is down")


def test_identical_programs_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    real, runs = sandbox.shared(), []

    class Counting:
        def run(self, program: str, *arguments: Any, **keywords: Any) -> Any:
            runs.append(program)
            return real.run(program, *arguments, **keywords)

    counting = Counting()
    monkeypatch.setattr(sandbox, "shared", lambda: counting)
    other = {**CALLS, "calls": [{"arguments": [1, 2], "output": 4}]}
    with ThreadPoolExecutor(8) as threads:
        verdicts = list(threads.map(lambda number: judge(CALLS, ADD if number % 2 else f"{ADD}\n"), range(16)))
    assert {verdict.score for verdict in verdicts} == {1}
    assert len(runs) == 2
    assert judge(other, ADD).score == 0, "the same program by other tests"
    assert len(runs) == 3


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
KEYS = st.integers() | st.text() | st.tuples(st.integers(), st.text())
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(KEYS, inner) | st.frozensets(KEYS) | st.sets(KEYS)
    ),
    max_leaves=10,
)


def test_integers_with_many_digits_are_compared() -> None:
    answer = {"entry_point": "f", "calls": [{"output": 10**5000}]}
    assert judge(answer, "def f(): return 10 ** 5000").score == 1
    assert judge(answer, "def f(): return 10 ** 5000 + 1").score == 0


@given(VALUES)
def test_values_survive_encoding_and_decoding(value: Any) -> None:
    assert decode(encode(value)) == value
    assert type(decode(encode(value))) is type(value)
    assert equality.same(encode(value), encode(value))


@given(VALUES, VALUES)
def test_encoded_values_are_equal_if_and_only_if_the_values_are(one: Any, other: Any) -> None:
    if equality.same(encode(one), encode(other)):
        assert one == other
    if one != other:
        assert not equality.same(encode(one), encode(other))


def test_missing_protections_are_reported_when_the_environment_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenfold.verifiers.sandbox.system_calls.compiled", lambda: b"no filter")
    box = sandbox.LocalSandbox(workers=1)
    monkeypatch.setattr(sandbox, "shared", lambda: box)
    with pytest.raises(UserError, match="it lacks seccomp"):
        tenfold.make("tenfold/HumanEval-v0")
    lenient = sandbox.LocalSandbox(workers=1, without=["seccomp"])
    monkeypatch.setattr(sandbox, "shared", lambda: lenient)
    with pytest.warns(UserWarning, match="runs without seccomp"):
        tenfold.make("tenfold/HumanEval-v0")
    box.close()
    lenient.close()


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (None, "no program"),
        (b"def add(a, b): return a + b", "no program"),
        ("def add(a, b): return a + b #" + "x" * (2 << 20), "more than"),
        ("x = [" + "0, " * (1 << 19) + "]", "more than"),
        ("def add(a, b): return '\0'", "0 of 2"),
        ("def add(a, b): return a + b\n" + "(" * 100_000, "0 of 2"),
        ("def add(a, b):\n" + "\n".join(" " * n + "if a:" for n in range(1, 200)), "0 of 2"),
        ("\ud800 = 1", "0 of 2"),
    ],
)
def test_a_response_without_a_program_scores_0(response: Any, words: str) -> None:
    verdict = judge(CALLS, response)
    assert (verdict.status, verdict.score) == (Status.SCORED, 0.0), verdict
    assert words in verdict.reason
    assert judge(CALLS, ADD).score == 1


def test_all_calls_share_a_wall_time_limit() -> None:
    answer = {"asserts": [f"assert f({n}) == {n}" for n in range(20)], "functions": ["f"], "limits": {"wall_seconds": 1}}
    # Each call ends within the limit, so a separate limit for each call would let all pass.
    assert judge(answer, "import time\ndef f(n):\n    time.sleep(0.7)\n    return n").score == 0


@pytest.mark.parametrize(
    "answer",
    [
        {"entry_point": "f", "calls": [{"arguments": [], "output": 1}], "limits": {"wall_seconds": "x"}},
        {"entry_point": "f", "calls": [{"arguments": [1]}]},
        {"entry_point": "f", "calls": [{"arguments": 5, "output": 1}]},
        {"entry_point": "f", "calls": [5]},
        {"entry_point": "f", "calls": "x"},
        {"entry_point": 5, "calls": [{"arguments": [], "output": 1}]},
        {"entry_point": "f", "calls": [{"arguments": [{"a": 1, "b": 2}], "output": 1}], "encoded": True},
        {"asserts": [5]},
        {"asserts": ["f(1)"]},
        {"entry_point": "f", "calls": [{"arguments": [], "output": 1}], "checker": "def check(a, o, e): return 1 +"},
        {"entry_point": "f", "calls": [{"arguments": [], "output": 1}], "checker": "import no_such_module"},
        {"entry_point": "f", "calls": [{"arguments": [], "output": 1}], "checker": "def checks(a, o, e): return True"},
        {"entry_point": "f", "calls": [{"arguments": []}], "checker": None},
        {"asserts": ["assert f()"], "limits": {"memory": -1}},
        {"stdin": [{"input": "1"}]},
        {"stdin": [{"input": 1, "output": "1"}]},
        {"test": "def check(f): assert f()"},
        [],
        None,
    ],
)
def test_malformed_tests_are_undecided_and_never_public(answer: Any) -> None:
    verdict = judge(answer, "def f(*a): return 1")
    assert (verdict.status, verdict.score) == (Status.UNDECIDED, None), verdict
    if isinstance(answer, dict):
        assert all(isinstance(test, str) for test in forms.public_test_texts(answer | {"public": 1}))


def test_public_tests_have_the_form_that_is_judged() -> None:
    hidden = "def check(f):\n    assert f(1) == 1\n    assert f(2) == 2"
    assert forms.public_tests({"entry_point": "f", "test": hidden, "asserts": ["assert f(1) == 1"], "public": 1}) is None
    checked = {
        "entry_point": "f",
        "calls": [{"arguments": [4]}],
        "checker": "def check(a, o, e): return o == a[0]",
        "public": 1,
    }
    assert judge(checked, "def f(x): return x").score == 1
    assert forms.public_test_texts(checked) == ["f(4)"]
    both = {"entry_point": "f", "calls": [{"arguments": [], "output": 1}], "asserts": ["assert f() == 2"], "public": 1}
    assert forms.public_tests(both) == {"entry_point": "f", "calls": both["calls"], "public": 1}
