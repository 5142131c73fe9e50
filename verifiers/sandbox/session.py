"""The supervisor's side of one run: sends requests to a child of a warm process and enforces the run's limits."""

import contextlib
import math
import os
import select
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from .inside import wire
from .protocol import Call, CallResult, EncodedCall, Limits, Outcome, ProgramEnded, RunStatus, SandboxFault, fields
from .spawn import WarmProcess

MAX_RECEIVED = 4 * wire.MAX_FRAME
"""Bytes of all messages that a session accepts."""
MAX_VALUES = 40 << 20
"""Bytes of memory that the values of one reply may take here. The values of all calls of one run share this limit."""
SEND_AHEAD = 1 << 18
"""Bytes of calls (approximately) that are sent before the first reply."""
NEAR_LIMIT = 0.95
"""Share of the processor time limit from which a killed run counts as a timeout. The kernel kills at one reading of its clock
and reports another reading, which differs a little."""
MIN_CHECK_SECONDS = 0.02
"""Minimum interval between two measurements of a run's processor time."""
LEAVING_SECONDS = 2.0
"""Seconds to wait for the end of a child that has closed its channel; it may have much memory to release."""
MAX_WAITED = 20
"""If a run has waited for a processor for more than this many times its wall time limit, that is a fault of the machine."""


def encode_call(call: Call) -> EncodedCall:
    """Returns the call with encoded arguments."""
    keywords = {name: wire.encode(value) for name, value in call.keywords.items()}
    return EncodedCall(call.function, [wire.encode(value) for value in call.arguments], keywords)


def _packed(call: EncodedCall) -> bytes:
    return wire.pack({"call": call.function, "arguments": call.arguments, "keywords": call.keywords})


def _result(reply: wire.JSONObject, printed: str = "", may_exit: bool = False) -> CallResult:
    """Returns the reply as a result. With `may_exit`, an exit with status 0 is not an error."""
    failure = reply.get("error")
    if isinstance(failure, str):
        exited = may_exit and failure.startswith("SystemExit: ") and reply.get("status") == 0
        return CallResult(None, None if exited else failure[:2000], printed, reply.get("raised"))
    return CallResult(reply.get("value"), None, printed)


def processor_wait(pid: int) -> float:
    """Returns the seconds that a process was ready to run and did not run.

    The maximum over the process's threads; 0 if the kernel does not report it.
    """
    waits = [0.0]
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError, ValueError, IndexError), open(f"/proc/{pid}/task/{task}/schedstat") as file:
                waits.append(int(file.read().split()[1]) / 1e9)
    return max(waits)


def _pipe(reader: contextlib.ExitStack, writer: contextlib.ExitStack) -> tuple[int, int]:
    """Opens a pipe. Each of its ends is closed with one of the stacks."""
    ends = os.pipe()
    for stack, end in zip((reader, writer), ends, strict=True):
        stack.callback(os.close, end)
    return ends


class CpuLimit:
    """The processor time limit of a run.

    The time is first measured when one process could have reached the limit, and again each time it could have used the
    remaining time. So short runs are never measured, and a run with many processes may exceed the limit before that is noticed.
    """

    def __init__(self, seconds: float):
        """Starts with no time used."""
        self.seconds, self._next_check = seconds, time.monotonic() + seconds

    def until(self, deadline: float) -> float:
        """Returns the seconds until the next measurement or the deadline, whichever is first; at least 0."""
        return max(0.0, min(deadline, self._next_check) - time.monotonic())

    def is_spent(self, used: Callable[[], float | None]) -> bool:
        """True if a run has reached the limit. `used` returns the seconds used, or None if they are not counted."""
        if (now := time.monotonic()) < self._next_check:
            return False
        seconds = used()
        self._next_check = math.inf if seconds is None else now + max(self.seconds - seconds, MIN_CHECK_SECONDS)
        return seconds is not None and seconds >= self.seconds


