"""Verifies a program by its tests. The program runs in the sandbox; its results are compared in another process.

`problem.answer` contains the tests, in one of these forms:

    {"entry_point": "add", "calls": [{"arguments": [1, 2], "output": 3}, ...]}      calls with expected values
    {"entry_point": "add", "test": "def check(candidate): assert candidate(1, 2) == 3", "setup": ""}      HumanEval's form
    {"asserts": ["assert add(1, 2) == 3", ...], "setup": "import math", "functions": ["add"]}      MBPP's form
    {"stdin": [{"input": "1 2", "output": "3"}, ...]}      whole programs

The judged program never shares a process with an expected value. It gets copies of the arguments and returns data, so tests do
not see a change that it makes to an argument. Values are compared in this process, by type and content; a checker runs in a
second sandboxed process. Tests that are themselves programs run in a second sandboxed process; their calls of the judged
functions are passed on to the program's process. `sandbox/inside/errors.py` describes which exceptions tests may expect.

"functions" of `asserts` names the judged functions; default: those that the tests call or pass on and do not define.

Options of `calls`: "tolerance" (relative and absolute, for floats; `equality.py` has the default) and "unordered": true
(compare lists as multisets); or "checker", a program that defines check(arguments, output, expected) -> bool. Options of
`stdin`: "tolerance", and "language" for languages other than Python (see `sandbox/languages.py`). "limits" contains fields of
`sandbox.Limits`. "encoded": true means that arguments, keywords and outputs of `calls` are JSON made by `wire.encode` of
`sandbox/inside/wire.py`, a form that preserves tuples and sets. "public" is the number of tests, from the first, that a policy
may read. "header" and "footer" are code around every program.
"""

import hashlib
import json
import pickle
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import cast

import cachetools

from ..core import Problem, Status, UserError, Verdict
from ..golds import CallTest, CodeTests
from ..responses import without_thinking, without_turn_end
from . import sandbox
from .budget import SECONDS, limit
from .programs import live_code_bench, selection, whole_programs
from .programs.equality import same, within
from .programs.forms import NoTests, TestResults, calls_of, checker_of, form_of, instrumented, limits_of, undefined_calls
from .sandbox import (
    Call,
    CallResult,
    EncodedCall,
    Outcome,
    ProgramEnded,
    RunStatus,
    Sandbox,
    SandboxFault,
    Session,
)
from .sandbox.inside import errors
from .sandbox.inside.wire import encode
from .verifier import MAX_REASON_CHARACTERS, as_verifier

MAX_PROGRAM = 1 << 20
"""Maximum number of characters of a program. A longer one scores 0. Our choice."""
CALLS_FACTOR = 4
"""All calls that tests make to one program may together take this many times its limit on wall time. Our choice."""
PROTOCOLS = ("own", "livecodebench")
"""Rules by which a response is judged; see `verify`."""
CACHE_SIZE = 10_000
"""Number of programs whose test results are kept, the most recently used."""


def prepare() -> None:
    """Starts the sandbox, so that a missing protection, package or key is reported before the first program runs.

    Raises:
        UserError: the sandbox cannot work here. The message says what is missing and what to do.
    """
    box = sandbox.shared()
    if isinstance(box, sandbox.LocalSandbox):
        try:
            missing = box.missing()
        except SandboxFault as fault:
            raise UserError(f"the sandbox does not start: {fault}") from None
        if missing:
            parts = ", ".join(sorted(missing))
            warnings.warn(f"the sandbox runs without {parts}, as TENFOLD_SANDBOX_WITHOUT allows", stacklevel=3)


def invalid_gold(problem: Problem) -> str | None:
    """Returns the reason why no program could be judged by the problem's tests, or None."""
    if not isinstance(problem.answer, Mapping):
        return _NO_MAPPING
    try:
        form = form_of(tests := cast(CodeTests, problem.answer))
        limits_of(tests)
        if form == "calls":
            calls_of(tests)
            checker_of(tests)
        elif form == "stdin":
            whole_programs.language_of(tests)
        elif not instrumented(_SOURCE[form](tests)).has_checks:
            return _NO_CHECKS
    except NoTests as error:
        return str(error)[:MAX_REASON_CHARACTERS]
    return None


@as_verifier(invalid_gold=invalid_gold, prepare=prepare, values={"protocol": PROTOCOLS})
def verify(problem: Problem, response: str, protocol: str = "own") -> Verdict:
    """Scores 1 if every test passes, else 0.

    Args:
        problem: the problem.
        response: a model's response.
        protocol: "own", or "livecodebench": find, run and judge the program as that benchmark's own grader does
            (`programs/live_code_bench/run.py`), for tests of the forms `calls` and `stdin`.
    """
    return _verify(problem, response, lambda passed: float(all(passed)), protocol)


@as_verifier(invalid_gold=invalid_gold, prepare=prepare)
def verify_share(problem: Problem, response: str) -> Verdict:
    """Scores the share of the tests that pass. If a time limit ends the run, the verdict is TIMEOUT with score 0."""
    return _verify(problem, response, lambda passed: sum(passed) / len(passed))


