"""Threads for environments and verifiers, so that they do not block the event loop."""

import asyncio
import functools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

THREADS = 128
"""Largest number of simultaneous calls in a process. Our choice."""
T = TypeVar("T")


async def in_thread(function: Callable[..., T], *arguments: object, **options: object) -> T:
    """Calls a function in a thread. asyncio's own pool is not used, because slow verifiers could occupy its few threads.

    Args:
        function: function to call.
        arguments: its positional arguments.
        options: its keyword arguments.
    """
    return await asyncio.get_running_loop().run_in_executor(_threads(), functools.partial(function, *arguments, **options))


async def timed(function: Callable[..., T], *arguments: object, **options: object) -> tuple[T, float]:
    """Calls a function in a thread; returns its result and its own duration in seconds, without waiting for the thread.

    Args:
        function: function to call.
        arguments: its positional arguments.
        options: its keyword arguments.
    """

    def call() -> tuple[T, float]:
        started = time.monotonic()
        result = function(*arguments, **options)
        return result, time.monotonic() - started

    return await in_thread(call)


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="environment")
