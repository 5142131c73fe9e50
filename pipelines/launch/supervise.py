"""Runs a training command as a child process, watches its progress, finds the cause of a failure, and ends its processes."""

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

from . import exits

POLL_SECONDS = 0.5
"""Seconds between two checks of the child."""
GRACE_SECONDS = 20.0
"""Time limit for the child to end after a signal, in seconds. Our choice."""
LOST_SECONDS = 120.0
"""Seconds without progress after which a child that has lost a worker is stopped. Our choice."""
TAIL = 200_000
"""Bytes at the end of the log that are searched for the cause of a failure."""

_CAUSE = re.compile(r"^(?:\x1b\[[0-9;]*m|\([^)]*\)|\[rank\d+\]:|\s)*((?:[\w.]+\.)?\w*(?:Error|Exception|Killed|Interrupt)\b.*)")
_IGNORED = re.compile(r"\bException ignored (?:in|on|while)\b")
"""Python's line before an error in a destructor. This error is not the cause of a failure, and often follows the cause."""
_OTHER_FAILED = re.compile(r"ChildFailedError")
"""An error that only reports that another process failed. The log has that process's own error too."""
_OUT_OF_MEMORY = re.compile(r"running low on memory|OutOfMemoryError|CUDA out of memory|allocate memory|MemoryError")
_LOST = re.compile(r"Worker unexpectedly exits with a connection error|worker process has died")
"""Ray's messages about a lost worker. They do not have the cause."""
_PID = re.compile(r"(?:Worker PID|\bpid): (\d+)")
_ENDED = re.compile(r"tenfold\.fork_server: process (\d+) (?:ended by signal (\d+)|exited with status (\d+))")
"""The fork server's line about the end of a worker."""
_CRASHED = re.compile(r"\*\*\* (SIG\w+) received|Fatal Python error: (.{1,100})")
"""The lines that the crash handlers of Ray and Python print."""
_SIGNAL = re.compile(r"Signal (\d+) \(SIG\w+\) received by PID (\d+)")
"""torch's line about a killed process. The last such line is about the process that was killed first."""
_NO_SPACE = re.compile(
    r"No space left on device|Disk quota exceeded|File too large|Errno (?:28|122|27)\b|os error (?:28|122|27)\b"
    r"|PytorchStreamWriter failed writing|inline_container\.cc:\d+\] \. (?:unexpected pos|PytorchStreamWriter)"
)
_ENGINE = re.compile(r"EngineCore\b.*?\b(\w+(?:Error|Exception): .{1,300})")
"""vLLM's lines about the error that ended its engine. The errors of later requests name no cause."""
NEARBY_LINES = 15
"""Number of lines before and after a message about a lost worker that are searched for the worker's process id."""


class Stopped(Exception):
    """The child stalled or failed. The text is the cause in one line."""


