"""Worker processes with time and memory limits. Every call returns or raises within its limits.

A worker is a Python process that runs one function repeatedly, on JSON arguments. The worker itself limits the *processor* time
of each call, so a verdict does not depend on how busy the machine is. A call that exceeds the limit is interrupted; one that
cannot be interrupted (a C loop that never returns to Python) is killed by the kernel a moment later. The worker also limits the
wall time, for calls that wait instead of computing. A worker is replaced after a number of calls or when its memory has grown.
It exits when its parent process ends, because its input then ends.

    pool = Pool("tenfold.verifiers.answers.values.symbolic:equal", cpu_seconds=2)
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

_Reply = dict[str, Any]
"""A worker's reply: "value", "limit" or "error", and "retired" if the worker must be replaced."""
_BOOTSTRAP = "import runpy, sys; runpy.run_path(sys.argv.pop(1), run_name='__main__')"
"""Runs this file without its package, because importing the package takes ten times as long. The function's module imports what
it needs."""
START_SECONDS = 120.0
"""Wall time that a worker may take to start. A slower start counts as a fault."""


class TimeLimit(Exception):
    """The call exceeded its processor time, because of its arguments."""


class MemoryLimit(Exception):
    """The call exceeded its memory limit or Python's recursion limit, because of its arguments."""


class WorkerFault(Exception):
    """The worker died, the function raised an exception, or the call exceeded its wall time. The call has no result."""


