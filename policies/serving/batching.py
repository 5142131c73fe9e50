"""Samples of concurrent requests in common batches.

One thread runs the policy. It takes the oldest draw that waits and all others with the same settings, up to the policy's batch
size, so that draws that arrive during a batch form the next one. Each draw has its own seed, so that its text does not depend
on the batch. A draw that is cancelled while it waits is not computed; one in a batch ends at its next token if the policy can
be observed (`transcript.SupportsObserver`), else with the batch.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field, replace
from typing import TypeVar

from ...core import Completion, Conversation, Policy, Sampling, SamplingIncomplete, batch_size
from ..likelihoods import SupportsTokenScores, TokenScore
from ..scripted import ScriptedPolicy
from ..transcript import SupportsObserver, TokenPolicy
from .errors import RequestError

MOST_WAITING = 4096
"""Largest number of draws that wait. Our choice."""
GATHER = 0.005
"""Seconds that an idle policy waits for draws that arrive with the first one. Our choice."""


@dataclass(eq=False, slots=True)
class Draw:
    """One sample that a request asks for."""

    conversation: Conversation
    prompt: list[int]
    """The tokens of the prompt; empty for a policy without a tokenizer."""
    sampling: Sampling
    seed: int
    """The seed of this sample; `sampling.seed` is not used."""
    result: Future[Completion] = field(default_factory=Future)
    tokens: list[int] = field(default_factory=list)
    """The tokens so far. They grow only if the policy can be observed."""


@dataclass(eq=False, slots=True)
class Scoring:
    """Given tokens whose log-probabilities a request asks for."""

    tokens: list[int]
    sampling: Sampling
    top: int
    result: Future[list[TokenScore]] = field(default_factory=Future)


Work = Draw | Scoring
Result = TypeVar("Result")


def _kind(work: Work) -> Hashable:
    """Returns a key that is equal for work that may be in one batch."""
    if isinstance(work, Scoring):
        return Scoring, replace(work.sampling, max_tokens=1), work.top
    return Draw, work.sampling if not work.prompt else replace(work.sampling, max_tokens=1)


class Batches:
    """Runs a policy for concurrent requests."""

    def __init__(self, policy: Policy, most_waiting: int = MOST_WAITING):
        """Starts the thread.

        Args:
            policy: the policy.
            most_waiting: largest number of draws that wait.
        """
        self.policy, self.most_waiting = policy, most_waiting
        self.size = batch_size(policy)
        self._waiting: deque[Work] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="policy", daemon=True)
        self._thread.start()

    def submit(self, works: Sequence[Work]) -> None:
        """Adds work. Its futures get the results.

        Raises:
            RequestError: too much work waits, or the server ends.
        """
        with self._changed:
            if self._closed:
                raise ending()
            if len(self._waiting) + len(works) > self.most_waiting:
                self._waiting = deque(work for work in self._waiting if not work.result.done())
            if len(self._waiting) + len(works) > self.most_waiting:
                raise RequestError("too many requests wait; send it again later", 429, code="rate_limit_exceeded")
            self._waiting.extend(works)
            self._changed.notify()

    @property
    def waiting(self) -> int:
        """Number of draws and scorings that wait, without cancelled ones."""
        with self._changed:
            return sum(not work.result.done() for work in self._waiting)

    def close(self) -> None:
        """Ends work that waits with an error, and samples that can be observed at their next token; then the thread ends."""
        with self._changed:
            self._closed = True
            waiting, self._waiting = self._waiting, deque()
            self._changed.notify()
        for work in waiting:
            fail(work, ending())

    def join(self, seconds: float) -> None:
        """Waits until the thread has ended."""
        self._thread.join(seconds)

    def _run(self) -> None:
        try:
            while batch := self._next():
                _finish(self._compute, batch)
        finally:  # else requests would wait forever after a fault of this thread
            self.close()

    def _next(self) -> list[Work]:
        """Returns the next batch; it is empty if there is none because the server ends."""
        with self._changed:
            while not self._closed:
                if not self._waiting:
                    self._changed.wait_for(lambda: self._waiting or self._closed)
                    self._changed.wait_for(lambda: len(self._waiting) >= self.size or self._closed, GATHER)
                self._waiting = deque(work for work in self._waiting if not work.result.done())  # without cancelled ones
                if self._waiting:
                    return self._taken()
            return []

    def _taken(self) -> list[Work]:
        """Takes the oldest work, and all that may be in its batch."""
        kind = _kind(self._waiting[0])
        batch: list[Work] = []
        others: deque[Work] = deque()
        for work in self._waiting:
            (batch if len(batch) < self.size and _kind(work) == kind else others).append(work)
        self._waiting = others
        return batch

    def _compute(self, batch: Sequence[Work]) -> None:
        scorings = [work for work in batch if isinstance(work, Scoring)]
        draws = [work for work in batch if isinstance(work, Draw)]
        if scorings and isinstance(self.policy, SupportsTokenScores):
            first = scorings[0]
            rows = self.policy.token_scores([work.tokens for work in scorings], first.sampling, first.top)
            for work, row in zip(scorings, rows, strict=True):
                settle(work.result, row)
        if draws:
            self._draw(draws)

    def _draw(self, draws: Sequence[Draw]) -> None:
        sampling, seeds = draws[0].sampling, [draw.seed for draw in draws]
        prompts, limits = [draw.prompt for draw in draws], [draw.sampling.max_tokens for draw in draws]
        if isinstance(self.policy, TokenPolicy) and isinstance(self.policy, SupportsObserver):
            self.policy.observed(prompts, sampling, seeds, limits, _Observer(draws, lambda: self._closed))
            return
        if isinstance(self.policy, TokenPolicy):
            completions = self.policy.complete(prompts, sampling, seeds, limits)
        elif isinstance(self.policy, ScriptedPolicy):
            completions = [self.policy.respond(draw.conversation, draw.seed, draw.sampling) for draw in draws]
        else:  # the seed is in the key, so that equal seeds give equal samples whatever else is in the batch
            keys = [f"{draw.seed}\n{list(draw.conversation)!r}" for draw in draws]
            rows = self.policy.generate([draw.conversation for draw in draws], 1, sampling, keys)
            completions = [row[0] for row in rows]
        for draw, completion in zip(draws, completions, strict=True):
            settle(draw.result, completion)


def _finish(compute: Callable[[Sequence[Work]], None], batch: Sequence[Work]) -> None:
    """Computes a batch. After an error, what it left is computed one by one, so that one request does not fail the others."""
    try:
        compute(batch)
        return
    except Exception as error:
        if len(batch) == 1:
            fail(batch[0], error)
            return
    for work in batch:
        if not work.result.done():
            _finish(compute, [work])


def settle(result: Future[Result], value: Result) -> None:
    """Sets a result, unless it was cancelled."""
    with contextlib.suppress(InvalidStateError):
        result.set_result(value)


def fail(work: Work, error: Exception) -> None:
    """Ends work with an error, unless it was cancelled."""
    if isinstance(error, SamplingIncomplete):
        error = RequestError(f"the policy's server: {error}", 503)
    with contextlib.suppress(InvalidStateError):
        work.result.set_exception(error)


def ending() -> RequestError:
    """Returns the error for requests while the server ends."""
    return RequestError("the server ends", 503)


class _Observer:
    """Passes the tokens and completions of a batch on to its draws."""

    def __init__(self, draws: Sequence[Draw], closed: Callable[[], bool]):
        self.draws, self.closed = draws, closed

    def grown(self, row: int, tokens: Sequence[int]) -> bool:
        draw = self.draws[row]
        draw.tokens.append(tokens[-1])
        return draw.result.cancelled() or self.closed()

    def ended(self, row: int, completion: Completion) -> None:
        if self.closed():  # the sample may be truncated by it
            fail(self.draws[row], ending())
        settle(self.draws[row].result, completion)
