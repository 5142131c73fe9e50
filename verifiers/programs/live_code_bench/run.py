"""Runs the tests of a program as LiveCodeBench's grader does, and compares values and outputs as it does.

The grader is `lcb_runner/evaluation/testing_util.py` of github.com/LiveCodeBench/LiveCodeBench. Its rules:

- The program is the text between the last two lines of the response that contain a fence.
- Each test may take 6 seconds. The first test that fails ends the run.
- A whole program becomes a function behind a header of imports; only its output to `sys.stdout` counts (`inside.py`).
- Outputs are compared line by line, without blanks at the ends of lines: as text, else word by word as decimal numbers.
- Values are compared with Python's `==`, after a tuple has become a list. So 3.0 equals 3, and 1 equals true.

Three rules are ours, because the grader runs programs without a sandbox. A returned object of a class of the program equals
nothing. Memory has a limit, `MEMORY`. Time that a program waits for a processor does not count.
"""

import inspect
import json
from collections.abc import Mapping
from decimal import Decimal, DecimalException

from ....golds import CodeTests
from ...sandbox import Call, Limits, ProgramEnded, RunStatus, Sandbox
from ...sandbox.inside.wire import encode
from ..forms import NoTests, TestResults, calls_of, form_of
from . import inside

SECONDS = 6.0
"""Time limit of each test, and of the program's definition, as in `lcb_runner/runner/parser.py`."""
MEMORY = 4 << 30
"""Bytes. The grader has no limit; a comment in its source names 4 GB."""
OUTPUT = 16 << 20
"""Bytes of output of a program, in addition to twice the expected output. The grader has no limit."""
FENCE = "```"
_SOURCE = inspect.getsource(inside)
_FUNCTION = "judged_function"


def program_of(text: str) -> str:
    """Returns the program in a response: the lines between its last two lines with a fence; empty if there are none."""
    lines = text.split("\n")
    fences = [number for number, line in enumerate(lines) if FENCE in line][-2:]
    return "\n".join(lines[fences[0] + 1 : fences[1]]) if len(fences) == 2 else ""


def run(program: str, answer: CodeTests, box: Sandbox) -> TestResults:
    """Runs the tests of a program up to the first one that fails.

    Args:
        program: the program, without a header.
        answer: tests of the form `calls` or `stdin`, in Python.
        box: the sandbox.

    Returns:
        For each test whether it passes, the reason why one fails, and how the run ended. Tests that did not run fail.

    Raises:
        NoTests: the tests have another form.
    """
    form = form_of(answer)
    if form not in _RUN or answer.get("checker") or str(answer.get("language") or "python") != "python":
        raise NoTests("protocol livecodebench: the tests must be calls or stdin, in Python, without a checker")
    return _RUN[form](program, answer, box)


def _stdin(program: str, answer: CodeTests, box: Sandbox) -> TestResults:
    tests = answer["stdin"]
    # The sandbox gives a program that names /dev/stdin a copy of its input. The grader's programs find nothing there.
    literal = repr(program).replace("/dev/", "/dev\\x2f")
    script = f"{_SOURCE}\n\nrun_whole({literal})\n"
    output = OUTPUT + 2 * max(len(test["output"].encode("utf-8", "surrogatepass")) for test in tests)
    limits = Limits(SECONDS, SECONDS, MEMORY, output=output)
    for number, test in enumerate(tests):
        outcome = box.run(script, stdin=test["input"], limits=limits)
        if outcome.status != RunStatus.FINISHED or not same_output(test["output"], outcome.stdout):
            reason = outcome.reason or f"printed {outcome.stdout[:120]!r}"
            return _failed(number, len(tests)), f"(test {number + 1}: {reason})", outcome.status
    return [True] * len(tests), "", RunStatus.FINISHED


def _calls(program: str, answer: CodeTests, box: Sandbox) -> TestResults:
    tests, passed, reason = calls_of(answer), 0, ""
    session = box.open(Limits((len(tests) + 1) * SECONDS, SECONDS, MEMORY, output=OUTPUT))
    try:
        source = f"{_SOURCE}\n\n{_FUNCTION} = function_of({program!r}, {answer['entry_point']!r})\n"
        reason = session.define(source).error or ""
        while not reason and passed < len(tests):
            test = tests[passed]
            result = session.call(Call(_FUNCTION, test["arguments"], test["keywords"]))
            equal = result.error is None and same_value(test["output"], result.value)
            reason = "" if equal else result.error or f"returned {json.dumps(result.value)[:120]}"
            passed += equal
    except ProgramEnded as ended:
        reason = str(ended) or "the program ended"
    finally:
        outcome = session.close()
    if not reason:
        return [True] * len(tests), "", RunStatus.FINISHED
    return _failed(passed, len(tests)), f"(test {passed + 1}: {reason})", outcome.status


def _failed(number: int, tests: int) -> list[bool]:
    """Returns the results if the test with this number, from 0, fails."""
    return [index < number for index in range(tests)]


_RUN = {"stdin": _stdin, "calls": _calls}


def same_output(expected: str, printed: str) -> bool:
    """True if two outputs have the same lines, as text or, word by word, as decimal numbers."""
    wanted, lines = ([line.strip() for line in text.strip().split("\n")] for text in (expected, printed))
    return len(wanted) == len(lines) and all(
        want == line or _same_numbers(want, line) for want, line in zip(wanted, lines, strict=True)
    )


def _same_numbers(want: str, line: str) -> bool:
    try:
        words, others = want.split(), line.split()
        pairs = zip(words, others, strict=False)
        return len(words) == len(others) and all(Decimal(word) == Decimal(other) for word, other in pairs)
    except (DecimalException, ValueError):
        return False


def same_value(expected: object, encoded: object) -> bool:
    """True if a value equals one that a program returned, as `==` compares them.

    Args:
        expected: a value of JSON.
        encoded: the returned value, encoded (see `wire.encode`).
    """
    return _same(encode(expected), encoded)


def _same(want: object, have: object) -> bool:
    want, have = _number(want), _number(have)
    if isinstance(want, list) and isinstance(have, list):
        return len(want) == len(have) and all(map(_same, want, have))
    if isinstance(want, dict) and isinstance(have, dict):
        items, others = _items(want), _items(have)
        return (
            items is not None
            and others is not None
            and items.keys() == others.keys()
            and all(_same(item, others[key]) for key, item in items.items())
        )
    return not isinstance(want, dict | list) and not isinstance(have, dict | list) and want == have


def _number(encoded: object) -> object:
    """Returns a long integer as a number, and all else as it is."""
    text = encoded.get("int") if isinstance(encoded, dict) else None
    try:
        return int(text, 16) if isinstance(text, str) else encoded
    except ValueError:  # the program has sent something that is no encoded value
        return encoded


def _items(encoded: Mapping[str, object]) -> dict[str, object] | None:
    """Returns the items of an encoded dictionary whose keys are texts, as those of JSON; None if it is anything else."""
    pairs = encoded.get("dict")
    if not isinstance(pairs, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        return None
    return dict(pairs) if all(isinstance(key, str) for key, _ in pairs) else None
