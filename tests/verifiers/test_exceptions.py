"""Exceptions of a program in the tests that call it: errors reach the tests unchanged, anything else is a failure."""

import pytest

from tenfold.core import Problem, Verdict
from tenfold.verifiers import code

pytestmark = pytest.mark.usefixtures("sandboxed")


def judge(tests: str, program: str, share: bool = False) -> Verdict:
    answer = {"asserts": [tests], "functions": ["f"]}
    return (code.verify_share if share else code.verify)(Problem("p", (), answer, "here"), program)


RIGHT = """
import json
class Refused(ValueError): pass
def f(x):
    if x == "json": return json.loads("{")
    if x == "bytes": return b"\\xff".decode()
    if x == "file": return open("/there/is/none")
    if x == "own": raise Refused("not this")
    if x < 0: raise ValueError("negative", x)
    return x + 1
"""
"""A program that adds 1 and raises for negative numbers."""
EXPECT_AN_ERROR = {
    "try": "try:\n    f(-1)\n    assert False, 'no error'\nexcept ValueError:\n    pass",
    "else": "try:\n    f(-1)\nexcept ValueError as error:\n    assert error.args == ('negative', -1)\nelse:\n    assert False",
    "in an assertion": "try:\n    assert f(-1) == 0\n    raise KeyError\nexcept ValueError:\n    pass",
    "a helper": """
def raises(kind, call):
    try:
        call()
    except kind:
        return True
    return False
assert raises(ValueError, lambda: f(-1))
assert not raises(ValueError, lambda: f(1))""",
    "a helper that asserts": """
def check():
    assert f(1) == 3
try:
    check()
    raise SystemExit(1)
except AssertionError:
    pass
assert f(1) == 2""",
    "with": """
import contextlib
@contextlib.contextmanager
def raises(kind):
    try:
        yield
    except kind:
        return
    raise AssertionError
with raises(ValueError):
    f(-1)
assert f(1) == 2""",
    "unittest": """
import unittest
case = unittest.TestCase()
with case.assertRaisesRegex(ValueError, "negative"):
    f(-1)
case.assertRaises(ValueError, f, -1)""",
    "any error": "try:\n    f(-1)\nexcept Exception:\n    pass\nelse:\n    raise AssertionError",
    "a subclass": """
for bad, kind in (("own", ValueError), ("json", ValueError), ("bytes", UnicodeDecodeError), ("file", FileNotFoundError)):
    try:
        f(bad)
    except kind:
        continue
    raise AssertionError""",
    "a way that is not taken": "if f(1) != 2:\n    assert False, 'wrong'",
}


@pytest.mark.parametrize("form", EXPECT_AN_ERROR)
def test_tests_that_expect_an_error_accept_only_programs_that_raise_it(form: str) -> None:
    tests = EXPECT_AN_ERROR[form]
    verdict = judge(tests, RIGHT)
    assert verdict.score == 1, verdict
    for wrong in ("return None", "raise StopIteration", "raise SystemExit(0)", "import os; os._exit(0)"):
        assert judge(tests, f"def f(x): {wrong}").score == 0, wrong


def test_no_test_can_expect_that_a_function_is_missing() -> None:
    for kind in ("KeyError", "NameError", "Exception"):
        tests = f"try:\n    f('x')\n    assert False\nexcept {kind}:\n    pass"
        assert judge(tests, f"def f(x): raise {kind}").score == 1
        missing = judge(tests, "def g(x): return 1")
        assert (missing.score, "name 'f' is not defined" in missing.reason) == (0, True)


