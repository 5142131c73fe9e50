"""Which episodes to play next: the samples of each problem in order, until the problem is decided."""

import heapq
from collections.abc import Callable, Mapping, Sequence

from ...core import Episode

Decided = Callable[[Sequence[Episode]], bool]
"""True if a problem needs no further samples after these episodes."""


class Plan:
    """The samples of each problem that are still to play.

    A problem is decided by the shortest sequence of its first samples for which `is_decided` is true. Later samples do not
    count, so the result does not depend on how many episodes are played at once. Therefore, further samples of a problem
    may be played before it is known that they are needed, but only if no other samples are left.
    """

    def __init__(self, indices: Sequence[int], samples: int, is_decided: Decided | None):
        """Makes a plan in which nothing is played.

        Args:
            indices: the problems.
            samples: largest number of samples of a problem.
            is_decided: see `Decided`; None: all samples of all problems are played.
        """
        self.samples, self.is_decided = samples, is_decided
        self.played: dict[int, dict[int, Episode]] = {index: {} for index in indices}
        """All episodes of each problem that have ended, by sample."""
        self.known: dict[int, list[Episode]] = {index: [] for index in indices}
        """The first episodes of each problem, up to the first that is missing, or to the one that decides."""
        self.closed: set[int] = set()
        """Problems that need no further episodes."""
        self.place = {index: place for place, index in enumerate(indices)}
        self.in_play = dict.fromkeys(indices, 0)
        self.queue: list[tuple[int, int, int]] = []
        """Heap of (sample, place, index): the next sample of each problem that may be started."""
        self.held: dict[int, int] = {}
        """Next sample of each problem that waits for the result of an episode in play, by index."""

    def begin(self, played: Mapping[tuple[int, int], Episode]) -> None:
        """Starts the plan with earlier episodes, by (index, sample)."""
        for (index, _), episode in sorted(played.items(), key=lambda each: each[0]):
            if index in self.played:
                self._add(index, episode)
        for index in self.played:
            self._offer(index, 0)

    def next(self, speculate: bool) -> tuple[int, int] | None:
        """Returns (index, sample) of an episode to start; None if there is none for now.

        Args:
            speculate: allow samples of problems that have an episode in play, whose result may make these samples unnecessary.
        """
        while self.queue:
            sample, _, index = heapq.heappop(self.queue)
            if index in self.closed:
                continue
            if self.is_decided and self.in_play[index]:
                self.held[index] = sample
                continue
            return self._start(index, sample)
        if speculate and self.held:
            index = min(self.held, key=lambda index: (self.held[index], self.place[index]))
            return self._start(index, self.held.pop(index))
        return None

    def end(self, index: int, episode: Episode) -> None:
        """Records an episode that has ended."""
        self.in_play[index] -= 1
        self._add(index, episode)
        if not self.in_play[index] and index in self.held:
            self._offer(index, self.held.pop(index))

    @property
    def done(self) -> int:
        """Number of episodes that are played or not needed."""
        return sum(self.samples if index in self.closed else len(played) for index, played in self.played.items())

    def _start(self, index: int, sample: int) -> tuple[int, int]:
        self.in_play[index] += 1
        self._offer(index, sample + 1)
        return index, sample

    def _offer(self, index: int, sample: int) -> None:
        """Puts the first missing sample of a problem, from a given one on, into the queue."""
        while sample in self.played[index]:
            sample += 1
        if index not in self.closed and sample < self.samples:
            heapq.heappush(self.queue, (sample, self.place[index], index))

    def _add(self, index: int, episode: Episode) -> None:
        played, known = self.played[index], self.known[index]
        played[episode.sample] = episode
        while index not in self.closed and len(known) in played:
            known.append(played[len(known)])
            if len(known) >= self.samples or (self.is_decided and self.is_decided(known)):
                self.closed.add(index)
                self.held.pop(index, None)
