"""Verifies programs of LiveBench's category coding. They run in the sandbox.

`problem.answer` is `golds.LiveBenchGold`, with one of these rules:

    live_code_bench   tests of LiveCodeBench, run as the verifier `code` does with `protocol: livecodebench`. Tasks
                      LCB_generation and coding_completion
    unit_tests        a class TestCases, in the same process as the program. Tasks code_generation and code_completion

As in LiveBench, unit tests share a process with the program that they judge. A program that exits early is detected. Use these
questions for measuring, not for training.
"""

import dataclasses
import secrets
from collections.abc import Mapping
from typing import cast

from ...core import Problem, Status, UserError, Verdict
from ...golds import LiveBenchGold
from ...responses import without_thinking, without_turn_end
from .. import code, fullstack
from ..sandbox import RunStatus, SandboxFault
from ..verifier import MAX_REASON_CHARACTERS, as_verifier

FENCE = "```"
SECONDS = 25.0
"""Time limit of unit tests whose question names none, in seconds."""
_UNIT_TESTS = """import io as _io, os as _os, sys as _sys, types as _types, unittest as _unittest
_module = _types.ModuleType("__test__")
_module.__dict__.update(__file__="__test__.py", sys=_sys, os=_os, environ=_os.environ)
_sys.modules["__test__"] = _module
_write, _sys.stdout, _sys.stderr = _os.write, _io.StringIO(), _io.StringIO()
exec(compile({source!r}, "__test__.py", "exec"), _module.__dict__)
_result = _unittest.TestResult()
_unittest.TestLoader().loadTestsFromTestCase(_module.TestCases).run(_result)
_issues = _result.failures + _result.errors
if not _issues:
    _write(1, {word!r})
"""
"""Runs a program with its test class, in a module with the name that LiveBench gives it. A word at the end says that all tests
have passed."""


def invalid_gold(problem: Problem) -> str | None:
    """Returns the reason why no program could be judged by the problem's tests, or None."""
    answer = problem.answer if isinstance(problem.answer, Mapping) else {}
    rule = answer.get("rule")
    if rule == "live_code_bench":
        return code.invalid_gold(dataclasses.replace(problem, answer=answer.get("tests")))
    if rule != "unit_tests" or not isinstance(answer.get("unit_tests"), str):
        return "the answer has no tests of LiveBench"
    missing = [name for name in answer.get("imports", ()) if not fullstack.is_importable(name)]
    return f"the tests need the package {missing[0]}: pip install 'tenfold[fullstack]'" if missing else None


@as_verifier(invalid_gold=invalid_gold, prepare=code.prepare)
def verify(problem: Problem, response: str) -> Verdict:
    """Scores 1 if the response's program passes all tests, else 0.

    Args:
        problem: the problem.
        response: the response.
    """
    if (reason := invalid_gold(problem)) is not None:
        return Verdict(Status.UNDECIDED, None, "tests", reason[:MAX_REASON_CHARACTERS])
    gold, text = cast(LiveBenchGold, problem.answer), without_turn_end(without_thinking(response))
    return _live_code_bench(gold, text) if gold["rule"] == "live_code_bench" else _unit_tests(gold, text)


def _live_code_bench(gold: LiveBenchGold, text: str) -> Verdict:
    program = with_start(gold, program_of(text))
    if not program.strip():
        return Verdict(Status.SCORED, 0.0, "extract", "the response contains no program")
    return code.verify_program(program, gold["tests"], protocol="livecodebench")


def _unit_tests(gold: LiveBenchGold, text: str) -> Verdict:
    program = with_start(gold, program_of(text))
    if len(program) > code.MAX_PROGRAM:
        return Verdict(Status.SCORED, 0.0, "extract", f"a program of more than {code.MAX_PROGRAM} characters")
    word = secrets.token_hex(8)
    seconds = gold.get("seconds", SECONDS)
    limits = dataclasses.replace(fullstack.LIMITS, cpu_seconds=seconds, wall_seconds=seconds)
    script = _UNIT_TESTS.format(source=f"{program}\n{gold['unit_tests']}", word=word.encode())
    try:
        outcome = fullstack.python_sandbox()[0].run(script, limits=limits)
    except (SandboxFault, UserError) as error:
        return Verdict(Status.FAULT, None, "sandbox", str(error)[:MAX_REASON_CHARACTERS])
    reason = outcome.reason[:MAX_REASON_CHARACTERS]
    if outcome.status == RunStatus.TIMEOUT:
        return Verdict(Status.TIMEOUT, 0.0, "tests", reason)
    passed = outcome.status == RunStatus.FINISHED and word in outcome.stdout
    return Verdict(Status.SCORED, float(passed), "tests", reason or ("the tests pass" if passed else "a test fails"))


def program_of(text: str) -> str:
    """Returns the lines between the last two lines with a fence; without two fences, the text without a fence at its end."""
    lines = text.rstrip().split("\n")
    fences = [number for number, line in enumerate(lines) if FENCE in line]
    if len(fences) > 1:
        return "\n".join(lines[fences[-2] + 1 : fences[-1]])
    if len(text) > 1 and text[0] == text[-1] == "`":
        return text[1:-1]
    return "\n".join(lines[:-1]) if fences == [len(lines) - 1] else text.rstrip()


def with_start(gold: LiveBenchGold, program: str) -> str:
    """Returns a program with the part that the question gives, unless the response repeats it.

    Without such a part, the code of the question comes before a program that does not define the required function.
    """
    if start := gold.get("start"):
        return program if program.startswith(start) else f"{start}\n{program}"
    entry = gold.get("entry_point")
    return f"{gold.get('code', '')}\n{program}" if entry and f"def {entry}" not in program else program
