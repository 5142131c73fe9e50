"""Runs whole programs in languages other than Python, in a child of a warm process with the same protections.

    run("c", "#include <stdio.h>\\nint main() { puts(\\"hi\\"); }").stdout     # "hi\\n"

The programs can read the machine's `/usr` and have their own /proc. Only the control group limits their memory, because some of
them reserve much more address space than they use. Compilers have a separate limit: each process of a compiler may use as much
processor time as the program, in whole seconds.
"""

import atexit
import base64
import contextlib
import glob
import os
import re
import shutil
import threading
from collections.abc import Mapping
from dataclasses import replace

from ...core import UserError
from .local import MAX_IDLE_CHILDREN
from .protocol import CallResult, Limits, Outcome, ProgramEnded, RunStatus, SandboxFault
from .session import LocalSession
from .spawn import COMMANDS_NEED, WarmProcess, may_lack
from .toolchains import LANGUAGES, Language

__all__ = ["LANGUAGES", "Language", "lacks", "run", "version"]

CHECK = Limits(cpu_seconds=60, wall_seconds=120, memory=1 << 30, processes=64, disk=256 << 20)
"""Limits of the program that tests whether a language works."""
_lock, _checking = threading.Lock(), threading.Lock()
_warm: dict[int, WarmProcess] = {}
"""The warm process by the id of the process that started it; a forked process must not use its parent's."""
_checked: dict[str, str | None] = {}
"""For each language that has been tested, the reason why it does not work, or None."""


def run(
    language: str, source: str, stdin: str = "", limits: Limits | None = None, files: Mapping[str, bytes] | None = None
) -> Outcome:
    """Runs a program to its end. The build has the same limit on wall time as the program, or a larger one (see `Language`).

    Args:
        language: one of `LANGUAGES`.
        source: the program.
        stdin: its standard input.
        limits: defaults to `Limits()`. Limits that are too low for the language's commands are raised (see `Language`).
        files: further files by name. One with the name of the source file replaces it.

    Raises:
        UserError: the language is unknown, its compiler is not installed, or this machine lacks a protection.
        SandboxFault: the sandbox failed.
    """
    spec = _named(language)
    if missing := _not_installed(language, spec):
        raise UserError(missing)
    return _run(spec, source, stdin, limits or Limits(), files or {})


def lacks(language: str) -> str | None:
    """Returns the reason why programs in a language do not run on this machine, or None.

    The first call in a process runs the language's smallest program, because an installed compiler may need files that are not
    visible in the sandbox.

    Raises:
        UserError: the language is unknown, or this machine lacks a protection.
        SandboxFault: the sandbox failed, or the machine is too busy for the smallest program.
    """
    spec = _named(language)
    with _checking:
        if language not in _checked:
            reason = _not_installed(language, spec)
            outcome = None if reason else _run(spec, spec.smallest, "", CHECK, {})
            if outcome and outcome.status in (RunStatus.TIMEOUT, RunStatus.MEMORY, RunStatus.KILLED):
                raise SandboxFault(f"the smallest program in {language}: {outcome.reason}")  # a busy machine; not stored
            if outcome and outcome.status != RunStatus.FINISHED:
                reason = f"{language} does not work in the sandbox ({outcome.reason}): install {spec.packages} of this system"
            _checked[language] = reason
        return _checked[language]


def version(language: str) -> str:
    """Returns the version of a language's toolchain as its commands print it in the sandbox; empty if they print none.

    Raises:
        UserError: the language is unknown, or this machine lacks a protection.
        SandboxFault: the sandbox failed.
    """
    spec = _named(language)
    outcome = _run(replace(spec, run=spec.version, build="", main=""), "", "", CHECK, {})
    found = re.search(r"\d+(?:\.\d+)+", outcome.stdout or outcome.stderr)
    return found[0] if found else ""


def _named(language: str) -> Language:
    if language not in LANGUAGES:
        raise UserError(f"unknown language {language!r}; use one of {', '.join(LANGUAGES)}")
    return LANGUAGES[language]


def _not_installed(language: str, spec: Language) -> str | None:
    for needed in spec.needs.split():
        if not (os.path.exists(needed) if "/" in needed else shutil.which(needed, path="/usr/bin:/bin")):
            place = "" if "/" in needed else " in /usr/bin"
            return f"{language} needs {needed}, which is not installed{place}: apt-get install {spec.packages or spec.needs}"
    return None


def _run(spec: Language, source: str, stdin: str, limits: Limits, files: Mapping[str, bytes]) -> Outcome:
    limits = replace(limits, processes=max(limits.processes, spec.processes), disk=max(limits.disk, spec.disk))
    main = re.search(spec.main, source) if spec.main else None
    heap, name = str(limits.memory * 3 // 4 >> 20), main[1] if main else "Main"

    def filled(text: str) -> str:
        return text.replace("{heap}", heap).replace("{main}", name)

    contents = {spec.file: source.encode("utf-8", "surrogatepass"), **files}
    request = {
        "files": {name: base64.b64encode(content).decode() for name, content in contents.items()},
        "environment": {key: filled(value) for key, value in spec.environment.items()},
        "build": filled(spec.build),
        "run": filled(spec.run),
    }
    session = LocalSession(_process(), limits, stdin, spec.build_seconds)
    result = CallResult()
    try:
        result = session.command(request)
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
            readable = sorted({path for spec in LANGUAGES.values() for pattern in spec.settings for path in glob.glob(pattern)})
            without, idle = may_lack() - COMMANDS_NEED, MAX_IDLE_CHILDREN // 4
            _warm[os.getpid()] = WarmProcess((), without, idle, commands=True, readable=readable)
        return _warm[os.getpid()]


@atexit.register
def _close() -> None:
    if warm := _warm.pop(os.getpid(), None):
        warm.close()
