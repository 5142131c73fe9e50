"""The signals that ask a process to end: SIGTERM and SIGHUP act as Ctrl-C does."""

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
    """Another process asked this one to end."""

    def __init__(self, number: int):
        """Takes the signal's number."""
        super().__init__(signal.Signals(number).name)
        self.number = number


def number_of(error: KeyboardInterrupt) -> int:
    """The signal that an interrupt came from; Ctrl-C is SIGINT."""
    return error.number if isinstance(error, Ended) else INTERRUPT


@contextlib.contextmanager
def heard() -> Iterator[None]:
    """Raises `Ended` in the main thread when SIGTERM or SIGHUP comes. One that is ignored (`nohup`) stays so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    owner = os.getpid()

    def end(number: int, frame: FrameType | None) -> None:
        if os.getpid() != owner:  # a fork that this was handed down to
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        for stream in (sys.stdout, sys.stderr):
            leave(stream)
        raise Ended(number)

    before = {number: signal.getsignal(number) for number in ENDING}
    taken = [number for number, handler in before.items() if handler == signal.SIG_DFL]
    for number in taken:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, before[number])


def leave(stream: TextIO) -> bool:
    """Sends what is still to be printed nowhere, where the terminal or the reader of a stream is gone; whether it was."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        looked = select.poll()
        looked.register(stream.fileno(), 0)
        if looked.poll(0):  # it hung up
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
            return True
    return False
