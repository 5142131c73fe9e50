"""The supervisor's side of a warm process: starts it, sends requests to it and replaces it."""

import contextlib
import importlib.util
import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import cast

from ...core import UserError
from . import system_calls
from .inside import cgroup, wire
from .protocol import SandboxFault

STANDARD = (
    *("bisect", "collections", "copy", "datetime", "decimal", "fractions", "functools", "heapq", "itertools", "json", "math"),
    *("operator", "random", "re", "statistics", "string", "typing", "dataclasses", "hashlib", "io", "traceback"),
)
"""Modules that are loaded before any program runs. Each loaded module makes every run slower."""
LIBRARIES = ("numpy",)
"""Packages that are loaded in advance for programs that name one. With numpy a run takes a sixth longer; with sympy it would
take three times as long."""
IMPORTABLE = (*LIBRARIES, "mpmath", "sympy")
"""Packages that a program may import. Other packages are not visible to it."""
COMMANDS_NEED = frozenset({"namespaces", "files", "cgroup"})
"""Protections without which no command runs, because a compiler is several processes and writes files that only the run may
see."""
START_SECONDS = 120.0
"""Time limit for the start of a warm process."""
REPLY_SECONDS = 60.0
"""Time limit for a reply of a warm process."""
POLL_SECONDS, STUCK_SECONDS = 0.5, 30.0
"""While a warm process does not reply, its state is read every POLL_SECONDS. A stopped process is replaced at once; one that
neither runs nor waits for a processor is replaced after STUCK_SECONDS."""
_BOOTSTRAP = (
    "import sys, types; folder, site = sys.argv[1:]; package = types.ModuleType('sandbox'); package.__path__ = [folder]; "
    "sys.modules['sandbox'] = package; sys.path.append(site); from sandbox import warm; warm.main()"
)


def may_lack() -> frozenset[str]:
    """Returns the protections that may be missing: the names in $TENFOLD_SANDBOX_WITHOUT, separated by commas."""
    return frozenset(part.strip() for part in os.environ.get("TENFOLD_SANDBOX_WITHOUT", "").split(","))


