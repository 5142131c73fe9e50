"""The sandbox in E2B's cloud: machines that are reused, each with a `LocalSandbox` inside.

    export TENFOLD_SANDBOX=e2b E2B_API_KEY=...

The service's machine, which has no network, is the outer protection. Inside it every run is a jailed child of a warm process,
as in the local sandbox, so runs cannot affect each other and a run costs a few milliseconds plus the round trip. A lost machine
is replaced, and its runs are retried on another one. The inner protections in `WITHOUT` may be missing.
"""

import atexit
import contextlib
import functools
import itertools
import json
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ... import extras
from ...core import UserError
from .inside.wire import JSONObject
from .protocol import Call, CallResult, EncodedCall, Limits, Outcome, ProgramEnded, RunStatus, SandboxFault, fields
from .session import encode_call

WITHOUT = ("landlock", "seccomp", "cgroup")
"""Inner protections that a machine of the service may lack: its image lacks some packages and control groups."""
LIFETIME = 600
"""Seconds that a machine keeps running after its start or after the last extension. A use extends the time if a quarter of it
has passed."""
ATTEMPTS = 4
"""Maximum number of attempts of a run."""
PAUSE_SECONDS = 0.5
"""Pause before the second attempt. Each further pause is twice as long."""
START_SECONDS = 120.0
"""Time limit for the start of the agent on a machine."""
SILENCE_SECONDS = 30.0
"""A machine whose agent has sent nothing for this long, not even a heartbeat, counts as lost."""
FOLDER = "tenfold-sandbox"
"""Folder on the machine that holds the agent's modules."""
_NOT_NEEDED = ("e2b", "languages")
"""Modules of this folder that the agent does not need."""
T = TypeVar("T")
_COMMAND = f"PYTHONPATH={FOLDER} exec python3 -m tenfold.verifiers.sandbox.agent --without {','.join(WITHOUT)}"
_NO_HANDLER = "RuntimeError: nothing handles calls of this function"


class E2BSandbox:
    """Runs programs on E2B's machines; see `protocol.Sandbox`."""

    def __init__(self, machines: int = 2, template: str | None = None, **options: Any):
        """Stores the settings; machines start when first needed.

        Args:
            machines: maximum number of machines. Each can have many runs at the same time.
            template: the service's image; by default that of its code interpreter. It needs Python 3.11 or later, and root.
            options: further arguments of `e2b_code_interpreter.Sandbox.create`.

        Raises:
            UserError: the package or the key is missing.
        """
        extras.require("the e2b sandbox", "e2b_code_interpreter")
        if not (options.get("api_key") or os.environ.get("E2B_API_KEY")):
            raise UserError(
                "the e2b sandbox needs a key: set E2B_API_KEY, or unset TENFOLD_SANDBOX to run programs on this machine"
            )
        self._machines = [_Machine({"template": template, **options}) for _ in range(machines)]
        self._uses = itertools.count()
        atexit.register(self.close)

    round_trip_seconds = 0.5
    """See `protocol.Sandbox`."""

    def run(self, program: str, calls: Sequence[Call] = (), stdin: str | None = None, limits: Limits | None = None) -> Outcome:
        """See `Sandbox.run`.

        Args:
            program: Python source.
            calls: calls of its functions; without calls it runs as a script.
            stdin: standard input of a script.
            limits: defaults to `Limits()`.
        """
        limits = limits or Limits()
        request = {
            "run": program,
            "calls": [fields(encode_call(call)) for call in calls],
            "stdin": stdin,
            "limits": fields(limits),
        }

        def attempt(machine: "_Machine") -> Outcome:
            with machine.session() as channel:
                channel.send(request)
                return _outcome(channel.receive()["outcome"])

        return self._with_retries(attempt)

    def open(self, limits: Limits | None = None) -> "E2BSession":
        """See `Sandbox.open`."""
        return self._with_retries(lambda machine: E2BSession(machine, limits or Limits()))

    def close(self) -> None:
        """Releases the machines."""
        for machine in self._machines:
            machine.close()

    def _with_retries(self, attempt: Callable[["_Machine"], T]) -> T:
        """Makes attempts on one machine after the other, with pauses between them."""
        for number in range(ATTEMPTS):
            machine = self._machines[next(self._uses) % len(self._machines)]
            try:
                return attempt(machine)
            except SandboxFault as fault:
                if number == ATTEMPTS - 1 or machine.closed:
                    raise SandboxFault(f"e2b failed {number + 1} times: {fault}") from None
                time.sleep(PAUSE_SECONDS * 2**number)
        raise AssertionError


