"""Does the program do what its tests want? Run in the sandbox, judged outside of it.

`problem.answer` holds the tests, in one of these forms:

    {"entry_point": "add", "calls": [{"arguments": [1, 2], "output": 3}, ...]}      calls with expected values
    {"entry_point": "add", "test": "def check(candidate): assert candidate(1, 2) == 3", "setup": ""}      HumanEval's form
    {"asserts": ["assert add(1, 2) == 3", ...], "setup": "import math", "functions": ["add"]}      MBPP's form
    {"stdin": [{"input": "1 2", "output": "3"}, ...]}      whole programs

The judged program never shares a process with an expected value. It gets arguments and returns data; values are compared here,
by type and content. Tests that are programs themselves run in a second sandboxed process, whose calls of the judged
function are carried over. `sandbox/errors.py` says which exceptions tests may expect.

`calls` take two options: "tolerance" (relative and absolute, for floats; `equality.py` has the default) and "unordered": true
(lists compare as multisets); or "checker", a program that defines check(arguments, output, expected) -> bool. `stdin` takes
"tolerance", and "language" where that is not Python (see `sandbox/languages.py`). "limits" are those of `sandbox.Limits`.
"encoded": true says that arguments and outputs of `calls` are forms of `sandbox/wire.py`, in which JSON keeps tuples and sets.
"public" is how many tests, the first ones, a policy may see. "header" and "footer" are code set around every program.
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
from .programs import selection
from .programs.equality import same, same_output, within
from .programs.fences import language_of
from .programs.forms import NoTests, called, calls_of, counted, form_of, limits_of
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
    languages,
)
from .sandbox.inside import errors
from .sandbox.inside.wire import encode
from .verifier import as_verifier

MAX_PROGRAM = 1 << 20
"""Characters of a program that are looked at; a longer one is refused."""
PATIENCE = 4
"""Times the limit on wall time that all calls of one program by its tests may take together."""
CASES = 10
"""Times the limits on processor time, wall time and output that all `stdin` tests of one program may use together."""
REMEMBERED = 10_000
"""Programs whose tests are not run again, the last ones."""
REASON = 400


def prepare() -> None:
    """Starts the sandbox, so that what this machine or the service lacks is known before the first program.

    Raises:
        UserError: the sandbox cannot work here; the text says what is missing and how to go on.
    """
    box = sandbox.shared()
    if isinstance(box, sandbox.LocalSandbox):
        try:
            lacks = box.missing()
        except SandboxFault as fault:
            raise UserError(f"the sandbox does not start: {fault}") from None
        if lacks:
            warnings.warn(f"the sandbox goes without {', '.join(sorted(lacks))}, as it was told to", stacklevel=3)


def invalid_gold(problem: Problem) -> str | None:
    """Why no program could be judged by the problem's tests, or None."""
    if not isinstance(problem.answer, Mapping):
        return "there are no tests: the answer is no mapping"
    try:
        form_of(tests := cast(CodeTests, problem.answer))
        limits_of(tests)
    except NoTests as error:
        return str(error)
    return None


@as_verifier(invalid_gold=invalid_gold, prepare=prepare)
def verify(problem: Problem, response: str) -> Verdict:
    """1 where every test passes, else 0."""
    return _verify(problem, response, lambda passed: float(all(passed)))


@as_verifier(invalid_gold=invalid_gold, prepare=prepare)
def verify_share(problem: Problem, response: str) -> Verdict:
    """The share of the tests that pass."""
    return _verify(problem, response, lambda passed: sum(passed) / len(passed))


def _verify(problem: Problem, response: str, score: Callable[[Sequence[bool]], float]) -> Verdict:
    if not isinstance(problem.answer, Mapping):
        return Verdict(Status.UNDECIDED, None, "tests", "there are no tests: the answer is no mapping")
    with limit(SECONDS):
        program = program_of(problem, response)
    if program is None:
        return Verdict(Status.SCORED, 0.0, "extract", "the response holds no program")
    return judge(program, cast(CodeTests, problem.answer), score)


