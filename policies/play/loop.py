"""Plays many episodes at once. While the policy samples, other episodes are started and judged in threads."""

import contextlib
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
"""Threads in which episodes are started and judged. Our choice."""
QUIET_SECONDS = 0.05
"""A batch that is not full is sampled if no other episode has needed a turn for this time, in seconds. Our choice."""


@runtime_checkable
class SupportsSubmit(TokenPolicy, Protocol):
    """A policy that takes requests while it works on others, such as several engines."""

    def submit(
        self, prompts: Sequence[list[int]], sampling: Sampling, seeds: Sequence[int], limits: Sequence[int]
    ) -> "list[Future[Completion]]":
        """Starts to sample one completion for each prompt. The arguments are those of `TokenPolicy.complete`."""
        ...


Event = tuple[Game | None, "Future[Any]"]
"""An episode with the future of its next turn; None with the future of a `Game` that was started or judged."""


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
    ):
        """Prepares a loop.

        Args:
            create: creates an environment.
            environments: environments that exist already. New ones are added; the caller closes all.
            transcript: creates the transcript of an episode from its prompt.
            policy: samples the turns.
            sampling: temperature, base seed, and so on.
            finished: called with episodes that have ended; it records them in the plan.
        """
        self.create, self.environments, self.free = create, environments, [*environments]
        self.transcript, self.policy, self.sampling, self.finished = transcript, policy, sampling, finished
        self.size = batch_size(policy)
        self.room = (3 if isinstance(policy, SupportsSubmit) else 2) * self.size
        """Largest number of episodes in play: one batch that is sampled, and one that waits. With several engines there is a
        third, because each engine already has its next batch."""
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.waiting: list[Game] = []
        """Episodes that need a turn of the policy."""
        self.working = self.sampled = 0
        """Episodes in the threads, and episodes whose turn a policy with `submit` samples."""
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
        with ThreadPoolExecutor(THREADS) as self.threads:
            try:
                while self._is_busy(plan):
                    self._collect(self._wait_time())
                    if self.waiting and self.error is None and self._is_full():
                        self._sample()
            except BaseException as error:
                self.error = error
            with contextlib.suppress(KeyboardInterrupt):  # a second one
                while self.working:
                    self._collect(None)
        if self.error:
            raise self.error.error_to_raise if isinstance(self.error, SamplingIncomplete) else self.error

    def _is_busy(self, plan: Plan) -> bool:
        """Starts episodes while there is room, a few at a time; returns False if nothing is in play."""
        self.starting = False
        for _ in range(4 * THREADS):
            if self.error:
                break
            in_play = len(self.waiting) + self.working + self.sampled
            if in_play >= self.room or (pair := plan.next(speculate=in_play < self.size)) is None:
                break
            if not self.free:
                self.free.append(self.create())
                self.environments.append(self.free[-1])
            self._work(games.begin, self.transcript, self.free.pop(), *pair)
        else:
            self.starting = True
        if self.error:
            self.waiting.clear()
        return bool(self.waiting or self.working or self.sampled)

    def _is_full(self) -> bool:
        """True if the waiting episodes are to be sampled now."""
        if isinstance(self.policy, SupportsSubmit) or len(self.waiting) >= self.size:
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
        ended: list[Game] = []
        self.quiet = False
        try:
            while True:
                event = self.events.get(timeout=seconds) if seconds != 0 else self.events.get_nowait()
                self._handle(event, ended)
                seconds = 0.0
        except queue.Empty:
            self.quiet = not ended and seconds == QUIET_SECONDS
        ended.sort(key=lambda game: (game.index, game.sample))
        self.free += [game.environment for game in ended]
        if ended:
            self.finished(ended)

    def _handle(self, event: Event, ended: list[Game]) -> None:
        game, future = event
        error = future.exception()
        if game is None:
            self.working -= 1
        else:
            self.sampled -= 1
        if error:
            self.error = self.error or error
        elif game is not None:
            game.transcript.add_turn(future.result())
            self._work(games.turn, game)
        elif future.result().verdict is None:
            self.waiting.append(future.result())
        else:
            ended.append(future.result())

    def _work(self, work: Callable[..., Game], *arguments: Any) -> None:
        self.working += 1
        self.threads.submit(work, *arguments).add_done_callback(lambda future: self.events.put((None, future)))

    def _sample(self) -> None:
        """Lets the policy sample the next turn of waiting episodes, in the order of their sample numbers and problems."""
        self.waiting.sort(key=lambda game: (game.sample, game.index))
        if isinstance(self.policy, SupportsSubmit):
            futures = self.policy.submit(*games.requests_of(self.waiting, self.sampling))
            self.sampled += len(futures)
            for game, future in zip(self.waiting, futures, strict=True):
                future.add_done_callback(lambda future, game=game: self.events.put((game, future)))  # type: ignore[misc]
            self.waiting.clear()
            return
        batch, self.waiting = self.waiting[: self.size], self.waiting[self.size :]
        stopped = games.sample(batch, self.policy, self.sampling)
        for game in batch:
            if game.turns_passed < len(game.turns):
                self._work(games.turn, game)
        self.error = stopped
