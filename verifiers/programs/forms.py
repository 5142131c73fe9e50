"""The tests of a coding problem: which form they have, whether they can be used, and which of them a policy may read.

`code.py` lists the forms and runs them.
"""

import ast
import builtins
import functools
import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast, get_type_hints

from ...golds import CallTest, CodeTests
from ..sandbox import Limits, RunStatus
from ..sandbox.inside.wire import decode

RESULT_LIST = "__tenfold_passed__"
"""Name of the list to which instrumented assertions append their results. Python does not mangle such a name in a class."""

TestResults = tuple[list[bool], str, RunStatus]
"""For each test whether it passes, the reason why the first failed test fails, and how the run ended."""
FORMS = ("calls", "test", "asserts", "stdin")
"""Forms of tests, in order of precedence."""
_TEXTS = ("setup", "header", "footer", "checker", "language")
"""Options that are text. None is the same as a missing option."""
_LIMITS: dict[str, type] = get_type_hints(Limits)


class NoTests(Exception):
    """The problem's tests cannot be used. The message says why."""


def form_of(answer: CodeTests) -> str:
    """Returns the form of an answer's tests: the first of `FORMS` that it has. Raises `NoTests` if its tests cannot be used."""
    form = next((form for form in FORMS if answer.get(form)), None)
    if form is None or (form in ("calls", "test") and not isinstance(answer.get("entry_point"), str)):
        raise NoTests("the answer has no tests: it needs asserts, stdin, or an entry_point with calls or test")
    for name in _TEXTS:
        if not isinstance(answer.get(name), str | None):
            raise NoTests(f"{name}: a text is needed, not {type(answer.get(name)).__name__}")
    functions, tolerance = answer.get("functions"), answer.get("tolerance")
    if not (functions is None or (isinstance(functions, list | tuple) and all(isinstance(name, str) for name in functions))):
        raise NoTests("functions: a list of names is needed")
    if not (tolerance is None or (isinstance(tolerance, int | float) and 0 <= tolerance < math.inf)):
        raise NoTests("tolerance: a number of at least 0 is needed")
    tests = answer.get(form)
    if form == "test":
        usable = isinstance(tests, str)
    else:
        usable = isinstance(tests, list | tuple) and all(_is_test(form, test, answer) for test in tests)
    if not usable:
        raise NoTests(f"{form}: malformed test")
    return form


def _is_test(form: str, test: object, answer: CodeTests) -> bool:
    if form == "asserts":
        return isinstance(test, str)
    if not isinstance(test, Mapping):
        return False
    if form == "stdin":
        return isinstance(test.get("input"), str) and isinstance(test.get("output"), str)
    lists = isinstance(test.get("arguments", []), list | tuple) and isinstance(test.get("keywords", {}), Mapping)
    return lists and ("output" in test or bool(answer.get("checker")))


def limits_of(answer: CodeTests) -> Limits:
    """Returns the limits of a run. Raises `NoTests`."""
    given: object = answer.get("limits") or {}
    if not isinstance(given, Mapping):
        raise NoTests(f"limits: a mapping is needed, not {type(given).__name__}")
    for name, value in given.items():
        if name not in _LIMITS:
            raise NoTests(f"limits: unknown limit {name!r}; the limits are {', '.join(_LIMITS)}")
        whole = _LIMITS[name] is int
        if not isinstance(value, int if whole else int | float) or not 0 < value < math.inf:
            raise NoTests(f"limits: {name} must be a {'whole ' if whole else ''}number above 0, not {value!r}")
    return Limits(**given)


def checker_of(answer: CodeTests) -> str | None:
    """Returns a program whose last expression is the checker of `calls`; None without a checker. Raises `NoTests`."""
    if not answer.get("checker"):
        return None
    source = f"{answer['checker']}\ncheck"
    try:
        ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise NoTests(f"the checker cannot be defined: {error}") from None
    return source


def calls_of(answer: CodeTests) -> list[CallTest]:
    """Returns the tests of `calls` with decoded values. Raises `NoTests`."""
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
        raise NoTests(f"calls: malformed encoded value: {error}") from None


def public_tests(answer: CodeTests) -> CodeTests | None:
    """Returns the answer with only those tests that a policy may read; None if it may read none."""
    try:
        form, count = form_of(answer), answer.get("public", 0)
    except NoTests:
        return None
    if form == "test" or not isinstance(count, int) or count < 1:
        return None
    tests = cast(Sequence[object], answer.get(form))[:count]
    return cast(CodeTests, {key: value for key, value in answer.items() if key not in FORMS} | {form: tests})


def public_test_texts(answer: CodeTests) -> list[str]:
    """Returns the public tests as text for a policy: assertions, or inputs with outputs."""
    tests = public_tests(answer)
    if tests is None:
        return []
    if "asserts" in tests:
        return list(tests["asserts"])
    if "stdin" in tests:
        return [f"Input:\n{test['input']}\nOutput:\n{test['output']}" for test in tests["stdin"]]
    texts = []
    try:
        calls = calls_of(tests)
    except NoTests:
        return []
    for test in calls:
        words = [repr(value) for value in test["arguments"]]
        words += [f"{name}={value!r}" for name, value in test["keywords"].items()]
        call = f"{tests['entry_point']}({', '.join(words)})"
        texts.append(f"assert {call} == {test['output']!r}" if "output" in test else call)
    return texts


