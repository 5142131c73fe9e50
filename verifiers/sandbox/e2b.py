"""The sandbox in E2B's cloud: machines that are kept and used again, each with a `LocalSandbox` of its own inside.

    export TENFOLD_SANDBOX=e2b E2B_API_KEY=...

The service's machine is the outer wall, without a network; inside, every run is a jailed child of a warm process, as it is on
this machine, so that no run reaches the one before or after it, and costs milliseconds beside the way there and back. A machine
that is lost is replaced, a run that was lost with it is tried again elsewhere. What inner walls the machine lacks are gone
without: `WITHOUT` names them.
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
from .protocol import Call, End, Ended, Limits, Outcome, Question, Result, SandboxFault, fields
from .session import question_of

WITHOUT = ("landlock", "seccomp", "cgroup")
"""Inner walls that a machine of the service may lack: packages that its image does not have, and control groups."""
LIFETIME = 600
"""Seconds that a machine lives on when nobody asks for it; each use begins them anew."""
TRIES = 4
PAUSE_SECONDS = 0.5
"""Before the second try; each next pause is twice as long."""
START_SECONDS = 120.0
SILENCE_SECONDS = 30.0
"""A machine whose agent has said nothing for so long, not even that it lives, is lost."""
FOLDER = "tenfold-sandbox"
_OUTSIDE = ("e2b", "languages")
"""Modules of this folder that the agent does not need."""
T = TypeVar("T")
_COMMAND = f"PYTHONPATH={FOLDER} exec python3 -m tenfold.verifiers.sandbox.agent --without {','.join(WITHOUT)}"


class E2BSandbox:
    """See the module, and `protocol.Sandbox`."""

    def __init__(self, machines: int = 2, template: str | None = None, **options: Any):
        """Describes the pool; machines start when first needed.

        Args:
            machines: how many there may be. Each may have many runs at once.
            template: the service's image; default: that of its code interpreter. It wants Python 3.11 or later, and root.
            options: further arguments of `e2b_code_interpreter.Sandbox.create`.

        Raises:
            UserError: the package or the key is missing.
        """
        extras.require("the e2b sandbox", "e2b_code_interpreter")
        if not (options.get("api_key") or os.environ.get("E2B_API_KEY")):
            raise UserError(
                "the e2b sandbox wants a key: set E2B_API_KEY, or unset TENFOLD_SANDBOX to run programs on this machine"
            )
        self._machines = [_Machine({"template": template, **options}) for _ in range(machines)]
        self._turn = itertools.count()
        atexit.register(self.close)

    round_trip_seconds = 0.5
    """See `protocol.Sandbox`."""

    def run(self, program: str, calls: Sequence[Call] = (), stdin: str | None = None, limits: Limits | None = None) -> Outcome:
        """See `Sandbox.run`."""
        limits = limits or Limits()
        request = {
            "run": program,
            "calls": [fields(question_of(call)) for call in calls],
            "stdin": stdin,
            "limits": fields(limits),
        }

        def attempt(machine: "_Machine") -> Outcome:
            with machine.session() as line:
                line.send(request)
                return _outcome(line.receive()["outcome"])

        return self._tried(attempt)

    def open(self, limits: Limits | None = None) -> "E2BSession":
        """See `Sandbox.open`."""
        return self._tried(lambda machine: E2BSession(machine, limits or Limits()))

    def close(self) -> None:
        """Gives the machines back."""
        for machine in self._machines:
            machine.close()

    def _tried(self, attempt: Callable[["_Machine"], T]) -> T:
        """Makes an attempt on one machine after the other, with pauses between."""
        for number in range(TRIES):
            machine = self._machines[next(self._turn) % len(self._machines)]
            try:
                return attempt(machine)
            except SandboxFault as fault:
                if number == TRIES - 1 or machine.closed:
                    raise SandboxFault(f"e2b, tried {TRIES} times: {fault}") from None
                time.sleep(PAUSE_SECONDS * 2**number)
        raise AssertionError


class E2BSession:
    """See `protocol.Session`."""

    def __init__(self, machine: "_Machine", limits: Limits):
        """Opens it on a machine. Raises `SandboxFault`."""
        self._fault = ""
        self._stack = contextlib.ExitStack()
        self._line = self._stack.enter_context(machine.session())
        try:
            self._ask({"open": fields(limits)})
        except BaseException:
            self._stack.close()
            raise

    def execute(
        self, source: str, answer: Callable[[Question], Result] | None = None, asks: Sequence[str] = (), show: bool = False
    ) -> Result:
        """See `Session.execute`."""
        reply = self._ask({"source": source, "asks": list(asks), "show": show})
        while "ask" in reply:
            try:
                told = answer(Question(**reply["ask"])) if answer else Result(error="RuntimeError: nobody answers")
            except BaseException:
                with contextlib.suppress(Ended, SandboxFault):  # the program goes on without, and is not waited for
                    self._ask({"told": {"error": "RuntimeError: nobody answers"}})
                raise
            reply = self._ask({"told": {"value": told.value, "error": told.error, "raised": told.raised}})
        return Result(**reply["result"])

    def define(self, source: str) -> Result:
        """See `Session.define`."""
        return Result(**self._ask({"define": source})["result"])

    def call(self, call: Call) -> Result:
        """See `Session.call`."""
        return self.relay(question_of(call))

    def relay(self, question: Question) -> Result:
        """See `Session.relay`."""
        return Result(**self._ask({"call": fields(question)})["result"])

    def close(self) -> Outcome:
        """See `Session.close`."""
        with self._stack:
            return _outcome(self._ask({"close": True})["outcome"])

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._fault:
            raise SandboxFault(self._fault)
        try:
            self._line.send(request)
            reply = self._line.receive()
        except SandboxFault as fault:
            self._fault = str(fault)
            raise
        if "ended" in reply:
            raise Ended(reply["ended"])
        return reply


class _Line:
    """One session's share of a machine's line."""

    def __init__(self, number: int, send: Callable[[dict[str, Any]], None], silent: Callable[[], bool]):
        self.number, self.turn, self._send, self._silent = number, 0, send, silent
        self.replies: queue.Queue[dict[str, Any]] = queue.Queue()

    def send(self, request: dict[str, Any]) -> None:
        self.turn += 1
        self._send({"session": self.number, "turn": self.turn, **request})

    def receive(self) -> dict[str, Any]:
        """The next reply. The agent keeps the run's time; here it only has to live.

        Raises:
            SandboxFault: the machine says so, or is lost.
        """
        while True:
            try:
                reply = self.replies.get(timeout=1)
                break
            except queue.Empty:
                if self._silent():
                    raise SandboxFault(f"the machine said nothing for {SILENCE_SECONDS:g} s") from None
        if "fault" in reply:
            raise SandboxFault(reply["fault"])
        return reply


class _Machine:
    """One machine of the service, started when first needed, replaced when lost."""

    def __init__(self, options: dict[str, Any]):
        self.options = options
        self.lock = threading.Lock()
        self.sandbox: Any = None
        self.command: Any = None
        self.lines: dict[int, _Line] = {}
        self.numbers = itertools.count(1)
        self.extended = self.heard = 0.0
        self.closed = False

    @contextlib.contextmanager
    def session(self) -> Iterator[_Line]:
        """A line to the agent on the machine. Raises `SandboxFault`, and `UserError` where the key is refused."""
        with self.lock:
            try:
                if self.closed:
                    raise SandboxFault("the pool is closed")
                if self.sandbox is None:
                    self._start()
            except (SandboxFault, UserError) as fault:
                self._drop(str(fault))
                raise
            command = self.command
            line = _Line(next(self.numbers), lambda message: self._send(command, message), lambda: self._silent(command))
            self.lines[line.number] = line
        try:
            yield line
        finally:
            self.lines.pop(line.number, None)

    def close(self) -> None:
        """Gives the machine back."""
        with self.lock:
            self.closed, sandbox = True, self.sandbox
            self.sandbox = None  # or it would be given back twice
            self._drop("the pool is closed")
        if sandbox is not None:
            _kill(sandbox)

    def _start(self) -> None:
        from e2b_code_interpreter import Sandbox

        options = {name: value for name, value in self.options.items() if value is not None}
        # The programs' own network is none in either case; this also closes the machine's.
        self.sandbox = _service(lambda: Sandbox.create(**{"timeout": LIFETIME, "allow_internet_access": False, **options}))
        _service(lambda: self.sandbox.files.write_files(_files(), user="root"))
        # Its output is read as it comes; the SDK would keep all of it.
        start = functools.partial(self.sandbox.commands.run, _COMMAND, True, user="root", stdin=True, timeout=0)
        self.command = _service(lambda: start(retain_output=False))
        self.extended = self.heard = started = time.monotonic()
        hello = _Line(0, lambda message: None, lambda: time.monotonic() > started + START_SECONDS)
        self.lines[0] = hello
        threading.Thread(target=self._listen, args=(self.command,), daemon=True).start()
        try:
            hello.receive()
        finally:
            self.lines.pop(0, None)

    def _send(self, command: Any, message: dict[str, Any]) -> None:
        if command is not self.command:
            raise SandboxFault("the machine of this session was lost")
        for last_try in (False, False, True):
            try:
                if time.monotonic() > self.extended + LIFETIME / 4:
                    self.extended = time.monotonic()
                    _service(lambda: self.sandbox.set_timeout(LIFETIME))
                _service(lambda: command.send_stdin(json.dumps(message) + "\n"))
                return
            except SandboxFault as fault:  # it may have arrived all the same: the agent looks at the turn
                if last_try or command is not self.command:
                    self._lose(command, str(fault))
                    raise
                time.sleep(PAUSE_SECONDS)

    def _silent(self, command: Any) -> bool:
        """Whether the machine is to be given up, as it then is."""
        if command is self.command and time.monotonic() < self.heard + SILENCE_SECONDS:
            return False
        self._lose(command, f"the machine said nothing for {SILENCE_SECONDS:g} s")
        return True

    def _listen(self, command: Any) -> None:
        """Hands every line that the agent writes to the session it is for, until the stream ends."""
        rest, said, why = "", "", "the machine's agent ended"
        try:
            for out, err, _ in command:
                said = (said + (err or ""))[-300:]
                *whole, rest = (rest + (out or "")).split("\n")
                if command is not self.command:
                    return
                self.heard = time.monotonic()
                for text in whole:
                    message = json.loads(text)
                    line = self.lines.get(message.pop("session"))
                    if line is not None:
                        line.replies.put(message)
        except Exception as error:  # as in `_service`, and what is no message
            why = f"the line to the machine broke: {type(error).__name__}"
        first = self.lines.get(0)
        if first is not None and command is self.command:  # the machine is starting, and locked
            first.replies.put({"fault": f"{why}: {said.strip()}"})
        else:
            self._lose(command, why)

    def _lose(self, command: Any, why: str) -> None:
        """Every session of a machine that is gone is told; the next one starts another."""
        with self.lock:
            if command is self.command:
                self._drop(why)

    def _drop(self, why: str) -> None:
        sandbox, self.sandbox, self.command = self.sandbox, None, None
        for line in list(self.lines.values()):
            line.replies.put({"fault": why})
        if sandbox is not None:
            threading.Thread(target=_kill, args=(sandbox,), daemon=True).start()


def _service(request: Callable[[], Any]) -> Any:
    """What the service answers. Raises `SandboxFault` for what is its own fault, and `UserError` where it refuses the key."""
    from e2b import AuthenticationException

    try:
        return request()
    except AuthenticationException as refused:
        raise UserError(f"e2b refuses the key in E2B_API_KEY: {str(refused).splitlines()[0]}") from None
    except Exception as error:  # of its transports, its protocol and its control plane, which share no class
        raise SandboxFault(f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}") from None


def _kill(sandbox: Any) -> None:
    with contextlib.suppress(Exception):  # it ends by itself, LIFETIME later
        sandbox.kill()


def _files() -> list[dict[str, Any]]:
    """What the agent is made of, as the SDK uploads it."""
    here = Path(__file__).parent
    package = here.parents[1]
    modules = [path for path in sorted(here.rglob("*.py")) if path.stem not in _OUTSIDE]
    sources = {str(path.relative_to(package)): path.read_text() for path in modules}
    sources |= {name: (package / name).read_text() for name in ("core.py", "responses.py")}
    sources |= {"__init__.py": "", "verifiers/__init__.py": ""}
    return [{"path": f"{FOLDER}/tenfold/{name}", "data": text} for name, text in sources.items()]


def _outcome(told: dict[str, Any]) -> Outcome:
    results = tuple(Result(**result) for result in told["results"])
    return Outcome(**{**told, "status": End(told["status"]), "results": results})
