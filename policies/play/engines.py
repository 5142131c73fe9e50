"""`EnginePool`: several engines with copies of one checkpoint, as one policy.

Requests wait in one queue, from which engines take batches as they finish earlier ones. Therefore a slow engine does not hold
up the others. While an engine works on a batch, it already has the next one, so that it does not wait for this process. An
engine that accepts requests at any time, such as vLLM, takes them one by one instead, so that a long one does not hold up
others. A sample depends on its seed and prompt only, so it does not matter which engine computes it.
"""

import asyncio
import concurrent.futures
import contextlib
import itertools
import math
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ...core import Completion, Conversation, Sampling, UserError
from ..transcript import generate_from_tokens
from .async_engine import EngineDied, results

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

LINGER_SECONDS = 0.2
"""Idle engines wait this long for further requests if there are too few for full batches. Our choice."""
AHEAD = 2
"""Batches that an engine has at once: the one that it works on, and the next. Our choice."""
SLOW = 4.0
"""A batch that takes longer than this many times the median duration is also given to an idle engine. If engines take requests
one by one, the longest of the last durations replaces the median, because a long sample is no sign of a slow engine. Our
choice."""
LOOK_SECONDS = 1.0
"""Time between two searches for slow batches. Our choice."""
ATTEMPTS = 3
"""A request fails after this number of engines have died while working on it. It also fails if an engine dies while working on
it, and this number of deaths for each engine of the pool have occurred since the last finished batch. Our choice."""


class Job(NamedTuple):
    """What is computed for each item of a batch."""

    method: str
    """A method of the policy that takes a list of items, or `complete`, whose items are (prompt, seed, limit)."""
    argument: Any = None
    """Its second argument: for `complete` the sampling settings."""


class Engine(Protocol):
    """Computes batches."""

    def start(self, job: Job, items: Sequence[Any]) -> "Future[list[Any]]":
        """Starts `run`. The future raises `EngineDied` if the engine's process ends."""
        ...


def run(policy: Any, job: Job, items: Sequence[Any]) -> list[Any]:
    """Returns the results of a batch, one for each item.

    Args:
        policy: the policy of the engine.
        job: what is computed.
        items: the items.
    """
    if job.method == "complete":
        prompts, seeds, limits = zip(*items, strict=True)
        return list(policy.complete(list(prompts), job.argument, seeds, limits))
    arguments = () if job.argument is None else (job.argument,)
    return list(getattr(policy, job.method)(items, *arguments))


_THREADS = concurrent.futures.ThreadPoolExecutor(256, "tenfold: engine")
"""Threads of `run_async`. Those of asyncio are too few for an engine's batch."""


async def run_async(policy: Any, job: Job, items: Sequence[Any]) -> list[Any]:
    """Does the same as `run` while other batches are computed. The policy has `loop.SupportsSubmit`.

    Args:
        policy: the policy of the engine.
        job: what is computed.
        items: the items.
    """
    if job.method != "complete":
        return await asyncio.get_running_loop().run_in_executor(_THREADS, run, policy, job, items)
    prompts, seeds, limits = zip(*items, strict=True)
    futures = policy.submit(list(prompts), job.argument, seeds, limits)
    return list(await asyncio.gather(*map(asyncio.wrap_future, futures)))


class Request(NamedTuple):
    """An item that waits for its result."""

    number: int
    """Order of the requests."""
    job: Job
    item: Any
    future: "Future[Any]"
    deaths: list[str]
    """Why engines died while working on this request."""


class _Batch(NamedTuple):
    """Requests that an engine works on."""

    number: int
    """Number of the engine."""
    engine: Engine
    requests: list[Request]
    since: float
    """Start, in seconds of `time.monotonic`."""
    is_copy: bool
    """True if another, slow engine works on the same requests."""


