"""The supervisor's side of a warm process: spawned, asked, replaced."""

import contextlib
import importlib.util
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from ...core import UserError
from . import system_calls, wire
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
START_SECONDS = 120.0
REPLY_SECONDS = 60.0
_BOOTSTRAP = (
    "import sys, types; folder, site = sys.argv[1:]; package = types.ModuleType('sandbox'); package.__path__ = [folder]; "
    "sys.modules['sandbox'] = package; sys.path.append(site); from sandbox import warm; warm.main()"
)


class WarmProcess:
    """The supervisor's side of one warm process."""

    def __init__(self, preload: Sequence[str], without: Collection[str], most_ready: int):
        """Describes the process, which may have so many children ready; see `LocalSandbox`."""
        self.most_ready = most_ready
        self.preload, self.without = tuple(preload), frozenset(without)
        self.lock = threading.Lock()
        self.process: subprocess.Popen[bytes] | None = None
        self.channel: socket.socket | None = None
        self.lacks: dict[str, str] = {}

    def start(self, limits: dict[str, Any], descriptors: Sequence[int]) -> tuple[int, Any]:
        """Starts a child; its process id, and which warm process it is of. Raises `SandboxFault`."""
        with self.lock:
            self._ensure()
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
            "readable": [sys.base_prefix],
            "packages": _packages(OFFERED),
            "seccomp": self._system_calls().hex(),
            "ready": self.most_ready,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _BOOTSTRAP, str(Path(__file__).parent), folder],
            stdin=inner.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={"PATH": "/usr/bin:/bin", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "LANG": "C.UTF-8"},
            start_new_session=True,
        )
        inner.close()
        try:
            self.channel.sendall(wire.pack(settings))
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
        self.lacks = hello["missing"]
        if refused := set(self.lacks) - self.without:
            self._kill()
            why = "; ".join(f"{part} ({self.lacks[part]})" for part in sorted(refused))
            raise UserError(
                f"this machine cannot protect itself from untrusted code: it lacks {why}; to go on without, name them in "
                "without=, or in $TENFOLD_SANDBOX_WITHOUT"
            )

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
            if self.process is not None:
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
        self.channel = self.process = None


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
