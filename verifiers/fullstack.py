"""Verifies a program by tests in FullStack-Bench's form: tests and program become one program, which must end without an error.

`problem.answer` is {"language", "runs_as", "tests", "files"}: the language of the response's code, the language that the whole
program is run as, the tests' code (`#<INSERT>` marks the place of the response's code, which otherwise comes before the tests),
and files by name, in base64. Tests of SQL and HTML are Python programs.

A problem in a language that this machine lacks, or whose tests need a package that it lacks, is not scored. C# needs .NET 8,
which does not run here, and tests for jest and pytest do not run either.

As in the benchmark, the tests share a process with the program that they judge. At the end of a Python program a random word is
printed, so a Python program that exits early is detected; programs in other languages are not protected in this way. Use this
verifier for measuring, not for training.
"""

import base64
import contextlib
import functools
import os
import re
import secrets
import sys
from collections.abc import Mapping, Sequence
from typing import cast

from ..core import Problem, Status, UserError, Verdict
from ..golds import ProgramTests
from ..responses import without_thinking, without_turn_end
from . import sandbox
from .budget import SECONDS, limit
from .code import prepare
from .programs import joined, selection
from .programs.fences import fenced, language_of
from .sandbox import Limits, LocalSandbox, Outcome, RunStatus, Sandbox, SandboxFault, languages, packages
from .sandbox.spawn import IMPORTABLE, may_lack
from .verifier import MAX_REASON_CHARACTERS, as_verifier

__all__ = ["LIMITS", "invalid_gold", "is_importable", "prepare", "python_sandbox", "verify"]

INSERT = "#<INSERT>"
"""Mark in the tests. The response's code replaces it."""
LIMITS = Limits(cpu_seconds=50, wall_seconds=50, memory=4 << 30, processes=128, disk=512 << 20)
"""Limits of one program; its build has the same. Source of the 50 s, for one processor, and of the 4 GiB: the benchmark. The
others are our choice."""
PYTHON_PACKAGES = (
    "APScheduler arch astor beautifulsoup4 colorama cryptography cvxpy datasketch Django Faker Flask Flask-RESTful "
    "Flask-SQLAlchemy Flask-WTF folium gmpy2 graphene jsonlines lightgbm lxml matplotlib mongomock nltk numba numpy "
    "opencv-python-headless openpyxl pandas pillow plotly psutil pulp pycryptodome pydantic PyJWT pymongo PyMuPDF PyPDF2 "
    "python-docx redis requests ruptures scikit-image scikit-learn scipy seaborn shapely statsmodels sympy tabulate "
    "textblob toml torch xarray xgboost-cpu xlrd XlsxWriter xlwt"
).split()
"""Distributions that the benchmark's Python programs may import, the same as in the extra `fullstack`."""
_LANGUAGES = {
    **{
        name: name
        for name in ("python", "bash", "c", "cpp", "go", "go_test", "java", "junit", "javascript", "lua", "perl", "php")
    },
    **{name: name for name in ("racket", "ruby", "scala", "sql", "typescript")},
    **{"nodejs": "javascript", "js": "javascript", "ts": "typescript", "rust": "rust_2015"},
    **{"R": "r", "r": "r", "D": "d", "d": "d", "D_ut": "d"},
}
"""The benchmark's names of those languages that run here, and our names."""
_CUT = {
    "python": re.compile(r"^if\s+__name__\s*==.*?(?=^(?:def|class|async|import|from)\b|^@|\Z)", re.MULTILINE | re.DOTALL),
    "cpp": re.compile(r"^int\s+main\s*\(.*", re.MULTILINE | re.DOTALL),
    "go": re.compile(r"^[ \t]*package[ \t]+main\b[^\n]*", re.MULTILINE),
}
"""Code that is removed, because the tests contain their own: calls of the solution with examples, and Go's package clause."""
_EXAMPLES = "# Example usage"
"""In every language but Java, the code from this text on is removed, as in the benchmark."""
_NAMES = re.compile(r"[A-Za-z_]\w*")
_IMPORTED = re.compile(r"^\s*(?:import|from)\s+([A-Za-z_]\w*)", re.MULTILINE)


