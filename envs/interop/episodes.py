"""Episodes whose turns another trainer has sampled. They follow the rules of rollouts, so they get the same verdicts.

    game = begin(environment, problem)
    take_turn(game, Completion("41", "stop"))
    game.verdict                                     # None while the episode goes on

`Judge` plays many episodes at once, in threads, because verdicts on programs take seconds.
"""

import concurrent.futures
import contextlib
import functools
import queue
import sys
import threading
from collections.abc import Sequence
from typing import NamedTuple

from ...core import Completion, UserError, Verdict
from ...policies.play import games
from ...policies.play.games import Environment, Game
from ...policies.transcript import Limits, Transcript
from .. import registry
from ..text import SupportsScoreGroup

MAX_TURNS = 16
"""Limit of the policy's turns in an episode, as in `rollout`."""
THREADS = 16
"""Number of episodes that are judged at once. Our choice."""


def begin(environment: Environment, problem: int, max_turns: int = MAX_TURNS) -> Game:
    """Returns an episode after the reset of its environment. If the environment fails, the episode has a verdict.

    Args:
        environment: the environment. It plays this episode alone until the next reset.
        problem: index of the problem. It is the seed of the reset, as in a rollout.
        max_turns: limit of the policy's turns. The trainer has its own limit of tokens.

    Raises:
        UserError: there is no such problem.
    """
    return games.begin(functools.partial(Transcript, Limits(sys.maxsize, max_turns)), environment, problem, 0)


def take_turn(game: Game, turn: Completion) -> Game:
    """Passes a turn of the policy to the environment; returns the episode, which has a verdict if it has ended.

    The environment's reply is the last message of the transcript. A fault is tried once more, as in a rollout.
    """
    game.transcript.add_turn(turn)
    return games.turn(game)


def score(game: Game) -> float | None:
    """Returns the score of an episode: that of its verdict, or the rewards so far. None if it must be left out."""
    verdict = game.verdict or games.verdict_of({}, game.rewards)
    return verdict.score


def close_if_failed(environment: Environment, game: Game) -> bool:
    """Closes an environment that has raised an exception in an episode, because it may fail again. Returns True if it has."""
    failed = game.verdict is not None and game.verdict.score is None and game.verdict.method == "environment"
    if failed:
        with contextlib.suppress(Exception):
            environment.close()
    return failed


class Judged(NamedTuple):
    """A verdict on an episode of a trainer."""

    problem_id: str | None
    """Id of the problem; None if the environment could not pose it."""
    verdict: Verdict


class Judge:
    """Gives verdicts on whole episodes of one environment. It may be called from several threads."""

    def __init__(self, id: str, options: dict[str, object], threads: int = THREADS):
        """Creates the environment, so that a mistake in its id or options is found before training.

        Args:
            id: id of the environment.
            options: arguments that differ from those of the registration.
            threads: number of episodes that are judged at once.

        Raises:
            UserError: there is no such environment, or it does not accept these options.
        """
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            raise UserError(f"threads: expected a whole number of at least 1, got {threads!r:.80}")
        self.id, self.options, self.threads = id, options, threads
        self._making = threading.Lock()
        self._free: queue.SimpleQueue[Environment] = queue.SimpleQueue()
        self._free.put(registry.make(id, **options))

    def judged(self, problems: Sequence[int], responses: Sequence[Sequence[Completion]]) -> list[Judged]:
        """Returns the verdict on each response, in order.

        If the environment judges all samples of a problem together (`SupportsScoreGroup`), all responses to a problem in this
        call are one group.

        Args:
            problems: index of the problem of each response.
            responses: the turns of the policy. If an episode ends before the last of them, the others are ignored.

        Raises:
            UserError: there is no such problem, or the environment needs something that this machine lacks.
        """
        with concurrent.futures.ThreadPoolExecutor(min(self.threads, max(1, len(responses)))) as pool:
            judged = [*pool.map(self._judged, problems, responses)]
        verdicts = self._with_groups(problems, responses, [each.verdict for each in judged])
        return [Judged(each.problem_id, verdict) for each, verdict in zip(judged, verdicts, strict=True)]

    def _judged(self, problem: int, turns: Sequence[Completion]) -> Judged:
        environment = self._borrow()
        game = begin(environment, problem, max(1, len(turns)))
        for turn in turns or [Completion("", "stop")]:
            if game.verdict is None:
                take_turn(game, turn)
        assert game.verdict is not None  # the last turn is the last that is allowed
        if not close_if_failed(environment, game):
            self._free.put(environment)
        return Judged(game.problem_id if game.transcript.messages else None, game.verdict)

    def _with_groups(
        self, problems: Sequence[int], responses: Sequence[Sequence[Completion]], verdicts: list[Verdict]
    ) -> list[Verdict]:
        """Returns the verdicts; those of an environment that judges groups are replaced, as in GRPO."""
        environment = self._borrow()
        try:
            inner: object = environment.unwrapped
            if not isinstance(inner, SupportsScoreGroup):
                return verdicts
            for problem in dict.fromkeys(problems):
                group = [
                    place
                    for place, (index, verdict) in enumerate(zip(problems, verdicts, strict=True))
                    if index == problem and verdict.score is not None
                ]
                texts = [responses[place][-1].scorable_text if responses[place] else "" for place in group]
                try:
                    judged = inner.score_group(problem, texts) if texts else None
                    if judged is not None and len(judged) != len(texts):
                        raise ValueError(f"score_group returned {len(judged)} verdicts on {len(texts)} responses")
                except UserError:
                    raise
                except Exception as error:
                    judged = [games.environment_error(error)] * len(texts)
                for place, verdict in zip(group, judged or (), strict=False):
                    verdicts[place] = verdict
        finally:
            self._free.put(environment)
        return verdicts

    def _borrow(self) -> Environment:
        try:
            return self._free.get_nowait()
        except queue.Empty:
            with self._making:  # else each thread would read the problems
                return registry.make(self.id, **self.options)
