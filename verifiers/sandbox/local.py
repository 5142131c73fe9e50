"""The sandbox on this machine: warm processes with libraries loaded, a jailed child of one for every run.

    sandbox = LocalSandbox()
    sandbox.run("def double(x): return 2 * x", [Call("double", [21])]).results[0].value     # 42

A run costs a few milliseconds, because the child inherits what the warm process has imported; programs that name numpy, and
sessions, are children of one that has it loaded. Walls around it: namespaces for processes, mounts, network and IPC; a root
folder with an interpreter, a few libraries and nothing else; a user of its own; resource limits and a control group; Landlock;
seccomp. What of it this kernel lacks is said at the start, and refused unless it is named in `without`.
"""

import atexit
import contextlib
import itertools
import os
import select
import selectors
import signal
import socket
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from . import wire
from .protocol import Call, End, Ended, Limits, Outcome, Question, Result, SandboxFault, fields
from .spawn import LIBRARIES, STANDARD, WarmProcess


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

    def open(self, limits: Limits | None = None) -> "LocalSession":
        """See `Sandbox.open`."""
        return self._start(self._loaded, limits or Limits(), None)

    def _start(self, in_turn: Iterator[WarmProcess], limits: Limits, stdin: str | None) -> "LocalSession":
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


MAX_TAKEN = 4 * wire.MAX_FRAME
"""Bytes that a session may answer in all: values are kept, and are larger than their messages."""
MOST_READY = 64
"""Children that all warm processes may have ready for runs to come, half of them of each kind; more only where it would come to
less than one a process."""
AHEAD = 1 << 18
"""Bytes of calls that are sent before the first is answered, about."""
NEARLY = 0.95
"""Of a limit on processor time: the clock that a kernel kills by and the one that it reports run apart a little."""
LEAVING_SECONDS = 2.0
"""A child that has closed its channel is waited for so long; it may have much memory to give back."""
PATIENCE = 20
"""A run may stand in line for a processor for so many times its wall time, before that is a fault of this machine's."""


def question_of(call: Call) -> Question:
    """A call as it travels."""
    keywords = {name: wire.encode(value) for name, value in call.keywords.items()}
    return Question(call.function, [wire.encode(value) for value in call.arguments], keywords)


def _asked(question: Question) -> bytes:
    return wire.pack({"call": question.function, "arguments": question.arguments, "keywords": question.keywords})


def _result(reply: dict[str, Any], printed: str = "", may_leave: bool = False) -> Result:
    """What a reply says. A program that leaves with status 0 has come to its end, where that is all that it `may_leave` for."""
    failure = reply.get("error")
    if isinstance(failure, str):
        left = may_leave and failure.startswith("SystemExit: ") and reply.get("status") == 0
        return Result(None, None if left else failure[:2000], printed, reply.get("raised"))
    return Result(reply.get("value"), None, printed)


def waited(pid: int) -> float:
    """Seconds that a process was ready to run and did not: those of the thread that waited longest; 0 where nobody tells."""
    waits = [0.0]
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError, ValueError, IndexError), open(f"/proc/{pid}/task/{task}/schedstat") as file:
                waits.append(int(file.read().split()[1]) / 1e9)
    return max(waits)