def _verify(problem: Problem, response: str, score: Callable[[Sequence[bool]], float], protocol: str = "own") -> Verdict:
    if not isinstance(problem.answer, Mapping):
        return Verdict(Status.UNDECIDED, None, "tests", _NO_MAPPING)
    with limit(SECONDS):
        program = program_of(problem, response, protocol)
    if program is None:
        return Verdict(Status.SCORED, 0.0, "extract", "the response contains no program")
    return verify_program(program, cast(CodeTests, problem.answer), score, protocol)


def verify_program(
    program: str,
    answer: CodeTests,
    score: Callable[[Sequence[bool]], float] = lambda passed: float(all(passed)),
    protocol: str = "own",
) -> Verdict:
    """Returns the verdict on a complete program.

    Args:
        program: the program as it will run.
        answer: the tests, in one of the forms that the module lists.
        score: returns the score, 0..1, from a list that states for each test whether it passes.
        protocol: see `verify`.
    """
    if len(program) > MAX_PROGRAM:
        return Verdict(Status.SCORED, 0.0, "extract", f"a program of more than {MAX_PROGRAM} characters")
    for last_try in (False, True):
        try:
            passed, why, end = _tested(program, answer, sandbox.shared(), protocol)
            break
        except (SandboxFault, UserError) as error:
            if last_try:
                return Verdict(Status.FAULT, None, "sandbox", str(error)[:MAX_REASON_CHARACTERS])
        except NoTests as error:
            return Verdict(Status.UNDECIDED, None, "tests", str(error)[:MAX_REASON_CHARACTERS])
        except RecursionError:
            return Verdict(Status.SCORED, 0.0, "tests", "a value that is nested too deeply")
    reason = f"{sum(passed)} of {len(passed)} tests pass: {''.join('+' if ok else '-' for ok in passed[:100])} {why}"
    if end == RunStatus.TIMEOUT and not all(passed):
        return Verdict(Status.TIMEOUT, 0.0, "tests", reason[:MAX_REASON_CHARACTERS])
    return Verdict(Status.SCORED, score(passed), "tests", reason.strip()[:MAX_REASON_CHARACTERS])


def program_of(problem: Problem, response: str, protocol: str = "own") -> str | None:
    """Returns the program in a response as it will run (`selection.program_of`). None if it is blank."""
    if not isinstance(response, str):
        return None
    tests, text = cast(CodeTests, problem.answer), without_turn_end(without_thinking(response))
    if protocol == "livecodebench":
        code = live_code_bench.program_of(text)
        return code if code.strip() else None
    code = selection.program_of(text, tests)
    return complete_program(code, tests) if code.strip() else None


def complete_program(code: str, answer: CodeTests) -> str:
    """Returns a program with its header before it and its footer after it.

    Args:
        code: code from a response.
        answer: `header` is what the program had to complete: imports, helpers, the signature of its function. `footer` makes
            the program's function accessible to the tests.
    """
    header, footer = str(answer.get("header") or ""), str(answer.get("footer") or "")
    if footer:
        code = f"{code}\n\n{footer}"
    if not header:
        return code
    if answer.get("entry_point") is not None and selection.is_function_body(code):
        return f"{header.rstrip()}\n{code}"
    return selection.concatenated(header, code)


_NO_MAPPING = "there are no tests: the answer is not a mapping"
_NO_CHECKS = "the tests assert nothing, or only in functions that they do not call"


def _cache_key(program: str, answer: CodeTests, box: Sandbox, protocol: str) -> object:
    """Returns equal keys for equal programs with equal tests in the same sandbox.

    Tests that cannot be pickled get a key that equals no other.
    """
    try:
        return hashlib.sha256(pickle.dumps((program, answer, protocol))).digest(), box
    except Exception:
        return object()


@cachetools.cached(cachetools.LRUCache(CACHE_SIZE), _cache_key, condition=threading.Condition())
def _tested(program: str, answer: CodeTests, box: Sandbox, protocol: str) -> TestResults:
    """Runs a program's tests.

    Cached, because a policy samples the same program repeatedly. Other threads that need the same result wait for it. Faults
    are not cached. Timeouts are cached, because the limits do not count the time that a program waits for a processor.
    """
    if protocol == "livecodebench":
        return live_code_bench.run(program, answer, box)
    return _RUN[form_of(answer)](program, answer, box)


def _calls(program: str, answer: CodeTests, box: Sandbox) -> TestResults:
    """Tests of the form `calls`. Without a checker, expected values are compared in this process."""
    tests = calls_of(answer)
    calls = [Call(answer["entry_point"], test["arguments"], test["keywords"]) for test in tests]
    outcome = box.run(program, calls, limits=limits_of(answer))
    agree = _comparison(answer, box)
    passed, why = [], _unfinished(outcome, len(tests))
    for number, test in enumerate(tests):
        result = (
            outcome.results[number] if number < len(outcome.results) else CallResult(error="the run ended before this call")
        )
        ok = result.error is None and agree(test, result.value)
        if not ok and not why:
            why = f"(test {number + 1}: {result.error or f'returned {json.dumps(result.value)[:120]}'})"
        passed.append(ok)
    return passed, why, outcome.status


