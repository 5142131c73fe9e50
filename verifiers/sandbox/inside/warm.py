"""The warm process: forks a jailed child for every run.

It has libraries loaded, no network, and a root folder with only what programs need. The supervisor spawns it and does not fork
it, so no expected output was ever in its memory. It runs no untrusted code itself.
Its children run Python, or, if the setting `commands` is true, commands of any kind: a compiler and its product (`command.py`).
The supervisor sends four kinds of requests, one at a time: start a child (with descriptors), report what a child has used, end
a child, and, by closing the channel, end the process. Between requests it keeps as many idle, jailed children as there were
simultaneous runs before, up to the setting `ready`.
"""

import contextlib
import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from typing import NamedTuple, NoReturn, TypeVar

from . import cgroup, child, command, jail, script, wire

T = TypeVar("T")

NAMESPACES = jail.NEWPID | jail.NEWNS | jail.NEWIPC | jail.NEWUTS
LEAVING_SECONDS = 0.2
"""Seconds that a child that has closed its channel gets to end by itself."""
IDLE_SECONDS, REST_SECONDS = 0.02, 60.0
"""After IDLE_SECONDS without a request one more idle child is made; after REST_SECONDS all idle children are ended."""
ALIVE = child.CHANNEL + 1
"""A child's descriptor of a pipe that reaches its end when the warm process ends."""


class Slot(NamedTuple):
    """Resources that belong to one child at a time and are reused by the next one."""

    group: cgroup.Group | None
    network: int | None


class Jailed(NamedTuple):
    """A child with all its protections, before or while it runs untrusted code."""

    pid: int
    limits: wire.JSONObject
    slot: Slot
    oom_kills: int
    """The group's `oom_kills` before this child joined it."""
    cpu_seconds: float
    """The group's processor time before this child joined it."""
    user: int | None
    control: socket.socket
    """Socket on which the child waits for the descriptors of its run."""