class EnginePool:
    """A policy whose requests are shared by several engines. See `transcript.TokenPolicy` and `loop.SupportsSubmit`."""

    def __init__(
        self,
        start: Callable[[int], Engine],
        count: int,
        engine_batch: int,
        tokenizer: "PreTrainedTokenizerBase",
        stop_ids: frozenset[int],
        window: int | None,
        one_by_one: bool = False,
    ):
        """Starts the engines.

        Args:
            start: starts the engine with the given number: at the beginning, and again if it has died.
            count: number of engines.
            engine_batch: largest number of samples that an engine computes at once.
            tokenizer: the checkpoint's.
            stop_ids: tokens that end a turn.
            window: the model's context window in tokens, or None if unknown.
            one_by_one: an engine adds requests to those that it computes, so that they need not be given in batches.
        """
        self.start, self.batch_size = start, count * engine_batch
        self.engine_batch, self.ahead = (1, AHEAD * engine_batch) if one_by_one else (engine_batch, AHEAD)
        self.tokenizer, self.stop_ids, self.window = tokenizer, stop_ids, window
        self.engines: list[Engine | None] = [start(number) for number in range(count)]
        """None: the engine has died, and the next batch starts another."""
        self.numbers, self.starts = itertools.count(), itertools.count()
        self.changed = threading.Condition()
        """Guards the attributes below."""
        self.pending: deque[Request] = deque()
        self.running: dict[int, _Batch] = {}
        """Batches that engines work on, by a running number."""
        self.load = [0] * count
        """Number of batches of each engine."""
        self.durations: deque[float] = deque(maxlen=100)
        self.deaths = 0
        """Number of engines that have died since the last batch was finished."""
        self.thread: threading.Thread | None = None

    def submit(
        self, prompts: Sequence[list[int]], sampling: Sampling, seeds: Sequence[int], limits: Sequence[int]
    ) -> "list[Future[Completion]]":
        """Starts to sample one completion for each prompt. See `loop.SupportsSubmit`.

        Args:
            prompts: see `TokenPolicy.complete`.
            sampling: see `TokenPolicy.complete`.
            seeds: see `TokenPolicy.complete`.
            limits: see `TokenPolicy.complete`.
        """
        return self._queue(Job("complete", sampling), list(zip(prompts, seeds, limits, strict=True)))

    def _queue(self, job: Job, items: Sequence[Any]) -> "list[Future[Any]]":
        """Puts items into the queue."""
        new = [Request(next(self.numbers), job, item, Future(), []) for item in items]
        with self.changed:
            self.pending += new
            self.changed.notify_all()
            if new and self.thread is None:
                self.thread = threading.Thread(target=self._dispatch, daemon=True)
                self.thread.start()
        return [request.future for request in new]

    def complete(
        self, prompts: Sequence[list[int]], sampling: Sampling, seeds: Sequence[int], limits: Sequence[int] | None = None
    ) -> list[Completion]:
        """See `TokenPolicy.complete`.

        Args:
            prompts: see `TokenPolicy.complete`.
            sampling: see `TokenPolicy.complete`.
            seeds: see `TokenPolicy.complete`.
            limits: see `TokenPolicy.complete`.
        """
        return results(self.submit(prompts, sampling, seeds, limits or [sampling.max_tokens] * len(prompts)))

    def generate(
        self, conversations: Sequence[Conversation], samples: int, sampling: Sampling, keys: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        """See `Policy.generate`.

        Args:
            conversations: see `Policy.generate`.
            samples: see `Policy.generate`.
            sampling: see `Policy.generate`.
            keys: see `Policy.generate`.
        """
        return generate_from_tokens(self, conversations, samples, sampling, keys)

    def choice_probabilities(self, conversations: Sequence[Conversation], options: Sequence[str]) -> list[list[float]]:
        """See `core.SupportsChoiceProbabilities`."""
        return results(self._queue(Job("choice_probabilities", tuple(options)), conversations))

    def _dispatch(self) -> None:
        """Gives batches to engines until there is neither a request nor a running batch. Runs in a thread."""
        latest: float | None = None
        """Deadline: at this time a batch is started even if it is not full. None if no request is waiting."""
        look = 0.0
        """Time of the next search for slow batches."""
        with self.changed:
            while self.pending or self.running:
                number = min(range(len(self.engines)), key=self.load.__getitem__)
                is_idle = not self.load[number]
                has_room = is_idle or self.load[number] < self.ahead
                if has_room and len(self.pending) >= self.engine_batch and not (is_idle and self.engine_batch > 1):
                    self._run(number, self._next(self.engine_batch), is_copy=False)
                elif is_idle and self.pending:
                    idle = self.load.count(0)
                    latest = latest or time.monotonic() + LINGER_SECONDS
                    if len(self.pending) < self.engine_batch * idle and (left := latest - time.monotonic()) > 0:
                        self.changed.wait(left)
                        continue
                    share = min(self.engine_batch, math.ceil(len(self.pending) / idle))
                    self._run(number, self._next(share), is_copy=False)
                    latest = latest if self.pending else None
                elif not is_idle:
                    self.changed.wait()
                elif (now := time.monotonic()) < look:
                    self.changed.wait(look - now)
                elif slow := self._slow_batch(number):
                    self._run(number, [request for request in slow.requests if not request.future.done()], is_copy=True)
                else:
                    look = now + LOOK_SECONDS
            self.thread = None

    def _next(self, count: int) -> list[Request]:
        """Removes the next requests of one job from the queue, and returns those whose futures are not done."""
        first = self.pending[0].job
        batch: list[Request] = []
        while self.pending and len(batch) < count and self.pending[0].job == first:
            request = self.pending.popleft()
            batch += [] if request.future.done() else [request]
        return batch

    def _slow_batch(self, number: int) -> _Batch | None:
        """Returns a batch of another engine that takes much longer than others, and that only one engine works on."""
        if not self.durations:
            return None
        usual = statistics.median(self.durations) if self.engine_batch > 1 else max(self.durations)
        limit = time.monotonic() - SLOW * usual
        doubled = {batch.requests[0].number for batch in self.running.values() if batch.is_copy}
        for batch in self.running.values():
            undone = [request.number for request in batch.requests if not request.future.done()]
            if undone and not batch.is_copy and batch.number != number and batch.since < limit and not doubled & {*undone}:
                return batch
        return None

    def _run(self, number: int, requests: list[Request], is_copy: bool) -> None:
        if not requests:
            return
        try:
            engine = self.engines[number] = self.engines[number] or self.start(number)
        except Exception as error:  # else the requests would wait forever
            _answer([(request, error) for request in requests])
            return
        place = next(self.starts)
        batch = self.running[place] = _Batch(number, engine, requests, time.monotonic(), is_copy)
        self.load[number] += 1
        future = engine.start(requests[0].job, [request.item for request in requests])
        future.add_done_callback(lambda future: self._ended(place, batch, future))

    def _ended(self, place: int, batch: _Batch, future: "Future[list[Any]]") -> None:
        """Handles the end of a batch. Runs in a thread of the engine's future."""
        error = future.exception()
        results: list[tuple[Request, Any]] = []
        with self.changed:
            del self.running[place]
            self.load[batch.number] -= 1
            if isinstance(error, EngineDied):
                results = [(request, failure) for request in batch.requests if (failure := self._died(request, error))]
                if self.engines[batch.number] is batch.engine:  # else its death is already counted
                    self.deaths += 1
                    self.engines[batch.number] = None
                failed = {request.number for request, _ in results}
                again = [request for request in batch.requests if request.number not in failed and not request.future.done()]
                self.pending.extendleft(reversed(again))
            elif error:
                results = [(request, error) for request in batch.requests]
            else:
                self.deaths = 0
                self.durations.append(time.monotonic() - batch.since)
                results = list(zip(batch.requests, future.result(), strict=True))
            self.changed.notify_all()
        _answer(results)

    def _died(self, request: Request, error: EngineDied) -> UserError | None:
        """Returns the error of a request whose engine has died; None if the request is tried again."""
        request.deaths.append(str(error))
        if len(request.deaths) >= ATTEMPTS:
            what = f"{len(request.deaths)} engines died while sampling the same requests"
        elif self.deaths >= ATTEMPTS * len(self.engines):
            what = f"engines died {self.deaths} times without finishing a batch"
        else:
            return None
        return UserError(f"{what}; the last cause: {error}")


def _answer(results: Sequence[tuple[Request, Any]]) -> None:
    """Gives each request its result or its error."""
    for request, result in results:
        with contextlib.suppress(concurrent.futures.InvalidStateError):  # another engine was faster
            if isinstance(result, BaseException):
                request.future.set_exception(result)
            else:
                request.future.set_result(result)


class LikelihoodPool(EnginePool):
    """A pool of engines that compute likelihoods, as those of transformers do."""

    def loglikelihoods(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[float, bool]]:
        """See `core.SupportsLoglikelihoods`."""
        return results(self._queue(Job("loglikelihoods"), pairs))
