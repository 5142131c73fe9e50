"""SIGTERM and SIGHUP end a process as Ctrl-C does."""

import contextlib
import os
import select
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import TextIO

ENDING = (signal.SIGTERM, signal.SIGHUP)
INTERRUPT, PIPE = int(signal.SIGINT), int(signal.SIGPIPE)


class Ended(KeyboardInterrupt):
    """A signal of another process ended this one."""

    def __init__(self, number: int):
        """Sets the signal's number."""
        super().__init__(signal.Signals(number).name)
        self.number = number


def number_of(error: KeyboardInterrupt) -> int:
    """Returns the number of the signal that caused an interrupt; Ctrl-C is SIGINT."""
    return error.number if isinstance(error, Ended) else INTERRUPT


@contextlib.contextmanager
def as_interrupts() -> Iterator[None]:
    """Raises `Ended` in the main thread on SIGTERM or SIGHUP. An ignored signal (`nohup`) stays ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    owner = os.getpid()

    def end(number: int, frame: FrameType | None) -> None:
        if os.getpid() != owner:  # a forked process inherited this handler
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        for stream in (sys.stdout, sys.stderr):
            discard_if_closed(stream)
        raise Ended(number)

    before = {number: signal.getsignal(number) for number in ENDING}
    handled = [number for number, handler in before.items() if handler == signal.SIG_DFL]
    for number in handled:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, before[number])


def discard_if_closed(stream: TextIO) -> bool:
    """Discards further output of a stream whose terminal or reader is closed. Returns True if it is closed."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        poll = select.poll()
        poll.register(stream.fileno(), 0)
        if poll.poll(0):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)
            return True
    return False
