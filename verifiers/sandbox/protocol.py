"""The interface that every sandbox implements: it runs a program and returns the outcome as data.

The supervisor is the process that uses the sandbox. It holds the expected values and enforces the limits.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import fields as dataclass_fields
from enum import StrEnum
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one run. They apply to the run as a whole, child processes included, if the backend can enforce that."""

    cpu_seconds: float = 5.0
    """Processor time of the run, or of a whole session. Without a control group that counts it, the limit applies to each
    process separately, in whole seconds."""
    wall_seconds: float = 15.0
    """Wall time. The time that the run waited for a processor is not counted if the backend can measure it."""
    memory: int = 512 << 20
    """Bytes."""
    processes: int = 16
    """Processes and threads at the same time."""
    output: int = 1 << 20
    """Bytes of standard output, and the same number of bytes of standard error."""
    disk: int = 32 << 20
    """Bytes of files."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call of one of the program's functions."""

    function: str
    arguments: Sequence[object] = ()
    keywords: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EncodedCall:
    """A call whose arguments are encoded (see `wire.encode`). It can be passed from one program to another unchanged."""

    function: str
    arguments: Sequence[Any]
    keywords: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CallResult:
    """Result of a call, or of a piece of source that was executed."""

    value: Any = None
    """The encoded value (see `wire.encode`). Compare it in this form."""
    error: str | None = None
    """Class and text of the exception; None if there was none."""
    printed: str = ""
    """Standard output, then standard error, that was written during the call. Empty for the calls of `Sandbox.run`, whose
    outputs cannot be separated."""
    raised: Any = None
    """The encoded exception (see `errors.encode_error`) if it is an error that tests may expect."""


class RunStatus(StrEnum):
    """How a run ended."""

    FINISHED = "finished"
    """The program ran to its end."""
    ERROR = "error"
    """The program raised an exception, exited with a status other than 0, or exited before it replied."""
    TIMEOUT = "timeout"
    """The program reached its limit of processor time or wall time."""
    MEMORY = "memory"
    """The program reached its memory limit."""
    OUTPUT = "output"
    """The program wrote more than its output limit, or sent a malformed or too large reply."""
    KILLED = "killed"
    """The program was ended by a signal that it caused, for example after a segmentation fault."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of a run.

    The status, the reason and the measurements come from the supervisor; the reason may quote an error message of the program.
    The results and the output come from the program and are not trusted.
    """

    status: RunStatus
    results: tuple[CallResult, ...]
    """Results of the calls, in order. There are fewer results than calls if the run ended early."""
    stdout: str
    stderr: str
    cpu_seconds: float
    """Without those of a build that succeeded, like the wall time."""
    wall_seconds: float
    peak_memory: int | None
    """Bytes; None if the backend cannot measure it."""
    reason: str = ""
    """One line that says why the run ended; empty if the program ran to its end."""
    waited_seconds: float = 0.0
    """The part of the wall time in which the run is known to have waited for a processor."""


def fields(record: Limits | EncodedCall | CallResult | Outcome) -> dict[str, Any]:
    """Returns a record's fields by name, without copying values: a program's value may be nested too deeply to be copied."""
    return {part.name: getattr(record, part.name) for part in dataclass_fields(record)}


class SandboxFault(Exception):
    """The sandbox failed, not the program: a worker died or a service was down. It never leads to a score of 0."""


class ProgramEnded(Exception):
    """The program has ended. `Session.close` returns the reason."""


class Session(Protocol):
    """A program that keeps running: pieces of source are executed in it and its functions are called, any number of times."""

    def execute(
        self,
        source: str,
        handler: Callable[[EncodedCall], CallResult] | None = None,
        external: Sequence[str] = (),
        as_text: bool = False,
    ) -> CallResult:
        """Executes source in the session's namespace. The result's value is that of the last statement if it is an expression.

        Args:
            source: Python.
            handler: called with each call that the program makes to one of the `external` functions; returns its result.
            external: names of functions that exist outside of the sandbox and that the program may call.
            as_text: return the value's `repr` in place of the value.

        Raises:
            ProgramEnded: the program has ended.
            SandboxFault: the sandbox failed.
        """
        ...

    def define(self, source: str) -> CallResult:
        """Executes a program whose functions will be called. `__name__` is not `__main__`, as in an imported module.

        Raises the same exceptions as `execute`.
        """
        ...

    def call(self, call: Call) -> CallResult:
        """Calls a function of the program. If the program exits during the call, the result is an error.

        Raises the same exceptions as `execute`.
        """
        ...

    def call_encoded(self, call: EncodedCall) -> CallResult:
        """Calls a function with encoded arguments, which only the program's own process decodes.

        Raises the same exceptions as `execute`.
        """
        ...

    def close(self) -> Outcome:
        """Ends the program and returns its outcome."""
        ...


class Sandbox(Protocol):
    """Runs untrusted programs. Safe to use from many threads."""

    round_trip_seconds: float
    """Wall time that a request may take in addition to the program's own time."""

    def run(self, program: str, calls: Sequence[Call] = (), stdin: str | None = None, limits: Limits | None = None) -> Outcome:
        """Runs a Python program to its end: as a script, or by calling its functions.

        Args:
            program: Python source.
            calls: calls of the program's functions. Without calls, the program runs as a script.
            stdin: standard input of a script.
            limits: defaults to `Limits()`.

        Raises:
            UserError: this machine lacks a protection.
            SandboxFault: the sandbox failed.
        """
        ...

    def open(self, limits: Limits | None = None) -> Session:
        """Opens a session; the caller closes it. Raises the same exceptions as `run`."""
        ...
