"""What runs inside the walls where commands are asked for: it writes a program's file, builds it, and runs it.

This process is the first of its namespace, and foreign code runs in its children only. They get its streams and no other
descriptor; it keeps its channel, and reaps whatever they leave.
"""

import contextlib
import os
import shlex
import signal
import socket
from pathlib import Path
from typing import Any

from . import wire
from .child import CHANNEL, READY

BEGUN = {"begun": True}
"""Said before the program itself runs: what builds it has a processor time of its own."""
_NOT_FOUND = 127


def serve() -> None:
    """Answers requests, of which there is one, until it is ended: {"file": name, "source": text, "build": command or "", "run":
    command}."""
    channel = socket.socket(fileno=CHANNEL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the first of a namespace gets no signal that it does not ask for
    channel.sendall(wire.pack(READY))
    while (request := wire.receive(channel)) is not None:
        channel.sendall(wire.pack(_answer(request, channel)))


def _answer(request: dict[str, Any], channel: socket.socket) -> dict[str, Any]:
    """What the program's process comes to, or that which was to build it: a status, or the negative of a signal; and what it
    has stood in line for a processor."""
    Path(request["file"]).write_bytes(request["source"].encode("utf-8", "surrogatepass"))
    if request["build"] and (failed := _run(request["build"])[0]):
        return {"status": failed, "waited": 0.0}
    channel.sendall(wire.pack(BEGUN))
    status, waited = _run(request["run"])
    return {"status": status, "waited": waited}


def _run(command: str) -> tuple[int, float]:
    started = os.fork()
    if started == 0:
        try:
            os.setsid()
            os.closerange(CHANNEL, os.sysconf("SC_OPEN_MAX"))
            for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python does, and what it starts would, too
                signal.signal(ignored, signal.SIG_DFL)
            os.lseek(0, 0, os.SEEK_SET)
            arguments = shlex.split(command)
            os.execvpe(arguments[0], arguments, {"PATH": "/usr/bin:/bin", "HOME": os.getcwd(), "LANG": "C.UTF-8"})
        finally:
            os._exit(_NOT_FOUND)
    while True:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
        assert found is not None
        waited = 0.0
        with contextlib.suppress(OSError):  # of a kernel that does not tell
            waited = int(Path(f"/proc/{found.si_pid}/schedstat").read_text().split()[1]) / 1e9
        ended, status = os.waitpid(found.si_pid, 0)
        if ended == started:
            return os.waitstatus_to_exitcode(status), waited