class WarmProcess:
    """The supervisor's side of one warm process."""

    def __init__(
        self,
        preload: Sequence[str],
        without: Collection[str],
        max_idle: int,
        commands: bool = False,
        readable: Sequence[str] = (),
        packages: Sequence[str] = (),
    ):
        """Stores the settings; nothing is started yet.

        Args:
            preload: modules that are loaded before any program runs.
            without: protections that may be missing; see `LocalSandbox`.
            max_idle: maximum number of idle children that are kept for future runs.
            commands: the children run commands of any kind instead of Python.
            readable: files of this machine that the commands may read, besides those that every run can read.
            packages: files and folders of Python packages that programs may import, besides `IMPORTABLE`.
        """
        self.max_idle, self.commands = max_idle, commands
        self.readable, self.packages = tuple(readable), tuple(packages)
        self.groups: list[str] = []
        """Folders in which its control groups are."""
        self.preload, self.without = tuple(preload), frozenset(without)
        self.lock = threading.Lock()
        self.process: subprocess.Popen[bytes] | None = None
        self.channel: socket.socket | None = None
        self.missing: dict[str, str] = {}

    def start(self, limits: wire.JSONObject, descriptors: Sequence[int]) -> tuple[int, "subprocess.Popen[bytes] | None"]:
        """Starts a run in a child.

        Args:
            limits: the fields of `protocol.Limits`.
            descriptors: the run's channel, stdin, stdout and stderr.

        Returns:
            The child's process id, and the warm process that it belongs to.

        Raises:
            UserError: this machine lacks a protection that `without` does not name.
            SandboxFault: the warm process failed.
        """
        with self.lock:
            self._ensure_started()
            process = self.process
            try:
                return self._ask({"start": limits}, descriptors)["pid"], self.process
            except SandboxFault:
                if self.process is process:  # it is alive and rejected the request
                    raise
            self._ensure_started()  # it was dead or stopped; its other runs find that out by themselves
            return self._ask({"start": limits}, descriptors)["pid"], self.process

    def used(self, pid: int, parent: "subprocess.Popen[bytes] | None") -> wire.ChildUsage:
        """Returns what a child of the warm process `parent` has used. Raises as `_ask_parent` does."""
        return cast(wire.ChildUsage, self._ask_parent({"used": {"pid": pid}}, parent))

    def end_child(self, pid: int, leaving: bool, parent: "subprocess.Popen[bytes] | None") -> wire.ChildReport:
        """Ends a child and its descendants, and returns how it ended. Raises as `_ask_parent` does.

        Args:
            pid: the child's process id.
            leaving: the child has closed its channel and gets a moment to end by itself.
            parent: the warm process that started it.
        """
        return cast(wire.ChildReport, self._ask_parent({"end": {"pid": pid, "leaving": leaving}}, parent))

    def _ask_parent(self, request: wire.JSONObject, parent: "subprocess.Popen[bytes] | None") -> wire.JSONObject:
        """Sends one request about a child of the warm process `parent` and returns the reply.

        Raises:
            SandboxFault: that process died, or the kernel rejected the request.
        """
        with self.lock:
            if self.channel is None or self.process is not parent:
                raise SandboxFault("the warm process of this run has died")
            return self._ask(request)

    def _ask(self, request: wire.JSONObject, descriptors: Sequence[int] = ()) -> wire.JSONObject:
        if self.channel is None:
            raise SandboxFault("the warm process died")
        try:
            socket.send_fds(self.channel, [json.dumps(request).encode()], list(descriptors))
            self._wait_for_reply(self.channel, REPLY_SECONDS)
            reply = wire.receive(self.channel)
        except OSError as error:
            self._kill()
            raise SandboxFault(f"the warm process does not reply: {error}") from None
        except BaseException:  # interrupted: the next request would take this one's reply for its own
            self._kill()
            raise
        if reply is None:
            self._kill()
            raise SandboxFault("the warm process died")
        if "fault" in reply:
            raise SandboxFault(reply["fault"])
        return reply

    def _wait_for_reply(self, channel: socket.socket, seconds: float) -> None:
        """Waits for a reply as long as the process makes progress. Raises `TimeoutError`."""
        deadline = time.monotonic() + seconds
        last_progress: object = None
        progressed_at = time.monotonic()
        replies = select.poll()  # `select.select` fails if this process has more than 1024 open files
        replies.register(channel, select.POLLIN)
        while not replies.poll(POLL_SECONDS * 1000):
            assert self.process is not None
            state, progress = _state_of(self.process.pid)
            now = time.monotonic()
            if progress != last_progress or state == "D":  # "D": it waits for a disk
                last_progress, progressed_at = progress, now
            if state in _STOPPED:
                raise TimeoutError("the process was stopped by a signal")
            if now > deadline or now > progressed_at + STUCK_SECONDS:
                raise TimeoutError("the process makes no progress")

    def ready(self) -> dict[str, str]:
        """Starts the process if necessary and returns the missing protections, each with the reason. Raises as `start` does."""
        with self.lock:
            self._ensure_started()
            return self.missing

    def _ensure_started(self) -> None:
        if self.process is not None and self.process.poll() is None:
            return
        self._kill()
        site = importlib.util.find_spec("landlock")
        folder = str(Path(site.origin).parents[1]) if site and site.origin else ""
        self.channel, inner = socket.socketpair()
        self.channel.settimeout(START_SECONDS)
        settings = {
            "preload": self.preload,
            "readable": self.readable if self.commands else _interpreter_paths(),
            "packages": [] if self.commands else _by_name((*_package_paths(IMPORTABLE), *self.packages)),
            "hidden": _hidden(),
            "commands": self.commands,
            "seccomp": self._system_calls().hex(),
            "ready": self.max_idle,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _BOOTSTRAP, str(Path(__file__).parent / "inside"), folder],
            stdin=inner.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={"PATH": "/usr/bin:/bin", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "LANG": "C.UTF-8"},
            start_new_session=True,
        )
        inner.close()
        try:
            self.channel.sendall(wire.pack(settings))
            self._wait_for_reply(self.channel, START_SECONDS)
            hello = wire.receive(self.channel)
        except OSError as error:
            hello, reason = None, str(error)
        except BaseException:  # interrupted: the first request would take this message for its reply
            self._kill()
            raise
        else:
            reason = "it ended"
        if hello is None:
            assert self.process.stderr is not None
            self.process.kill()
            reason = self.process.stderr.read().decode(errors="replace").strip().rsplit("\n", 1)[-1] or reason
            self._kill()
            raise SandboxFault(f"the warm process does not start: {reason}")
        self.channel.settimeout(REPLY_SECONDS)
        self.missing, self.groups = hello["missing"], hello["groups"]
        if missing := set(self.missing) - self.without:
            self._kill()
            why = "; ".join(f"{part} ({self.missing[part]})" for part in sorted(missing))
            action = "to run without it, name it in without= or in $TENFOLD_SANDBOX_WITHOUT (names separated by commas)"
            if self.commands and missing & COMMANDS_NEED:
                action = "programs in languages other than Python cannot run without it"
            raise UserError(f"this machine cannot protect itself from untrusted code: it lacks {why}; {action}")

    def _system_calls(self) -> bytes:
        try:
            return system_calls.compiled()
        except UserError:
            if "seccomp" not in self.without:
                raise
            return b""

    def close(self) -> None:
        """Ends the process and all its runs."""
        with self.lock:
            if self.channel is not None:
                self.channel.close()
                self.channel = None
            if self.process is not None and _state_of(self.process.pid)[0] not in _STOPPED:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(10)  # it removes its control groups before it ends
            self._kill()

    def _kill(self) -> None:
        if self.channel is not None:
            self.channel.close()
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            if self.process.stderr is not None:
                self.process.stderr.close()
            cgroup.remove_abandoned(self.groups)
        self.channel, self.process, self.groups = None, None, []


