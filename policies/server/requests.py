"""Requests to a server, many at once, in threads that an interrupt does not wait for.

The threads of `concurrent.futures` are waited for when Python ends: a server that takes minutes would hold up Ctrl-C as long.
"""

import concurrent.futures
import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def begun(work: Callable[[Item], Answer], items: Iterable[Item], most: int) -> "list[Future[Answer]]":
    """Begins work on items in as many threads as given, which end with the process.

    Args:
        work: is given an item.
        items: all of them.
        most: items worked on at once.
    """
    waiting: queue.SimpleQueue[tuple[Future[Answer], Item]] = queue.SimpleQueue()
    futures: list[Future[Answer]] = []
    for item in items:
        futures.append(Future())
        waiting.put((futures[-1], item))

    def serve() -> None:
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

    for _ in range(min(most, len(futures))):
        threading.Thread(target=serve, daemon=True).start()
    return futures


def settled(asked: "Sequence[Future[Any]]") -> "list[Future[Any]]":
    """Waits for all. Where Ctrl-C or another signal comes first, what is not done is let go of, and has that as its error."""
    try:
        concurrent.futures.wait(asked)
        return list(asked)
    except KeyboardInterrupt as interrupt:
        found = []
        for future in asked:
            future.cancel()
            if future.cancelled() or not future.done():
                future = Future()
                future.set_exception(interrupt)
            found.append(future)
        return found
