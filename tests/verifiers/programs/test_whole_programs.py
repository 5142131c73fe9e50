"""Programs that are judged by what they print (the form `stdin`)."""

from typing import Any

import pytest

from tenfold.core import Problem, Status, Verdict
from tenfold.verifiers import code
from tenfold.verifiers.programs import whole_programs

pytestmark = pytest.mark.usefixtures("sandboxed")


def judge(answer: Any, response: str, share: bool = False) -> Verdict:
    return (code.verify_share if share else code.verify)(Problem("p", (), answer, "here"), response)


def test_whole_programs_are_judged_by_what_they_print() -> None:
    answer = {"stdin": [{"input": "1 2\n", "output": "3\n"}, {"input": "4 5", "output": "9"}]}
    assert judge(answer, "print(sum(map(int, input().split())))").score == 1
    assert judge(answer, "print(3)").reason.startswith("1 of 2 tests pass: +-")
    assert judge({"stdin": [{"input": "", "output": "0.3"}], "tolerance": 1e-6}, "print(0.1 + 0.2)").score == 1
    assert judge({"stdin": [{"input": "", "output": "1 2\n3"}]}, "print('1  2 ')\nprint(3)\nprint()").score == 1
    assert judge({"stdin": [{"input": "", "output": "1 2\n3"}]}, "print(1, 2, 3)").score == 0


def test_stdin_tests_share_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_programs, "STDIN_FACTOR", 1)
    tests = [{"input": str(number), "output": "x"} for number in range(6)]
    answer = {"stdin": tests, "limits": {"output": 1000, "cpu_seconds": 60, "wall_seconds": 600}}
    verdict = judge(answer, "print('x' + ' ' * 700)")
    assert (verdict.score, verdict.reason[:25]) == (0, "2 of 6 tests pass: ++----")
    assert "(test 3: all tests together use more than 1 times the limit on output)" in verdict.reason
    patient = judge({**answer, "limits": {"cpu_seconds": 60, "wall_seconds": 1}}, "import time; time.sleep(0.6); print('x')")
    assert patient.status == Status.TIMEOUT
    assert judge({**answer, "limits": {"wall_seconds": 600}}, "print('x')").score == 1


def test_a_time_limit_gives_no_share_of_the_score_in_any_form() -> None:
    program = "n = int(input())\nwhile n == 2: pass\nprint(n)"
    tests = [{"input": "0", "output": "0"}, {"input": "1", "output": "9"}, {"input": "2", "output": "2"}]
    verdict = judge({"stdin": tests, "limits": {"cpu_seconds": 1}}, program, share=True)
    assert (verdict.status, verdict.score, verdict.reason[:22]) == (Status.TIMEOUT, 0.0, "1 of 3 tests pass: +--")


def test_the_expected_output_never_exceeds_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_programs, "STDIN_FACTOR", 1)
    answer = {
        "stdin": [{"input": "", "output": "x" * 700}] * 4,
        "limits": {"output": 1000, "cpu_seconds": 60, "wall_seconds": 600},
    }
    assert judge(answer, "print('x' * 700)").score == 1


@pytest.mark.parametrize(
    ("program", "score"),
    [
        ("import os\nprint(int(input()) + 1, flush=True)\nos._exit(0)", 1),
        ("import os\nprint(int(input()) + 1)\nos._exit(0)", 0),
        ("import os\nprint(int(input()) + 1, flush=True)\nos._exit(1)", 0),
        ("print(int(input()) + 1)\nexit(1)", 0),
        ("print(int(input()) + 1)\n1 / 0", 0),
        ("print(int(input()) + 1)\nraise SystemExit('done')", 0),
        ("print(int(input()) + 1)\nimport atexit\natexit.register(print, 'bye')", 0),
        ("import sys\nsys.exit(print(int(input()) + 1))", 1),
        ("def main():\n    print(int(input()) + 1)\nif __name__ == '__main__':\n    main()", 1),
        ("def main():\n    print(int(input()) + 1)\nif __name__ == 'solution':\n    main()", 0),
        ("import threading\nthreading.Thread(target=lambda: print(int(input()) + 1)).start()", 1),
        ("class A:\n    def __del__(self): print(int(input()) + 1)\na = A()", 1),
        ("import sys, io\nsys.stdout = io.StringIO()\nprint(int(input()) + 1)", 0),
        ("print(input())", 0),
    ],
)
def test_a_whole_program_runs_to_the_end_of_its_process(program: str, score: int) -> None:
    assert judge({"stdin": [{"input": "5\n", "output": "6"}]}, f"```python\n{program}\n```").score == score


def test_line_ends_of_a_data_set_are_normalized() -> None:
    answer = {"stdin": [{"input": "abc\r\n2\r\n", "output": "cba\r\n2\r\n"}]}
    assert judge(answer, "print(input()[::-1])\nprint(input())").score == 1
