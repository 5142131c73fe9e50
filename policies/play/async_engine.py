"""`AsyncRequests`: requests to an engine with an asyncio interface, from any thread and at any time.

The engine's event loop runs in a thread. A request joins those that the engine computes, and its future is done as soon as it
ends. Therefore a long request does not hold up shorter ones, nor those that come later.
"""

import asyncio
import concurrent.futures
import itertools
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from ...core import UserError

Result = TypeVar("Result")
CLOSE_SECONDS = 5.0
"""Longest wait for the event loop's end. Our choice."""
WATCH_SECONDS = 1.0
"""Time between two looks whether the engine has died. Our choice."""


class EngineDied(UserError):
    """The process of an engine has ended."""


class AsyncEngine(Protocol):
    """The part of `vllm.AsyncLLMEngine` that this module uses."""

    @property
    def errored(self) -> bool:
        """True if the engine's process has ended."""
        ...

    def generate(self, prompt: Any, sampling_params: Any, request_id: str) -> AsyncIterator[Any]:
        """Yields outputs of a request; the last one is complete."""
        ...

    def shutdown(self) -> None:
        """Ends the engine's processes. Open requests raise an error."""
        ...


class AsyncRequests:
    """Requests to one engine. The engine is shut down when this object is collected, and when Python ends."""

    def __init__(self, engine: AsyncEngine, died: str):
        """Starts the thread of the event loop.

        Args:
            engine: the engine. No event loop has used it before.
            died: message of the error of all open requests if the engine dies.
        """
        self.engine, self.died = engine, died
        self.numbers = itertools.count()
        self.loop = asyncio.new_event_loop()
        # A daemon: Python does not wait for it, so that an interrupt ends the process although requests are open.
        thread = threading.Thread(target=self.loop.run_forever, daemon=True, name="tenfold: engine")
        thread.start()
        asyncio.run_coroutine_threadsafe(_watch(engine), self.loop)
        self.close = weakref.finalize(self, _close, engine, self.loop, thread)

    def submit(self, prompt: Any, settings: Any, convert: Callable[[Any], Result]) -> "Future[Result]":
        """Starts a request. To cancel the future removes the request from the engine.

        Args:
            prompt: the engine's prompt.
            settings: the engine's settings of the sample.
            convert: converts the last output to the result. It runs in the thread of the event loop.

        Returns:
            The future of the result. It raises `EngineDied` if the engine dies.
        """
        request = _result(self.engine, self.died, prompt, settings, str(next(self.numbers)), convert)
        return asyncio.run_coroutine_threadsafe(request, self.loop)


async def _watch(engine: AsyncEngine) -> None:
    """Cancels all open requests when the engine has died. vLLM reports its death only to requests that it has accepted."""
    while not engine.errored:
        await asyncio.sleep(WATCH_SECONDS)
    await _end_tasks()


async def _result(
    engine: AsyncEngine, died: str, prompt: Any, settings: Any, name: str, convert: Callable[[Any], Result]
) -> Result:
    """Returns the result of a request.

    This function is not a method, because an open request would then keep `AsyncRequests` from being collected.
    """
    try:
        outputs = [output async for output in engine.generate(prompt, settings, name)]
    except (Exception, asyncio.CancelledError):
        if engine.errored:
            raise EngineDied(died) from None
        raise
    return convert(outputs[-1])


def _close(engine: AsyncEngine, loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    """Shuts down the engine, and ends the thread of the event loop."""
    engine.shutdown()
    asyncio.run_coroutine_threadsafe(_end_tasks(), loop).add_done_callback(lambda _: loop.call_soon_threadsafe(loop.stop))
    if thread is not threading.current_thread():
        thread.join(CLOSE_SECONDS)


async def _end_tasks() -> None:
    """Cancels all other tasks of the event loop. Otherwise Python would report those that are pending at its end."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.sleep(0)  # all of them begin, because a task that has not begun cannot handle that it is cancelled
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def results(futures: "Sequence[Future[Result]]") -> list[Result]:
    """Waits for all futures, and returns their results. The first error is raised, and cancels the others."""
    try:
        for future in concurrent.futures.as_completed(futures):
            future.result()
        return [future.result() for future in futures]
    except BaseException:
        for future in futures:
            future.cancel()
        raise
