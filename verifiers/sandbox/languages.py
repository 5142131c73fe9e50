"""Whole programs in languages other than Python: compiled and run by a child of a warm process, behind the walls of Python's.

    run("c", "#include <stdio.h>\\nint main() { puts(\\"hi\\"); }").stdout     # "hi\\n"

They see the machine's programs and a /proc of their own. Their memory is counted by the control group alone, since some reserve
much more address space than they use. What compiles a program counts for itself: each of its processes may use as much
processor time as the program, in whole seconds.
"""

import atexit
import os
import shutil
import threading
import time
from dataclasses import dataclass

from ...core import UserError
from .local import MOST_READY
from .protocol import Ended, Limits, Outcome, Result
from .session import LocalSession
from .spawn import COMMANDS_NEED, WarmProcess


@dataclass(frozen=True, slots=True)
class Language:
    """How a program is run."""

    file: str
    """What its source is called."""
    needs: str
    """The command that has to be installed under /usr."""
    run: str
    """The command that runs it, in the folder of the source."""
    build: str = ""
    """The command before, if there is one."""


LANGUAGES = {
    "bash": Language("main.sh", "bash", "bash main.sh"),
    "c": Language("main.c", "gcc", "./main", "gcc -O2 -std=c17 -o main main.c -lm"),
    "cpp": Language("main.cpp", "g++", "./main", "g++ -O2 -std=c++20 -o main main.cpp"),
    "javascript": Language("main.js", "node", "node main.js"),
}
_lock = threading.Lock()
_warm: dict[int, WarmProcess] = {}
"""This process's own, by its id: that of a process that it was forked from is not."""


def run(language: str, source: str, stdin: str = "", limits: Limits | None = None) -> Outcome:
    """Runs a program to its end; see `protocol.Sandbox.run`.

    Raises:
        UserError: the language is unknown, its compiler is not installed, or this machine lacks a protection.
        SandboxFault: ours.
    """
    if language not in LANGUAGES:
        raise UserError(f"no language {language!r}; there are {', '.join(LANGUAGES)}")
    spec, limits = LANGUAGES[language], limits or Limits()
    if not shutil.which(spec.needs, path="/usr/bin:/bin"):
        raise UserError(f"{language} wants {spec.needs}, which is not installed in /usr/bin")
    session = LocalSession(_process(), limits, stdin)
    request = {"file": spec.file, "source": source, "build": spec.build, "run": spec.run}
    result = Result()
    try:
        result = session.command(request, time.monotonic() + limits.wall_seconds)
    except Ended:
        pass
    except BaseException:
        session.close()
        raise
    return session.close((), result.error)


def _process() -> WarmProcess:
    with _lock:
        if os.getpid() not in _warm:
            without = {part for part in os.environ.get("TENFOLD_SANDBOX_WITHOUT", "").split(",") if part}
            _warm[os.getpid()] = WarmProcess((), without - COMMANDS_NEED, MOST_READY // 4, commands=True)
        return _warm[os.getpid()]


@atexit.register
def _close() -> None:
    if own := _warm.pop(os.getpid(), None):
        own.close()
