"""What every sandbox offers: a program in, what it did out, as data."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import fields as dataclass_fields
from enum import StrEnum
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run may use. They hold for the run as a whole, its children included, where the backend can."""

    cpu_seconds: float = 5.0
    """Processor time of the run, or of a session from its start to its end. Where no control group counts it, each process has
    so much, in whole seconds."""
    wall_seconds: float = 15.0
    """Of the run's own: time that it stood in line for a processor does not count, where the backend can tell."""
    memory: int = 512 << 20
    """Bytes."""
    processes: int = 16
    """Processes and threads at once."""
    output: int = 1 << 20
    """Bytes of standard output, and as many of standard error."""
    disk: int = 32 << 20
    """Bytes of files."""


@dataclass(frozen=True, slots=True)
class Call:
    """A function of the program's to call."""

    function: str
    arguments: Sequence[Any] = ()
    keywords: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Question:
    """A call as it travels, its values as forms (see `wire.encode`). One program's may be carried to another as it is."""

    function: str
    arguments: Sequence[Any]
    keywords: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Result:
    """What a call or a piece of program came to."""

    value: Any = None
    """The value's form (see `wire.encode`): compare it as it is."""
    error: str | None = None
    """The exception's class and text, where there was one."""
    printed: str = ""
    """What was written to standard output, then to standard error, meanwhile; of a run's calls it is not told apart."""
    raised: Any = None
    """The exception as it travels (see `errors.form_of`), where it is an error, which tests may expect."""


class End(StrEnum):
    """How a run ended."""

    FINISHED = "finished"
    """It ran to its end."""
    ERROR = "error"
    """It raised, or left with a status other than 0, or left before it had answered."""
    TIMEOUT = "timeout"
    """It used up its processor or wall time."""
    MEMORY = "memory"
    """It used up its memory."""
    OUTPUT = "output"
    """It wrote more than it may."""
    KILLED = "killed"
    """A signal of its own making ended it, say a segmentation fault."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run did. Every field of it is the program's claim but for the status and the measurements."""

    status: End
    results: tuple[Result, ...]
    """Of the calls, in order; fewer than asked for where the run ended early."""
    stdout: str
    stderr: str
    cpu_seconds: float
    wall_seconds: float
    peak_memory: int | None
    """Bytes; None where the backend cannot tell."""
    reason: str = ""
    """One line on why it ended, where that was not by itself."""
    waited_seconds: float = 0.0
    """Of the wall time, what it is known to have stood in line for a processor."""


def fields(record: Limits | Question | Result | Outcome) -> dict[str, Any]:
    """A record's fields by name. Values stay as they are: a program's may be nested too deeply to be copied."""
    return {part.name: getattr(record, part.name) for part in dataclass_fields(record)}


class SandboxFault(Exception):
    """The sandbox failed, not the program: a worker died, a service was down. Never a reason for a score of 0."""


class Ended(Exception):
    """The program is gone; `Session.close` tells how."""


class Session(Protocol):
    """A program that is kept running: defined piece by piece, called again and again."""

    def execute(
        self, source: str, answer: Callable[[Question], Result] | None = None, asks: Sequence[str] = (), show: bool = False
    ) -> Result:
        """Runs a piece of program in the session's namespace; the value of a last expression is the result's.

        Args:
            source: Python.
            answer: called when the program calls one of the names in `asks`.
            asks: functions of the program that are answered from outside.
            show: the value comes as the text that Python shows for it.

        Raises:
            Ended: the program is gone.
            SandboxFault: ours.
        """
        ...

    def define(self, source: str) -> Result:
        """Runs a program whose functions are to be called, as a module that is imported: `__name__` is not `__main__`.

        Raises as `execute` does.
        """
        ...

    def call(self, call: Call) -> Result:
        """Calls a function that was defined; raises as `execute` does. A program that leaves meanwhile is an error."""
        ...

    def relay(self, question: Question) -> Result:
        """Calls a function with values that nobody on the way has to build; raises as `execute` does."""
        ...

    def close(self) -> Outcome:
        """Ends the program and tells what it did."""
        ...


class Sandbox(Protocol):
    """Where untrusted programs run. Safe to use from many threads."""

    round_trip_seconds: float
    """What asking it may take beside the program's own time."""

    def run(self, program: str, calls: Sequence[Call] = (), stdin: str | None = None, limits: Limits | None = None) -> Outcome:
        """Runs a Python program to its end: as a script that reads `stdin`, or its functions called.

        Raises:
            SandboxFault: ours.
        """
        ...

    def open(self, limits: Limits | None = None) -> Session:
        """A session; close it. Raises `SandboxFault`."""
        ...
