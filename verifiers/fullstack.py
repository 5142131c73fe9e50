"""Verifies a program by tests in FullStack-Bench's form: tests and program become one program, which must end without an error.

`problem.answer` is {"language", "runs_as", "tests", "files"}: the language of the response's code, the language that the whole
program is run as, the tests' code (`#<INSERT>` marks the place of the response's code, which otherwise comes before the tests),
and files by name, in base64.

As in the benchmark, the tests share a process with the program that they judge. At the end of a Python program a random word is
printed, so a Python program that exits early is detected; programs in other languages are not protected in this way. Use this
verifier for measuring, not for training.
"""

import base64
import functools
import importlib.util
import re
import secrets
from collections.abc import Mapping
from typing import cast

from ..core import Problem, Status, UserError, Verdict
from ..golds import ProgramTests
from ..responses import without_thinking, without_turn_end
from . import sandbox
from .budget import SECONDS, limit
from .code import prepare
from .programs import selection
from .programs.fences import fenced, language_of
from .sandbox import Limits, RunStatus, SandboxFault, languages
from .verifier import MAX_REASON_CHARACTERS, as_verifier

__all__ = ["invalid_gold", "prepare", "verify"]

INSERT = "#<INSERT>"
"""Mark in the tests. The response's code replaces it."""
LIMITS = Limits(cpu_seconds=30, wall_seconds=50, memory=2 << 30, processes=64)
"""Limits of one program. Source of the 50 s: the benchmark. The others are our choice."""
_LANGUAGES = {"python": "python", "cpp": "cpp", "c": "c", "bash": "bash", "javascript": "javascript", "nodejs": "javascript"}
"""The benchmark's names of those languages that run here, and our names."""
_CUT = {
    "python": re.compile(r"^if\s+__name__\s*==.*?(?=^(?:def|class|async|import|from)\b|^@|\Z)", re.MULTILINE | re.DOTALL),
    "cpp": re.compile(r"^int\s+main\s*\(.*", re.MULTILINE | re.DOTALL),
}
"""Code that calls the solution with examples. It is removed, because the tests contain their own."""
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
    if _LANGUAGES[answer["runs_as"]] == "python":
        try:
            _files(cast(ProgramTests, answer))
        except (ValueError, TypeError, AttributeError) as error:
            return f"files: expected contents in base64 by name ({error})"
        missing = [name for name in answer.get("imports", _IMPORTED.findall(answer["tests"])) if not _is_installed(name)]
        return f"the tests need the package {missing[0]}" if missing else None
    return "only Python programs can have files" if answer.get("files") else None


@as_verifier(invalid_gold=invalid_gold, prepare=prepare)
def verify(problem: Problem, response: str) -> Verdict:
    """Runs the response's code with the problem's tests."""
    if (reason := invalid_gold(problem)) is not None:
        return Verdict(Status.UNDECIDED, None, "tests", reason[:MAX_REASON_CHARACTERS])
    answer = cast(ProgramTests, problem.answer)
    with limit(SECONDS):
        code = _code(without_turn_end(without_thinking(response)), answer)
    if not code.strip():
        return Verdict(Status.SCORED, 0.0, "extract", "the response contains no code")
    language, word = _LANGUAGES[answer["runs_as"]], secrets.token_hex(8)
    program = complete_program(code, answer)
    try:
        if language == "python":
            box = sandbox.shared()
            # Not `print`, which the program may have replaced, like `sys.stdout`.
            program = f"{selection.concatenated(_files(answer), program)}\n\n__import__('os').write(1, {word.encode()!r})"
            outcome = box.run(program, limits=LIMITS)
        else:
            outcome = languages.run(language, program, limits=LIMITS)
    except (SandboxFault, UserError) as error:
        return Verdict(Status.FAULT, None, "sandbox", str(error)[:MAX_REASON_CHARACTERS])
    if outcome.status == RunStatus.TIMEOUT:
        return Verdict(Status.TIMEOUT, 0.0, "tests", outcome.reason[:MAX_REASON_CHARACTERS])
    passed = outcome.status == RunStatus.FINISHED and (language != "python" or word in outcome.stdout)
    reason = outcome.reason[:MAX_REASON_CHARACTERS] or ("the tests pass" if passed else "the program exited early")
    return Verdict(Status.SCORED, float(passed), "tests", reason)


def complete_program(code: str, answer: ProgramTests) -> str:
    """Returns the response's code and the tests as one program."""
    tests, is_python = answer["tests"], _LANGUAGES[answer["runs_as"]] == "python"
    if INSERT in tests:
        before, _, after = tests.partition(INSERT)
        if is_python and "__future__" in code:
            return f"{selection.concatenated(before, code)}{after}"
        return f"{before}{code}{after}"
    return selection.concatenated(code, tests) if is_python else f"{code}\n{tests}"


def _code(text: str, answer: ProgramTests) -> str:
    """Returns the first fenced block of the language, or the first block, or the text, without code that tries it out.

    The benchmark takes the first block. For Python, this function takes the first block that defines a name from the tests, and
    the blocks that it needs.
    """
    blocks, language = fenced(text), answer["language"]
    named = [block for block in blocks if block.language == language_of(language)]
    code = named[0].body if named else blocks[0].body if blocks else text
    if language == "python":
        code = selection.first_defining(named or blocks, frozenset(_NAMES.findall(answer["tests"]))) or code
    return _CUT[language].sub("", code) if language in _CUT else code


def _files(answer: ProgramTests) -> str:
    """Returns Python code that writes the problem's files."""
    files = answer.get("files") or {}
    if not files:
        return ""
    for content in files.values():
        base64.b64decode(content, validate=True)
    # Without import statements, because a program that forgets an import must fail.
    return (
        f"for _name, _content in {dict(files)!r}.items():\n"
        "    _name = __import__('pathlib').Path(_name)\n"
        "    _name.parent.mkdir(parents=True, exist_ok=True)\n"
        "    _name.write_bytes(__import__('base64').b64decode(_content))\n"
    )


@functools.cache
def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package.partition(".")[0]) is not None
