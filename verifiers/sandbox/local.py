"""The sandbox on this machine: warm processes with libraries loaded, a jailed child of one for every run.

    sandbox = LocalSandbox()
    sandbox.run("def double(x): return 2 * x", [Call("double", [21])]).results[0].value     # 42

A run costs a few milliseconds, because the child inherits what the warm process has imported; programs that name numpy, and
sessions, are children of one that has it loaded. Walls around it: namespaces for processes, mounts, network and IPC; a root
folder with an interpreter, a few libraries and nothing else; a user of its own; resource limits and a control group; Landlock;
seccomp. What of it this kernel lacks is said at the start, and refused unless it is named in `without`.
"""

import atexit
import itertools
import os
import time
from collections.abc import Collection, Iterator, Sequence

from .protocol import Call, Ended, Limits, Outcome, Result, SandboxFault
from .session import LocalSession
from .spawn import LIBRARIES, STANDARD, WarmProcess

MOST_READY = 64
"""Children that all warm processes may have ready for runs to come, half of them of each kind; more only where it would come to
less than one a process."""


class LocalSandbox:
    """See the module. Processes start when first needed; dead ones are replaced."""

    def __init__(self, workers: int | None = None, without: Collection[str] = ()):
        """Describes the sandbox.

        Args:
            workers: warm processes of each kind; defaults to the processors this process may use. Each may have many runs at
                once.
            without: protections that may be missing: of namespaces, files, landlock, seccomp, cgroup.
        """
        workers = workers or len(os.sched_getaffinity(0))
        ready = max(1, MOST_READY // (2 * workers))
        bare, loaded = (
            [WarmProcess(modules, without, ready) for _ in range(workers)] for modules in (STANDARD, (*STANDARD, *LIBRARIES))
        )
        self.warm = bare + loaded
        """All of them, whether they have been started or not."""
        self._bare, self._loaded = itertools.cycle(bare), itertools.cycle(loaded)
        atexit.register(self.close)

    def run(self, program: str, calls: Sequence[Call] = (), stdin: str | None = None, limits: Limits | None = None) -> Outcome:
        """See `Sandbox.run`."""
        limits = limits or Limits()
        session = self._start(self._loaded if any(name in program for name in LIBRARIES) else self._bare, limits, stdin)
        deadline = time.monotonic() + limits.wall_seconds
        results: list[Result] = []
        failed: str | None = None
        try:
            failed = (session.define if calls else session.script)(program, deadline).error
            for result in session.calls(calls, deadline) if failed is None else ():
                results.append(result)
        except Ended:
            pass
        except BaseException:
            session.close()
            raise
        return session.close(tuple(results), failed)

    round_trip_seconds = 0.0
    """See `Sandbox`."""

    def open(self, limits: Limits | None = None) -> LocalSession:
        """See `Sandbox.open`."""
        return self._start(self._loaded, limits or Limits(), None)

    def _start(self, in_turn: Iterator[WarmProcess], limits: Limits, stdin: str | None) -> LocalSession:
        for last_try in (False, True):
            try:
                return LocalSession(next(in_turn), limits, stdin or "")
            except (SandboxFault, OSError) as error:
                if last_try:
                    raise SandboxFault(str(error)) from None
        raise AssertionError

    def missing(self) -> dict[str, str]:
        """The protections that this machine lacks, and why."""
        return self.warm[0].ready()

    def close(self) -> None:
        """Ends the warm processes and with them every run."""
        for warm in self.warm:
            warm.close()
