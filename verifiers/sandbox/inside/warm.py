"""The warm process: libraries loaded, no network, an empty world; it forks a jailed child for every run.

Spawned by the supervisor, never forked from it: no expected output was ever in its memory. It runs no foreign code; its
children run Python, or where it is told so commands of any kind: a compiler, and what that has made (`command.py`). On its own
channel it is asked for four things, one at a time: to start a child (whose descriptors come along), to tell what it has
used, to tell how it ended, and to leave. While nobody asks, it makes children ready, behind their walls, for as many runs at
once as there were before.
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
from typing import Any, NamedTuple, NoReturn

from . import cgroup, child, command, jail, script, wire

NAMESPACES = jail.NEWPID | jail.NEWNS | jail.NEWIPC | jail.NEWUTS
LEAVING_SECONDS = 0.2
IDLE_SECONDS, REST_SECONDS = 0.02, 60.0
"""Without a request for so long, one more child is made ready; or all that are ready are let go."""
ALIVE = child.CHANNEL + 1
"""The descriptor of a child that comes to its end when the warm process does."""


class Place(NamedTuple):
    """What one child after another has for itself while it lives."""

    group: cgroup.Group | None
    network: int | None


class Jailed(NamedTuple):
    """A child behind its walls, before anything foreign runs in it, or while it does."""

    pid: int
    limits: dict[str, Any]
    place: Place
    kills: int
    """Of the group's, before this child was in it; so, too, the processor seconds."""
    cpu_seconds: float
    user: int | None
    control: socket.socket
    """Where it waits for the descriptors of its run."""


