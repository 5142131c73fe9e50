"""The sandbox on this machine: warm processes that have libraries loaded, and a jailed child of such a process for every run.

    sandbox = LocalSandbox()
    sandbox.run("def double(x): return 2 * x", [Call("double", [21])]).results[0].value     # 42

A run costs a few milliseconds, because the child inherits the warm process's imports. Sessions, and programs that name numpy,
run in children of warm processes that have numpy loaded.

Protections: namespaces for processes, mounts, network and IPC; a root folder that contains an interpreter, a few libraries and
nothing else; a separate user; resource limits and a control group; Landlock; seccomp. Protections that this kernel lacks are
reported at the start. Programs then do not run, unless `without` names these protections.
"""

import atexit
import contextlib
import itertools
import os
import time
from collections.abc import Collection, Iterator, Sequence

from .protocol import Call, CallResult, Limits, Outcome, ProgramEnded, SandboxFault
from .session import LocalSession
from .spawn import LIBRARIES, STANDARD, WarmProcess

MAX_IDLE_CHILDREN = 64
"""Maximum number of idle children of all warm processes together, half of them with numpy loaded. Each warm process may have at
least one."""


class LocalSandbox:
    """Runs programs on this machine. Processes start when first needed; dead ones are replaced."""

    def __init__(self, workers: int | None = None, without: Collection[str] = (), packages: Sequence[str] = ()):
        """Stores the settings; nothing is started yet.

        Args:
            workers: number of warm processes with numpy loaded, and of those without. Defaults to the number of processors that
                this process may use. Each warm process can have many runs at the same time.
            without: names of protections that may be missing: namespaces, files, landlock, seccomp, cgroup.
            packages: files and folders of packages that programs may import besides numpy, sympy and mpmath; see `packages.py`.
        """
        workers = workers or len(os.sched_getaffinity(0))
        ready = max(1, MAX_IDLE_CHILDREN // (2 * workers))
        bare, loaded = (
            [WarmProcess(modules, without, ready, packages=packages) for _ in range(workers)]
            for modules in (STANDARD, (*STANDARD, *LIBRARIES))
        )
        self.warm = bare + loaded
        """All warm processes, started or not."""
        self._bare, self._loaded = itertools.cycle(bare), itertools.cycle(loaded)
        atexit.register(self.close)

    def run(self, program: str, calls: Sequence[Call] = (), stdin: str | None = None, limits: Limits | None = None) -> Outcome:
        """See `Sandbox.run`.

        Args:
            program: Python source.
            calls: calls of its functions; without calls it runs as a script.
            stdin: standard input of a script.
            limits: defaults to `Limits()`.
        """
        limits = limits or Limits()
        session = self._start(self._loaded if any(name in program for name in LIBRARIES) else self._bare, limits, stdin)
        deadline = time.monotonic() + limits.wall_seconds
        results: list[CallResult] = []
        error: str | None = None
        try:
            error = (session.define if calls else session.script)(program, deadline).error
            for result in session.calls(calls, deadline) if error is None else ():
                results.append(result)
        except ProgramEnded:
            pass
        except BaseException:
            with contextlib.suppress(SandboxFault):  # the warm process may have ended
                session.close()
            raise
        return session.close(tuple(results), error)

    round_trip_seconds = 0.0
    """See `Sandbox`."""

    def open(self, limits: Limits | None = None) -> LocalSession:
        """See `Sandbox.open`."""
        return self._start(self._loaded, limits or Limits(), None)

    def _start(self, processes: Iterator[WarmProcess], limits: Limits, stdin: str | None) -> LocalSession:
        for last_try in (False, True):
            try:
                return LocalSession(next(processes), limits, stdin or "")
            except (SandboxFault, OSError) as error:
                if last_try:
                    raise SandboxFault(str(error)) from None
        raise AssertionError

    def missing(self) -> dict[str, str]:
        """Returns the protections that this machine lacks, each with the reason.

        Raises:
            UserError: `without` does not name one of them.
            SandboxFault: the sandbox failed.
        """
        return self.warm[0].ready()

    def close(self) -> None:
        """Ends the warm processes and all their runs."""
        for warm in self.warm:
            warm.close()