@dataclass(frozen=True, slots=True)
class InstrumentedTests:
    """Tests whose assertions record their results."""

    source: str
    """The value of its last expression lists the numbers of the assertions in the order in which they ran. A failed assertion
    has a negative number, or its number as text if the tests may have handled the failure."""
    required: frozenset[int]
    """Numbers of the assertions that must run (see `instrumented`)."""
    has_checks: bool
    """True if the tests can fail: code that may run contains an assertion or a `raise`, or expects an exception."""


@functools.lru_cache(maxsize=1024)
def instrumented(source: str) -> InstrumentedTests:
    """Changes the source of tests so that each assertion records that it ran and whether it held.

    If the tests handle no exceptions, the tests continue after a failed assertion. Otherwise (`try`, `with`, `assertRaises`,
    ...) they run as they are written and end with the first failure that they do not catch.

    Every assertion must run, because otherwise a loop without iterations would pass without a test. Three kinds need not run:
    one that always fails (`assert False`), one under a condition (`if`, `try`, ...) and one in a function that is never named.

    Raises:
        NoTests: the source is not valid Python.
    """
    try:
        tree = ast.parse(source)
        nodes = list(ast.walk(tree))
        judged = frozenset(undefined_calls(source))
        expects = any(_expects(node, judged) for node in nodes)
        handles = expects or any(isinstance(node, ast.With | ast.AsyncWith) for node in nodes)
        names = {node.id for node in nodes if isinstance(node, ast.Name)}
        names |= {node.attr for node in nodes if isinstance(node, ast.Attribute)}
        counter = _Counter(handles, names)
        has_checks = any(isinstance(node, ast.Assert | ast.Raise) or _expects(node, judged) for node in _that_run(tree, names))
        tests = ast.unparse(_with_result_list(ast.fix_missing_locations(counter.visit(tree))))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(tests, "tests", "exec", dont_inherit=True)  # finds more errors than ast.parse
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise NoTests(f"the tests are not valid Python: {error}") from None
    return InstrumentedTests(f"{tests}\n{RESULT_LIST}", frozenset(counter.required), has_checks)


_BRANCHES = (ast.If, ast.Try, ast.TryStar, ast.Match)
_EXPECTS = re.compile(r"raises|assert[A-Z_]|fail", re.IGNORECASE)
"""Names of functions that check something: those of unittest and pytest, and common names of the tests' own functions."""

_FIND_FUNCTIONS = frozenset(("globals", "locals", "vars", "getattr", "eval", "exec"))
"""Tests that use one of these may call functions that they do not name."""


def _with_result_list(tree: ast.Module) -> ast.Module:
    """Returns the tests with an empty list of results. It follows the imports from `__future__`, which must come first."""
    statements = tree.body
    first = 0
    for number, statement in enumerate(statements):
        if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
            first = number + 1
    return ast.Module([*statements[:first], *ast.parse(f"{RESULT_LIST} = []").body, *statements[first:]], tree.type_ignores)


def _expects(node: ast.AST, judged: frozenset[str]) -> bool:
    """True if a node handles an exception or calls a checking function.

    Args:
        node: a node of the tests.
        judged: names of functions of the judged program, which are no checking functions.
    """
    if isinstance(node, ast.Try | ast.TryStar):
        return bool(node.handlers)
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute | ast.Name):
        return False
    if isinstance(node.func, ast.Name) and node.func.id in judged:
        return False
    return _EXPECTS.match(node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id) is not None


def _that_run(tree: ast.AST, names: set[str]) -> Iterator[ast.AST]:
    """Yields the nodes of tests without the bodies of functions that nothing calls.

    Python calls functions such as __init__. A decorator `@run` may call its function; pytest's `@pytest.mark.NAME` does not.

    Args:
        tree: the tests.
        names: names that the tests use.
    """
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            special = node.name.startswith("__") and node.name.endswith("__")
            decorated = any(isinstance(decorator, ast.Name) for decorator in node.decorator_list)
            if not (special or decorated or node.name in names or names & _FIND_FUNCTIONS):
                continue
        yield node
        yield from _that_run(node, names)


class _Counter(ast.NodeTransformer):
    """Numbers the assertions, and makes each record its result."""

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
        failure = f'"{self.seen}"' if self.handles else f"-{self.seen}"
        holds, fails = (ast.parse(f"{RESULT_LIST}.append({result})").body for result in (str(self.seen), failure))
        reraise: list[ast.stmt] = [ast.Raise()] if self.handles else []
        handler = ast.ExceptHandler(type=ast.Name("BaseException", ast.Load()), name=None, body=[*fails, *reraise])
        return ast.Try(body=[node], handlers=[handler], orelse=holds, finalbody=[])


def undefined_calls(source: str) -> list[str]:
    """Returns the names that a program calls or passes to a call, except builtins and the names that it defines or imports.

    Raises:
        SyntaxError: the source is not valid Python.
    """
    tree = ast.parse(source)
    known = set(dir(builtins))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            known.add(node.name)
        elif isinstance(node, ast.arg):
            known.add(node.arg)
        elif isinstance(node, ast.alias):
            known.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            known.add(node.id)
    used: list[ast.expr] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            used.append(node.func)
            if "*" not in known:  # `import *` may define an argument's name, such as `inf`
                used += [*node.args, *(keyword.value for keyword in node.keywords)]
    names = [node.id for node in used if isinstance(node, ast.Name)]
    return [name for name in dict.fromkeys(names) if name not in known]
