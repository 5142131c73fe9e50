"""Worker processes with limits on time and memory; every call gets an answer.

A worker is a Python process that runs one function, again and again, on JSON arguments. The limit on time is on the
*processor* time of the call, kept inside the worker, so that a verdict does not depend on how busy the machine is.
A call that passes it is interrupted; one that cannot be interrupted (a C loop that never returns to Python) is killed
by the kernel a moment later. A clock on the wall, inside the worker too, ends a call that waits instead of computing. A worker
leaves after so many calls, or when it has grown, and one whose parent is gone reads the end of its input and leaves.

    pool = Pool("tenfold.verifiers.math:symbolic", cpu_seconds=2)
    pool.call("1/2", "0.5")                         # True
    pool.map([("1/2", "0.5"), ("9!!!!", "1")])      # [True, TimeLimit(...)]
"""

import atexit
import contextlib
import functools
import importlib
import json
import os
import queue
import resource
import select
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

_BOOTSTRAP = "import runpy, sys; runpy.run_path(sys.argv.pop(1), run_name='__main__')"
"""Runs this file without its package, which takes ten times as long to import; a function that needs it imports it."""
START_SECONDS = 120.0
"""Wall time a worker may take to import its function before we call it our fault."""


class TimeLimit(Exception):
    """The call used up its processor time: the arguments' doing."""


class MemoryLimit(Exception):
    """The call used up its memory: the arguments' doing."""


class WorkerFault(Exception):
    """The worker died or the function raised: ours."""


