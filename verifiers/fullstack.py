"""FullStack-Bench's form of tests: code that is set around or behind the response's, and the whole has to end well.

`problem.answer` is {"language", "runs_as", "tests", "files"}: the language of the answer, the one that the whole is run as, the
tests' code (`#<INSERT>` marks where the answer goes; without it the tests follow), and files by name, in base64.

The tests share a process with the program that they judge, as the benchmark has it: a Python program that leaves early is found
out by a word that the end of the tests prints, one of another language is not. It is for measuring, not to train on.
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
from .verifier import as_verifier

__all__ = ["invalid_gold", "prepare", "verify"]

INSERT = "#<INSERT>"
LIMITS = Limits(cpu_seconds=30, wall_seconds=50, memory=2 << 30, processes=64)
"""The benchmark allows 50 s."""
REASON = 300
_KNOWN = {"python": "python", "cpp": "cpp", "c": "c", "bash": "bash", "javascript": "javascript", "nodejs": "javascript"}
"""The benchmark's names of languages that run here."""
_CUT = {
    "python": re.compile(r"^if\s+__name__\s*==.*", re.MULTILINE | re.DOTALL),
    "cpp": re.compile(r"^int\s+main\s*\(.*", re.MULTILINE | re.DOTALL),
}
"""What a response adds to try itself out; the tests bring their own."""
_NAMES = re.compile(r"[A-Za-z_]\w*")
_IMPORTED = re.compile(r"^\s*(?:import|from)\s+([A-Za-z_]\w*)", re.MULTILINE)


def invalid_gold(problem: Problem) -> str | None:
    """Why a problem's tests cannot run here, None where they can."""
    answer = problem.answer
    if not isinstance(answer, Mapping) or not isinstance(answer.get("tests"), str):
        return "there are no tests"
    if answer.get("runs_as") not in _KNOWN:
        return f"{answer.get('runs_as')} does not run here; {', '.join(sorted(_KNOWN))} do"
    if _KNOWN[answer["runs_as"]] == "python":
        missing = [name for name in answer.get("imports", _IMPORTED.findall(answer["tests"])) if not _is_there(name)]
        return f"its tests want the package {missing[0]}" if missing else None
    return "files are put beside Python programs only" if answer.get("files") else None


@as_verifier(invalid_gold=invalid_gold, prepare=prepare)
def verify(problem: Problem, response: str) -> Verdict:
    """Runs the response's code with the problem's tests."""
    if (lacks := invalid_gold(problem)) is not None:
        return Verdict(Status.UNDECIDED, None, "tests", lacks)
    answer = cast(ProgramTests, problem.answer)
    with limit(SECONDS):
        code = _code(without_turn_end(without_thinking(response)), answer)
    if not code.strip():
        return Verdict(Status.SCORED, 0.0, "extract", "the response holds no code")
    language, word = _KNOWN[answer["runs_as"]], secrets.token_hex(8)
    program = whole(code, answer)
    try:
        if language == "python":
            box = sandbox.shared()
            outcome = box.run(f"{selection.behind(_files(answer), program)}\n\nprint({word!r})", limits=LIMITS)
        else:
            outcome = languages.run(language, program, limits=LIMITS)
    except (SandboxFault, UserError) as error:
        return Verdict(Status.FAULT, None, "sandbox", str(error)[:REASON])
    if outcome.status == RunStatus.TIMEOUT:
        return Verdict(Status.TIMEOUT, 0.0, "tests", outcome.reason[:REASON])
    ended = outcome.status == RunStatus.FINISHED and (language != "python" or word in outcome.stdout)
    return Verdict(Status.SCORED, float(ended), "tests", outcome.reason[:REASON] or ("they pass" if ended else "it left early"))


def whole(code: str, answer: ProgramTests) -> str:
    """The response's code and the tests as one program."""
    tests = answer["tests"]
    if INSERT in tests:
        before, _, behind = tests.partition(INSERT)
        if _KNOWN[answer["runs_as"]] == "python" and "__future__" in code:
            return f"{selection.behind(before, code)}{behind}"
        return f"{before}{code}{behind}"
    return f"{code}\n{tests}"


def _code(text: str, answer: ProgramTests) -> str:
    """The first fenced block of the language, else the first of any, else all; without what tries it out.

    The first, as the benchmark has it; of Python the first that defines what the tests use, with what it needs.
    """
    blocks, language = fenced(text), answer["language"]
    named = [block for block in blocks if block.language == language_of(language)]
    code = named[0].body if named else blocks[0].body if blocks else text
    if language == "python":
        code = selection.first_of(named or blocks, frozenset(_NAMES.findall(answer["tests"]))) or code
    return _CUT[language].sub("", code) if language in _CUT else code


def _files(answer: ProgramTests) -> str:
    """Python that writes the problem's files."""
    files = answer.get("files") or {}
    if not files:
        return ""
    for content in files.values():
        base64.b64decode(content, validate=True)
    written = f"for _name, _content in {dict(files)!r}.items():\n    open(_name, 'wb').write(base64.b64decode(_content))\n"
    return f"import base64\n{written}"


@functools.cache
def _is_there(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