class Warm:
    """State of the warm process: which walls stand, and which children live."""

    def __init__(self, settings: dict[str, Any]):
        """Leaves the world that it came from, then loads libraries."""
        self.missing: dict[str, str] = {}
        _load("landlock")  # later there is no file to load it from
        self.users = jail.users()
        self.groups = self._try("cgroup", lambda: cgroup.Groups(str(os.getpid())))
        self.networks = jail.Networks()
        self.free: list[Place] = []
        self.children: dict[int, Jailed] = {}
        self.ready: list[Jailed] = []
        self.limits: dict[str, Any] = {}
        """Of the last run."""
        self.most_at_once, self.most_ready = 0, settings["ready"]
        self.runs_commands: bool = settings["commands"]
        self.alive = os.pipe()  # children read it: its end is this process's
        statm = os.open("/proc/self/statm", os.O_RDONLY)  # which later is out of sight, too
        own = 0 if self.users else jail.NEWUSER
        self._try("namespaces", lambda: jail.unshare(own | jail.NEWNS | jail.NEWNET | jail.NEWIPC | jail.NEWUTS))
        if "namespaces" not in self.missing:
            views = (settings["readable"], settings["packages"], settings["hidden"])
            self._try("files", lambda: jail.enter_root(*views, processes=self.runs_commands))
        else:
            self.missing["files"] = "needs namespaces"
        if "files" not in self.missing:
            sys.path[-1] = jail.PACKAGES  # in place of the folder that holds them outside
        for name in settings["preload"]:
            _load(name)
        mapped = int(os.pread(statm, 100, 0).split()[0]) * resource.getpagesize()
        self.mapped = None if self.runs_commands else mapped
        os.close(statm)
        os.environ.clear()
        os.environ.update({"PATH": "/usr/bin:/bin", "HOME": jail.WORK, "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1"})
        # A root of our own has the harmless ones alone, and one rule is added sooner than three.
        devices = jail.DEVICES[:3] if "files" in self.missing else ("/dev",)
        self.file_rules = self._try("landlock", lambda: jail.file_rules(devices))
        if self.file_rules is not None:
            self._try("landlock", lambda: _trial(lambda: jail.restrict_files(self.file_rules)))
        self._try("seccomp", lambda: jail.restrict_system_calls(bytes.fromhex(settings["seccomp"])))
        self.streams = script.settle()
        gc.collect()
        gc.freeze()  # children share these pages as long as nobody counts references in them

    def _try(self, part: str, step: Any) -> Any:
        try:
            return step()
        except (OSError, ImportError, AttributeError) as error:  # of a call, a package, a function of the C library
            self.missing[part] = str(error)
            return None

    def start(self, limits: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
        """Hands a run's descriptors to a child behind every wall that stands: channel, stdin, stdout, stderr."""
        self.limits = limits
        while (jailed := next((jailed for jailed in self.ready if jailed.limits == limits), None)) and _is_dead(jailed.pid):
            self._discard(jailed)  # by whoever is short of memory, say
        if jailed:
            self.ready.remove(jailed)
        else:
            jailed = self._made(limits)
        self.children[jailed.pid] = jailed
        self.most_at_once = max(self.most_at_once, len(self.children))
        if self.runs_commands and jailed.user is not None:
            for stream in descriptors[2:]:  # by /dev/stderr it opens them once more
                os.fchown(stream, jailed.user, jailed.user)
        with jailed.control, contextlib.suppress(OSError):  # of one that has just died its run hears by itself
            socket.send_fds(jailed.control, [b"!"], descriptors)
        return {"pid": jailed.pid}

    def make_ready(self) -> bool:
        """Makes one more child ready for a run like the last, in place of one for other runs where there are enough; whether
        there was need of one."""
        wanted = min(self.most_at_once, self.most_ready)
        others = [jailed for jailed in self.ready if jailed.limits != self.limits]
        if len(self.ready) - len(others) >= wanted:
            return False
        try:
            if len(self.ready) >= wanted:
                self._discard(others[0])
            self.ready.append(self._made(self.limits))
        except OSError:  # whoever wants a child hears of it
            return False
        return True

    def rest(self) -> None:
        """Lets go of the children that are ready."""
        self.most_at_once = 0
        for jailed in list(self.ready):
            self._discard(jailed)

    def _discard(self, jailed: Jailed) -> None:
        self.ready.remove(jailed)
        jailed.control.close()
        self.children[jailed.pid] = jailed
        self.end(jailed.pid)

    def _made(self, limits: dict[str, Any]) -> Jailed:
        place = self.free.pop() if self.free else self._place()
        group = place.group
        try:
            if group:
                group.prepare(limits["memory"], limits["processes"])
            kills, cpu_seconds = (group.kills(), group.cpu_seconds() or 0.0) if group else (0, 0.0)
            taken = {jailed.user for jailed in (*self.children.values(), *self.ready)}
            user = jail.some_user(self.users, taken) if self.users else None
            if place.network is not None:
                self.networks.enter(place.network)
            control, inner = socket.socketpair()
            pid = jail.fork(NAMESPACES if "namespaces" not in self.missing else 0)
        except OSError:
            self.free.append(place)
            raise
        if pid == 0:
            self._live(limits, group, user, inner)
        inner.close()
        return Jailed(pid, limits, place, kills, cpu_seconds, user, control)

    def _place(self) -> Place:
        """One more place for a child."""
        return Place(
            self.groups.make() if self.groups is not None else None,
            self.networks.make() if "namespaces" not in self.missing else None,
        )

    def _live(self, limits: dict[str, Any], group: cgroup.Group | None, user: int | None, control: socket.socket) -> NoReturn:
        """The whole life of a child. Whatever stops it on its way to its run, its run is told."""
        failure: BaseException | None = None
        try:
            jail.die_with_parent()
            try:
                if group:
                    group.join()
            except OSError as error:
                failure = error
            control = self._alone_with(control)
            try:
                self._confine(limits, user, group is not None)
            except BaseException as error:
                failure = failure or error
            _, (channel, *streams), _, _ = socket.recv_fds(control, 1, 4)
            for target, source in enumerate((*streams, channel)):  # that of the channel takes the place of `control`
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

    def _alone_with(self, control: socket.socket) -> socket.socket:
        """Leaves this process no descriptors but nothing's for its streams, `control` where its channel will be, and ALIVE."""
        nothing, waiting, alive = os.open("/dev/null", os.O_RDWR), os.dup(control.detach()), os.dup(self.alive[0])
        for target, source in enumerate((nothing, nothing, nothing, waiting, alive)):
            os.dup2(source, target)
        os.closerange(ALIVE + 1, os.sysconf("SC_OPEN_MAX"))
        return socket.socket(fileno=child.CHANNEL)

    def _confine(self, limits: dict[str, Any], user: int | None, grouped: bool) -> None:
        """Puts this process, which has joined its group, behind every other wall that stands."""
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.setsid()
        if "files" not in self.missing:
            jail.fresh_work_folder(limits["disk"])
            if self.runs_commands:
                jail.show_processes()
        jail.limit(limits, self.mapped, grouped, user is not None)
        jail.drop_privileges(user)
        if select.select([ALIVE], [], [], 0)[0]:  # the parent was gone before the kernel was told to watch it
            os._exit(1)
        if "landlock" not in self.missing:
            jail.restrict_files(self.file_rules)
        os.closerange(ALIVE, ALIVE + 8)  # and what Landlock has left open
        script.take(self.streams)

    def used(self, pid: int) -> dict[str, Any]:
        """Processor seconds that a child and all that it has started have used, None where no group counts them; and who they
        are."""
        jailed = self.children[pid]
        group = jailed.place.group
        return {"cpu_seconds": _since(jailed), "processes": list(group.processes()) if group else [pid]}

    def end(self, pid: int, leaving: bool = False) -> dict[str, Any]:
        """Kills a child, and with it all that it has started; how it ended. One that is leaving is given a moment to."""
        jailed = self.children.pop(pid)
        group = jailed.place.group
        if leaving:
            handle = os.pidfd_open(pid)
            select.select([handle], [], [], LEAVING_SECONDS)
            os.close(handle)
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if not ended:
            os.kill(pid, signal.SIGKILL)
            _, status, usage = os.wait4(pid, 0)
        if group and "namespaces" in self.missing:  # else the kernel has killed them with the first of their namespace
            group.kill()
        told = {
            "killed": not ended,
            "status": os.waitstatus_to_exitcode(status),
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "peak_memory": usage.ru_maxrss * 1024,
            "out_of_memory": False,
        }
        if group:
            told["cpu_seconds"] = _since(jailed) or told["cpu_seconds"]
            told["out_of_memory"] = group.kills() > jailed.kills
            told["peak_memory"] = group.peak() or told["peak_memory"]
        self.free.append(jailed.place)
        return told

    def leave(self) -> None:
        """Kills the children and removes the groups."""
        self.rest()
        for pid in list(self.children):
            self.end(pid)
        for place in self.free:
            if place.group:
                place.group.close()


def _since(jailed: Jailed) -> float | None:
    """Processor seconds of a child's group since the child was made; None where nobody counts them."""
    group = jailed.place.group
    seconds = group.cpu_seconds() if group else None
    return None if seconds is None else seconds - jailed.cpu_seconds


def _load(module: str) -> None:
    """Imports a module, where there is one."""
    with contextlib.suppress(ImportError):
        importlib.import_module(module)


def _is_dead(pid: int) -> bool:
    """Whether a child has ended; it is left to be waited for."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _trial(step: Any) -> None:
    """Does a step in a child, to see whether this kernel allows it."""
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            jail.drop_privileges(None)
            step()
        except BaseException as error:
            os.write(tell, f"{type(error).__name__}: {error}".encode()[:500])
        os._exit(0)
    os.close(tell)
    with os.fdopen(told, "rb") as pipe:
        failure = pipe.read().decode(errors="replace")
    os.waitpid(pid, 0)
    if failure:
        raise OSError(failure)


def main() -> None:
    """Serves the supervisor on descriptor 0."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor's to handle
    supervisor = socket.socket(fileno=os.dup(0))
    settings = wire.receive(supervisor)
    if settings is None:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warm = Warm(settings)
    supervisor.sendall(wire.pack({"missing": warm.missing, "groups": warm.groups.places if warm.groups else []}))
    while True:
        while not select.select([supervisor], [], [], IDLE_SECONDS)[0] and warm.make_ready():
            pass
        if warm.ready and not select.select([supervisor], [], [], REST_SECONDS)[0]:
            warm.rest()
        header, descriptors, _, _ = socket.recv_fds(supervisor, 1 << 16, 4)
        if not header:
            break
        request = json.loads(header)
        try:
            if "start" in request:
                reply = warm.start(request["start"], descriptors)
            else:
                reply = warm.used(**request["used"]) if "used" in request else warm.end(**request["end"])
        except (OSError, KeyError) as error:  # of the kernel's, or of a child that is none of ours
            reply = {"fault": str(error)}
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        supervisor.sendall(wire.pack(reply))
    warm.leave()
