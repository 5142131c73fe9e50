"""The supervisor's side of a warm process: spawned, asked, replaced."""

import contextlib
import importlib.util
import json
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from ...core import UserError
from . import system_calls
from .inside import cgroup, wire
from .protocol import SandboxFault

STANDARD = (
    *("bisect", "collections", "copy", "datetime", "decimal", "fractions", "functools", "heapq", "itertools", "json", "math"),
    *("operator", "random", "re", "statistics", "string", "typing", "dataclasses", "hashlib", "io", "traceback"),
)
"""Modules that every program finds loaded. What is loaded costs every run."""
LIBRARIES = ("numpy",)
"""Packages that are loaded for programs that name one: with numpy a run takes a sixth longer, with sympy it would take three
times as long."""
OFFERED = (*LIBRARIES, "mpmath", "sympy")
"""Packages that a program may import. Others it cannot see."""
COMMANDS_NEED = frozenset({"namespaces", "files", "cgroup"})
"""Protections without which no command runs: compilers are several processes, and their files are the run's own."""
START_SECONDS = 120.0
REPLY_SECONDS = 60.0
LOOK_SECONDS, STUCK_SECONDS = 0.5, 30.0
"""A warm process that does not answer is looked at so often. One that was stopped is replaced at once, one that neither runs
nor stands in line for a processor after so long."""
_BOOTSTRAP = (
    "import sys, types; folder, site = sys.argv[1:]; package = types.ModuleType('sandbox'); package.__path__ = [folder]; "
    "sys.modules['sandbox'] = package; sys.path.append(site); from sandbox import warm; warm.main()"
)


