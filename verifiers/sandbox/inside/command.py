"""Runs inside the sandbox in place of `child.py` if the run is a command: writes a program's files, builds it and runs it.

This process is the first of its process namespace. Untrusted code runs only in its children, which get its streams and no other
descriptor. It keeps its channel, and reaps all processes that the children leave behind.
"""

import base64
import contextlib
import os
import resource
import shlex
import signal
import socket
from pathlib import Path

from . import wire
from .child import CHANNEL, READY

BEGUN = {"begun": True}
"""Sent before the program itself runs, because the build has a separate limit of processor time."""
_NOT_FOUND = 127
"""A shell's exit status for a command that does not exist."""


def serve() -> None:
    """Handles the one request of the run, and then waits to be ended.

    The request is {"files": {name: content in base64}, "environment": {name: value}, "build": command or "", "run": command,
    "cpu_seconds": limit of each process of "run"}.
    """
    channel = socket.socket(fileno=CHANNEL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the first process of a namespace gets only signals that it has a handler for
    channel.sendall(wire.pack(READY))
    while (request := wire.receive(channel)) is not None:
        channel.sendall(wire.pack(_answer(request, channel)))


def _answer(request: wire.JSONObject, channel: socket.socket) -> wire.JSONObject:
    """Returns the exit status of the program and the seconds that it waited for a processor.

    If the build fails, the status is the build's. A negative status is the number of a signal.
    """
    for name, content in request["files"].items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(base64.b64decode(content))
    environment = {"PATH": "/usr/bin:/bin", "HOME": os.getcwd(), "LANG": "C.UTF-8"} | request["environment"]
    if request["build"] and (failed := _run(request["build"], environment, None)[0]):
        return {"status": failed, "waited": 0.0}
    channel.sendall(wire.pack(BEGUN))
    status, waited = _run(request["run"], environment, request["cpu_seconds"])
    return {"status": status, "waited": waited}


def _run(command: str, environment: dict[str, str], cpu_seconds: int | None) -> tuple[int, float]:
    """Runs a command to its end, and returns its exit status and the seconds that it waited for a processor."""
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            os.closerange(CHANNEL, os.sysconf("SC_OPEN_MAX"))
            for ignored in (
                signal.SIGPIPE,
                signal.SIGXFSZ,
            ):  # Python ignores these, and its children would, too
                signal.signal(ignored, signal.SIG_DFL)
            if cpu_seconds is None:
                os.dup2(2, 1)  # what a compiler prints is no output of the program
            else:
                resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
            os.lseek(0, 0, os.SEEK_SET)
            arguments = shlex.split(command)
            os.execvpe(arguments[0], arguments, environment)
        finally:
            os._exit(_NOT_FOUND)
    while True:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
        assert found is not None
        waited = 0.0
        with contextlib.suppress(OSError):  # the kernel does not report the wait
            waited = int(Path(f"/proc/{found.si_pid}/schedstat").read_text().split()[1]) / 1e9
        ended, status = os.waitpid(found.si_pid, 0)
        if ended == child:
            return os.waitstatus_to_exitcode(status), waited