class Pool:
    """Workers for one function, which start when first needed.

    `call` can be used from any thread, and from asyncio through `asyncio.to_thread`. After a fork it can be used, too: the
    forked process gets its own workers.
    """

    def __init__(
        self, target: str, workers: int | None = None, cpu_seconds: float = 2.0, memory: int = 1 << 30, calls: int = 10_000
    ):
        """Stores the settings; nothing is started yet.

        Args:
            target: the function, as "package.module:name". Its arguments and result must be JSON.
            workers: maximum number of processes; defaults to the number of processors that this process may use.
            cpu_seconds: processor time limit of one call.
            memory: bytes that one call may use in addition to what the idle worker has mapped.
            calls: a worker is replaced after this many calls, or earlier if it keeps more than half of `memory` between calls.
        """
        self.target, self.cpu_seconds, self.memory, self.calls = target, cpu_seconds, memory, calls
        self.workers = workers or len(os.sched_getaffinity(0))
        # On a busy machine a call gets little processor time, so it is a fault only after 30 times its limit in wall time.
        self.wall_seconds = max(60.0, 30 * cpu_seconds)
        self._reset()
        atexit.register(self.close)
        _pools.add(self)

    def _reset(self) -> None:
        """Resets the pool to no workers. Also runs after a fork, because the existing workers belong to the parent."""
        self._idle: queue.LifoQueue[subprocess.Popen[bytes] | None] = queue.LifoQueue()
        for _ in range(self.workers):
            self._idle.put(None)

    def call(self, *arguments: object) -> Any:
        """Runs the function in a worker and returns its result.

        Raises:
            TimeLimit, MemoryLimit: the call exceeded a limit.
            WorkerFault: the worker died twice on these arguments or could not start, or the function raised an exception.
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

    def map(self, arguments: Iterable[Sequence[object]]) -> list[Any]:
        """Runs the function on each list of arguments, in all workers at the same time.

        Returns:
            The results in the order of the arguments. In place of a result, a failed call has the exception that
            `call` raises.
        """

        def outcome(call_arguments: Sequence[object]) -> Any:
            try:
                return self.call(*call_arguments)
            except (TimeLimit, MemoryLimit, WorkerFault) as error:
                return error

        with ThreadPoolExecutor(self.workers) as threads:
            return list(threads.map(outcome, arguments))

    def _value(self, reply: _Reply) -> Any:
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
        """Ends the idle workers. If the pool is used again, it starts new ones."""
        for _ in range(self._idle.qsize()):
            with contextlib.suppress(queue.Empty):  # a call in another thread has taken the worker
                _kill(self._idle.get_nowait())
                self._idle.put(None)

    def _start(self) -> subprocess.Popen[bytes]:
        names = ("target", "cpu_seconds", "wall_seconds", "memory", "calls")
        settings = json.dumps({name: getattr(self, name) for name in names})
        try:
            worker = subprocess.Popen(
                [sys.executable, "-P", "-c", _BOOTSTRAP, __file__, settings],  # -P: do not import from this file's folder
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=os.environ
                | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"},  # sets have one order
                start_new_session=True,  # so that Ctrl-C reaches the parent only, which then closes its workers
            )
        except OSError as error:
            raise WorkerFault(f"the worker cannot start: {error}") from None
        try:
            self._read(worker, START_SECONDS)
        except BaseException:
            _kill(worker)
            raise
        return worker

    def _ask(self, worker: subprocess.Popen[bytes], arguments: tuple[object, ...]) -> _Reply:
        assert worker.stdin is not None
        request = json.dumps(arguments).encode() + b"\n"
        try:
            worker.stdin.write(request)
            worker.stdin.flush()
        except (OSError, ValueError) as error:  # ValueError: the pipe is closed
            raise WorkerFault(f"the worker has ended: {error}") from None
        return self._read(worker, self.wall_seconds + 2 * self.cpu_seconds + 10)  # the worker's own limit is shorter

    def _read(self, worker: subprocess.Popen[bytes], seconds: float) -> _Reply:
        assert worker.stdout is not None
        deadline, line = time.monotonic() + seconds, b""
        replies = select.poll()  # `select.select` fails if this process has more than 1024 open files
        replies.register(worker.stdout, select.POLLIN)
        while not line.endswith(b"\n"):
            if not replies.poll(max(0.0, deadline - time.monotonic()) * 1000):
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
        pool._reset()


os.register_at_fork(after_in_child=_after_fork)


@functools.cache
def shared(target: str, cpu_seconds: float = 2.0, memory: int = 1 << 30) -> Pool:
    """Returns this process's pool for a function.

    Args:
        target: the function, as "package.module:name".
        cpu_seconds: processor time limit of one call.
        memory: memory limit of one call, in bytes.
    """
    return Pool(target, cpu_seconds=cpu_seconds, memory=memory)


def _kill(worker: subprocess.Popen[bytes] | None) -> None:
    if worker is None:
        return
    worker.kill()
    worker.wait()
    for pipe in (worker.stdin, worker.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):  # the pipe's buffer cannot be written any more
                pipe.close()


class _CpuTimeout(BaseException):
    """The call used up its processor time. Not an `Exception`, so that no handler in a library catches it."""


class _WallTimeout(BaseException):
    """The call used up its wall time, but little processor time. Not an `Exception`, for the same reason."""


def _serve(target: str, cpu_seconds: float, wall_seconds: float, memory: int, calls: int) -> None:
    """Runs the worker: reads one JSON line per call and writes one JSON line per reply."""
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # so that the function's own output is not taken for a reply

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise _CpuTimeout if signum == signal.SIGPROF else _WallTimeout

    signal.signal(signal.SIGPROF, interrupt)
    signal.signal(signal.SIGALRM, interrupt)
    module, _, name = target.partition(":")
    function = getattr(importlib.import_module(module), name)
    mapped = _mapped()
    _limit(resource.RLIMIT_AS, mapped + memory)
    replies.write(b"{}\n")
    for count, line in enumerate(sys.stdin.buffer, start=1):
        # The kernel's limit, in whole seconds, ends a call that the signal cannot interrupt.
        used = resource.getrusage(resource.RUSAGE_SELF)
        kernel_limit = int(used.ru_utime + used.ru_stime + cpu_seconds) + 2
        _limit(resource.RLIMIT_CPU, kernel_limit)
        reply = _run(function, json.loads(line), cpu_seconds, wall_seconds)
        if count >= calls or _mapped() - mapped > memory // 2:
            reply["retired"] = True
        replies.write(json.dumps(reply).encode() + b"\n")


def _limit(kind: int, value: int) -> None:
    """Sets a limit of this process. The hard limit, such as one of `ulimit -t`, stays, because a process cannot raise it."""
    hard = resource.getrlimit(kind)[1]
    resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def _mapped() -> int:
    """Returns the bytes of address space that this process has mapped."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _run(function: Callable[..., object], arguments: list[Any], cpu_seconds: float, wall_seconds: float) -> _Reply:
    try:
        try:
            signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
            signal.setitimer(signal.ITIMER_REAL, wall_seconds)
            return {"value": function(*arguments)}
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
    except _CpuTimeout:
        return {"limit": "time"}
    except _WallTimeout:
        return {"error": f"no end after {wall_seconds:g} s of wall time, with less than {cpu_seconds:g} s of processor time"}
    except (MemoryError, RecursionError):
        return {"limit": "memory"}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"[:500]}


if __name__ == "__main__":
    _serve(**json.loads(sys.argv[1]))
