"""The supervisor's side of one run: a child of a warm process, asked for one thing after another."""

import contextlib
import math
import os
import select
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from .inside import wire
from .protocol import Call, End, Ended, Limits, Outcome, Question, Result, SandboxFault, fields
from .spawn import WarmProcess

MAX_TAKEN = 4 * wire.MAX_FRAME
"""Bytes that a session may answer in all."""
MAX_HELD = 40 << 20
"""Bytes that the values of one answer may take up here, and those of all calls of one run together."""
AHEAD = 1 << 18
"""Bytes of calls that are sent before the first is answered, about."""
NEARLY = 0.95
"""Share of a limit on processor time. The kernel kills at one reading of its clock and reports another one, a little apart."""
SOONEST = 0.02
"""Seconds from one look at what a run has used to the next, at least."""
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


class Allowance:
    """The processor time that a run may use. It is looked at when one process could have used it up, and again when the rest
    could be: shorter runs pay nothing, and many processes at once may use more before they are found out."""

    def __init__(self, seconds: float):
        """From now on a run may use so much."""
        self.seconds, self._look = seconds, time.monotonic() + seconds

    def until(self, deadline: float) -> float:
        """Seconds until this or a deadline is to be looked at; none below 0."""
        return max(0.0, min(deadline, self._look) - time.monotonic())

    def is_spent(self, used: Callable[[], float | None]) -> bool:
        """Whether a run has used all of it; `used` tells the seconds, or None where nobody counts them."""
        if (now := time.monotonic()) < self._look:
            return False
        seconds = used()
        self._look = math.inf if seconds is None else now + max(self.seconds - seconds, SOONEST)
        return seconds is not None and seconds >= self.seconds


class LocalSession:
    """One child; see `Session`."""

    def __init__(self, warm: WarmProcess, limits: Limits, stdin: str):
        """Starts the child."""
        self.warm, self.limits = warm, limits
        self.ending: End | None = None
        self.reason = ""
        self.ready = self.gone = self.is_script = self.is_command = False
        self.status: int | None = None
        """That of the commands, once they have ended."""
        self.started, self.starved = time.monotonic(), 0.0
        self.taken = self.held = self.weight = 0
        """Bytes of all messages; of the values that are kept; of the last message's."""
        self.spent = 0.0
        """Processor seconds that do not count."""
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
            self.allowance = Allowance(limits.cpu_seconds)
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

    def command(self, request: Mapping[str, str], deadline: float) -> Result:
        """Builds a program and runs it, of a warm process whose children take commands.

        Args:
            request: of `command.serve`.
            deadline: on the clock `time.monotonic`.
        """
        self.is_command, self.allowance, self.waited = True, Allowance(math.inf), 0.0
        self.sending += wire.pack(dict(request))
        while "status" not in (reply := self._next(deadline)):
            self.spent, self.allowance = self.used() or 0.0, Allowance(self.limits.cpu_seconds)
        self.status, self.starved = int(reply["status"]), max(self.starved, float(reply["waited"]))
        if self.status == 0:
            return Result()
        last = (self.written[self.err].decode("utf-8", "replace").strip().splitlines() or [""])[-1]
        return Result(error=f"it left with status {self.status} {last[:200]}".strip())

    def call(self, call: Call) -> Result:
        """See `Session.call`."""
        return self.relay(question_of(call))

    def calls(self, calls: Sequence[Call], deadline: float) -> Iterator[Result]:
        """The results of calls. They are sent ahead of one another's answers, so that none says what was printed in it."""
        unsent = map(question_of, calls)
        for _ in calls:
            while len(self.sending) < AHEAD and (question := next(unsent, None)):
                self.sending += _asked(question)
            reply = self._next(deadline)
            self.held += self.weight
            yield _result(reply)

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
                unpacked = wire.unpack(self.received, MAX_HELD - self.held)
            except ValueError as error:
                raise self._end(End.OUTPUT, f"a malformed answer: {error}") from None
            if unpacked is not None and not self.ready:
                self.ready = True
                continue
            if unpacked is not None:
                message, self.weight = unpacked
                self._drain()
                return message
            remaining = deadline + self.starved - time.monotonic()
            if remaining <= 0:
                if self._was_starved():
                    continue
                raise self._end(End.TIMEOUT, f"more than {self.limits.wall_seconds:g} s")
            if self.allowance.is_spent(self._spends):
                raise self._end(End.TIMEOUT, f"more than {self.limits.cpu_seconds:g} s of processor time")
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self.sending else 0)
            self.selector.modify(self.channel, events)
            for key, ready in self.selector.select(self.allowance.until(deadline + self.starved)):
                if key.fileobj is self.channel:
                    self._talk(ready)
                else:
                    self._take(int(key.fd))

    def used(self) -> float | None:
        """Processor seconds of the child and of all that it has started; None where no group counts them."""
        seconds: float | None = self.warm.ask({"used": {"pid": self.pid}}, self.parent)["cpu_seconds"]
        return seconds

    def _spends(self) -> float | None:
        seconds = self.used()
        return None if seconds is None else seconds - self.spent

    def _processes(self) -> Iterable[int]:
        """Whose waiting for a processor is the run's: of commands that of all, since the first process only waits for them."""
        if not self.is_command:
            return (self.pid,)
        running: list[int] = self.warm.ask({"used": {"pid": self.pid}}, self.parent)["processes"]
        return running

    def _was_starved(self) -> bool:
        """Whether the run has stood in line for a processor since its clock was last set; that time is not its own.

        Raises:
            SandboxFault: it has stood there so long that this machine has too much to do.
        """
        waits = max((waited(pid) for pid in self._processes()), default=0.0)
        before, self.starved = self.starved, max(self.starved, waits - self.waited)
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
        if self.is_script:
            self.starved = max(self.starved, waited(self.pid) - self.waited)
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
        return Outcome(status, results, stdout, stderr, told["cpu_seconds"], wall, told["peak_memory"], reason, self.starved)

    def _judged(self, told: dict[str, Any], failed: str | None) -> tuple[End, str]:
        limits = self.limits
        if told["out_of_memory"] or (failed or "").startswith("MemoryError"):
            return End.MEMORY, f"more than {limits.memory >> 20} MiB of memory"
        spent = told["cpu_seconds"] - self.spent >= NEARLY * limits.cpu_seconds
        if self.status:  # a shell says 128 and a signal for what it has run
            number = -self.status if self.status < 0 else self.status - 128
            if number == signal.SIGXCPU or (number == signal.SIGKILL and spent):
                return End.TIMEOUT, f"more than {limits.cpu_seconds:g} s of processor time"
            return (End.KILLED, f"signal {number}") if number > 0 else (End.ERROR, failed or "")
        if self.ending is None:
            return (End.FINISHED, "") if failed is None else (End.ERROR, failed)
        if self.ending != End.ERROR or not self.gone:
            return self.ending, self.reason
        if told["killed"]:
            return End.ERROR, "it closed the channel to the sandbox"
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
