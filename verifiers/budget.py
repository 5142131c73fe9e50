"""How much processor time a verdict may take in the process that asks for it.

    with limit(SECONDS):
        for line in lines:
            in_time()        # raises OutOfTime once the thread has used its time
            ...

What reads a response is linear in its length, and looks at the clock between its steps; no step is long. So a budget holds in
any thread and process, without signals. A verifier that runs out of time gives TIMEOUT (see `verifier.FunctionVerifier`).
"""

import contextlib
import math
import threading
import time
from collections.abc import Iterator

SECONDS = 1.0
"""What reading a response, and the evaluations of one verdict, may take."""


class OutOfTime(Exception):
    """The response takes more time than a verdict has."""


class _Deadline(threading.local):
    seconds = math.inf
    """On this thread's processor clock, without the time that does not count."""
    earliest = math.inf
    """On the clock on the wall: before, no processor can have worked for so long. To read this clock costs a twentieth."""
    uncounted = 0.0


_deadline = _Deadline()


def _clock() -> float:
    return time.thread_time() - _deadline.uncounted


@contextlib.contextmanager
def limit(seconds: float) -> Iterator[None]:
    """Gives this thread so much processor time for what it does within; a limit around this one holds, too."""
    before, earliest = _deadline.seconds, _deadline.earliest
    _deadline.seconds = min(before, _clock() + seconds)
    _deadline.earliest = min(earliest, time.perf_counter() + seconds)
    try:
        yield
    finally:
        _deadline.seconds, _deadline.earliest = before, earliest


@contextlib.contextmanager
def uncounted() -> Iterator[None]:
    """For what is made once in a process, such as a table of units: no response is to blame for its time."""
    begun = time.thread_time()
    try:
        yield
    finally:
        _deadline.uncounted += time.thread_time() - begun


def is_spent() -> bool:
    """Whether this thread has used up its time; never without a limit."""
    return time.perf_counter() >= _deadline.earliest and _clock() > _deadline.seconds


def in_time() -> None:
    """Raises `OutOfTime` where this thread has used up its time."""
    if is_spent():
        raise OutOfTime("it takes too long to judge")
