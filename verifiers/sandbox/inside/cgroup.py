"""Control groups: limits on memory and processes that hold for a run as a whole, however many children it makes.

Both layouts are known: version 2 (one tree) and version 1 (a tree a controller). Folders are reached through descriptors,
which the warm process opens while it still sees them.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")
PREFIX = "tenfold-"
_KILLING_SECONDS = 10.0

_V2 = {"memory": "memory.max", "processes": "pids.max", "swap": "memory.swap.max", "peak": "memory.peak"}
_V1 = {"memory": "memory.limit_in_bytes", "processes": "pids.max", "peak": "memory.max_usage_in_bytes"}


class Group:
    """One group of processes, used by one run after the other."""

    def __init__(self, folders: dict[str, int], files: dict[str, str], paths: list[tuple[int, str]]):
        """Wraps open folders: `folders` by controller, `paths` to remove them by."""
        self.folders, self.files, self.paths = folders, files, paths
        self.peak_before = 0

    def prepare(self, memory: int, processes: int) -> None:
        """Sets a run's limits, in bytes and in processes."""
        self._write("memory", "memory", str(memory))
        # The dead of the run before count until somebody has reaped them, which may take an init process a second.
        dead = int(_read(self.folders["pids"], "pids.current"))
        self._write("pids", "processes", str(processes + dead))
        with contextlib.suppress(OSError):  # a kernel without swap accounting, or without a peak that can be reset
            self._write("memory", "swap", "0")
        with contextlib.suppress(OSError):
            self._write("memory", "peak", "0")
        self.peak_before = self._peak() or 0

    def join(self) -> None:
        """Moves this process into the group."""
        for folder in set(self.folders.values()):
            _write(folder, "cgroup.procs", "0")

    def peak(self) -> int | None:
        """Most bytes that the run had at once; None where the kernel does not tell.

        Version 2 keeps the most of all runs, of which an earlier one may have had more: then nothing is known of this one.
        """
        peak = self._peak()
        return peak if peak is not None and peak > self.peak_before else None

    def _peak(self) -> int | None:
        try:
            return int(_read(self.folders["memory"], self.files["peak"]))
        except (OSError, ValueError):
            return None

    def kills(self) -> int:
        """How often the kernel has killed in this group for want of memory."""
        name = "memory.events" if "swap" in self.files else "memory.oom_control"
        for line in _read(self.folders["memory"], name).splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
        return 0

    def cpu_seconds(self) -> float | None:
        """Processor time of all that has ever run in the group; None where the kernel does not tell."""
        try:
            if "cpuacct" in self.folders:
                return int(_read(self.folders["cpuacct"], "cpuacct.usage")) / 1e9
            return int(_read(self.folders["memory"], "cpu.stat").split()[1]) / 1e6
        except (OSError, ValueError, IndexError):
            return None

    def kill(self) -> None:
        """Kills everyone in the group."""
        _empty(self.folders["pids"])

    def processes(self) -> set[int]:
        """Ids of everyone in the group."""
        return _members(self.folders["pids"])

    def close(self) -> None:
        """Removes the group; its processes must be gone."""
        for folder in set(self.folders.values()):
            os.close(folder)
        for parent, name in self.paths:
            _remove(name, parent)

    def _write(self, controller: str, file: str, text: str) -> None:
        if file in self.files:
            _write(self.folders[controller], self.files[file], text)


