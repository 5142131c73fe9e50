"""Why a process was killed, as far as this machine tells: the kernel's counters of what it killed for memory, and its log.

The counters are those of this process's control group (`memory.events.local`, or `memory.oom_control` of version 1) and the
machine's (`/proc/vmstat`). The log names processes; on most machines root alone can read it, and in a container the numbers of
processes are others than the log's.
"""

import contextlib
import os
import re
import signal
import time
from pathlib import Path
from typing import NamedTuple

_KILLED = re.compile(rb"[Kk]illed process (\d+)")
LOWER = "lower micro_batch_size"


class Kills(NamedTuple):
    """How many processes the kernel has killed for memory until now; None where that cannot be read."""

    group: int | None
    """Of this process's control group."""
    machine: int | None
    at: float
    """When that was, on the kernel's clock."""


def kills() -> Kills:
    """What the counters say now."""
    return Kills(_of_group(), _counter(Path("/proc/vmstat")), time.clock_gettime(time.CLOCK_MONOTONIC))


def in_words(number: int, pid: int | None, before: Kills) -> str:
    """Why a process was ended by a signal.

    Args:
        number: of the signal.
        pid: of the process, where it is known.
        before: what the counters said when it was started.
    """
    name = _name(number)
    who = f"process {pid}" if pid is not None else "a process"
    if number != signal.SIGKILL:
        crashed = number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT)
        return f"{who} {'crashed' if crashed else 'was ended'} ({name})"
    now, logged = kills(), _logged(before.at)
    rose = now.group is not None and before.group is not None and now.group > before.group
    if rose or (logged and pid in logged):
        return f"the kernel killed {who}, for no memory was left ({LOWER})"
    if now.machine is not None and now.machine == before.machine:
        return f"{who} was killed ({name}) by a user or another program: the kernel has killed none for memory"
    if logged is not None and pid is not None and os.readlink("/proc/self/ns/pid") == _FIRST_NAMESPACE:
        return f"{who} was killed ({name}) by a user or another program: the kernel's log does not name it"
    return f"{who} was killed ({name}); whether by the kernel, for memory, its log tells: `dmesg | grep -i killed`"


_FIRST_NAMESPACE = "pid:[4026531836]"
"""Of the processes of the machine itself: the number is fixed in the kernel's interface."""


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
            for folder in (root / group.lstrip("/"), root):  # in a container the folder may be the root itself
                if (count := _counter(folder / file)) is not None:
                    return count
    return None


def _logged(since: float) -> set[int] | None:
    """The processes that the kernel's log says it has killed for memory since; None where it cannot be read."""
    found: set[int] = set()
    try:
        log = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        while True:
            try:
                entry = os.read(log, 8192)
            except BrokenPipeError:  # this entry has been overwritten
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