_STOPPED = ("T", "t")


def _state_of(pid: int) -> tuple[str, str]:
    """Returns a process's state, and a text that changes whenever it has run or waited for a processor."""
    with contextlib.suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state, Path(f"/proc/{pid}/schedstat").read_text()
    return "X", ""


def _interpreter_paths() -> list[str]:
    """Returns the folders of this interpreter and its libraries, without those next to them, such as other environments."""
    inside = ("bin", "lib", "lib64", "share/zoneinfo")
    return [str(path) for name in inside if (path := Path(sys.base_prefix, name)).exists()]


def _hidden() -> list[str]:
    """Returns folders next to those that programs need. They may hold anything, such as data sets with the gold answers."""
    found = {"/usr/src"}
    for root in {"/usr", "/usr/local", sys.base_prefix}:
        found |= {str(path) for name in ("site-packages", "dist-packages") for path in Path(root).glob(f"lib*/python*/{name}")}
    found |= {str(path) for path in Path("/usr/local").glob("*") if path.name not in _NEEDED_LOCAL and not path.is_symlink()}
    base = Path(sys.base_prefix)
    return sorted(path for path in found if Path(path) not in (base, *base.parents))


_NEEDED_LOCAL = ("bin", "sbin", "lib", "lib32", "lib64", "libexec", "include")
"""Folders in /usr/local that programs and compilers need."""


def _by_name(paths: Sequence[str]) -> list[str]:
    """Returns the first path with each name. All become visible in one folder."""
    return list({Path(path).name: path for path in reversed(paths)}.values())


def _package_paths(names: Sequence[str]) -> list[str]:
    """Returns the folders of those packages that are installed.

    Their common parent folder is not made visible, because it may contain data sets with the gold answers.
    """
    paths = []
    for name in names:
        found = importlib.util.find_spec(name)
        if found is None or found.origin is None:
            continue
        path = Path(found.origin).parent
        paths += [str(path)] + [str(libs) for libs in [path.with_name(path.name + ".libs")] if libs.is_dir()]
    return paths