def invalid_gold(problem: Problem) -> str | None:
    """Returns the reason why a problem's tests cannot run here, or None."""
    answer = problem.answer
    if not isinstance(answer, Mapping) or not isinstance(answer.get("tests"), str):
        return "there are no tests"
    if not isinstance(answer.get("language"), str):
        return "the answer names no language"
    if answer.get("runs_as") not in _LANGUAGES:
        return f"{answer.get('runs_as')} does not run here; {', '.join(sorted(_LANGUAGES))} do"
    try:
        files = _contents(cast(ProgramTests, answer))
    except (ValueError, TypeError, AttributeError) as error:
        return f"files: expected contents in base64 by name ({error})"
    language = _runs_as(cast(ProgramTests, answer))
    if language != "python":
        with contextlib.suppress(UserError, SandboxFault):  # a machine without a sandbox: `verify` reports it
            return languages.lacks(language)
        return None
    imported = answer.get("imports", _IMPORTED.findall(answer["tests"]))
    given = {name.removesuffix(".py") for name in files}
    missing = [name for name in imported if name not in given and not is_importable(name)]
    return f"the tests need the package {missing[0]}: pip install 'tenfold[fullstack]'" if missing else None


@as_verifier(invalid_gold=invalid_gold, prepare=prepare)
def verify(problem: Problem, response: str) -> Verdict:
    """Runs the response's code with the problem's tests."""
    if (reason := invalid_gold(problem)) is not None:
        return Verdict(Status.UNDECIDED, None, "tests", reason[:MAX_REASON_CHARACTERS])
    answer = cast(ProgramTests, problem.answer)
    text, is_java = without_turn_end(without_thinking(response)), answer["language"] == "java"
    try:
        with limit(SECONDS):
            parts = _java_parts(text) if is_java else [_code(text, answer)]
            files = _java_files(parts, answer) if is_java else {}
            program = "" if is_java else complete_program(parts[0], answer)
    except joined.TooLong as error:
        return Verdict(Status.SCORED, 0.0, "extract", str(error))
    if not any(part.strip() for part in parts):
        return Verdict(Status.SCORED, 0.0, "extract", "the response contains no code")
    is_python, word = _runs_as(answer) == "python", secrets.token_hex(8)
    if answer["language"] == "html" and INSERT not in answer["tests"]:
        files["index.html"] = parts[0].encode("utf-8", "surrogatepass")
    try:
        outcome = _run(program, answer, files, word)
    except (SandboxFault, UserError) as error:
        return Verdict(Status.FAULT, None, "sandbox", str(error)[:MAX_REASON_CHARACTERS])
    if outcome.status == RunStatus.TIMEOUT:
        return Verdict(Status.TIMEOUT, 0.0, "tests", outcome.reason[:MAX_REASON_CHARACTERS])
    passed = outcome.status == RunStatus.FINISHED and (not is_python or word in outcome.stdout)
    reason = outcome.reason[:MAX_REASON_CHARACTERS] or ("the tests pass" if passed else "the program exited early")
    return Verdict(Status.SCORED, float(passed), "tests", reason)


def _run(program: str, answer: ProgramTests, own: Mapping[str, bytes], word: str) -> Outcome:
    """Runs the program beside the problem's files and `own`. A Python program prints `word` at its end."""
    language, files = _runs_as(answer), {**_contents(answer), **own}
    if language != "python":
        return languages.run(language, program, limits=LIMITS, files=files)
    # Not `print`, which the program may have replaced, like `sys.stdout`.
    program = f"{selection.concatenated(_writes(files), program)}\n\n__import__('os').write(1, {word.encode()!r})"
    return python_sandbox()[0].run(program, limits=LIMITS)


def _runs_as(answer: ProgramTests) -> str:
    """Returns our name of the language that the whole program is run as. Tests of Java are always JUnit's."""
    return "junit" if answer["language"] == "java" else _LANGUAGES[answer["runs_as"]]


