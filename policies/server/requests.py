"""Concurrent requests in daemon threads.

Python waits for the threads of `concurrent.futures` when it ends, so a slow server would delay the end of the process after
Ctrl-C. Python does not wait for daemon threads.
"""

import concurrent.futures
import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def submit(work: Callable[[Item], Result], items: Iterable[Item], max_threads: int) -> "list[Future[Result]]":
    """Starts work on all items in daemon threads, and returns one future for each item.

    Args:
        work: called with each item.
        items: the items.
        max_threads: maximum number of concurrent calls.
    """
    futures, run = _queued(work, items)
    _start(run, futures, max_threads)
    return futures


def finished(work: Callable[[Item], Result], items: Iterable[Item], max_threads: int) -> "list[Future[Result]]":
    """Does work on all items in daemon threads. Returns one future for each item when all have ended.

    After an interrupt such as Ctrl-C, unfinished futures are replaced by futures with that error.

    Args:
        work: called with each item.
        items: the items.
        max_threads: maximum number of concurrent calls.
    """
    futures, run = _queued(work, items)
    try:
        _start(run, futures, max_threads)  # an interrupt may come before all threads have started
        concurrent.futures.wait(futures)
        return futures
    except KeyboardInterrupt as interrupt:
        ended: list[Future[Result]] = []
        for future in futures:
            future.cancel()
            if future.cancelled() or not future.done():
                future = Future()
                future.set_exception(interrupt)
            ended.append(future)
        return ended


def _queued(work: Callable[[Item], Result], items: Iterable[Item]) -> "tuple[list[Future[Result]], Callable[[], None]]":
    """Returns a future for each item, and a function that does the work until no item is left."""
    waiting: queue.SimpleQueue[tuple[Future[Result], Item]] = queue.SimpleQueue()
    futures: list[Future[Result]] = []
    for item in items:
        futures.append(Future())
        waiting.put((futures[-1], item))

    def run() -> None:
        while True:
            try:
                future, item = waiting.get_nowait()
            except queue.Empty:
                return
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(work(item))
                except BaseException as error:
                    future.set_exception(error)

    return futures, run


def _start(run: Callable[[], None], futures: "Sequence[Future[Result]]", max_threads: int) -> None:
    for _ in range(min(max_threads, len(futures))):
        threading.Thread(target=run, daemon=True).start()
