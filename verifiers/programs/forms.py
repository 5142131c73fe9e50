"""The tests of a coding problem: in which form they are, whether they can be used, which of them a policy may see.

`code.py` lists the forms and runs them.
"""

import ast
import builtins
import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from ...golds import CallTest, CodeTests
from ..sandbox import Limits
from ..sandbox.inside.wire import decode

PROVEN = "__tenfold_passed"
"""Name of the list in which counted assertions note whether they held."""

FORMS = ("calls", "test", "asserts", "stdin")


class NoTests(Exception):
    """The problem's tests cannot be used; the text says why."""


def form_of(answer: CodeTests) -> str:
    """Which form of tests an answer has: the first of `FORMS`. Raises `NoTests` where it has none that can be used."""
    form = next((form for form in FORMS if answer.get(form)), None)
    if form is None or (form in ("calls", "test") and not isinstance(answer.get("entry_point"), str)):
        raise NoTests("there are no tests: the answer wants asserts, stdin, or an entry_point with calls or test")
    tests = answer.get(form)
    if form == "test":
        usable = isinstance(tests, str)
    else:
        usable = isinstance(tests, list | tuple) and all(_is_test(form, test, answer) for test in tests)
    if not usable:
        raise NoTests(f"{form}: a test is malformed")
    return form


def _is_test(form: str, test: object, answer: CodeTests) -> bool:
    if form == "asserts":
        return isinstance(test, str)
    if not isinstance(test, Mapping):
        return False
    if form == "stdin":
        return isinstance(test.get("input"), str) and isinstance(test.get("output"), str)
    lists = isinstance(test.get("arguments", []), list | tuple) and isinstance(test.get("keywords", {}), Mapping)
    return lists and ("output" in test or "checker" in answer)


def limits_of(answer: CodeTests) -> Limits:
    """What a run may use. Raises `NoTests`."""
    try:
        limits = Limits(**answer.get("limits", {}))
        if all(getattr(limits, name) > 0 for name in Limits.__slots__):
            return limits
    except TypeError as error:
        raise NoTests(f"limits: {error}") from None
    raise NoTests("limits: all of them are above 0")


def calls_of(answer: CodeTests) -> list[CallTest]:
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


def public(answer: CodeTests) -> CodeTests | None:
    """The answer with those of its tests that a policy may see, and no other; None where it may see none."""
    try:
        form, count = form_of(answer), answer.get("public", 0)
    except NoTests:
        return None
    if form == "test" or not isinstance(count, int) or count < 1:
        return None
    tests = cast(Sequence[object], answer.get(form))[:count]
    return cast(CodeTests, {key: value for key, value in answer.items() if key not in FORMS} | {form: tests})


def shown(answer: CodeTests) -> list[str]:
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


@dataclass(frozen=True, slots=True)
class Counted:
    """Tests whose assertions note what they come to."""

    source: str
    """Its last expression lists the numbers of assertions as they came: below 0 where one failed, as text where it failed and
    the tests may have handled that."""
    required: frozenset[int]
    """Assertions that have to come: all but those that say by themselves that they need not (see `counted`)."""
    judges: bool
    """Whether they judge at all: they assert something, or expect or raise an exception."""


@functools.lru_cache(maxsize=1024)
def counted(source: str) -> Counted:
    """The source of tests so that each assertion notes that it came, and whether it held.

    Where nothing in the tests handles exceptions, an assertion that fails is noted, and the next one runs. Else (`try`, `with`,
    `assertRaises`, ...) the tests run as they are written, and end with their first failure.

    An assertion need not come that says so itself (`assert False`), that stands under a condition (`if`, `try`, ...), or in a
    function that nobody names. Any other one has to: a loop without a round has tested nothing.

    Raises:
        NoTests: it is no Python.
    """
    try:
        tree = ast.parse(source)
        nodes = list(ast.walk(tree))
        expects = any(_expects(node) for node in nodes)
        handles = expects or any(isinstance(node, ast.With | ast.AsyncWith) for node in nodes)
        names = {node.id for node in nodes if isinstance(node, ast.Name)}
        counter = _Counter(handles, names | {node.attr for node in nodes if isinstance(node, ast.Attribute)})
        tests = ast.unparse(ast.fix_missing_locations(counter.visit(tree)))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise NoTests(f"the tests are no Python: {error}") from None
    judges = expects or any(isinstance(node, ast.Assert | ast.Raise) for node in nodes)
    return Counted(f"{PROVEN} = []\n{tests}\n{PROVEN}", frozenset(counter.required), judges)


_BRANCHES = (ast.If, ast.Try, ast.TryStar, ast.Match)
_EXPECTS = re.compile(r"raises|assert[A-Z_]|fail", re.IGNORECASE)
"""Names of functions that judge: unittest's, pytest's, and what people call their own."""


def _expects(node: ast.AST) -> bool:
    """Whether a piece of the tests handles an exception or calls what judges."""
    if isinstance(node, ast.Try | ast.TryStar):
        return bool(node.handlers)
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute | ast.Name):
        return False
    return _EXPECTS.match(node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id) is not None


class _Counter(ast.NodeTransformer):
    """Numbers assertions, and has each note what it comes to."""

    def __init__(self, handles: bool, names: set[str]):
        self.handles, self.names = handles, names
        self.seen, self.optional = 0, 0
        self.required: list[int] = []

    def visit(self, node: ast.AST) -> Any:
        unnamed = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name not in self.names
        self.optional += (branch := isinstance(node, _BRANCHES) or unnamed)
        visited = super().visit(node)
        self.optional -= branch
        return visited

    def visit_Assert(self, node: ast.Assert) -> ast.Try:
        self.seen += 1
        if not self.optional and not (isinstance(node.test, ast.Constant) and not node.test.value):
            self.required.append(self.seen)
        noted = f'"{self.seen}"' if self.handles else f"-{self.seen}"
        holds, fails = (ast.parse(f"{PROVEN}.append({note})").body for note in (str(self.seen), noted))
        goes_on: list[ast.stmt] = [ast.Raise()] if self.handles else []
        handler = ast.ExceptHandler(type=ast.Name("BaseException", ast.Load()), name=None, body=[*fails, *goes_on])
        return ast.Try(body=[node], handlers=[handler], orelse=holds, finalbody=[])


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