def complete_program(code: str, answer: ProgramTests) -> str:
    """Returns the response's code and the tests as one program, in any language but Java."""
    tests, language = answer["tests"], _runs_as(answer)
    if language == "php":
        code, tests = joined.php_code(code), tests if INSERT in tests else joined.php_code(tests)
    is_python = language == "python"
    if answer["language"] == "html" and INSERT not in tests:
        return tests
    if INSERT in tests:
        before, _, after = tests.partition(INSERT)
        together = f"{before}{code}{after}"
        if is_python and "__future__" in code:
            together = f"{selection.concatenated(before, code)}{after}"
    else:
        together = selection.concatenated(code, tests) if is_python else f"{code}\n{tests}"
    if language in ("go", "go_test"):
        return joined.go(together, joined.go_package(tests) or joined.go_package(code) or "main")
    return joined.php(together) if language == "php" else together


def _code(text: str, answer: ProgramTests) -> str:
    """Returns the first fenced block of the language, or the first block, or the text, without code that tries it out.

    The benchmark takes the first block. For Python, this function takes the first block that defines a name from the tests, and
    the blocks that it needs.
    """
    blocks, language = fenced(text), language_of(answer["language"])
    named = [block for block in blocks if block.language == language]
    code = named[0].body if named else blocks[0].body if blocks else text
    if language == "python":
        code = selection.first_defining(named or blocks, frozenset(_NAMES.findall(answer["tests"]))) or code
    code = _CUT[language].sub("", code) if language in _CUT else code
    return code.partition(_EXAMPLES)[0]


def _java_parts(text: str) -> list[str]:
    """Returns all blocks of Java, or those without a language, or the text."""
    blocks = fenced(text)
    return [block.body for block in blocks if block.language in ("java", "")] or [text]


def _java_files(parts: Sequence[str], answer: ProgramTests) -> dict[str, bytes]:
    # The tests come last, so that the response cannot replace their classes.
    return {name: content.encode("utf-8", "surrogatepass") for name, content in joined.java([*parts, answer["tests"]]).items()}


def _contents(answer: ProgramTests) -> dict[str, bytes]:
    """Returns the problem's files. Raises ValueError, TypeError or AttributeError if they are malformed."""
    files = {name: base64.b64decode(content, validate=True) for name, content in (answer.get("files") or {}).items()}
    for name in files:
        if not name.strip("/.") or name.startswith("/") or "\0" in name or ".." in name.split("/"):
            raise ValueError(f"{name!r:.80} is not the name of a file in the program's folder")
    if sum(map(len, files.values())) > LIMITS.disk // 2:
        raise ValueError(f"more than {LIMITS.disk // 2} bytes")
    return files


def _writes(files: Mapping[str, bytes]) -> str:
    """Returns Python code that writes files."""
    if not files:
        return ""
    encoded = {name: base64.b64encode(content).decode() for name, content in files.items()}
    # Without import statements, because a program that forgets an import must fail.
    return (
        f"for _name, _content in {encoded!r}.items():\n"
        "    _name = __import__('pathlib').Path(_name)\n"
        "    _name.parent.mkdir(parents=True, exist_ok=True)\n"
        "    _name.write_bytes(__import__('base64').b64decode(_content))\n"
    )


def python_sandbox() -> tuple[Sandbox, frozenset[str]]:
    """Returns the sandbox of Python programs, and the names of the packages that they can import there."""
    shared = sandbox.shared()
    if isinstance(shared, LocalSandbox):
        return _python_of(os.getpid())
    return shared, frozenset(IMPORTABLE)  # on other machines there are no further packages


@functools.lru_cache(maxsize=1)
def _python_of(process: int) -> tuple[Sandbox, frozenset[str]]:
    shown = packages.paths(PYTHON_PACKAGES)
    return LocalSandbox(without=may_lack(), packages=shown), packages.modules(shown) | frozenset(IMPORTABLE)


def is_importable(package: str) -> bool:
    """True if Python programs can import a package in the sandbox."""
    name = package.partition(".")[0]
    return name in sys.stdlib_module_names or name in python_sandbox()[1]
