"""`Services`: the leaderboard's own service classes, in a sandbox.

The classes are those of the package bfcl-eval. Its source is read as data and executed in the sandbox only.
"""

import contextlib
import functools
import hashlib
import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...core import UserError
from ...verifiers.sandbox import Call, CallResult, Limits, ProgramEnded, SandboxFault, Session, shared
from ..problems.function_calls import package_data
from . import calls
from .inside import program

CODE = "eval_checker/multi_turn_eval/func_source_code"
"""Folder of the classes in the package."""
MODULES = {
    "GorillaFileSystem": "gorilla_file_system",
    "MathAPI": "math_api",
    "MessageAPI": "message_api",
    "TwitterAPI": "posting_api",
    "TicketAPI": "ticket_api",
    "TradingBot": "trading_bot",
    "TravelAPI": "travel_booking",
    "VehicleControlAPI": "vehicle_control",
}
"""The module of each class. The file with the declarations of its functions has the same name."""
AGENTIC_MODULES = {
    "MemoryAPI_kv": "memory_kv",
    "MemoryAPI_vector": "memory_vector",
    "MemoryAPI_rec_sum": "memory_rec_sum",
    "WebSearchAPI": "web_search",
}
"""The same for the classes of the agentic categories, which are used one at a time."""
SHARED = "long_context"
"""A module that others import."""
PACKAGE = f"bfcl_eval.{CODE.replace('/', '.')}"
"""The package that the classes import each other from."""
LIMITS = Limits(cpu_seconds=30.0, wall_seconds=30.0)
"""Limits of the services of an episode; the wall time is for each request. Our choice: an episode takes some milliseconds."""

Sources = Sequence[tuple[str, str]]
"""The name and the source of modules."""


class Stopped(Exception):
    """The services ended or raised an error, for example at a limit of time. The message says why."""


class Services:
    """The services of an episode: one set for the policy, and one for the gold calls. Close it at the end.

    They start with the first request, so that an episode without calls costs nothing.
    """

    def __init__(self, classes: Sequence[str], config: Mapping[str, object], long_context: bool):
        """Checks the names of the classes. Nothing is started yet.

        Args:
            classes: names of the classes.
            config: initial state by class.
            long_context: fill the services with much further text.

        Raises:
            UserError: there is no such class.
        """
        if unknown := {*classes} - MODULES.keys():
            raise UserError(f"BFCL-V4 has no class {min(unknown)!r}; its classes are {', '.join(MODULES)}")
        modules = {name: MODULES[name] for name in classes}
        self._session: Session | None = None
        self._given: dict[str, object] = {
            "libraries": [],
            "sources": [(name, source(name)) for name in dict.fromkeys((SHARED, *modules.values()))],
            "package": PACKAGE,
            "classes": modules,
            "config": config,
            "long_context": long_context,
            "sets": ("policy", "gold"),
        }

    def run(self, texts: Sequence[str], gold: bool = False) -> list[str]:
        """Executes calls; returns their results.

        Args:
            texts: the calls; see `calls.py`.
            gold: whether these are gold calls.

        Raises:
            UserError: the services reject their initial state.
            Stopped: the services reached a limit. They cannot be used again.
            SandboxFault: the sandbox failed.
        """
        listed = [*map(calls.parsed_or_error, texts)]
        found: list[str] = json.loads(self._ask("run", {"services": "gold" if gold else "policy", "calls": listed}))
        return found

    def difference(self) -> str:
        """Returns the first attribute of the policy's services that differs from that after the gold calls; empty if none."""
        return self._ask("difference")

    def close(self) -> None:
        """Ends the services."""
        session, self._session = self._session, None
        if session is not None:
            with contextlib.suppress(SandboxFault):  # the session has ended with its sandbox
                session.close()

    def _start(self) -> None:
        self._session = shared().open(LIMITS)
        self._session.define(inspect.getsource(program))
        try:
            self._ask("start", self._given)
        except Stopped as stopped:
            self.close()
            raise UserError(f"the services reject their initial state: {stopped}") from None

    def _ask(self, function: str, given: object = None) -> str:
        if self._session is None:
            self._start()
        assert self._session is not None
        try:
            result = self._called(self._session, function, () if given is None else (json.dumps(given),))
        except ProgramEnded:
            session, self._session = self._session, None
            raise Stopped(session.close().reason) from None
        if result.error is not None:
            raise Stopped(result.error)
        return str(result.value or "")

    def _called(self, session: Session, function: str, arguments: Sequence[str]) -> CallResult:
        return session.call(Call(function, arguments))


def package() -> Path:
    """Returns the folder of the package bfcl-eval.

    Raises:
        UserError: it is not installed.
    """
    return package_data("BFCL-V4").parent


@functools.cache
def source(module: str) -> str:
    """Returns the source of a module with services."""
    return (package() / CODE / f"{module}.py").read_text(encoding="utf-8")


def digest(classes: Sequence[str]) -> str:
    """Returns the SHA-256 of the source of services, which decides the results of calls."""
    return digest_of([*map(source, sorted({SHARED, *(MODULES[name] for name in classes)}))])


def digest_of(sources: Sequence[str]) -> str:
    """Returns the SHA-256 of source texts."""
    return hashlib.sha256("\n".join(sources).encode()).hexdigest()