class WarmProcess:
    """The supervisor's side of one warm process."""

    def __init__(self, preload: Sequence[str], without: Collection[str], most_ready: int, commands: bool = False):
        """Describes the process, which may have so many children ready; see `LocalSandbox`.

        Args:
            preload: modules that its children find loaded.
            without: protections that may be missing.
            most_ready: children that wait for runs to come.
            commands: its children run commands of any kind in place of Python.
        """
        self.most_ready, self.commands = most_ready, commands
        self.groups: list[str] = []
        """Where its control groups lie."""
        self.preload, self.without = tuple(preload), frozenset(without)
        self.lock = threading.Lock()
        self.process: subprocess.Popen[bytes] | None = None
        self.channel: socket.socket | None = None
        self.lacks: dict[str, str] = {}

    def start(self, limits: dict[str, Any], descriptors: Sequence[int]) -> tuple[int, Any]:
        """Starts a child; its process id, and which warm process it is of. Raises `SandboxFault`."""
        with self.lock:
            self._ensure()
            asked = self.process
            try:
                return self._ask({"start": limits}, descriptors)["pid"], self.process
            except SandboxFault:
                if self.process is asked:  # it lives, and says no
                    raise
            self._ensure()  # it was dead, or stopped; runs of its own hear of that by themselves
            return self._ask({"start": limits}, descriptors)["pid"], self.process

    def ask(self, request: dict[str, Any], of: Any) -> dict[str, Any]:
        """One request about a child of the warm process `of`, one reply.

        Raises:
            SandboxFault: that process died, or the kernel refused.
        """
        with self.lock:
            if self.channel is None or self.process is not of:
                raise SandboxFault("the warm process of this run has died")
            return self._ask(request)

    def _ask(self, request: dict[str, Any], descriptors: Sequence[int] = ()) -> dict[str, Any]:
        if self.channel is None:
            raise SandboxFault("the warm process died")
        try:
            socket.send_fds(self.channel, [json.dumps(request).encode()], list(descriptors))
            self._await(self.channel, REPLY_SECONDS)
            reply = wire.receive(self.channel)
        except OSError as error:
            self._kill()
            raise SandboxFault(f"the warm process does not answer: {error}") from None
        if reply is None:
            self._kill()
            raise SandboxFault("the warm process died")
        if "fault" in reply:
            raise SandboxFault(reply["fault"])
        return reply

    def _await(self, channel: socket.socket, patience: float) -> None:
        """Waits for an answer while there is hope of one. Raises `TimeoutError`."""
        deadline = time.monotonic() + patience
        seen: object = None
        moved = time.monotonic()
        while not select.select([channel], [], [], LOOK_SECONDS)[0]:
            assert self.process is not None
            state, done = _state_of(self.process.pid)
            now = time.monotonic()
            if done != seen or state == "D":  # which waits for a disk
                seen, moved = done, now
            if state in _STOPPED:
                raise TimeoutError("somebody has stopped it")
            if now > deadline or now > moved + STUCK_SECONDS:
                raise TimeoutError("it is stuck")

    def ready(self) -> dict[str, str]:
        """Starts the process if need be; the protections that it lacks."""
        with self.lock:
            self._ensure()
            return self.lacks

    def _ensure(self) -> None:
        if self.process is not None and self.process.poll() is None:
            return
        self._kill()
        site = importlib.util.find_spec("landlock")
        folder = str(Path(site.origin).parents[1]) if site and site.origin else ""
        self.channel, inner = socket.socketpair()
        self.channel.settimeout(START_SECONDS)
        settings = {
            "preload": self.preload,
            "readable": [] if self.commands else _interpreter(),
            "packages": [] if self.commands else _packages(OFFERED),
            "hidden": _hidden(),
            "commands": self.commands,
            "seccomp": self._system_calls().hex(),
            "ready": self.most_ready,
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
            self._await(self.channel, START_SECONDS)
            hello = wire.receive(self.channel)
        except OSError as error:
            hello, said = None, str(error)
        else:
            said = "it ended"
        if hello is None:
            assert self.process.stderr is not None
            self.process.kill()
            said = self.process.stderr.read().decode(errors="replace").strip().rsplit("\n", 1)[-1] or said
            self._kill()
            raise SandboxFault(f"the warm process does not start: {said}")
        self.channel.settimeout(REPLY_SECONDS)
        self.lacks, self.groups = hello["missing"], hello["groups"]
        if refused := set(self.lacks) - self.without:
            self._kill()
            why = "; ".join(f"{part} ({self.lacks[part]})" for part in sorted(refused))
            way = "to go on without, name them in without=, or in $TENFOLD_SANDBOX_WITHOUT"
            if self.commands and refused & COMMANDS_NEED:
                way = "programs in languages other than Python cannot go on without"
            raise UserError(f"this machine cannot protect itself from untrusted code: it lacks {why}; {way}")

    def _system_calls(self) -> bytes:
        try:
            return system_calls.compiled()
        except UserError:
            if "seccomp" not in self.without:
                raise
            return b""

    def close(self) -> None:
        """Ends the process, and with it every run of its own."""
        with self.lock:
            if self.channel is not None:
                self.channel.close()
                self.channel = None
            if self.process is not None and _state_of(self.process.pid)[0] not in _STOPPED:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(10)  # it removes its control groups
            self._kill()

    def _kill(self) -> None:
        if self.channel is not None:
            self.channel.close()
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            if self.process.stderr is not None:
                self.process.stderr.close()
            cgroup.sweep(self.groups)
        self.channel, self.process, self.groups = None, None, []


_STOPPED = ("T", "t")


def _state_of(pid: int) -> tuple[str, str]:
    """A process's state, and a text that changes as long as it runs or stands in line for a processor."""
    with contextlib.suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state, Path(f"/proc/{pid}/schedstat").read_text()
    return "X", ""


def _interpreter() -> list[str]:
    """Where this interpreter and its libraries lie. What lies beside them, such as other environments, programs do not need."""
    inside = ("bin", "lib", "lib64", "share/zoneinfo")
    return [str(path) for name in inside if (path := Path(sys.base_prefix, name)).exists()]


def _hidden() -> list[str]:
    """Folders beside what programs need that may hold anything of this machine's, data sets with the very answers among it."""
    found = {"/usr/src"}
    for root in {"/usr", "/usr/local", sys.base_prefix}:
        found |= {str(path) for name in ("site-packages", "dist-packages") for path in Path(root).glob(f"lib*/python*/{name}")}
    found |= {str(path) for path in Path("/usr/local").glob("*") if path.name not in _OF_LOCAL and not path.is_symlink()}
    base = Path(sys.base_prefix)
    return sorted(path for path in found if Path(path) not in (base, *base.parents))


_OF_LOCAL = ("bin", "sbin", "lib", "lib32", "lib64", "libexec", "include")
"""What programs and compilers need in /usr/local."""


def _packages(names: Sequence[str]) -> list[str]:
    """Where these packages lie, those that are installed. The folder that holds them all may hold data sets with the very
    answers."""
    paths = []
    for name in names:
        found = importlib.util.find_spec(name)
        if found is None or found.origin is None:
            continue
        path = Path(found.origin).parent
        paths += [str(path)] + [str(libs) for libs in [path.with_name(path.name + ".libs")] if libs.is_dir()]
    return paths
