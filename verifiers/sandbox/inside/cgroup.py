"""Control groups: limits on memory and processes that apply to a run as a whole, however many child processes it has.

Both versions are supported: version 2 has one tree, version 1 has one tree for each controller. Folders are used through
descriptors, which the warm process opens while the file system is still visible to it.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")
PREFIX = "tenfold-"
"""Prefix of the names of all groups."""
_KILLING_SECONDS = 10.0
"""Time limit for killing all processes of a group. Our choice."""

_V2 = {"memory": "memory.max", "processes": "pids.max", "swap": "memory.swap.max", "peak": "memory.peak"}
_V1 = {"memory": "memory.limit_in_bytes", "processes": "pids.max", "peak": "memory.max_usage_in_bytes"}


class Group:
    """One control group. Runs use it one after the other."""

    def __init__(self, folders: dict[str, int], files: dict[str, str], paths: list[tuple[int, str]]):
        """Takes over open folders.

        Args:
            folders: descriptors of the group's folders, by controller.
            files: names of the files for limits and measurements, by purpose.
            paths: for each folder a descriptor of its parent and its name, to remove it.
        """
        self.folders, self.files, self.paths = folders, files, paths
        self.peak_before = 0

    def prepare(self, memory: int, processes: int) -> None:
        """Sets a run's limits, in bytes and in processes."""
        self._write("memory", "memory", str(memory))
        # Dead processes of the previous run count until they are reaped, which may take an init process a second.
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
        """Returns the maximum number of bytes that the run used at one time; None if it is unknown.

        Version 2 keeps the peak of all runs. If an earlier run's peak was higher, the peak of this run is unknown.
        """
        peak = self._peak()
        return peak if peak is not None and peak > self.peak_before else None

    def _peak(self) -> int | None:
        try:
            return int(_read(self.folders["memory"], self.files["peak"]))
        except (OSError, ValueError):
            return None

    def oom_kills(self) -> int:
        """Returns how many processes of this group the kernel has killed because they ran out of memory."""
        name = "memory.events" if "swap" in self.files else "memory.oom_control"
        for line in _read(self.folders["memory"], name).splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
        return 0

    def cpu_seconds(self) -> float | None:
        """Returns the processor time of all processes that ever ran in the group; None if the kernel does not report it."""
        try:
            if "cpuacct" in self.folders:
                return int(_read(self.folders["cpuacct"], "cpuacct.usage")) / 1e9
            return int(_read(self.folders["memory"], "cpu.stat").split()[1]) / 1e6
        except (OSError, ValueError, IndexError):
            return None

    def kill(self) -> None:
        """Kills all processes of the group."""
        _empty(self.folders["pids"])

    def processes(self) -> set[int]:
        """Returns the ids of the group's processes."""
        return _members(self.folders["pids"])

    def close(self) -> None:
        """Removes the group. Its processes must have ended."""
        for folder in set(self.folders.values()):
            os.close(folder)
        for parent, name in self.paths:
            _remove(name, parent)

    def _write(self, controller: str, file: str, text: str) -> None:
        if file in self.files:
            _write(self.folders[controller], self.files[file], text)


class Groups:
    """Creates control groups on this machine. Must be made before the warm process leaves the file system."""

    def __init__(self, label: str):
        """Finds and opens the parent folders.

        Args:
            label: part of the names of this process's groups, which also contain a number.

        Raises:
            OSError: this process cannot make groups with memory and process limits.
        """
        self.label, self.made = f"{label}-{_pid_namespace()}", 0
        if (MOUNT / "cgroup.controllers").exists():
            self.files, parents = _V2, {"tree": _first(_candidates("", MOUNT), v2=True)}
        else:
            self.files = _V1
            parents = {name: _first(_candidates(name, MOUNT / name), v2=False) for name in ("pids", "memory")}
            with contextlib.suppress(OSError):  # needed for measurements only
                parents["cpuacct"] = _first(_candidates("cpuacct", MOUNT / "cpuacct"), v2=False)
        self.parent_paths = [str(parent) for parent in parents.values()]
        """Folders in which its groups are."""
        remove_abandoned(self.parent_paths)
        self.parents = {name: os.open(parent, os.O_RDONLY | os.O_DIRECTORY) for name, parent in parents.items()}

    def make(self) -> Group:
        """Makes a new group.

        Raises:
            OSError: the kernel rejects it.
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
    """Returns the folders to try: that of this process's own group, then its parents."""
    own = mount
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        if controller in names.split(",") and (controller or not names):
            own = mount / path.strip("/")
    folders = [own, *own.parents]
    return [path for path in folders if path == mount or mount in path.parents]


def _first(candidates: list[Path], v2: bool) -> Path:
    """Returns the first folder in which a group with limits can be made."""
    for parent in candidates:
        probe = parent / f"{PREFIX}probe-{os.getpid()}"
        try:
            if v2:  # child groups have a controller only if their parent enables it
                (parent / "cgroup.subtree_control").write_text("+memory +pids")
            probe.mkdir()
            probe.rmdir()
        except OSError:
            continue
        return parent
    raise OSError(f"no control group can be made under {candidates[-1] if candidates else MOUNT}")


def remove_abandoned(parents: Iterable[str]) -> None:
    """Removes the groups of warm processes that were killed before they could remove them, and kills the processes in them.

    Args:
        parents: `Groups.parent_paths`.
    """
    for group in (group for parent in parents for group in Path(parent).glob(f"{PREFIX}*-*-*")):
        owner, namespace, _ = group.name.removeprefix(PREFIX).split("-", 2)
        # The owner may be alive in another container, in which case it is not visible here.
        if namespace == str(_pid_namespace()) and owner.isdigit() and not Path(f"/proc/{owner}").exists():
            with contextlib.suppress(OSError):
                folder = os.open(group, os.O_RDONLY | os.O_DIRECTORY)
                try:
                    _empty(folder)
                finally:
                    os.close(folder)
            _remove(str(group))


def _remove(name: str, parent: int | None = None) -> None:
    """Removes a group's folder."""
    for _ in range(50):  # the kernel may not have removed the last process yet
        try:
            os.rmdir(name, dir_fd=parent)
            break
        except FileNotFoundError:
            break
        except OSError:
            time.sleep(0.01)


def _pid_namespace() -> int:
    """Returns the id of this process's process namespace."""
    return os.stat("/proc/self/ns/pid").st_ino


def _empty(folder: int) -> None:
    """Kills the processes of a group until none is left. Processes that do not react within seconds are left to the kernel."""
    for name, text in (("pids.max", "0"), ("cgroup.kill", "1")):  # no new processes; version 2 can kill all at once
        with contextlib.suppress(OSError):
            _write(folder, name, text)
    deadline = time.monotonic() + _KILLING_SECONDS
    while (remaining := _members(folder)) and time.monotonic() < deadline:
        for pid in remaining:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.001)


def _members(folder: int) -> set[int]:
    """Returns the ids of a group's processes that are visible here; the kernel lists every other process as 0."""
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
