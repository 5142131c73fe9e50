"""Runs whole programs in languages other than Python, in a child of a warm process with the same protections.

    run("c", "#include <stdio.h>\\nint main() { puts(\\"hi\\"); }").stdout     # "hi\\n"

The programs can read the machine's `/usr` and have their own /proc. Only the control group limits their memory, because some of
them reserve much more address space than they use. Compilers have a separate limit: each process of a compiler may use as much
processor time as the program, in whole seconds.
"""

import atexit
import contextlib
import os
import shutil
import threading
import time
from dataclasses import dataclass

from ...core import UserError
from .local import MAX_IDLE_CHILDREN
from .protocol import CallResult, Limits, Outcome, ProgramEnded, SandboxFault
from .session import LocalSession
from .spawn import COMMANDS_NEED, WarmProcess, may_lack


@dataclass(frozen=True, slots=True)
class Language:
    """How a program in one language is built and run."""

    file: str
    """Name of the source file."""
    needs: str
    """Command that must be installed in /usr/bin or /bin."""
    run: str
    """Command that runs the program, in the folder of the source file."""
    build: str = ""
    """Command that builds the program first; empty if none is needed."""


LANGUAGES = {
    "bash": Language("main.sh", "bash", "bash main.sh"),
    "c": Language("main.c", "gcc", "./main", "gcc -O2 -std=c17 -o main main.c -lm"),
    "cpp": Language("main.cpp", "g++", "./main", "g++ -O2 -std=c++20 -o main main.cpp"),
    "javascript": Language("main.js", "node", "node main.js"),
}
_lock = threading.Lock()
_warm: dict[int, WarmProcess] = {}
"""The warm process by the id of the process that started it; a forked process must not use its parent's."""


def run(language: str, source: str, stdin: str = "", limits: Limits | None = None) -> Outcome:
    """Runs a program to its end.

    Args:
        language: one of `LANGUAGES`.
        source: the program.
        stdin: its standard input.
        limits: defaults to `Limits()`.

    Raises:
        UserError: the language is unknown, its compiler is not installed, or this machine lacks a protection.
        SandboxFault: the sandbox failed.
    """
    if language not in LANGUAGES:
        raise UserError(f"unknown language {language!r}; use one of {', '.join(LANGUAGES)}")
    spec, limits = LANGUAGES[language], limits or Limits()
    if not shutil.which(spec.needs, path="/usr/bin:/bin"):
        raise UserError(f"{language} needs {spec.needs}, which is not installed in /usr/bin; install it")
    session = LocalSession(_process(), limits, stdin)
    request = {"file": spec.file, "source": source, "build": spec.build, "run": spec.run}
    result = CallResult()
    try:
        result = session.command(request, time.monotonic() + limits.wall_seconds)
    except ProgramEnded:
        pass
    except BaseException:
        with contextlib.suppress(SandboxFault):  # the warm process may have ended
            session.close()
        raise
    return session.close((), result.error)


def _process() -> WarmProcess:
    with _lock:
        if os.getpid() not in _warm:
            _warm[os.getpid()] = WarmProcess((), may_lack() - COMMANDS_NEED, MAX_IDLE_CHILDREN // 4, commands=True)
        return _warm[os.getpid()]


@atexit.register
def _close() -> None:
    if warm := _warm.pop(os.getpid(), None):
        warm.close()