class LocalSession:
    """One child; see `Session`."""

    def __init__(self, warm: WarmProcess, limits: Limits, stdin: str):
        """Starts the child."""
        self.warm, self.limits = warm, limits
        self.ending: End | None = None
        self.reason = ""
        self.ready = self.gone = self.is_script = False
        self.started, self.starved = time.monotonic(), 0.0
        self.taken = 0
        self.channel, inner = socket.socketpair()
        self.out, out = os.pipe()
        self.err, err = os.pipe()
        text = wire.readable(stdin)
        self.written: dict[int, bytearray] = {self.out: bytearray(), self.err: bytearray()}
        self.received, self.sending = bytearray(), bytearray()
        self.selector = selectors.PollSelector()
        try:
            self.pid, self.parent = warm.start(fields(limits), [inner.fileno(), text, out, err])
            self.waited = waited(self.pid)  # before it was this run's
        except BaseException:
            self._release()
            raise
        finally:
            inner.close()
            for descriptor in (text, out, err):
                os.close(descriptor)
        self.channel.setblocking(False)
        for descriptor in (self.out, self.err):
            os.set_blocking(descriptor, False)
            self.selector.register(descriptor, selectors.EVENT_READ)
        self.selector.register(self.channel, selectors.EVENT_READ)

    def execute(
        self,
        source: str,
        answer: Callable[[Question], Result] | None = None,
        asks: Sequence[str] = (),
        show: bool = False,
    ) -> Result:
        """See `Session.execute`."""
        return self._exchange(wire.pack({"source": source, "asks": list(asks), "show": show}), answer, None)

    def define(self, source: str, deadline: float | None = None) -> Result:
        """See `Session.define`."""
        return self._exchange(wire.pack({"define": source}), None, deadline)

    def script(self, source: str, deadline: float) -> Result:
        """Runs a program to the end of its process, as `python main.py` does."""
        self.is_script = True
        return self._exchange(wire.pack({"script": source}), None, deadline)

    def call(self, call: Call) -> Result:
        """See `Session.call`."""
        return self.relay(question_of(call))

    def calls(self, calls: Sequence[Call], deadline: float) -> Iterator[Result]:
        """The results of calls. They are sent ahead of one another's answers, so that none says what was printed in it."""
        unsent = map(question_of, calls)
        for _ in calls:
            while len(self.sending) < AHEAD and (question := next(unsent, None)):
                self.sending += _asked(question)
            yield _result(self._next(deadline))

    def relay(self, question: Question) -> Result:
        """See `Session.relay`."""
        return self._exchange(_asked(question), None, None, may_leave=False)

    def _exchange(
        self, request: bytes, answer: Callable[[Question], Result] | None, deadline: float | None, may_leave: bool = True
    ) -> Result:
        if deadline is None:  # a clock of this request's own
            deadline = time.monotonic() + self.limits.wall_seconds
            self.waited, self.starved = waited(self.pid), 0.0
        before = {descriptor: len(text) for descriptor, text in self.written.items()}
        self.sending += request
        while True:
            reply = self._next(deadline)
            if "ask" in reply and answer is not None:
                asked = time.monotonic()
                told = answer(Question(str(reply["ask"]), reply.get("arguments", []), reply.get("keywords", {})))
                deadline += time.monotonic() - asked  # whoever answers has a clock of his own
                failed = {"error": told.error, "raised": told.raised}
                self.sending += wire.pack(failed if told.error is not None else {"value": told.value})
                continue
            return _result(reply, self._printed(before), may_leave)

    def _printed(self, before: dict[int, int]) -> str:
        return "".join(self.written[fd][length:].decode("utf-8", "replace") for fd, length in before.items())

    def _next(self, deadline: float) -> dict[str, Any]:
        """The next message, while everything the program writes is taken in."""
        while True:
            try:
                message = wire.unpack(self.received)
            except ValueError as error:
                raise self._end(End.OUTPUT, f"a malformed answer: {error}") from None
            if message is not None and not self.ready:
                self.ready = True
                continue
            if message is not None:
                self._drain()
                return message
            remaining = deadline + self.starved - time.monotonic()
            if remaining <= 0:
                if self._was_starved():
                    continue
                raise self._end(End.TIMEOUT, f"more than {self.limits.wall_seconds:g} s")
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self.sending else 0)
            self.selector.modify(self.channel, events)
            for key, ready in self.selector.select(remaining):
                if key.fileobj is self.channel:
                    self._talk(ready)
                else:
                    self._take(int(key.fd))

    def _was_starved(self) -> bool:
        """Whether the run has stood in line for a processor since its clock was last set; that time is not its own.

        Raises:
            SandboxFault: it has stood there so long that this machine has too much to do.
        """
        used = self.warm.ask({"used": {"pid": self.pid}}, self.parent)["cpu_seconds"]
        if used is not None and used >= self.limits.cpu_seconds:  # it stands in its own way
            return False
        before, self.starved = self.starved, max(self.starved, waited(self.pid) - self.waited)
        if self.starved > PATIENCE * self.limits.wall_seconds:
            raise SandboxFault(f"this machine is overloaded: a program waited {self.starved:.0f} s for a processor")
        return self.starved > before + 0.01

    def _talk(self, ready: int) -> None:
        try:
            if ready & selectors.EVENT_WRITE:
                del self.sending[: self.channel.send(self.sending[: 1 << 18])]
            if ready & selectors.EVENT_READ:
                chunk = self.channel.recv(1 << 18)
                if not chunk:
                    raise self._end(None, "")
                self.received += chunk
                self.taken += len(chunk)
                if self.taken > MAX_TAKEN:
                    raise self._end(End.OUTPUT, f"more than {MAX_TAKEN} bytes of answers")
        except BlockingIOError:
            pass
        except OSError:
            raise self._end(None, "") from None

    def _take(self, descriptor: int) -> bool:
        """Reads some of the program's output; whether there was any."""
        try:
            chunk = os.read(descriptor, 1 << 16)
        except BlockingIOError:
            return False
        if not chunk:
            self.selector.unregister(descriptor)
            return False
        self.written[descriptor] += chunk
        if len(self.written[descriptor]) > self.limits.output:
            raise self._end(End.OUTPUT, f"more than {self.limits.output} bytes of output")
        return True

    def _drain(self) -> None:
        for descriptor in list(self.written):
            if descriptor in self.selector.get_map():
                while self._take(descriptor):
                    pass

    def _end(self, why: End | None, reason: str) -> Ended:
        """Notes why the program is to end, or that it has."""
        self.ending, self.reason = self.ending or why or End.ERROR, self.reason or reason
        self.gone = why is None
        return Ended(self.reason)

    def close(self, results: tuple[Result, ...] = (), failed: str | None = None) -> Outcome:
        """See `Session.close`; `results` and `failed` are what the run's requests came to."""
        wall = time.monotonic() - self.started
        if self.gone:
            self._wait()
        try:
            told = self.warm.ask({"end": {"pid": self.pid, "leaving": self.gone}}, self.parent)
            with contextlib.suppress(Ended):
                self._drain()
        finally:
            self._release()
        stdout, stderr = (
            bytes(self.written[fd][: self.limits.output]).decode("utf-8", "replace") for fd in (self.out, self.err)
        )
        if self.gone and not self.ready:
            raise SandboxFault(stderr.strip() or f"a child died at its start, with status {told['status']}")
        status, reason = self._judged(told, failed)
        return Outcome(status, results, stdout, stderr, told["cpu_seconds"], wall, told["peak_memory"], reason)

    def _judged(self, told: dict[str, Any], failed: str | None) -> tuple[End, str]:
        limits = self.limits
        if told["out_of_memory"] or (failed or "").startswith("MemoryError"):
            return End.MEMORY, f"more than {limits.memory >> 20} MiB of memory"
        if self.ending is None:
            return (End.FINISHED, "") if failed is None else (End.ERROR, failed)
        if self.ending != End.ERROR or not self.gone:
            return self.ending, self.reason
        if told["killed"]:
            return End.ERROR, "it closed the channel to the sandbox"
        spent = told["cpu_seconds"] >= NEARLY * limits.cpu_seconds
        if told["status"] == -signal.SIGXCPU or (told["status"] == -signal.SIGKILL and spent):
            return End.TIMEOUT, f"more than {limits.cpu_seconds:g} s of processor time"
        if self.is_script and told["status"] == 0:  # os._exit(0): what it had written stands
            return End.FINISHED, ""
        if told["status"] < 0:
            return End.KILLED, f"signal {-told['status']}"
        return End.ERROR, f"it left with status {told['status']} before it had answered"

    def _wait(self) -> None:
        """Gives a child that has closed its channel, as all do that end, the time to be gone."""
        with contextlib.suppress(OSError):
            handle = os.pidfd_open(self.pid)
            try:
                select.select([handle], [], [], LEAVING_SECONDS)
            finally:
                os.close(handle)

    def _release(self) -> None:
        self.selector.close()
        self.channel.close()
        for descriptor in (self.out, self.err):
            os.close(descriptor)
