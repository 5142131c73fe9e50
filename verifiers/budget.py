"""A limit on the processor time of a verdict, for code that runs in the calling process.

    with limit(SECONDS):
        for line in lines:
            check_time()        # raises OutOfTime once the thread has used its time
            ...

Code that reads a response takes time linear in its length, and checks the limit between its steps, each of which is short. So
the limit works in any thread and process, without signals. A verifier that runs out of time returns TIMEOUT (see
`verifier.FunctionVerifier`).
"""

import contextlib
import math
import threading
import time
from collections.abc import Iterator

SECONDS = 1.0
"""Processor seconds for reading a response, and for all evaluations of one verdict. Our choice."""


class OutOfTime(Exception):
    """Judging the response takes more processor time than the limit."""


class _Deadline(threading.local):
    seconds = math.inf
    """Limit on this thread's processor clock, without the uncounted time."""
    earliest = math.inf
    """Wall time before which the limit cannot have been reached. Reading the wall clock takes a twentieth of the time of
    reading the processor clock."""
    uncounted = 0.0
    """Processor seconds of this thread that do not count."""


_deadline = _Deadline()


def _clock() -> float:
    return time.thread_time() - _deadline.uncounted


@contextlib.contextmanager
def limit(seconds: float) -> Iterator[None]:
    """Limits this thread's processor time inside the block, in addition to any limit around it."""
    before, earliest = _deadline.seconds, _deadline.earliest
    _deadline.seconds = min(before, _clock() + seconds)
    _deadline.earliest = min(earliest, time.perf_counter() + seconds)
    try:
        yield
    finally:
        _deadline.seconds, _deadline.earliest = before, earliest


@contextlib.contextmanager
def uncounted() -> Iterator[None]:
    """Excludes the block's processor time. For work that is done once per process, such as making a table of units."""
    started = time.thread_time()
    try:
        yield
    finally:
        _deadline.uncounted += time.thread_time() - started


def is_spent() -> bool:
    """True if this thread has used up its time; False without a limit."""
    return time.perf_counter() >= _deadline.earliest and _clock() > _deadline.seconds


def check_time() -> None:
    """Raises `OutOfTime` if this thread has used up its time."""
    if is_spent():
        raise OutOfTime("judging the response takes too long")
