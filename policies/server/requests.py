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

    for _ in range(min(max_threads, len(futures))):
        threading.Thread(target=run, daemon=True).start()
    return futures


def wait_for_all(futures: "Sequence[Future[Result]]") -> "list[Future[Result]]":
    """Waits for all futures. After an interrupt such as Ctrl-C, unfinished futures are replaced by futures with that error."""
    try:
        concurrent.futures.wait(futures)
        return list(futures)
    except KeyboardInterrupt as interrupt:
        finished: list[Future[Result]] = []
        for future in futures:
            future.cancel()
            if future.cancelled() or not future.done():
                future = Future()
                future.set_exception(interrupt)
            finished.append(future)
        return finished
