"""Finds out why a signal ended a process, from the kernel's counters of out-of-memory kills and from the kernel's log.

There is a counter for this process's control group (`memory.events.local`, or `memory.oom_control` in version 1) and one for
the machine (`/proc/vmstat`). The log names the killed processes, but on most machines only root can read it, and its process
ids are not those within a container.
"""

import contextlib
import os
import re
import signal
import time
from pathlib import Path
from typing import NamedTuple

_KILLED = re.compile(rb"[Kk]illed process (\d+)")
ADVICE = "lower micro_batch_size"
"""What to do when memory runs out."""


class KillCounts(NamedTuple):
    """Numbers of processes that the kernel has killed for lack of memory; None if the counter cannot be read."""

    group: int | None
    """Kills in this process's control group."""
    machine: int | None
    """Kills on the whole machine."""
    at: float
    """Time of the reading, in seconds of CLOCK_MONOTONIC."""


def kill_counts() -> KillCounts:
    """Returns the counters' values now."""
    return KillCounts(_of_group(), _counter(Path("/proc/vmstat")), time.clock_gettime(time.CLOCK_MONOTONIC))


def describe(number: int, pid: int | None, before: KillCounts) -> str:
    """Returns why a signal ended a process, in one line.

    Args:
        number: number of the signal.
        pid: id of the process; None if unknown.
        before: the counters when the process started.
    """
    name = _name(number)
    process = f"process {pid}" if pid is not None else "a process"
    if number != signal.SIGKILL:
        crashed = number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT)
        return f"{process} {'crashed' if crashed else 'was ended'} ({name})"
    now, logged = kill_counts(), _logged(before.at)
    rose = now.group is not None and before.group is not None and now.group > before.group
    if rose or (logged and pid in logged):
        return f"the kernel killed {process} because memory ran out; {ADVICE}"
    if now.machine is not None and now.machine == before.machine:
        return f"{process} was killed ({name}) by a user or another program (the kernel reports no kill for lack of memory)"
    if logged is not None and pid is not None and os.readlink("/proc/self/ns/pid") == _FIRST_NAMESPACE:
        return f"{process} was killed ({name}) by a user or another program (the kernel's log does not name it)"
    return f"{process} was killed ({name}); to see whether memory ran out, run `dmesg | grep -i killed`"


_FIRST_NAMESPACE = "pid:[4026531836]"
"""The machine's own namespace of process ids. The number is fixed in the kernel's interface."""


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _counter(path: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        for line in path.read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return None


def _of_group() -> int | None:
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            number, parts, group = line.split(":", 2)
            root, file = Path("/sys/fs/cgroup"), "memory.events.local"
            if number != "0":
                if "memory" not in parts.split(","):
                    continue
                root, file = root / "memory", "memory.oom_control"
            for folder in (root / group.lstrip("/"), root):  # in a container, the root may be the group's folder
                if (count := _counter(folder / file)) is not None:
                    return count
    return None


def _logged(since: float) -> set[int] | None:
    """Returns the ids of processes that the kernel's log names as killed since a time; None if the log cannot be read."""
    found: set[int] = set()
    try:
        log = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        while True:
            try:
                entry = os.read(log, 8192)
            except BrokenPipeError:  # the entry was overwritten
                continue
            head, _, text = entry.partition(b";")
            fields = head.split(b",")
            if (killed := _KILLED.search(text)) and len(fields) > 2 and int(fields[2]) / 1e6 >= since - 5:
                found.add(int(killed[1]))
    except BlockingIOError:
        return found
    except (OSError, ValueError):
        return None
    finally:
        os.close(log)
