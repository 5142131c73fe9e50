"""Judges of programs: all tests of a problem, fresh tests, and the examples of the prompt. Programs run in the sandbox only.

tests          all tests of the problem, those that the policy may not read included
fresh tests    calls with other arguments; the problem's own solution gives the expected values
examples       the calls that the prompt shows, as `>>> f(1)` with the value in the next line, or as `assert f(1) == 2`
"""

import ast
import functools
import random
import re
from collections.abc import Iterator, Mapping
from typing import cast

from ...core import Problem
from ...golds import CallTest, CodeTests
from ...verifiers import code, sandbox
from ...verifiers.programs.forms import NoTests, calls_of, form_of, limits_of
from ...verifiers.sandbox import Call
from ...verifiers.sandbox.inside.wire import encode
from .judges import Judge, by_verifier, is_same, score_of

FRESH = 12
"""Number of fresh tests that are tried. Our choice."""
ROUNDS = 3
"""Fresh arguments for each test of the problem. Our choice."""
LONGEST_EXAMPLE = 400
"""Maximum number of characters of an example's expected value. Our choice."""

_PROMPT_CALL = re.compile(
    r"^[ \t]*>>>[ \t]*(?P<name>[A-Za-z_]\w*)\((?P<arguments>.*)\)[ \t]*\n[ \t]*(?P<output>[^\n>][^\n]*)$", re.M
)
_ASSERTION = re.compile(
    r"^[ \t]*assert[ \t]+(?P<name>[A-Za-z_]\w*)\((?P<arguments>.*)\)[ \t]*==[ \t]*(?P<output>[^\n]+)$", re.M
)


def judges(verifier: object) -> Iterator[Judge]:
    """Yields the judges of programs.

    Args:
        verifier: that of the reward, or None. The problem's tests are left out if they are the reward.
    """
    if not is_same(verifier, code.verify, code.verify_share):
        yield Judge("tests", "tests", _by_tests)
    yield Judge("fresh tests", "tests that are calls, and a solution", _by_fresh_tests)
    yield Judge("examples", "calls in the prompt", _by_examples)


def _tests(problem: Problem) -> CodeTests | None:
    """Returns the tests of a coding problem; None for another kind of problem."""
    if not isinstance(problem.answer, Mapping):
        return None
    tests = cast(CodeTests, problem.answer)
    try:
        form_of(tests)
    except NoTests:
        return None
    return tests


def _by_tests(problem: Problem, response: str) -> float | None:
    return None if _tests(problem) is None else by_verifier(code.verify)(problem, response)


def _by_fresh_tests(problem: Problem, response: str) -> float | None:
    tests, solution = _tests(problem), problem.meta.get("solution")
    if tests is None or not isinstance(solution, str) or form_of(tests) != "calls" or tests.get("checker"):
        return None
    program = code.program_of(problem, solution)
    fresh = None if program is None else _fresh_tests(problem.id, program, _Hashed(tests))
    return None if fresh is None else _verdict(problem, response, fresh)


def _by_examples(problem: Problem, response: str) -> float | None:
    tests = _tests(problem)
    if tests is None:
        return None
    prompt = "\n".join(turn["content"] for turn in problem.prompt if turn["role"] == "user")
    calls = [*_examples(prompt, tests.get("entry_point"))]
    if not calls:
        return None
    return _verdict(problem, response, _with_calls(tests, calls, calls[0][0]))


def _verdict(problem: Problem, response: str, tests: CodeTests) -> float | None:
    """Returns the score of a response by other tests than the problem's. Its program is found as for the problem's own."""
    program = code.program_of(problem, response)
    return 0.0 if program is None else score_of(code.verify_program(program, tests))


class _Hashed(dict[str, object]):
    """Tests that a cache can hold: equal only to themselves."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(repr(self))


@functools.lru_cache(maxsize=4096)
def _fresh_tests(problem: str, program: str, tests: _Hashed) -> CodeTests | None:
    """Returns tests of other arguments; None if the solution fails the problem's own tests or gives no value for others.

    Args:
        problem: id of the problem, the seed of the arguments.
        program: the solution.
        tests: the problem's tests.
    """
    given = cast(CodeTests, tests)
    if score_of(code.verify_program(program, given)) != 1:
        return None
    own = calls_of(given)
    seen = {repr((test["arguments"], test["keywords"])) for test in own}
    generator, fresh = random.Random(problem), list[CallTest]()
    for test in own * ROUNDS:
        changed: CallTest = {
            "arguments": [_changed(value, generator) for value in test["arguments"]],
            "keywords": {name: _changed(value, generator) for name, value in test["keywords"].items()},
        }
        if (key := repr((changed["arguments"], changed["keywords"]))) not in seen and len(fresh) < FRESH:
            seen.add(key)
            fresh.append(changed)
    calls = [Call(given["entry_point"], test["arguments"], test["keywords"]) for test in fresh]
    outcome = sandbox.shared().run(program, calls, limits=limits_of(given))
    usable = [
        {
            "arguments": [encode(value) for value in test["arguments"]],
            "keywords": {name: encode(value) for name, value in test["keywords"].items()},
            "output": result.value,
        }
        for test, result in zip(fresh, outcome.results, strict=False)
        if result.error is None
    ]
    if not usable:
        return None
    kept = {name: value for name, value in given.items() if name not in ("calls", "public")}
    return cast(CodeTests, {**kept, "calls": usable, "encoded": True})


def _changed(value: object, generator: random.Random) -> object:
    """Returns another value of the same type and a similar size."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + generator.choice([-3, -2, -1, 1, 2, 3, 5])
    if isinstance(value, float):
        return value + generator.choice([-2.0, -0.5, 0.5, 1.0, 3.0])
    if isinstance(value, str):
        characters = list(value)
        generator.shuffle(characters)
        return "".join(characters) if len(set(value)) > 1 else value + (value[:1] or "a")
    if isinstance(value, list | tuple):
        changed = [_changed(item, generator) for item in value]
        return type(value)(changed[::-1])
    if isinstance(value, dict):
        return {key: _changed(item, generator) for key, item in value.items()}
    return value


def _examples(prompt: str, entry_point: object) -> Iterator[tuple[str, CallTest]]:
    """Yields the calls of a prompt whose arguments and values are literals: the name of the function, and the test."""
    for pattern in (_PROMPT_CALL, _ASSERTION):
        for found in pattern.finditer(prompt):
            if isinstance(entry_point, str) and found["name"] != entry_point:
                continue
            if len(found["output"]) > LONGEST_EXAMPLE or len(found["arguments"]) > LONGEST_EXAMPLE:
                continue
            try:
                arguments = ast.literal_eval(f"({found['arguments']},)" if found["arguments"].strip() else "()")
                output = ast.literal_eval(found["output"].strip())
            except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
                continue  # not literals
            yield found["name"], {"arguments": [encode(value) for value in arguments], "keywords": {}, "output": encode(output)}


def _with_calls(tests: CodeTests, calls: list[tuple[str, CallTest]], entry_point: str) -> CodeTests:
    """Returns tests that are the given calls of one function, with the limits, header and footer of a problem's tests."""
    kept = {name: tests[name] for name in ("tolerance", "unordered", "limits", "header", "footer") if name in tests}
    own = [test for name, test in calls if name == entry_point]
    return cast(CodeTests, {**kept, "entry_point": entry_point, "calls": own, "encoded": True})