def _comparison(answer: CodeTests, box: Sandbox) -> Callable[[CallTest, object], bool]:
    """Returns a function that compares an encoded returned value with a test's expected value."""
    checker = checker_of(answer)
    if checker is None:
        close, unordered = within(answer.get("tolerance")), bool(answer.get("unordered"))
        return lambda test, encoded: same(encode(test["output"]), encoded, close, unordered)

    def checked(test: CallTest, encoded: object) -> bool:
        values = {
            "__arguments": encode(test["arguments"]),
            "__output": encoded,  # passed on as it was received; only the checker's own process decodes it
            "__expected": encode(test.get("output")),
        }
        session = box.open(limits_of(answer))
        try:
            defined = session.execute(checker)
            if defined.error is not None:
                raise NoTests(f"the checker cannot be defined: {defined.error}")
            result = session.execute(
                "check(__arguments(), __output(), __expected())", lambda call: CallResult(values[call.function]), tuple(values)
            )
        except ProgramEnded:
            return False
        finally:
            session.close()
        return result.value is True

    return checked


def _check(program: str, answer: CodeTests, box: Sandbox) -> TestResults:
    """Tests of HumanEval's form, check(candidate)."""
    return _asserted(program, _check_source(answer), [answer["entry_point"]], answer, box)


def _asserts(program: str, answer: CodeTests, box: Sandbox) -> TestResults:
    """Tests of MBPP's form, assertions that call the program's functions by name."""
    source = _asserts_source(answer)
    instrumented(source)
    return _asserted(program, source, answer.get("functions") or undefined_calls(source), answer, box)


def _asserted(program: str, source: str, external: Sequence[str], answer: CodeTests, box: Sandbox) -> TestResults:
    """Runs tests that are a program, in a process of their own.

    Each execution of an assertion counts as a test. An assertion that must run (`forms.instrumented`) and does not counts as a
    failed test.

    Args:
        program: the judged program.
        source: the tests.
        external: names of the judged program's functions that the tests call.
        answer: for the limits.
        box: the sandbox.
    """
    tests = instrumented(source)
    if not tests.has_checks:
        raise NoTests(_NO_CHECKS)
    limits, failures = limits_of(answer), []
    seconds_left = CALLS_FACTOR * limits.wall_seconds
    tester = box.open(limits)
    try:
        judged = box.open(limits)

        def handle(call: EncodedCall) -> CallResult:
            nonlocal seconds_left
            started = time.monotonic()
            try:
                if seconds_left < 0:
                    raise ProgramEnded(f"more than {CALLS_FACTOR * limits.wall_seconds:g} s in all calls together")
                result = judged.call_encoded(call)
                seconds_left -= max(0.0, time.monotonic() - started - box.round_trip_seconds)
            except ProgramEnded as ended:
                result = CallResult(error=str(ended) or "the program ended during a call")
            if result.error is not None and not errors.is_encoded_error(result.raised):
                failures.append(result.error)
            return result

        try:
            run = _definition_error(judged, program) or tester.execute(tests.source, handle, external)
        except ProgramEnded:
            run = CallResult(error="the tests ended early")
        finally:
            outcome = judged.close()
    finally:
        tester.close()
    recorded = run.value if isinstance(run.value, list) else []
    passed, missing = (
        [number > 0 for number in recorded if type(number) is int],
        tests.required.difference(abs(int(number)) for number in recorded),
    )
    passed += [False] * (len(missing) or run.error is not None or (bool(failures) and all(passed)))
    passed = passed or [True]
    if all(passed):
        return passed, "", RunStatus.FINISHED
    why = failures[0] if failures else run.error or f"assertion {passed.index(False) + 1} fails"
    return passed, f"({outcome.reason or why})", outcome.status


def _definition_error(judged: Session, program: str) -> CallResult | None:
    """Defines the program. Returns the result if that failed, else None."""
    try:
        defined = judged.define(program)
    except ProgramEnded:
        return CallResult(error="the program ended while it was defined")
    return defined if defined.error is not None else None


def _check_source(answer: CodeTests) -> str:
    return f"{answer.get('setup') or ''}\n{answer['test']}\n\ncheck({answer['entry_point']})"


def _asserts_source(answer: CodeTests) -> str:
    return "\n".join([answer.get("setup") or "", *answer["asserts"]])


def _unfinished(outcome: Outcome, tests: int) -> str:
    return f"({outcome.reason or outcome.status})" if len(outcome.results) < tests else ""


_SOURCE: dict[str, Callable[[CodeTests], str]] = {"test": _check_source, "asserts": _asserts_source}
"""The source of tests that are a program, by form."""
_RUN: dict[str, Callable[[str, CodeTests, Sandbox], TestResults]] = {
    "calls": _calls,
    "test": _check,
    "asserts": _asserts,
    "stdin": whole_programs.run,
}