class Groups:
    """Where groups can be made on this machine. Opened before the warm process leaves the file system."""

    def __init__(self, label: str):
        """Finds and opens the parents.

        Args:
            label: what this process's groups are called, beside a number.

        Raises:
            OSError: no tree with memory and process limits can be written to.
        """
        self.label, self.made = f"{label}-{_space()}", 0
        if (MOUNT / "cgroup.controllers").exists():
            self.files, parents = _V2, {"tree": _first(_candidates("", MOUNT), v2=True)}
        else:
            self.files = _V1
            parents = {name: _first(_candidates(name, MOUNT / name), v2=False) for name in ("pids", "memory")}
            with contextlib.suppress(OSError):  # only to measure by
                parents["cpuacct"] = _first(_candidates("cpuacct", MOUNT / "cpuacct"), v2=False)
        self.places = [str(parent) for parent in parents.values()]
        """Where its groups lie."""
        sweep(self.places)
        self.parents = {name: os.open(parent, os.O_RDONLY | os.O_DIRECTORY) for name, parent in parents.items()}

    def make(self) -> Group:
        """One more group.

        Raises:
            OSError: it cannot be made.
        """
        name = f"{PREFIX}{self.label}-{self.made}"
        self.made += 1
        opened = {}
        for controller, parent in self.parents.items():
            os.mkdir(name, dir_fd=parent)
            opened[controller] = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=parent)
        paths = [(parent, name) for parent in self.parents.values()]
        folders = opened if "tree" not in opened else {"memory": opened["tree"], "pids": opened["tree"]}
        return Group(folders, self.files, paths)


def _candidates(controller: str, mount: Path) -> list[Path]:
    """Folders to try: this process's own group, then those above it."""
    own = mount
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        if controller in names.split(",") and (controller or not names):
            own = mount / path.strip("/")
    inside = [own, *own.parents]
    return [path for path in inside if path == mount or mount in path.parents]


def _first(candidates: list[Path], v2: bool) -> Path:
    """The first folder under which a group with limits can be made."""
    for parent in candidates:
        probe = parent / f"{PREFIX}probe-{os.getpid()}"
        try:
            if v2:  # children get a controller only where their parent hands it on
                (parent / "cgroup.subtree_control").write_text("+memory +pids")
            probe.mkdir()
            probe.rmdir()
        except OSError:
            continue
        return parent
    raise OSError(f"no control group can be made under {candidates[-1] if candidates else MOUNT}")


def sweep(places: Iterable[str]) -> None:
    """Empties and removes groups of processes that were killed before they could.

    Args:
        places: of `Groups.places`.
    """
    for left in (left for place in places for left in Path(place).glob(f"{PREFIX}*-*-*")):
        owner, space, _ = left.name.removeprefix(PREFIX).split("-", 2)
        # An owner that is out of sight, in another container, may well be alive.
        if space == str(_space()) and owner.isdigit() and not Path(f"/proc/{owner}").exists():
            with contextlib.suppress(OSError):
                folder = os.open(left, os.O_RDONLY | os.O_DIRECTORY)
                try:
                    _empty(folder)
                finally:
                    os.close(folder)
            _remove(str(left))


def _remove(name: str, parent: int | None = None) -> None:
    """Removes a group's folder."""
    for _ in range(50):  # the kernel may still be letting go of the last process
        try:
            os.rmdir(name, dir_fd=parent)
            break
        except FileNotFoundError:
            break
        except OSError:
            time.sleep(0.01)


def _space() -> int:
    """Which process id namespace this is."""
    return os.stat("/proc/self/ns/pid").st_ino


def _empty(folder: int) -> None:
    """Kills everyone in a group, until nobody is left; whoever is out of reach of signals for seconds is left to the kernel."""
    for name, text in (("pids.max", "0"), ("cgroup.kill", "1")):  # nobody makes another; version 2 kills all at once
        with contextlib.suppress(OSError):
            _write(folder, name, text)
    deadline = time.monotonic() + _KILLING_SECONDS
    while (left := _members(folder)) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.001)


def _members(folder: int) -> set[int]:
    """Ids of everyone in a group whom this process can see; 0 stands for each of the others."""
    return {int(pid) for pid in _read(folder, "cgroup.procs").split()} - {0}


def _write(folder: int, name: str, text: str) -> None:
    file = os.open(name, os.O_WRONLY, dir_fd=folder)
    try:
        os.write(file, text.encode())
    finally:
        os.close(file)


def _read(folder: int, name: str) -> str:
    file = os.open(name, os.O_RDONLY, dir_fd=folder)
    try:
        return os.read(file, 65536).decode()
    finally:
        os.close(file)
