"""The program in the sandbox that runs a response's program as LiveCodeBench's grader does. `run.py` sends its source.

It imports nothing of tenfold. The benchmark's grader (`lcb_runner/evaluation/testing_util.py`) executes a program in its own
process, behind a header of imports, with a standard input and output of its own. Some programs that Python runs therefore fail
there, and the other way round. This module makes the same objects that a program of the benchmark sees.
"""

import ast
import contextlib
import io
import os
import sys
import types
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

_STARRED = (
    *("string", "re", "datetime", "collections", "heapq", "bisect", "copy", "math", "random", "statistics", "itertools"),
    *("functools", "operator", "io", "sys", "json", "builtins", "typing"),
)
"""Modules of the header, in its order, in which later names replace earlier ones."""
_NAMED = _STARRED[:-2]
"""Modules that the header also imports by name."""
RECURSION_LIMIT, MAX_DIGITS = 50_000, 50_000
"""The recursion limit, and the largest number of digits of an integer that is converted to text or from it."""
HEADER = "\n".join(
    (
        *(f"from {module} import *" for module in _STARRED),
        *(f"import {module}" for module in _NAMED),
        f"sys.setrecursionlimit({RECURSION_LIMIT})\n",
    )
)
WHOLE = "wrapped_function"
"""Name of the function that a whole program becomes."""
_BLOCKED = ("ipdb", "joblib", "resource", "psutil", "tkinter")
"""Modules that cannot be imported."""
_REMOVED = (
    "kill system putenv remove removedirs rmdir fchdir setuid fork forkpty killpg rename renames truncate replace unlink "
    "fchmod fchown chmod chown chroot lchflags lchmod lchown getcwd chdir"
)
"""Functions of the module os that are None."""


class _Bytes:
    """`sys.stdin.buffer`. Each call of `readline` returns the first line."""

    def __init__(self, text: str):
        self._content = text.encode("utf-8")

    def read(self, *_: object) -> bytes:
        return self._content

    def readline(self, *_: object) -> bytes:
        return self._content.split(b"\n")[0] + b"\n"


class _Input:
    """`sys.stdin`. It is no iterator, and `readlines` returns lines without their ends."""

    def __init__(self, text: str):
        self._text, self._lines, self.buffer = text, io.StringIO(text), _Bytes(text)

    def read(self, *_: object) -> str:
        return self._text

    def readline(self, *arguments: int) -> str:
        return self._lines.readline(*arguments)

    def readlines(self, *_: object) -> list[str]:
        return self._text.split("\n")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lines, name)


class _Output(io.StringIO):
    """`sys.stdout`."""

    def close(self) -> None:
        raise TypeError("sys.stdout cannot be closed")


def run_whole(program: str) -> None:
    """Runs a whole program on standard input, and writes what it has printed to standard output.

    Only what is written to `sys.stdout` counts, not what is written to the descriptor 1.
    """
    with open(0, "rb", closefd=False) as stream:
        text = stream.read().decode("utf-8", "surrogatepass")
    out = os.dup(1)
    _close_streams()
    main = _function(_as_function(_without_condition(program)), WHOLE)
    lines = iter(text.split("\n"))
    # A program that has imported `stdin` from sys reads from the stream that was there before.
    reading = {"read": lambda *_: text, "readlines": lambda *_: text.split("\n"), "readline": lambda *_: next(lines)}
    for name, read in reading.items():
        setattr(sys.stdin, name, read)
    stdout, printed = sys.stdout, _Output()
    sys.stdin, sys.stdout = _Input(text), printed
    with contextlib.suppress(SystemExit):
        main()
    sys.stdout = stdout
    content = printed.getvalue().encode("utf-8", "surrogatepass")
    while content:
        content = content[os.write(out, content) :]
    os._exit(0)  # threads that still run do not count


def function_of(program: str, name: str) -> Callable[..., object]:
    """Returns the function of a program that is called, or the method of its class `Solution`.

    Args:
        program: the program.
        name: name of the function.
    """
    _close_streams()
    function = _function(f"{HEADER}\n\n{program}", name)

    def judged(*arguments: object) -> object:
        value = function(*arguments)
        return _plain(list(value) if isinstance(value, tuple) else value)

    return judged


def _close_streams() -> None:
    """Replaces the streams by the null device, and removes what the grader removes."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(null, descriptor)
    sys.set_int_max_str_digits(MAX_DIGITS)
    import builtins
    import shutil
    import subprocess

    builtins.quit = None  # type: ignore[assignment]
    builtins.help = None  # type: ignore[assignment]
    for name in _REMOVED.split():
        setattr(os, name, None)
    for name in ("rmtree", "move", "chown"):
        setattr(shutil, name, None)
    subprocess.Popen = None  # type: ignore[assignment, misc]
    for name in _BLOCKED:
        sys.modules[name] = None  # type: ignore[assignment]


def _function(source: str, name: str) -> Any:
    """Executes source in a module that cannot be imported, and returns a function of the module or of its class `Solution`.

    The words `class Solution` decide which; a whole program with these words therefore fails.
    """
    module: Any = types.ModuleType("tmp_sol")
    exec(source, module.__dict__)
    return getattr(module.Solution() if "class Solution" in source else module, name)


def _without_condition(program: str) -> str:
    """Returns a program in which the last statement, if it is `if __name__ == "__main__":`, is replaced by its content."""
    try:
        body = ast.parse(program).body
        last = body[-1]
        if isinstance(last, ast.If) and ast.unparse(last.test) == "__name__ == '__main__'":
            return f"{ast.unparse(body[:-1])}\n{ast.unparse(last.body)}"  # type: ignore[arg-type]
    except BaseException:
        pass
    return program


def _as_function(program: str) -> str:
    """Returns the header, the program's imports, and a function with the rest; the program itself if that cannot be written."""
    try:
        body = ast.parse(program).body
        imports = [statement for statement in body if isinstance(statement, ast.Import | ast.ImportFrom)]
        rest = [statement for statement in body if not isinstance(statement, ast.Import | ast.ImportFrom)]
        none = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
        function = ast.FunctionDef(name=WHOLE, args=none, body=rest, decorator_list=[], lineno=-1)
        return f"{HEADER}\n{ast.unparse(imports)}\n{ast.unparse(function)}"  # type: ignore[arg-type]
    except Exception:
        return program


def _plain(value: object) -> object:
    """Returns a value with lists, dictionaries, texts and numbers in place of subclasses and numbers that equal them."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Decimal | Fraction):
        return next((number for number in (int(value), float(value)) if number == value), value)
    return value.real if isinstance(value, complex) and not value.imag else value