class E2BSession:
    """A session on one of E2B's machines; see `protocol.Session`."""

    def __init__(self, machine: "_Machine", limits: Limits):
        """Opens the session on a machine. Raises `SandboxFault`."""
        self._fault = ""
        self._stack = contextlib.ExitStack()
        self._channel = self._stack.enter_context(machine.session())
        try:
            self._ask({"open": fields(limits)})
        except BaseException:
            self._stack.close()
            raise

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
        reply = self._ask({"source": source, "external": list(external), "as_text": as_text})
        while "ask" in reply:
            try:
                result = handler(EncodedCall(**reply["ask"])) if handler else CallResult(error=_NO_HANDLER)
            except BaseException:
                with contextlib.suppress(ProgramEnded, SandboxFault):  # unblocks the program, whose result is not used
                    self._ask({"answer": {"error": _NO_HANDLER}})
                raise
            reply = self._ask({"answer": {"value": result.value, "error": result.error, "raised": result.raised}})
        return CallResult(**reply["result"])

    def define(self, source: str) -> CallResult:
        """See `Session.define`."""
        return CallResult(**self._ask({"define": source})["result"])

    def call(self, call: Call) -> CallResult:
        """See `Session.call`."""
        return self.call_encoded(encode_call(call))

    def call_encoded(self, call: EncodedCall) -> CallResult:
        """See `Session.call_encoded`."""
        return CallResult(**self._ask({"call": fields(call)})["result"])

    def close(self) -> Outcome:
        """See `Session.close`."""
        with self._stack:
            return _outcome(self._ask({"close": True})["outcome"])

    def _ask(self, request: JSONObject) -> JSONObject:
        if self._fault:
            raise SandboxFault(self._fault)
        try:
            self._channel.send(request)
            reply = self._channel.receive()
        except SandboxFault as fault:
            self._fault = str(fault)
            raise
        if "ended" in reply:
            raise ProgramEnded(reply["ended"])
        return reply


class _Channel:
    """Exchanges the messages of one session with the agent on a machine."""

    def __init__(self, number: int, send: Callable[[JSONObject], None], is_lost: Callable[[], bool]):
        self.number, self.turn, self._send, self._is_lost = number, 0, send, is_lost
        self.replies: queue.Queue[JSONObject] = queue.Queue()

    def send(self, request: JSONObject) -> None:
        self.turn += 1
        self._send({"session": self.number, "turn": self.turn, **request})

    def receive(self) -> JSONObject:
        """Waits for the next reply, as long as the machine is alive; the agent enforces the run's time limits.

        Raises:
            SandboxFault: the machine reports a fault, or is lost.
        """
        while True:
            try:
                reply = self.replies.get(timeout=1)
                break
            except queue.Empty:
                if self._is_lost():
                    raise SandboxFault(f"the machine sent nothing for {SILENCE_SECONDS:g} s") from None
        if "fault" in reply:
            raise SandboxFault(reply["fault"])
        return reply


