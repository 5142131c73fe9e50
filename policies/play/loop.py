"""Plays many episodes at once. While the policy samples, other episodes are started and judged in threads."""

import concurrent.futures
import queue
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, runtime_checkable

from ...core import Completion, Policy, Sampling, SamplingIncomplete, batch_size
from ..transcript import TokenPolicy, Transcript
from . import games
from .games import Environment, Game
from .plan import Plan

THREADS = 16
"""Threads of this process in which episodes are started and judged. Our choice."""
QUIET_SECONDS = 0.05
"""A batch that is not full is sampled if no other episode has needed a turn for this time, in seconds. Our choice."""
JUDGED = 4
"""With a policy that has `submit`, this number of batches of episodes may be judged in addition to `Loop.room`, or as many
episodes as there are threads if that is more. Our choice."""
INTERRUPT_SECONDS = 3.0
"""Seconds in which threads still begin to judge episodes after an interrupt such as Ctrl-C. Later they only finish what they
have begun. Our choice."""


@runtime_checkable
class SupportsSubmit(TokenPolicy, Protocol):
    """A policy that takes requests while it works on others, such as vLLM or several engines."""

    def submit(
        self, prompts: Sequence[list[int]], sampling: Sampling, seeds: Sequence[int], limits: Sequence[int]
    ) -> "list[Future[Completion]]":
        """Starts to sample one completion for each prompt. The arguments are those of `TokenPolicy.complete`."""
        ...


