"""Runs a training as a child, verl's or another: follows it, ends it with its reason, and leaves nothing behind."""

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

POLL_SECONDS = 0.5
GRACE_SECONDS = 20.0
"""What a child that is told to end may still take."""
TAIL = 200_000
"""Bytes of the log's end that are searched for a cause."""

_CAUSE = re.compile(r"^(?:\x1b\[[0-9;]*m|\([^)]*\)|\[rank\d+\]:|\s)*((?:[\w.]+\.)?\w*(?:Error|Exception|Killed|Interrupt)\b.*)")
_OF_ANOTHER = re.compile(r"ChildFailedError")
"""What only says that another process failed, which has said why."""
_OUT_OF_MEMORY = re.compile(r"running low on memory|OutOfMemoryError|CUDA out of memory|allocate memory|MemoryError")
_KILLED = re.compile(r"Worker unexpectedly exits with a connection error")
_SIGNAL = re.compile(r"Signal \d+ \((SIG\w+)\) received by PID")
"""How torch tells that one of several processes was killed; the first of them comes last."""
_NO_SPACE = re.compile(r"No space left on device|Errno 28")


class Stopped(Exception):
    """The child stalled or died; the text is the cause, in one line."""


def follow(
    command: list[str], variables: dict[str, str], log: Path, sign_of_life: Callable[[], object], stall_seconds: float
) -> None:
    """Runs a command to its end.

    Args:
        command: program and arguments.
        variables: added to the environment.
        log: where its output is appended.
        sign_of_life: called twice a second; a value that changes whenever the child gets somewhere.
        stall_seconds: the child is ended when that value has not changed for so long.

    Raises:
        Stopped: the child stalled, or ended with another status than 0.
    """
    with log.open("ab") as output:
        start = output.tell()
        child = subprocess.Popen(
            command,
            # Unbuffered, or the log would end with what was printed long before. With a safe path, or the child would import
            # whatever lies in the folder that it is started in.
            env=os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONSAFEPATH": "1"} | variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
    try:
        seen, since = sign_of_life(), time.monotonic()
        while child.poll() is None:
            time.sleep(POLL_SECONDS)
            now = sign_of_life()
            if now != seen:
                seen, since = now, time.monotonic()
            elif time.monotonic() - since > stall_seconds:
                raise Stopped(f"no progress in {stall_seconds:.0f} s; last said: {_last_line(log, start)} (log: {log})")
        if child.returncode:
            raise Stopped(f"{cause(log, start)} (status {child.returncode}, log: {log})")
    finally:
        end(child)


def end(child: subprocess.Popen[bytes]) -> None:
    """Ends the child's whole session: politely, so that Ray takes its own processes down, then not."""
    for number, patience in ((signal.SIGINT, GRACE_SECONDS), (signal.SIGKILL, GRACE_SECONDS)):
        if child.poll() is None:
            try:
                os.killpg(child.pid, number)
                child.wait(patience)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)  # what the child left of its session


def cause(log: Path, start: int = 0) -> str:
    """The line of a log that says best why its writer died: memory and disk first, else the last error."""
    lines = _tail(log, start)
    killed = "a process was killed, most often because no memory was left (lower micro_batch_size)"
    for pattern, words in ((_OUT_OF_MEMORY, "out of memory"), (_NO_SPACE, "no space left on the disk"), (_KILLED, killed)):
        for line in reversed(lines):
            if pattern.search(line):
                return f"{words}: {line.strip()[:300]}"
    causes = [match.group(1).strip()[:300] for line in lines if (match := _CAUSE.match(line)) and not _OF_ANOTHER.search(line)]
    ours = [cause for cause in causes if cause.startswith("tenfold.core.UserError")]  # what others then die of comes after it
    signals = [match.group(1) for line in lines if (match := _SIGNAL.search(line))][-1:]
    if signals == ["SIGKILL"] and not ours:  # of which the others say only that they lost it
        return killed
    if signals and not causes:
        return f"a process was ended by {signals[0]}"
    return (ours or causes or [_last_line(log, start)])[-1]


def _last_line(log: Path, start: int) -> str:
    return next((line.strip()[:300] for line in reversed(_tail(log, start)) if line.strip()), "nothing")


def _tail(log: Path, start: int) -> list[str]:
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(start, size - TAIL))
        return file.read().decode(errors="replace").splitlines()


def die_with_parent() -> None:
    """Asks the kernel to kill this process when its parent is gone, however it went (Linux; PR_SET_PDEATHSIG)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