def judge(
    program: str, answer: CodeTests, score: Callable[[Sequence[bool]], float] = lambda passed: float(all(passed))
) -> Verdict:
    """What a whole program is worth.

    Args:
        program: as it is to run.
        answer: the tests, in one of the forms that the module lists.
        score: of which tests pass, 0..1.
    """
    if len(program) > MAX_PROGRAM:
        return Verdict(Status.SCORED, 0.0, "extract", f"a program of more than {MAX_PROGRAM} characters")
    for last_try in (False, True):
        try:
            passed, why, end = _tested(program, answer, sandbox.shared())
            break
        except (SandboxFault, UserError) as error:
            if last_try:
                return Verdict(Status.FAULT, None, "sandbox", str(error)[:REASON])
        except NoTests as error:
            return Verdict(Status.UNDECIDED, None, "tests", str(error)[:REASON])
        except RecursionError:
            return Verdict(Status.SCORED, 0.0, "tests", "a value nested too deeply")
    told = f"{sum(passed)} of {len(passed)} tests pass: {''.join('+' if ok else '-' for ok in passed[:100])} {why}"
    if end == RunStatus.TIMEOUT and not all(passed):
        return Verdict(Status.TIMEOUT, 0.0, "tests", told[:REASON])
    return Verdict(Status.SCORED, score(passed), "tests", told.strip()[:REASON])


def program_of(problem: Problem, response: str) -> str | None:
    """The program that a response holds, as it is to run; None where it holds none."""
    if not isinstance(response, str):
        return None
    tests = cast(CodeTests, problem.answer)
    code = selection.program_of(without_turn_end(without_thinking(response)), tests)
    return completed(code, tests) if code.strip() else None


def completed(code: str, answer: CodeTests) -> str:
    """A program behind the header that it was asked to complete, and before what makes its tests find it.

    Args:
        code: that of a response.
        answer: `header` is what the program was asked to complete: imports, helpers, the signature of its function.
    """
    header, footer = str(answer.get("header", "")), str(answer.get("footer", ""))
    if footer:
        code = f"{code}\n\n{footer}"
    if not header:
        return code
    if answer.get("entry_point") is not None and selection.continues(code):
        return f"{header.rstrip()}\n{code}"
    return selection.behind(header, code)


Passed = tuple[list[bool], str, RunStatus]
"""Which tests pass, why the first of the others does not, how the run ended."""


def _identity(program: str, answer: CodeTests, box: Sandbox) -> object:
    """What two runs have in common whose outcome is one; of tests that cannot be written down, nothing."""
    try:
        return hashlib.sha256(pickle.dumps((program, answer))).digest(), box
    except Exception:
        return object()


@cachetools.cached(cachetools.LRUCache(REMEMBERED), _identity, condition=threading.Condition())
def _tested(program: str, answer: CodeTests, box: Sandbox) -> Passed:
    """Runs a program's tests, once: a policy draws the same program again and again, and whoever comes second waits for the
    first one's outcome. What ends in a fault is not remembered; a timeout is, for its clocks leave out what a program has
    waited for a processor."""
    return _RUN[form_of(answer)](program, answer, box)


def _calls(program: str, answer: CodeTests, box: Sandbox) -> Passed:
    """Calls with expected values, compared here."""
    tests = calls_of(answer)
    calls = [Call(answer["entry_point"], test["arguments"], test["keywords"]) for test in tests]
    outcome = box.run(program, calls, limits=limits_of(answer))
    agree = _agreement(answer, box)
    passed, why = [], _unfinished(outcome, len(tests))
    for number, test in enumerate(tests):
        result = outcome.results[number] if number < len(outcome.results) else CallResult(error="not reached")
        ok = result.error is None and agree(test, result.value)
        if not ok and not why:
            why = f"(test {number + 1}: {result.error or f'returned {json.dumps(result.value)[:120]}'})"
        passed.append(ok)
    return passed, why, outcome.status


def _agreement(answer: CodeTests, box: Sandbox) -> Callable[[CallTest, object], bool]:
    """When a returned form is right for a test."""
    if "checker" not in answer:
        close, unordered = within(answer.get("tolerance")), bool(answer.get("unordered"))
        return lambda test, form: same(encode(test["output"]), form, close, unordered)

    def checked(test: CallTest, form: object) -> bool:
        given = {"arguments": test["arguments"], "expected": test.get("output")}
        session = box.open(limits_of(answer))
        try:
            session.execute(answer["checker"])
            # The form goes as it came: it is built into a value inside the checker's own process only.
            result = session.execute("check(__arguments(), __output(), __expected())", _values(given, form), _ASKED)
        except ProgramEnded:
            return False
        finally:
            session.close()
        return result.value is True

    return checked


_ASKED = ("__arguments", "__output", "__expected")


def _values(given: Mapping[str, object], form: object) -> Callable[[EncodedCall], CallResult]:
    forms = {"__arguments": encode(given["arguments"]), "__output": form, "__expected": encode(given["expected"])}
    return lambda question: CallResult(forms[question.function])


def _check(program: str, answer: CodeTests, box: Sandbox) -> Passed:
    """HumanEval's form: check(candidate)."""
    entry = answer["entry_point"]
    return _asserted(program, f"{answer.get('setup', '')}\n{answer['test']}\n\ncheck({entry})", [entry], answer, box)


