"""The tests of a coding problem: in which form they are, whether they can be used, which of them a policy may see.

`code.py` lists the forms and runs them.
"""

import ast
import builtins
import functools
from collections.abc import Mapping
from typing import Any

from .sandbox import Limits
from .sandbox.wire import decode

PROVEN = "__tenfold_passed"
"""Name of the list in which counted assertions note whether they held."""

FORMS = ("calls", "test", "asserts", "stdin")


class NoTests(Exception):
    """The problem's tests cannot be used; the text says why."""


def form_of(answer: Mapping[str, Any]) -> str:
    """Which form of tests an answer has: the first of `FORMS`. Raises `NoTests` where it has none that can be used."""
    form = next((form for form in FORMS if answer.get(form)), None)
    if form is None or (form in ("calls", "test") and not isinstance(answer.get("entry_point"), str)):
        raise NoTests("there are no tests: the answer wants asserts, stdin, or an entry_point with calls or test")
    tests = answer[form]
    if form == "test":
        usable = isinstance(tests, str)
    else:
        usable = isinstance(tests, list | tuple) and all(_is_test(form, test, answer) for test in tests)
    if not usable:
        raise NoTests(f"{form}: a test is malformed")
    return form


def _is_test(form: str, test: Any, answer: Mapping[str, Any]) -> bool:
    if form == "asserts":
        return isinstance(test, str)
    if not isinstance(test, Mapping):
        return False
    if form == "stdin":
        return isinstance(test.get("input"), str) and isinstance(test.get("output"), str)
    lists = isinstance(test.get("arguments", []), list | tuple) and isinstance(test.get("keywords", {}), Mapping)
    return lists and ("output" in test or "checker" in answer)


def limits_of(answer: Mapping[str, Any]) -> Limits:
    """What a run may use. Raises `NoTests`."""
    try:
        limits = Limits(**answer.get("limits", {}))
        if all(getattr(limits, name) > 0 for name in Limits.__slots__):
            return limits
    except TypeError as error:
        raise NoTests(f"limits: {error}") from None
    raise NoTests("limits: all of them are above 0")


def calls_of(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The tests of `calls`, in values. Raises `NoTests`."""
    read = decode if answer.get("encoded") else lambda value: value
    try:
        return [
            {
                "arguments": [read(value) for value in test.get("arguments", ())],
                "keywords": {name: read(value) for name, value in test.get("keywords", {}).items()},
                **({"output": read(test["output"])} if "output" in test else {}),
            }
            for test in answer["calls"]
        ]
    except (ValueError, TypeError, AttributeError) as error:
        raise NoTests(f"the tests are no forms of values: {error}") from None


def public(answer: Mapping[str, Any]) -> dict[str, Any] | None:
    """The answer with those of its tests that a policy may see, and no other; None where it may see none."""
    try:
        form, count = form_of(answer), answer.get("public", 0)
    except NoTests:
        return None
    if form == "test" or not isinstance(count, int) or count < 1:
        return None
    return {**{key: value for key, value in answer.items() if key not in FORMS}, form: answer[form][:count]}


def shown(answer: Mapping[str, Any]) -> list[str]:
    """The public tests for a policy to read: assertions, or what goes in and comes out."""
    tests = public(answer)
    if tests is None:
        return []
    if "asserts" in tests:
        return list(tests["asserts"])
    if "stdin" in tests:
        return [f"Input:\n{test['input']}\nOutput:\n{test['output']}" for test in tests["stdin"]]
    said = []
    try:
        calls = calls_of(tests)
    except NoTests:
        return []
    for test in calls:
        words = [repr(value) for value in test["arguments"]]
        words += [f"{name}={value!r}" for name, value in test["keywords"].items()]
        call = f"{tests['entry_point']}({', '.join(words)})"
        said.append(f"assert {call} == {test['output']!r}" if "output" in test else call)
    return said


@functools.lru_cache(maxsize=1024)
def counted(source: str) -> tuple[str, int]:
    """The source of tests so that each assertion notes whether it held and the next one runs; and how many there are to see."""

    class Count(ast.NodeTransformer):
        seen = 0

        def visit_Assert(self, node: ast.Assert) -> ast.Try:
            self.seen += 1
            noted = ast.parse(f"{PROVEN}.append(True)").body
            failed = ast.parse(f"{PROVEN}.append(False)").body
            handler = ast.ExceptHandler(type=ast.Name("Exception", ast.Load()), name=None, body=failed)
            return ast.Try(body=[node], handlers=[handler], orelse=noted, finalbody=[])

    counter = Count()
    try:
        tests = ast.unparse(ast.fix_missing_locations(counter.visit(ast.parse(source))))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise NoTests(f"the tests are no Python: {error}") from None
    return f"{PROVEN} = []\n{tests}\n{PROVEN}", counter.seen


def called(source: str) -> list[str]:
    """Names that a program calls and neither defines nor imports nor finds among the builtins.

    Raises:
        SyntaxError: it is no Python.
    """
    tree = ast.parse(source)
    known = set(dir(builtins))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            known.add(node.name)
        elif isinstance(node, ast.alias):
            known.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            known.add(node.id)
    names = [n.func.id for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    return [name for name in dict.fromkeys(names) if name not in known]