def follow(
    command: list[str],
    variables: dict[str, str],
    log: Path,
    progress_marker: Callable[[], object],
    stall_seconds: float,
) -> None:
    """Runs a command to its end.

    Args:
        command: program and arguments.
        variables: environment variables to add.
        log: file to append the output to.
        progress_marker: called every POLL_SECONDS; returns a value that changes whenever the child makes progress.
        stall_seconds: the child is stopped after this time without a change of that value, in seconds.

    Raises:
        Stopped: the child stalled, or its exit status is not 0.
    """
    before = exits.kill_counts()
    with log.open("ab") as output:
        start = output.tell()
        child = subprocess.Popen(
            command,
            # Unbuffered, so that the log has the last lines before a crash. Safe path, so that the child does not import files
            # of its working folder.
            env=os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONSAFEPATH": "1"} | variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
    try:
        marker, since, position, lost = progress_marker(), time.monotonic(), start, False
        while child.poll() is None:
            time.sleep(POLL_SECONDS)
            latest = progress_marker()
            position, lost = _look_for_lost(log, position, lost)
            if latest != marker:
                marker, since = latest, time.monotonic()
            elif lost and time.monotonic() - since > LOST_SECONDS:
                raise Stopped(f"{cause(log, start, before)} (log: {log})")
            elif time.monotonic() - since > stall_seconds:
                raise Stopped(f"no progress in {stall_seconds:.0f} s; last line: {_last_line(log, start)} (log: {log})")
        if child.returncode:
            raise Stopped(f"{cause(log, start, before, child)} (status {child.returncode}, log: {log})")
    finally:
        end(child)


def end(child: subprocess.Popen[bytes]) -> None:
    """Ends the child's whole session: with SIGINT, so that Ray can end its own processes, then with SIGKILL.

    A second Ctrl-C or SIGTERM in the meantime kills it at once.
    """
    try:
        for number in (signal.SIGINT, signal.SIGKILL):
            if child.poll() is None:
                try:
                    os.killpg(child.pid, number)
                    child.wait(GRACE_SECONDS)
                except (ProcessLookupError, subprocess.TimeoutExpired):
                    continue
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # processes of the session that outlive the child


def cause(
    log: Path, start: int = 0, before: exits.KillCounts | None = None, child: subprocess.Popen[bytes] | None = None
) -> str:
    """Returns why a command failed: lack of memory or disk space, the signal that ended a process, or an error.

    Args:
        log: output of the command and its processes.
        start: offset in the log at which the output begins, in bytes.
        before: the kernel's counters when the command started.
        child: the command's process, if it has ended.
    """
    lines = _tail(log, start)
    before = before or exits.kill_counts()
    for pattern, words in ((_OUT_OF_MEMORY, "out of memory"), (_NO_SPACE, "no space left on the disk")):
        for line in reversed(lines):
            if pattern.search(line):
                return f"{words}: {line.strip()[:300]}"
    if any(_LOST.search(line) for line in lines):
        return _cause_of_lost_worker(lines, before)
    if child is not None and child.returncode is not None and child.returncode < 0:
        return exits.describe(-child.returncode, child.pid, before)
    causes = [
        match.group(1).strip()[:300]
        for line in _without_ignored(lines)
        if (match := _CAUSE.match(line)) and not _OTHER_FAILED.search(line)
    ]
    user_errors = [
        cause for cause in causes if cause.startswith("tenfold.core.UserError")
    ]  # later errors are consequences of it
    signals = [match for line in lines if (match := _SIGNAL.search(line))][-1:]
    # After SIGKILL the errors in the log are those of other processes that lost their connection.
    if signals and not user_errors and (not causes or int(signals[0][1]) == signal.SIGKILL):
        return exits.describe(int(signals[0][1]), int(signals[0][2]), before)
    return (user_errors or causes or [_last_line(log, start)])[-1]


def _without_ignored(lines: list[str]) -> list[str]:
    """Returns the lines without those from "Exception ignored" to the ignored error."""
    kept, ignored = [], False
    for line in lines:
        if _IGNORED.search(line):
            ignored = True
        elif not ignored:
            kept.append(line)
        elif _CAUSE.match(line):
            ignored = False
    return kept


def engine_error(log: Path) -> str:
    """Returns the error that ended vLLM's engine, from the end of a log."""
    lines = _tail(log, 0)
    workers = [match[1] for line in lines if (match := re.search(r"Worker failed with error '(.{1,300}?)'", line))]
    engines = [match[1] for line in lines if (match := _ENGINE.search(line))]
    return [*workers[:1], *engines[-1:], "the log does not contain its error"][0].strip()


def _cause_of_lost_worker(lines: list[str], before: exits.KillCounts) -> str:
    """Returns how Ray's lost worker ended.

    Sources: the fork server's line about it, else other lines of the log, else the kernel's counters.
    """
    lost = [number for number, line in enumerate(lines) if _LOST.search(line)]
    near = [line for number in lost for line in lines[max(0, number - NEARBY_LINES) : number + NEARBY_LINES]]
    named = {int(pid) for line in near for pid in _PID.findall(line)}
    ended = [match for line in lines if (match := _ENDED.search(line))]
    for match in sorted(ended, key=lambda match: int(match[1]) not in named)[:1]:
        pid = int(match[1])
        return exits.describe(int(match[2]), pid, before) if match[2] else f"process {pid} exited with status {match[3]}"
    only = min(named) if len(named) == 1 else None
    for match in (match for line in lines if (match := _CRASHED.search(line))):
        return f"{'a process' if only is None else f'process {only}'} crashed ({match[1] or match[2].strip()})"
    now, process = exits.kill_counts(), "a Ray worker" if only is None else f"process {only}"
    if None not in (now.group, before.group) and now.group != before.group:
        return f"the kernel killed {process} because memory ran out; {exits.ADVICE}"
    return f"{process} ended with an unknown exit code; see Ray's log of it: {lines[lost[-1]].strip()[:200]}"


def _look_for_lost(log: Path, start: int, lost: bool) -> tuple[int, bool]:
    """Reads new lines of a log; returns the new offset, and whether Ray has reported a lost worker so far."""
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
    """Asks the kernel to kill this process when its parent ends for any reason (Linux; PR_SET_PDEATHSIG)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