CALLS_IN = {
    "zip": "for x, y in zip(map(f, [1, 2]), [2, 3]):\n    assert x == y",
    "all": "assert all(x > 0 for x in map(f, [1, 2]))\nassert all(map(f, [1, 2]))",
    "list": "assert list(map(f, [1, 2])) in ([], [2, 3])",
    "iter": "assert 2 not in [*iter(lambda: f(1), 2)]",
    "next": "assert next(map(f, [1]), 2) == 2",
    "generator": "def each():\n    for x in (1, 2):\n        yield f(x)\nassert sum(each()) in (0, 5)",
    "except Exception": "try:\n    assert f(1) == 2\nexcept Exception:\n    pass",
    "except": "try:\n    assert f(1) == 2\nexcept:\n    pass",
    "finally": "def g():\n    try:\n        return f(1)\n    finally:\n        return 2\nassert g() == 2",
    "suppress": "import contextlib\nwith contextlib.suppress(BaseException):\n    f(1)\nassert 1 == 1",
    "assertRaises": "import unittest\nunittest.TestCase().assertRaises(BaseException, lambda: 1 / (f(1) - 2))",
    "a check": "def check(candidate):\n    for x, y in zip(map(candidate, [1]), [2]):\n        assert x == y\ncheck(f)",
}
LEAVES = {
    "the end of a loop": "raise StopIteration",
    "its own end of a loop": "raise type('End', (StopIteration, ValueError), {})",
    "the end of an asynchronous loop": "raise StopAsyncIteration",
    "the end of a generator": "raise GeneratorExit",
    "an interrupt": "raise KeyboardInterrupt",
    "an exit": "raise SystemExit(0)",
    "an exit with words": "import sys; sys.exit('all tests pass')",
    "its own": "raise type('ValueError', (BaseException,), {})('x')",
    "a class that lies": "raise Liar('x')",
    "a group": "raise BaseExceptionGroup('x', [KeyboardInterrupt()])",
    "the end of its process": "import os; os._exit(0)",
}
LIAR = """
class Lies(type):
    def __instancecheck__(cls, one): return True
    def __subclasscheck__(cls, one): return True
    def __eq__(cls, other): return True
    def __hash__(cls): return 0
class Liar(BaseException, metaclass=Lies):
    def __str__(self): raise KeyboardInterrupt
    args = property(lambda self: 1 / 0)
"""


@pytest.mark.parametrize("way", CALLS_IN)
def test_anything_but_an_error_fails_whatever_the_tests_catch(way: str) -> None:
    assert judge(CALLS_IN[way], "def f(x): return x + 1").score == 1
    for leaving in LEAVES if way in ("zip", "except") else ("the end of a loop", "its own", "the end of its process"):
        verdict = judge(CALLS_IN[way], f"{LIAR}def f(x):\n    {LEAVES[leaving]}")
        assert (verdict.status, verdict.score) == ("scored", 0), (leaving, verdict)


def test_an_unexpected_error_fails_its_assertion_and_the_next_assertion_runs() -> None:
    program = (
        "import warnings\nwarnings.simplefilter('error')\ndef f(x):\n    if x == 1: warnings.warn('odd')\n    return x + 1"
    )
    verdict = judge("assert f(1) == 2\nassert f(2) == 3\nassert f(3) == 5", program, share=True)
    assert verdict.reason.startswith("1 of 3 tests pass: -+-")
    leaves = "def f(x):\n    if x == 1: raise KeyboardInterrupt\n    return x + 1"
    assert judge("assert f(1) == 2\nassert f(2) == 3", leaves, share=True).score == 0.5


def test_tests_never_get_objects_of_the_programs_classes() -> None:
    yes = (
        "class Yes:\n    def __eq__(self, other): return True\n    def __iter__(self): return iter([])\ndef f(x): return Yes()"
    )
    for tests in (
        "assert f(1) == 2",
        "assert not f(1) != 2",
        "for x, y in zip(f(1), [2]):\n    assert x == y",
        "assert 2 in f(1)",
    ):
        assert judge(tests, yes).score == 0


def test_a_loop_without_iterations_tests_nothing() -> None:
    assert judge("for x, y in zip(f(1), [2]):\n    assert x == y\nassert f(1) == []", "def f(x): return []").score == 0


def test_tests_without_an_assertion_are_undecided() -> None:
    assert judge("f(1)", "def f(x): return x").status == "undecided"