class LocalSession:
    """A session with one child of a warm process; see `Session`."""

    def __init__(self, warm: WarmProcess, limits: Limits, stdin: str, build_seconds: float = 0.0):
        """Starts the child.

        Args:
            warm: the warm process that forks the child.
            limits: limits of the whole session.
            stdin: text of the child's standard input.
            build_seconds: smallest limit on a command's build: on its wall time, and on each process's processor time.
        """
        self.warm, self.limits = warm, limits
        self.wall_seconds = max(build_seconds, limits.wall_seconds)  # until the program begins
        self.end_status: RunStatus | None = None
        self.end_reason = ""
        self.ready = self.channel_closed = self.is_script = self.is_command = False
        self.exit_status: int | None = None
        """Exit status of the commands, after they have ended."""
        self.started = time.monotonic()
        """Start of the run; for a command with a build, start of the program after the build."""
        self.waited = 0.0
        """Seconds of waiting for a processor that are not charged to the run."""
        self.received_bytes = self.kept_bytes = self.last_bytes = 0
        """Bytes of all messages; of the values that are kept; of the values of the last message."""
        self.uncharged_cpu = 0.0
        """Processor seconds that do not count towards the limit, because a compiler used them."""
        self.received, self.sending = bytearray(), bytearray()
        with contextlib.ExitStack() as kept, contextlib.ExitStack() as passed:
            self.channel, inner = socket.socketpair()
            kept.enter_context(self.channel)
            passed.enter_context(inner)
            self.out, out = _pipe(kept, passed)
            self.err, err = _pipe(kept, passed)
            text = wire.memory_file(stdin)
            passed.callback(os.close, text)
            self.selector = kept.enter_context(selectors.PollSelector())
            # For a command, its program gets the lower limit.
            of_process = {"cpu_seconds": max(build_seconds, limits.cpu_seconds)}
            self.pid, self.parent = warm.start(fields(limits) | of_process, [inner.fileno(), text, out, err])
            self.waited_before = processor_wait(self.pid)  # the child may have waited before this run got it
            self.cpu_limit = CpuLimit(limits.cpu_seconds)
            self._kept = kept.pop_all()
        self.written: dict[int, bytearray] = {self.out: bytearray(), self.err: bytearray()}
        self.channel.setblocking(False)
        for descriptor in (self.out, self.err):
            os.set_blocking(descriptor, False)
            self.selector.register(descriptor, selectors.EVENT_READ)
        self.selector.register(self.channel, selectors.EVENT_READ)

    def execute(
        self,
        source: str,
        handler: Callable[[EncodedCall], CallResult] | None = None,
        external: Sequence[str] = (),
        as_text: bool = False,
    ) -> CallResult:
        """See `Session.execute`.

        Args:
            source: Python.
            handler: called with each call of an `external` function.
            external: names of functions outside of the sandbox.
            as_text: return the value's `repr`.
        """
        return self._exchange(wire.pack({"source": source, "external": list(external), "as_text": as_text}), handler, None)

    def define(self, source: str, deadline: float | None = None) -> CallResult:
        """See `Session.define`. `deadline` is on the clock `time.monotonic`; by default the request gets the full wall time."""
        return self._exchange(wire.pack({"define": source}), None, deadline)

    def script(self, source: str, deadline: float) -> CallResult:
        """Runs a program to the end of its process, as `python main.py` does."""
        self.is_script = True
        return self._exchange(wire.pack({"script": source}), None, deadline)

    def command(self, request: Mapping[str, object]) -> CallResult:
        """Builds a program and runs it; the build's wall time does not count. The warm process must be one that runs commands.

        Args:
            request: the request that `command.serve` describes, without "cpu_seconds".
        """
        self.is_command, self.cpu_limit, self.waited_before = True, CpuLimit(math.inf), 0.0
        deadline = time.monotonic() + self.wall_seconds
        self.sending += wire.pack({**request, "cpu_seconds": math.ceil(self.limits.cpu_seconds)})
        while "status" not in (reply := self._next(deadline)):
            self.uncharged_cpu, self.cpu_limit = self.used_cpu() or 0.0, CpuLimit(self.limits.cpu_seconds)
            self.waited, self.wall_seconds, self.started = 0.0, self.limits.wall_seconds, time.monotonic()
            deadline = self.started + self.wall_seconds
        self.exit_status, self.waited = int(reply["status"]), max(self.waited, float(reply["waited"]))
        if self.exit_status == 0:
            return CallResult()
        last = (self.written[self.err].decode("utf-8", "replace").strip().splitlines() or [""])[-1]
        return CallResult(error=f"the program exited with status {self.exit_status} {last[:200]}".strip())

    def call(self, call: Call) -> CallResult:
        """See `Session.call`."""
        return self.call_encoded(encode_call(call))

    def calls(self, calls: Sequence[Call], deadline: float) -> Iterator[CallResult]:
        """Yields the results of the calls.

        Calls are sent before earlier ones are answered, so the output of one call cannot be told from that of another and
        `CallResult.printed` stays empty.
        """
        unsent = map(encode_call, calls)
        for _ in calls:
            while len(self.sending) < SEND_AHEAD and (encoded := next(unsent, None)):
                self.sending += _packed(encoded)
            reply = self._next(deadline)
            self.kept_bytes += self.last_bytes
            yield _result(reply)

    def call_encoded(self, call: EncodedCall) -> CallResult:
        """See `Session.call_encoded`."""
        return self._exchange(_packed(call), None, None, may_exit=False)

    def _exchange(
        self, request: bytes, handler: Callable[[EncodedCall], CallResult] | None, deadline: float | None, may_exit: bool = True
    ) -> CallResult:
        if deadline is None:  # this request gets the full wall time
            deadline = time.monotonic() + self.limits.wall_seconds
            self.waited_before, self.waited = processor_wait(self.pid), 0.0
        before = {descriptor: len(text) for descriptor, text in self.written.items()}
        self.sending += request
        while True:
            reply = self._next(deadline)
            if "ask" in reply and handler is not None:
                started = time.monotonic()
                result = handler(EncodedCall(str(reply["ask"]), reply.get("arguments", []), reply.get("keywords", {})))
                deadline += time.monotonic() - started  # the handler has its own time limit
                failed = {"error": result.error, "raised": result.raised}
                self.sending += wire.pack(failed if result.error is not None else {"value": result.value})
                continue
            return _result(reply, self._printed(before), may_exit)

    def _printed(self, before: dict[int, int]) -> str:
        return "".join(self.written[fd][length:].decode("utf-8", "replace") for fd, length in before.items())

    def _next(self, deadline: float) -> wire.JSONObject:
        """Waits for the next message, and reads the program's output meanwhile."""
        while True:
            try:
                unpacked = wire.unpack(self.received, MAX_VALUES - self.kept_bytes)
            except ValueError as error:
                raise self._end(RunStatus.OUTPUT, f"malformed reply: {error}") from None
            if unpacked is not None and not self.ready:
                self.ready = True
                continue
            if unpacked is not None:
                message, self.last_bytes = unpacked
                self._drain()
                return message
            remaining = deadline + self.waited - time.monotonic()
            if remaining <= 0:
                if self._has_waited():
                    continue
                raise self._end(RunStatus.TIMEOUT, f"more than {self.wall_seconds:g} s of wall time")
            if self.cpu_limit.is_spent(self._charged_cpu):
                raise self._end(RunStatus.TIMEOUT, f"more than {self.limits.cpu_seconds:g} s of processor time")
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self.sending else 0)
            self.selector.modify(self.channel, events)
            for key, ready in self.selector.select(self.cpu_limit.until(deadline + self.waited)):
                if key.fileobj is self.channel:
                    self._transfer(ready)
                else:
                    self._read_output(int(key.fd))

    def used_cpu(self) -> float | None:
        """Returns the processor seconds of the child and its descendants; None if no control group counts them."""
        return self.warm.used(self.pid, self.parent)["cpu_seconds"]

    def _charged_cpu(self) -> float | None:
        seconds = self.used_cpu()
        return None if seconds is None else seconds - self.uncharged_cpu

    def _processes(self) -> Iterable[int]:
        """Returns the processes whose waiting for a processor counts as the run's.

        For commands these are all processes, because the first one only waits for the others.
        """
        if not self.is_command:
            return (self.pid,)
        return self.warm.used(self.pid, self.parent)["processes"]

    def _has_waited(self) -> bool:
        """True if the run has waited for a processor since the last call; the wait extends the run's deadline.

        Raises:
            SandboxFault: the run has waited so long that the machine is overloaded.
        """
        waits = max((processor_wait(pid) for pid in self._processes()), default=0.0)
        before, self.waited = self.waited, max(self.waited, waits - self.waited_before)
        if self.waited > MAX_WAITED * self.limits.wall_seconds:
            raise SandboxFault(f"this machine is overloaded: a program waited {self.waited:.0f} s for a processor")
        return self.waited > before + 0.01

    def _transfer(self, ready: int) -> None:
        try:
            if ready & selectors.EVENT_WRITE:
                del self.sending[: self.channel.send(self.sending[: 1 << 18])]
            if ready & selectors.EVENT_READ:
                chunk = self.channel.recv(1 << 18)
                if not chunk:
                    raise self._end(None, "")
                self.received += chunk
                self.received_bytes += len(chunk)
                if self.received_bytes > MAX_RECEIVED:
                    raise self._end(RunStatus.OUTPUT, f"more than {MAX_RECEIVED} bytes of replies")
        except BlockingIOError:
            pass
        except OSError:
            raise self._end(None, "") from None

    def _read_output(self, descriptor: int) -> bool:
        """Reads some of the program's output; False if there was none."""
        try:
            chunk = os.read(descriptor, 1 << 16)
        except BlockingIOError:
            return False
        if not chunk:
            self.selector.unregister(descriptor)
            return False
        self.written[descriptor] += chunk
        if len(self.written[descriptor]) > self.limits.output:
            raise self._end(RunStatus.OUTPUT, f"more than {self.limits.output} bytes of output")
        return True

    def _drain(self) -> None:
        for descriptor in list(self.written):
            if descriptor in self.selector.get_map():
                while self._read_output(descriptor):
                    pass

    def _end(self, status: RunStatus | None, reason: str) -> ProgramEnded:
        """Records that the program must be ended, or, with status None, that it has closed its channel."""
        self.end_status, self.end_reason = self.end_status or status or RunStatus.ERROR, self.end_reason or reason
        self.channel_closed = status is None
        return ProgramEnded(self.end_reason)

    def close(self, results: tuple[CallResult, ...] = (), error: str | None = None) -> Outcome:
        """See `Session.close`.

        Args:
            results: results of the run's calls, for the outcome.
            error: the error with which the program's last request ended, if any.
        """
        wall = time.monotonic() - self.started
        if self.channel_closed:
            self._wait()
        if self.is_script:
            self.waited = max(self.waited, processor_wait(self.pid) - self.waited_before)
        try:
            report = self.warm.end_child(self.pid, self.channel_closed, self.parent)
            with contextlib.suppress(ProgramEnded):
                self._drain()
        finally:
            self._kept.close()
        stdout, stderr = (
            bytes(self.written[fd][: self.limits.output]).decode("utf-8", "replace") for fd in (self.out, self.err)
        )
        if self.channel_closed and not self.ready:
            raise SandboxFault(stderr.strip() or f"a child died at its start, with status {report['status']}")
        status, reason = self._status(report, error)
        cpu_seconds, peak_memory = report["cpu_seconds"] - self.uncharged_cpu, report["peak_memory"]
        reason = " ".join(reason.split())  # it may be a text of the program, of any number of lines
        return Outcome(status, results, stdout, stderr, cpu_seconds, wall, peak_memory, reason, self.waited)

    def _status(self, report: wire.ChildReport, error: str | None) -> tuple[RunStatus, str]:
        limits = self.limits
        if report["out_of_memory"] or (error or "").startswith("MemoryError"):
            return RunStatus.MEMORY, f"more than {limits.memory >> 20} MiB of memory"
        spent = report["cpu_seconds"] - self.uncharged_cpu >= NEAR_LIMIT * limits.cpu_seconds
        if self.exit_status:  # if signal n ended its command, a shell's exit status is 128 + n
            number = -self.exit_status if self.exit_status < 0 else self.exit_status - 128
            if number == signal.SIGXCPU or (number == signal.SIGKILL and spent):
                return RunStatus.TIMEOUT, f"more than {limits.cpu_seconds:g} s of processor time"
            is_signal = number in signal.valid_signals()
            return (RunStatus.KILLED, f"signal {number}") if is_signal else (RunStatus.ERROR, error or "")
        if self.end_status is None:
            return (RunStatus.FINISHED, "") if error is None else (RunStatus.ERROR, error)
        if self.end_status != RunStatus.ERROR or not self.channel_closed:
            return self.end_status, self.end_reason
        if report["killed"]:
            return RunStatus.ERROR, "the program closed its channel to the sandbox"
        if report["status"] == -signal.SIGXCPU or (report["status"] == -signal.SIGKILL and spent):
            return RunStatus.TIMEOUT, f"more than {limits.cpu_seconds:g} s of processor time"
        if self.is_script and report["status"] == 0:  # os._exit(0): the output so far counts
            return RunStatus.FINISHED, ""
        if report["status"] < 0:
            return RunStatus.KILLED, f"signal {-report['status']}"
        return RunStatus.ERROR, f"the program exited with status {report['status']} before it replied"

    def _wait(self) -> None:
        """Waits for the end of a child that has closed its channel, because every child closes it shortly before its end."""
        with contextlib.suppress(OSError):
            handle = os.pidfd_open(self.pid)
            try:
                end = select.poll()  # `select.select` fails if this process has more than 1024 open files
                end.register(handle, select.POLLIN)
                end.poll(LEAVING_SECONDS * 1000)
            finally:
                os.close(handle)
