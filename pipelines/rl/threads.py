"""Threads in which environments and verifiers work while an event loop goes on."""

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

THREADS = 128
"""Calls of a process that may be under way at once."""


async def in_thread(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Calls a function in a thread of its own: asyncio's few would wait for a slow verifier, all of them."""
    return await asyncio.get_running_loop().run_in_executor(_threads(), functools.partial(function, *arguments, **options))


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="environment")