class Warm:
    """State of the warm process: which protections are missing, and which children are alive."""

    def __init__(self, settings: wire.JSONObject):
        """Enters the new root folder and namespaces, then loads libraries."""
        self.missing: dict[str, str] = {}
        _load("landlock")  # its files are not visible later
        self.users = jail.assignable_users()
        self.groups = self._try("cgroup", lambda: cgroup.Groups(str(os.getpid())))
        self.networks = jail.Networks()
        self.free: list[Slot] = []
        self.children: dict[int, Jailed] = {}
        self.ready: list[Jailed] = []
        self.limits: wire.JSONObject = {}
        """Limits of the last run."""
        self.max_at_once, self.max_idle = 0, settings["ready"]
        self.runs_commands: bool = settings["commands"]
        self.alive = os.pipe()  # children read from it and reach its end when this process ends
        statm = os.open("/proc/self/statm", os.O_RDONLY)  # it is not visible later
        own = 0 if self.users else jail.NEWUSER
        self._try("namespaces", lambda: jail.unshare(own | jail.NEWNS | jail.NEWNET | jail.NEWIPC | jail.NEWUTS))
        if "namespaces" not in self.missing:
            views = (settings["readable"], settings["packages"], settings["hidden"])
            self._try("files", lambda: jail.enter_root(*views, processes=self.runs_commands))
        else:
            self.missing["files"] = "needs namespaces"
        if "files" not in self.missing:
            sys.path[-1] = jail.PACKAGES  # the packages' folder in the new root folder
        for name in settings["preload"]:
            _load(name)
        mapped = int(os.pread(statm, 100, 0).split()[0]) * resource.getpagesize()
        self.mapped = None if self.runs_commands else mapped
        os.close(statm)
        os.environ.clear()
        os.environ.update({"PATH": "/usr/bin:/bin", "HOME": jail.WORK, "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1"})
        # The new root folder contains only harmless devices, and adding one rule is faster than adding three.
        devices = jail.DEVICES[:3] if "files" in self.missing else ("/dev",)
        self.file_rules = self._try("landlock", lambda: jail.file_rules(devices))
        if (rules := self.file_rules) is not None:
            self._try("landlock", lambda: _try_in_child(lambda: jail.restrict_files(rules)))
        self._try("seccomp", lambda: jail.restrict_system_calls(bytes.fromhex(settings["seccomp"])))
        self.streams = script.prepare_interpreter()
        gc.collect()
        gc.freeze()  # so that children share these pages: a collection would write to them

    def _try(self, part: str, step: Callable[[], T]) -> T | None:
        try:
            return step()
        except (OSError, ImportError, AttributeError) as error:  # the call, the package or the C library's function is missing
            self.missing[part] = str(error)
            return None

    def start(self, limits: wire.JSONObject, descriptors: list[int]) -> wire.JSONObject:
        """Gives a run's descriptors to a child that has all protections.

        Args:
            limits: the fields of `protocol.Limits`.
            descriptors: channel, stdin, stdout, stderr.

        Returns:
            The child's process id, as "pid".
        """
        self.limits = limits
        while (jailed := next((jailed for jailed in self.ready if jailed.limits == limits), None)) and _is_dead(jailed.pid):
            self._discard(jailed)  # for example the kernel killed it because memory was short
        if jailed:
            self.ready.remove(jailed)
        else:
            jailed = self._make_child(limits)
        self.children[jailed.pid] = jailed
        self.max_at_once = max(self.max_at_once, len(self.children))
        if self.runs_commands and jailed.user is not None:
            for stream in descriptors[2:]:  # commands may open them again as /dev/stderr
                os.fchown(stream, jailed.user, jailed.user)
        with jailed.control, contextlib.suppress(OSError):  # if the child has just died, the session notices that
            socket.send_fds(jailed.control, [b"!"], descriptors)
        return {"pid": jailed.pid}

    def make_ready(self) -> bool:
        """Makes one more idle child for a run like the last one, and returns False if none is needed.

        If there are enough idle children, the new one replaces one that has other limits.
        """
        needed = min(self.max_at_once, self.max_idle)
        others = [jailed for jailed in self.ready if jailed.limits != self.limits]
        if len(self.ready) - len(others) >= needed:
            return False
        try:
            if len(self.ready) >= needed:
                self._discard(others[0])
            self.ready.append(self._make_child(self.limits))
        except OSError:  # the next `start` will report it
            return False
        return True

    def end_idle(self) -> None:
        """Ends the idle children."""
        self.max_at_once = 0
        for jailed in list(self.ready):
            self._discard(jailed)

    def _discard(self, jailed: Jailed) -> None:
        self.ready.remove(jailed)
        jailed.control.close()
        self.children[jailed.pid] = jailed
        self.end(jailed.pid)

    def _make_child(self, limits: wire.JSONObject) -> Jailed:
        slot = self.free.pop() if self.free else self._make_slot()
        group = slot.group
        try:
            if group:
                group.prepare(limits["memory"], limits["processes"])
            oom_kills, cpu_seconds = (group.oom_kills(), group.cpu_seconds() or 0.0) if group else (0, 0.0)
            taken = {jailed.user for jailed in (*self.children.values(), *self.ready)}
            user = jail.random_user(self.users, taken) if self.users else None
            if slot.network is not None:
                self.networks.enter(slot.network)
            control, inner = socket.socketpair()
            pid = jail.fork(NAMESPACES if "namespaces" not in self.missing else 0)
        except OSError:
            self.free.append(slot)
            raise
        if pid == 0:
            self._run_child(limits, group, user, inner)
        inner.close()
        return Jailed(pid, limits, slot, oom_kills, cpu_seconds, user, control)

    def _make_slot(self) -> Slot:
        return Slot(
            self.groups.make() if self.groups is not None else None,
            self.networks.make() if "namespaces" not in self.missing else None,
        )

    def _run_child(
        self, limits: wire.JSONObject, group: cgroup.Group | None, user: int | None, control: socket.socket
    ) -> NoReturn:
        """Runs in the child from its start to its end. If a step before the run fails, this is reported when the run starts."""
        failure: BaseException | None = None
        try:
            jail.die_with_parent()
            try:
                if group:
                    group.join()
            except OSError as error:
                failure = error
            control = self._close_descriptors(control)
            try:
                self._confine(limits, user, group is not None)
            except BaseException as error:
                failure = failure or error
            _, (channel, *streams), _, _ = socket.recv_fds(control, 1, 4)
            for target, source in enumerate((*streams, channel)):  # the channel replaces `control`
                os.dup2(source, target)
            os.closerange(child.CHANNEL + 1, child.CHANNEL + 9)
            if failure:
                raise failure
            if self.runs_commands:
                command.serve()
            else:
                child.serve(jail.WORK if "files" not in self.missing else None)
            os._exit(0)
        except BaseException as error:
            os.write(2, f"sandbox: {error}\n".encode())
        finally:
            os._exit(1)

    def _close_descriptors(self, control: socket.socket) -> socket.socket:
        """Sets up five descriptors and closes all others: /dev/null as the three streams, `control` as CHANNEL, and ALIVE."""
        null, waiting, alive = os.open("/dev/null", os.O_RDWR), os.dup(control.detach()), os.dup(self.alive[0])
        for target, source in enumerate((null, null, null, waiting, alive)):
            os.dup2(source, target)
        os.closerange(ALIVE + 1, os.sysconf("SC_OPEN_MAX"))
        return socket.socket(fileno=child.CHANNEL)

    def _confine(self, limits: wire.JSONObject, user: int | None, grouped: bool) -> None:
        """Applies every available protection to this process, except its control group, which it has already joined."""
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.setsid()
        if "files" not in self.missing:
            jail.fresh_work_folder(limits["disk"])
            if self.runs_commands:
                jail.show_processes()
        jail.set_limits(limits, self.mapped, grouped, user is not None)
        jail.drop_privileges(user)
        if select.select([ALIVE], [], [], 0)[0]:  # the parent ended before `die_with_parent` took effect
            os._exit(1)
        if "landlock" not in self.missing:
            assert self.file_rules is not None
            jail.restrict_files(self.file_rules)
        os.closerange(ALIVE, ALIVE + 8)  # including descriptors that Landlock left open
        script.install_streams(self.streams)

    def used(self, pid: int) -> wire.ChildUsage:
        """Returns what a child and its descendants have used, and their process ids."""
        jailed = self.children[pid]
        group = jailed.slot.group
        return {"cpu_seconds": _cpu_seconds(jailed), "processes": list(group.processes()) if group else [pid]}

    def end(self, pid: int, leaving: bool = False) -> wire.ChildReport:
        """Kills a child and its descendants and returns how it ended. With `leaving` it first gets LEAVING_SECONDS to end."""
        jailed = self.children.pop(pid)
        group = jailed.slot.group
        if leaving:
            handle = os.pidfd_open(pid)
            select.select([handle], [], [], LEAVING_SECONDS)
            os.close(handle)
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if not ended:
            os.kill(pid, signal.SIGKILL)
            _, status, usage = os.wait4(pid, 0)
        if group and "namespaces" in self.missing:  # with namespaces the kernel kills them together with the first process
            group.kill()
        report: wire.ChildReport = {
            "killed": not ended,
            "status": os.waitstatus_to_exitcode(status),
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "peak_memory": usage.ru_maxrss * 1024,
            "out_of_memory": False,
        }
        if group:
            report["cpu_seconds"] = _cpu_seconds(jailed) or report["cpu_seconds"]
            report["out_of_memory"] = group.oom_kills() > jailed.oom_kills
            report["peak_memory"] = group.peak() or report["peak_memory"]
        self.free.append(jailed.slot)
        return report

    def close(self) -> None:
        """Kills the children and removes the control groups."""
        self.end_idle()
        for pid in list(self.children):
            self.end(pid)
        for slot in self.free:
            if slot.group:
                slot.group.close()