class Loop:
    """The episodes that are in play."""

    def __init__(
        self,
        create: Callable[[], Environment],
        environments: list[Environment],
        transcript: Callable[..., Transcript],
        policy: Policy,
        sampling: Sampling,
        finished: Callable[[Sequence[Game]], None],
        threads: int = THREADS,
    ):
        """Prepares a loop.

        Args:
            create: creates an environment.
            environments: environments that exist already. New ones are added; the caller closes all.
            transcript: creates the transcript of an episode from its prompt.
            policy: samples the turns.
            sampling: temperature, base seed, and so on.
            finished: called with episodes that have ended; it records them in the plan.
            threads: number of threads in which episodes are started and judged.
        """
        self.create, self.environments, self.free = create, environments, [*environments]
        self.transcript, self.policy, self.sampling, self.finished = transcript, policy, sampling, finished
        self.size, self.thread_count = batch_size(policy), threads
        self.pool = policy if isinstance(policy, SupportsSubmit) else None
        self.room = (3 if self.pool else 2) * self.size
        """Largest number of episodes in play: one batch that is sampled, and one that waits. With `submit` there is a third
        batch, because each engine already has its next one. Episodes that are judged then do not count, up to the limit of
        `JUDGED`. Otherwise slow verdicts would leave the policy without requests."""
        self.events: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
        """Futures that are done."""
        self.working: set[Future[Game]] = set()
        """Episodes that are being started or judged in the threads."""
        self.beginning: set[Future[Game]] = set()
        """Episodes of `working` that are being started, and not judged."""
        self.sampled: dict[Future[Completion], Game] = {}
        """Episodes whose turn a policy with `submit` samples."""
        self.waiting: list[Game] = []
        """Episodes that need a turn of the policy."""
        self.ended: dict[tuple[int, int], Game] = {}
        """Episodes with a verdict that `finished` has not received yet, by problem and sample."""
        self.starting = False
        """True if there is room for more episodes, which are started next."""
        self.error: BaseException | None = None

    def run(self, plan: Plan) -> None:
        """Plays all episodes of a plan.

        If the policy fails, the episodes that need no further turn are still judged, and `finished` receives them.

        Raises:
            UserError: the environment rejects a problem.
            SamplingIncomplete: the policy stopped.
        """
        self.threads = ThreadPoolExecutor(self.thread_count)
        try:
            while self._is_busy(plan):
                self._collect(self._wait_time())
                if self.waiting and self.error is None and self._is_full():
                    self._sample()
        except BaseException as error:
            self.error = error
            for sampled in [*self.sampled]:
                sampled.cancel()
            concurrent.futures.wait([*self.working], INTERRUPT_SECONDS if isinstance(error, KeyboardInterrupt) else None)
        # The error may be an interrupt that came while an event was handled. Therefore all futures are looked at again.
        self.threads.shutdown(cancel_futures=True)
        for future in [*self.working]:
            if not future.cancelled():
                self._handle(future)
        self._hand_over()
        if self.error:
            raise self.error.error_to_raise if isinstance(self.error, SamplingIncomplete) else self.error

    def _is_busy(self, plan: Plan) -> bool:
        """Starts episodes while there is room, a few at a time; returns False if nothing is in play."""
        self.starting = False
        for _ in range(4 * self.thread_count):
            if self.error:
                break
            in_play = len(self.waiting) + len(self.working) + len(self.sampled)
            load = in_play - (len(self.working) - len(self.beginning) if self.pool else 0)
            if load >= self.room or in_play >= self.room + max(JUDGED * self.size, self.thread_count):
                break
            if (pair := plan.next(speculate=load < self.size)) is None:
                break
            if not self.free:
                self.free.append(self.create())
                self.environments.append(self.free[-1])
            self.beginning.add(self._work(games.begin, self.transcript, self.free.pop(), *pair))
        else:
            self.starting = True
        if self.error:
            self.waiting.clear()
        return bool(self.waiting or self.working or self.sampled)

    def _is_full(self) -> bool:
        """True if the waiting episodes are to be sampled now."""
        if self.pool or len(self.waiting) >= self.size:
            return True
        return not self.starting and (not self.working or self.quiet)

    def _wait_time(self) -> float | None:
        """Returns how long to wait for an event, in seconds; None without a limit."""
        if self.starting:
            return 0.0
        if not self.waiting:
            return None
        return 0.0 if len(self.waiting) >= self.size or not self.working else QUIET_SECONDS

    def _collect(self, seconds: float | None) -> None:
        """Handles all events, after waiting for the first one."""
        self.quiet = False
        try:
            while True:
                self._handle(self.events.get(timeout=seconds) if seconds != 0 else self.events.get_nowait())
                seconds = 0.0
        except queue.Empty:
            self.quiet = seconds == QUIET_SECONDS
        self._hand_over()

    def _hand_over(self) -> None:
        """Gives the episodes that have ended to `finished`, and their environments to others."""
        ended, self.ended = [self.ended[place] for place in sorted(self.ended)], {}
        self.free += [game.environment for game in ended]
        if ended:
            self.finished(ended)

    def _handle(self, future: "Future[Any]") -> None:
        """Handles a future that is done."""
        error = future.exception()
        if error:
            self.error = self.error or error
        elif future in self.sampled:
            game = self.sampled[future]
            game.transcript.add_turn(future.result())
            self._work(games.turn, game)
        elif future.result().verdict is None:
            self.waiting.append(future.result())
        else:
            self.ended[future.result().index, future.result().sample] = future.result()
        self.working.discard(future)
        self.beginning.discard(future)
        self.sampled.pop(future, None)

    def _work(self, work: Callable[..., Game], *arguments: Any) -> "Future[Game]":
        future = self.threads.submit(work, *arguments)
        self.working.add(future)
        future.add_done_callback(self.events.put)
        return future

    def _sample(self) -> None:
        """Lets the policy sample the next turn of waiting episodes, in the order of their sample numbers and problems."""
        self.waiting.sort(key=lambda game: (game.sample, game.index))
        if self.pool:
            futures = self.pool.submit(*games.requests_of(self.waiting, self.sampling))
            self.sampled |= dict(zip(futures, self.waiting, strict=True))
            self.waiting.clear()
            for future in futures:
                future.add_done_callback(self.events.put)
            return
        batch, self.waiting = self.waiting[: self.size], self.waiting[self.size :]
        stopped = games.sample(batch, self.policy, self.sampling)
        for game in batch:
            if game.turns_passed < len(game.turns):
                self._work(games.turn, game)
        self.error = stopped