class _Machine:
    """One machine of the service: started when first needed, replaced when lost."""

    def __init__(self, options: JSONObject):
        self.options = options
        self.lock = threading.Lock()
        self.sandbox: Any = None
        self.command: Any = None
        self.channels: dict[int, _Channel] = {}
        self.numbers = itertools.count(1)
        self.extended_at = self.received_at = 0.0
        self.closed = False

    @contextlib.contextmanager
    def session(self) -> Iterator[_Channel]:
        """Opens a channel to the agent. Raises `SandboxFault`, and `UserError` if the service rejects the key."""
        with self.lock:
            try:
                if self.closed:
                    raise SandboxFault("the sandbox is closed")
                if self.sandbox is None:
                    self._start()
            except (SandboxFault, UserError) as fault:
                self._drop(str(fault))
                raise
            command = self.command
            channel = _Channel(next(self.numbers), lambda message: self._send(command, message), lambda: self._is_lost(command))
            self.channels[channel.number] = channel
        try:
            yield channel
        finally:
            self.channels.pop(channel.number, None)

    def close(self) -> None:
        """Releases the machine."""
        with self.lock:
            self.closed, sandbox = True, self.sandbox
            self.sandbox = None  # so that `_drop` does not release it again
            self._drop("the sandbox is closed")
        if sandbox is not None:
            _kill(sandbox)

    def _start(self) -> None:
        from e2b_code_interpreter import Sandbox

        options = {name: value for name, value in self.options.items() if value is not None}
        # `allow_internet_access` is for the machine. Programs have no network with either value.
        self.sandbox = _service(lambda: Sandbox.create(**{"timeout": LIFETIME, "allow_internet_access": False, **options}))
        _service(lambda: self.sandbox.files.write_files(_files(), user="root"))
        # `_listen` reads the output as it arrives; the SDK would keep all of it in memory.
        start = functools.partial(self.sandbox.commands.run, _COMMAND, True, user="root", stdin=True, timeout=0)
        self.command = _service(lambda: start(retain_output=False))
        self.extended_at = self.received_at = started = time.monotonic()
        hello = _Channel(0, lambda message: None, lambda: time.monotonic() > started + START_SECONDS)
        self.channels[0] = hello
        threading.Thread(target=self._listen, args=(self.command,), daemon=True).start()
        try:
            hello.receive()
        finally:
            self.channels.pop(0, None)

    def _send(self, command: Any, message: JSONObject) -> None:
        if command is not self.command:
            raise SandboxFault("the machine of this session was lost")
        for last_try in (False, False, True):
            try:
                if time.monotonic() > self.extended_at + LIFETIME / 4:
                    self.extended_at = time.monotonic()
                    _service(lambda: self.sandbox.set_timeout(LIFETIME))
                _service(lambda: command.send_stdin(json.dumps(message) + "\n"))
                return
            except SandboxFault as fault:  # the message may have arrived; the agent ignores a message whose number it has seen
                if last_try or command is not self.command:
                    self._lose(command, str(fault))
                    raise
                time.sleep(PAUSE_SECONDS)

    def _is_lost(self, command: Any) -> bool:
        """True if the machine has sent nothing for too long. The machine is then given up."""
        if command is self.command and time.monotonic() < self.received_at + SILENCE_SECONDS:
            return False
        self._lose(command, f"the machine sent nothing for {SILENCE_SECONDS:g} s")
        return True

    def _listen(self, command: Any) -> None:
        """Passes every line that the agent writes to its session, until the stream ends."""
        rest, error_output, reason = "", "", "the machine's agent ended"
        try:
            for out, err, _ in command:
                error_output = (error_output + (err or ""))[-300:]
                *lines, rest = (rest + (out or "")).split("\n")
                if command is not self.command:
                    return
                self.received_at = time.monotonic()
                for line in lines:
                    message = json.loads(line)
                    channel = self.channels.get(message.pop("session"))
                    if channel is not None:
                        channel.replies.put(message)
        except Exception as error:  # any error of the service (see `_service`), or a line that is not a message
            reason = f"the connection to the machine broke: {type(error).__name__}"
        hello = self.channels.get(0)
        if hello is not None and command is self.command:  # the machine is starting, and `_start` holds the lock
            hello.replies.put({"fault": f"{reason}: {error_output.strip()}"})
        else:
            self._lose(command, reason)

    def _lose(self, command: Any, reason: str) -> None:
        """Reports a fault to every session of a lost machine. The next session starts a new machine."""
        with self.lock:
            if command is self.command:
                self._drop(reason)

    def _drop(self, reason: str) -> None:
        sandbox, self.sandbox, self.command = self.sandbox, None, None
        for channel in list(self.channels.values()):
            channel.replies.put({"fault": reason})
        if sandbox is not None:
            threading.Thread(target=_kill, args=(sandbox,), daemon=True).start()


def _service(request: Callable[[], Any]) -> Any:
    """Sends a request to the service. Raises `SandboxFault` if the service fails, `UserError` if it rejects the key."""
    from e2b import AuthenticationException

    try:
        return request()
    except AuthenticationException as rejected:
        raise UserError(f"e2b rejects the key in E2B_API_KEY: {str(rejected).splitlines()[0]}") from None
    except Exception as error:  # the errors of the SDK's transport, protocol and control plane share no class
        raise SandboxFault(f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}") from None


def _kill(sandbox: Any) -> None:
    with contextlib.suppress(Exception):  # the machine ends by itself after LIFETIME
        sandbox.kill()


def _files() -> list[dict[str, str]]:
    """Returns the agent's modules in the form that the SDK uploads."""
    here = Path(__file__).parent
    package = here.parents[1]
    modules = [path for path in sorted(here.rglob("*.py")) if path.stem not in _NOT_NEEDED]
    sources = {str(path.relative_to(package)): path.read_text() for path in modules}
    sources |= {name: (package / name).read_text() for name in ("core.py", "responses.py", "texts.py")}
    sources |= {"__init__.py": "", "verifiers/__init__.py": ""}
    return [{"path": f"{FOLDER}/tenfold/{name}", "data": text} for name, text in sources.items()]


def _outcome(encoded: JSONObject) -> Outcome:
    results = tuple(CallResult(**result) for result in encoded["results"])
    return Outcome(**{**encoded, "status": RunStatus(encoded["status"]), "results": results})