def _cpu_seconds(jailed: Jailed) -> float | None:
    """Returns the processor seconds of a child's group since the child was made; None if they are not counted."""
    group = jailed.slot.group
    seconds = group.cpu_seconds() if group else None
    return None if seconds is None else seconds - jailed.cpu_seconds


def _load(module: str) -> None:
    """Imports a module if it is installed."""
    with contextlib.suppress(ImportError):
        importlib.import_module(module)


def _is_dead(pid: int) -> bool:
    """True if a child has ended. The child is not reaped."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _try_in_child(step: Callable[[], object]) -> None:
    """Runs a step in a child process. Raises OSError if this kernel does not allow it."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            jail.drop_privileges(None)
            step()
        except BaseException as error:
            os.write(write_end, f"{type(error).__name__}: {error}".encode()[:500])
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        failure = pipe.read().decode(errors="replace")
    os.waitpid(pid, 0)
    if failure:
        raise OSError(failure)


def main() -> None:
    """Serves the supervisor on descriptor 0."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor handles it
    supervisor = socket.socket(fileno=os.dup(0))
    settings = wire.receive(supervisor)
    if settings is None:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warm = Warm(settings)
    supervisor.sendall(wire.pack({"missing": warm.missing, "groups": warm.groups.parent_paths if warm.groups else []}))
    while True:
        while not select.select([supervisor], [], [], IDLE_SECONDS)[0] and warm.make_ready():
            pass
        if warm.ready and not select.select([supervisor], [], [], REST_SECONDS)[0]:
            warm.end_idle()
        header, descriptors, _, _ = socket.recv_fds(supervisor, 1 << 16, 4)
        if not header:
            break
        request = json.loads(header)
        try:
            reply: Mapping[str, object]
            if "start" in request:
                reply = warm.start(request["start"], descriptors)
            else:
                reply = warm.used(**request["used"]) if "used" in request else warm.end(**request["end"])
        except (OSError, KeyError) as error:  # the kernel rejected it, or there is no such child
            reply = {"fault": str(error)}
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        supervisor.sendall(wire.pack(dict(reply)))
    warm.close()
