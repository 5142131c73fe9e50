"""Forms of tests: functions that the tests call or pass on, and options of any type."""

from typing import Any

import pytest

from tenfold.core import Problem, Verdict
from tenfold.verifiers import code

pytestmark = pytest.mark.usefixtures("sandboxed")

CALLS = {"entry_point": "add", "calls": [{"arguments": [1, 2], "output": 3}]}
ADD = "def add(a, b):\n    return a + b\n"


def judge(answer: Any, response: str) -> Verdict:
    return code.verify(Problem("p", (), answer, "here"), response)


@pytest.mark.parametrize(
    "source",
    [
        "def test_add():\n    assert add(1, 2) == 3\nfor name in [n for n in globals() if 'test' in n]:\n    globals()[name]()",
        "def run(test):\n    test()\n@run\ndef _():\n    assert add(1, 2) == 3",
        "class Checked:\n    def __init__(self):\n        assert add(1, 2) == 3\nChecked()",
    ],
)
def test_functions_of_the_tests_may_run_without_being_named(source: str) -> None:
    answer = {"asserts": [source], "functions": ["add"]}
    assert code.invalid_gold(Problem("p", (), answer, "here")) is None
    assert judge(answer, ADD).score == 1
    assert judge(answer, "def add(a, b): return 7").score == 0


def test_an_option_that_is_none_is_as_if_it_were_missing() -> None:
    names = ("setup", "header", "footer", "checker", "language", "functions", "tolerance", "limits")
    answer = CALLS | dict.fromkeys(names)
    assert code.invalid_gold(Problem("p", (), answer, "here")) is None
    assert judge(answer, ADD).score == 1
    assert code.complete_program("x = 1", answer) == "x = 1"


@pytest.mark.parametrize("check", ["list(map(add_1, [1, 2])) == [2, 3]", "min([3, -9], key=add_1) == -9", "add_1(inf) == inf"])
def test_a_judged_function_may_be_an_argument(check: str) -> None:
    answer = {"setup": "from math import *" if "inf" in check else "", "asserts": [f"assert {check}"]}
    response = "```python\ndef add_1(x): return x + 1\n```\nAn example:\n```python\nprint(add_1(1))\n```"
    assert judge(answer, response).score == 1
    assert judge(answer, response.replace("x + 1", "-x")).score == 0
