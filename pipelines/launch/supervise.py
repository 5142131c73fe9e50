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

from . import deaths

POLL_SECONDS = 0.5
GRACE_SECONDS = 20.0
"""What a child that is told to end may still take."""
LOST_SECONDS = 120.0
"""Without a sign of life for so long, a child that has lost a worker waits for it in vain."""
TAIL = 200_000
"""Bytes of the log's end that are searched for a cause."""

_CAUSE = re.compile(r"^(?:\x1b\[[0-9;]*m|\([^)]*\)|\[rank\d+\]:|\s)*((?:[\w.]+\.)?\w*(?:Error|Exception|Killed|Interrupt)\b.*)")
_OF_ANOTHER = re.compile(r"ChildFailedError")
"""What only says that another process failed, which has said why."""
_OUT_OF_MEMORY = re.compile(r"running low on memory|OutOfMemoryError|CUDA out of memory|allocate memory|MemoryError")
_LOST = re.compile(r"Worker unexpectedly exits with a connection error|worker process has died")
"""How Ray tells that a worker is gone; it does not know why."""
_PID = re.compile(r"(?:Worker PID|\bpid): (\d+)")
_ENDED = re.compile(r"tenfold\.fork_server: process (\d+) (?:ended by signal (\d+)|exited with status (\d+))")
"""How the fork server tells how a worker ended."""
_CRASHED = re.compile(r"\*\*\* (SIG\w+) received|Fatal Python error: (.{1,100})")
"""How Ray's and Python's own handlers tell it."""
_SIGNAL = re.compile(r"Signal (\d+) \(SIG\w+\) received by PID (\d+)")
"""How torch tells that one of several processes was killed; the first of them comes last."""
_NO_SPACE = re.compile(
    r"No space left on device|Disk quota exceeded|File too large|Errno (?:28|122|27)\b|os error (?:28|122|27)\b"
    r"|PytorchStreamWriter failed writing|inline_container\.cc:\d+\] \. (?:unexpected pos|PytorchStreamWriter)"
)
NEAR = 15
"""Lines around one that tells of a lost worker in which its number may be."""


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
    before = deaths.kills()
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
        seen, since, looked, lost = sign_of_life(), time.monotonic(), start, False
        while child.poll() is None:
            time.sleep(POLL_SECONDS)
            now = sign_of_life()
            looked, lost = _look_for_lost(log, looked, lost)
            if now != seen:
                seen, since = now, time.monotonic()
            elif lost and time.monotonic() - since > LOST_SECONDS:
                raise Stopped(f"{cause(log, start, before)} (log: {log})")
            elif time.monotonic() - since > stall_seconds:
                raise Stopped(f"no progress in {stall_seconds:.0f} s; last said: {_last_line(log, start)} (log: {log})")
        if child.returncode:
            said = cause(log, start, before, child)
            raise Stopped(f"{said} (status {child.returncode}, log: {log})")
    finally:
        end(child)


def end(child: subprocess.Popen[bytes]) -> None:
    """Ends the child's whole session: politely, so that Ray takes its own processes down, then not.

    A second Ctrl-C or SIGTERM on the way ends it at once.
    """
    try:
        for number, patience in ((signal.SIGINT, GRACE_SECONDS), (signal.SIGKILL, GRACE_SECONDS)):
            if child.poll() is None:
                try:
                    os.killpg(child.pid, number)
                    child.wait(patience)
                except (ProcessLookupError, subprocess.TimeoutExpired):
                    continue
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # what the child left of its session


def cause(log: Path, start: int = 0, before: deaths.Kills | None = None, child: subprocess.Popen[bytes] | None = None) -> str:
    """Why the writer of a log died: memory and disk first, then how a process of it ended, else the last error.

    Args:
        log: what it and its processes wrote.
        start: where in the log it began, in bytes.
        before: what the kernel had killed for memory when it began.
        child: the writer, where it has ended.
    """
    lines = _tail(log, start)
    before = before or deaths.kills()
    for pattern, words in ((_OUT_OF_MEMORY, "out of memory"), (_NO_SPACE, "no space left on the disk")):
        for line in reversed(lines):
            if pattern.search(line):
                return f"{words}: {line.strip()[:300]}"
    if any(_LOST.search(line) for line in lines):
        return _of_lost(lines, before)
    if child is not None and child.returncode is not None and child.returncode < 0:
        return deaths.in_words(-child.returncode, child.pid, before)
    causes = [match.group(1).strip()[:300] for line in lines if (match := _CAUSE.match(line)) and not _OF_ANOTHER.search(line)]
    ours = [cause for cause in causes if cause.startswith("tenfold.core.UserError")]  # what others then die of comes after it
    signals = [match for line in lines if (match := _SIGNAL.search(line))][-1:]
    if signals and not ours and (not causes or int(signals[0][1]) == signal.SIGKILL):  # the others say only that they lost it
        return deaths.in_words(int(signals[0][1]), int(signals[0][2]), before)
    return (ours or causes or [_last_line(log, start)])[-1]


def _of_lost(lines: list[str], before: deaths.Kills) -> str:
    """How the worker ended that Ray has lost: by its exit code where the fork server told it, else as far as the log tells."""
    lost = [number for number, line in enumerate(lines) if _LOST.search(line)]
    near = [line for number in lost for line in lines[max(0, number - NEAR) : number + NEAR]]
    named = {int(pid) for line in near for pid in _PID.findall(line)}
    ended = [match for line in lines if (match := _ENDED.search(line))]
    for match in sorted(ended, key=lambda match: int(match[1]) not in named)[:1]:
        pid = int(match[1])
        return deaths.in_words(int(match[2]), pid, before) if match[2] else f"process {pid} exited with status {match[3]}"
    only = min(named) if len(named) == 1 else None
    for match in (match for line in lines if (match := _CRASHED.search(line))):
        return f"{'a process' if only is None else f'process {only}'} crashed ({match[1] or match[2].strip()})"
    now, who = deaths.kills(), "a worker of Ray's" if only is None else f"process {only}"
    if None not in (now.group, before.group) and now.group != before.group:
        return f"the kernel killed {who}, for no memory was left ({deaths.LOWER})"
    return f"{who} is gone, and its exit code is not known; Ray's own log of it may tell: {lines[lost[-1]].strip()[:200]}"


def _look_for_lost(log: Path, start: int, lost: bool) -> tuple[int, bool]:
    """Reads on in a log; where it ends by now, and whether Ray has said by there that a worker is lost."""
    with log.open("rb") as file:
        file.seek(start)
        text = file.read()
    whole = text.rfind(b"\n") + 1
    return start + whole, lost or bool(_LOST.search(text[:whole].decode(errors="replace")))


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