def _asserts(program: str, answer: CodeTests, box: Sandbox) -> Passed:
    """MBPP's form: assertions that call the program's functions by name."""
    source = "\n".join([answer.get("setup") or "", *answer["asserts"]])
    counted(source)
    return _asserted(program, source, answer.get("functions") or called(source), answer, box)


def _asserted(program: str, source: str, asks: Sequence[str], answer: CodeTests, box: Sandbox) -> Passed:
    """Runs tests that are a program in a process of their own; every assertion counts as a test."""
    tests = counted(source)
    limits, broken = limits_of(answer), []
    left = PATIENCE * limits.wall_seconds
    trial = box.open(limits)
    try:
        judged = box.open(limits)

        def carry(question: EncodedCall) -> CallResult:
            nonlocal left
            asked = time.monotonic()
            try:
                if left < 0:
                    raise ProgramEnded(f"more than {PATIENCE * limits.wall_seconds:g} s in all its calls")
                told = judged.call_encoded(question)
                left -= max(0.0, time.monotonic() - asked - box.round_trip_seconds)
            except ProgramEnded as ended:
                told = CallResult(error=str(ended) or "it ended while it was being called")
            if told.error is not None and not errors.is_encoded_error(told.raised):
                broken.append(told.error)
            return told

        try:
            ran = _first_error(judged, program) or trial.execute(tests.source, carry, asks)
        except ProgramEnded:
            ran = CallResult(error="the tests ended before they were through")
        finally:
            outcome = judged.close()
    finally:
        trial.close()
    noted = ran.value if isinstance(ran.value, list) else []
    passed, missing = (
        [note > 0 for note in noted if type(note) is int],
        tests.required.difference(abs(int(note)) for note in noted),
    )
    passed += [False] * (len(missing) or ran.error is not None or (bool(broken) and all(passed)))
    if not passed and not tests.judges:
        raise NoTests("the tests assert nothing")
    passed = passed or [True]
    if all(passed):
        return passed, "", RunStatus.FINISHED
    why = broken[0] if broken else ran.error or f"assertion {passed.index(False) + 1} fails"
    return passed, f"({outcome.reason or why})", outcome.status


def _first_error(judged: Session, program: str) -> CallResult | None:
    """Defines the program; None where that goes well."""
    try:
        defined = judged.define(program)
    except ProgramEnded:
        return CallResult(error="it ended while it was being defined")
    return defined if defined.error is not None else None


def _stdin(program: str, answer: CodeTests, box: Sandbox) -> Passed:
    """Whole programs: what they print for what they read."""
    passed: list[bool] = []
    why, end = "", RunStatus.FINISHED
    language = language_of(str(answer.get("language") or "python"))
    limits, cpu, wall, output = limits_of(answer), 0.0, 0.0, 0
    # Whoever prints what is wanted of every test has not printed too much.
    most_output = max(CASES * limits.output, 2 * sum(len(test["output"]) for test in answer["stdin"]))
    for number, test in enumerate(answer["stdin"]):
        given = test["input"].replace("\r\n", "\n")  # how a data set ends its lines is no part of the problem
        if language == "python":
            outcome = box.run(program, stdin=given, limits=limits)
        else:
            outcome = languages.run(language, program, given, limits)
        ok = outcome.status == RunStatus.FINISHED and same_output(test["output"], outcome.stdout, answer.get("tolerance"))
        if not ok and not why:
            why, end = f"(test {number + 1}: {outcome.reason or f'printed {outcome.stdout[:120]!r}'})", outcome.status
        passed.append(ok)
        cpu += outcome.cpu_seconds
        wall += max(0.0, outcome.wall_seconds - outcome.waited_seconds - box.round_trip_seconds)
        output += len(outcome.stdout) + len(outcome.stderr)
        spent = (cpu > CASES * limits.cpu_seconds, wall > CASES * limits.wall_seconds, output > most_output)
        if outcome.status == RunStatus.TIMEOUT or any(spent):  # the next ones would take as long
            if len(passed) < len(answer["stdin"]) and not why:
                what = ("processor time", "time", "output")[spent.index(True)]
                why = f"(test {number + 2}: all tests together use more {what} than {CASES} may)"
                end = RunStatus.OUTPUT if what == "output" else RunStatus.TIMEOUT
            passed += [False] * (len(answer["stdin"]) - len(passed))
            break
    return passed, why, end


def _unfinished(outcome: Outcome, tests: int) -> str:
    return f"({outcome.reason or outcome.status})" if len(outcome.results) < tests else ""


_RUN: dict[str, Callable[[str, CodeTests, Sandbox], Passed]] = {
    "calls": _calls,
    "test": _check,
    "asserts": _asserts,
    "stdin": _stdin,
}