class Pool:
    """Workers for one function. They start when first needed.

    `call` may be used from any thread, from asyncio by `asyncio.to_thread`, and in forks, which have workers of their own.
    """

    def __init__(
        self, target: str, workers: int | None = None, cpu_seconds: float = 2.0, memory: int = 1 << 30, calls: int = 10_000
    ):
        """Describes the pool; nothing is started yet.

        Args:
            target: the function, as "package.module:name"; its arguments and result must be JSON.
            workers: processes at most; defaults to the number of processors this process may use.
            cpu_seconds: processor time of one call.
            memory: bytes that one call may add to what the worker has mapped when idle.
            calls: after so many a worker is replaced; sooner when it keeps more than half of `memory` between calls.
        """
        self.target, self.cpu_seconds, self.memory, self.calls = target, cpu_seconds, memory, calls
        self.workers = workers or len(os.sched_getaffinity(0))
        # A starved machine is given 30 times the limit of wall time before a silent call counts as a fault.
        self.wall_seconds = max(60.0, 30 * cpu_seconds)
        self._forget()
        atexit.register(self.close)
        _pools.add(self)

    def _forget(self) -> None:
        """Has no worker yet; after a fork, none any more: those there are answer the parent."""
        self._idle: queue.LifoQueue[subprocess.Popen[bytes] | None] = queue.LifoQueue()
        for _ in range(self.workers):
            self._idle.put(None)

    def call(self, *arguments: Any) -> Any:
        """Runs the function in a worker.

        Raises:
            TimeLimit, MemoryLimit: the arguments asked for too much.
            WorkerFault: the worker died twice on these arguments, or could not start, or the function raised.
        """
        worker = self._idle.get()
        try:
            for last_try in (False, True):
                worker = worker or self._start()
                try:
                    reply = self._ask(worker, arguments)
                    if reply.get("retired"):
                        _kill(worker)
                        worker = None
                    break
                except WorkerFault:
                    _kill(worker)
                    worker = None
                    if last_try:
                        raise
        except BaseException:
            _kill(worker)
            worker = None
            raise
        finally:
            self._idle.put(worker)
        return self._value(reply)

    def map(self, arguments: Iterable[Sequence[Any]]) -> list[Any]:
        """Runs the function on each list of arguments, as many at once as there are workers.

        Returns:
            In the order given, the values, or in their place the exception that `call` would have raised.
        """

        def outcome(these: Sequence[Any]) -> Any:
            try:
                return self.call(*these)
            except (TimeLimit, MemoryLimit, WorkerFault) as error:
                return error

        with ThreadPoolExecutor(self.workers) as threads:
            return list(threads.map(outcome, arguments))

    def _value(self, reply: dict[str, Any]) -> Any:
        match reply:
            case {"value": value}:
                return value
            case {"limit": "time"}:
                raise TimeLimit(f"more than {self.cpu_seconds:g} s of processor time")
            case {"limit": _}:
                raise MemoryLimit(f"more than {self.memory >> 20} MiB of memory")
            case _:
                raise WorkerFault(reply.get("error", "malformed reply"))

    def close(self) -> None:
        """Ends the idle workers; the pool starts new ones if it is used again."""
        for _ in range(self._idle.qsize()):
            with contextlib.suppress(queue.Empty):  # a call has taken it meanwhile
                _kill(self._idle.get_nowait())
                self._idle.put(None)

    def _start(self) -> subprocess.Popen[bytes]:
        names = ("target", "cpu_seconds", "wall_seconds", "memory", "calls")
        settings = json.dumps({name: getattr(self, name) for name in names})
        worker = subprocess.Popen(
            [sys.executable, "-P", "-c", _BOOTSTRAP, __file__, settings],  # -P: no module of the folder it is in
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl-C is for the parent, which then closes its workers
        )
        try:
            self._read(worker, START_SECONDS)
        except WorkerFault:
            _kill(worker)
            raise
        return worker

    def _ask(self, worker: subprocess.Popen[bytes], arguments: tuple[Any, ...]) -> dict[str, Any]:
        assert worker.stdin is not None
        request = json.dumps(arguments).encode() + b"\n"
        try:
            worker.stdin.write(request)
            worker.stdin.flush()
        except (OSError, ValueError) as error:  # ValueError: its pipe is closed
            raise WorkerFault(f"the worker is gone: {error}") from None
        return self._read(worker, self.wall_seconds + 2 * self.cpu_seconds + 10)  # its own clock ends it before

    def _read(self, worker: subprocess.Popen[bytes], seconds: float) -> dict[str, Any]:
        assert worker.stdout is not None
        deadline, line = time.monotonic() + seconds, b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([worker.stdout], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise WorkerFault(f"no reply in {seconds:.0f} s")
            chunk = os.read(worker.stdout.fileno(), 1 << 16)
            if not chunk:
                if worker.wait() == -signal.SIGXCPU:
                    _kill(worker)
                    return {"limit": "time", "retired": True}
                raise WorkerFault(f"the worker ended with status {worker.returncode}")
            line += chunk
        return json.loads(line)


_pools: "weakref.WeakSet[Pool]" = weakref.WeakSet()


def _after_fork() -> None:
    for pool in list(_pools):
        pool._forget()


os.register_at_fork(after_in_child=_after_fork)


@functools.cache
def shared(target: str, cpu_seconds: float = 2.0, memory: int = 1 << 30) -> Pool:
    """The one pool of this process for `target`."""
    return Pool(target, cpu_seconds=cpu_seconds, memory=memory)


def _kill(worker: subprocess.Popen[bytes] | None) -> None:
    if worker is None:
        return
    worker.kill()
    worker.wait()
    for pipe in (worker.stdin, worker.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):  # what was still to be written has nobody to read it
                pipe.close()


class _OutOfTime(BaseException):
    """Not an Exception, so that no handler in a library swallows it."""


class _Waiting(BaseException):
    """Nor is this one: the call did not end, and did not compute either."""


def _serve(target: str, cpu_seconds: float, wall_seconds: float, memory: int, calls: int) -> None:
    """The worker's loop: one JSON line in, one out."""
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what the function prints is no reply

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise _OutOfTime if signum == signal.SIGPROF else _Waiting

    signal.signal(signal.SIGPROF, interrupt)
    signal.signal(signal.SIGALRM, interrupt)
    module, _, name = target.partition(":")
    function = getattr(importlib.import_module(module), name)
    mapped = _mapped()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + memory, mapped + memory))
    replies.write(b"{}\n")
    for count, line in enumerate(sys.stdin.buffer, start=1):
        # The kernel's limit ends a call that the interrupt cannot reach; it counts whole seconds.
        used = resource.getrusage(resource.RUSAGE_SELF)
        kernel_limit = int(used.ru_utime + used.ru_stime + cpu_seconds) + 2
        resource.setrlimit(resource.RLIMIT_CPU, (kernel_limit, resource.RLIM_INFINITY))
        reply = _run(function, json.loads(line), cpu_seconds, wall_seconds)
        if count >= calls or _mapped() - mapped > memory // 2:
            reply["retired"] = True
        replies.write(json.dumps(reply).encode() + b"\n")


def _mapped() -> int:
    """Bytes of address space that this process has mapped."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _run(function: Callable[..., Any], arguments: list[Any], cpu_seconds: float, wall_seconds: float) -> dict[str, Any]:
    try:
        try:
            signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
            signal.setitimer(signal.ITIMER_REAL, wall_seconds)
            return {"value": function(*arguments)}
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
    except _OutOfTime:
        return {"limit": "time"}
    except _Waiting:
        return {"error": f"no end after {wall_seconds:g} s, of which it computed less than {cpu_seconds:g} s"}
    except (MemoryError, RecursionError):
        return {"limit": "memory"}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"[:500]}


if __name__ == "__main__":
    _serve(**json.loads(sys.argv[1]))
