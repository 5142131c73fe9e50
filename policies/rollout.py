"""A policy plays episodes of an environment; each is stored as it ends, and a stored one is not played again.

    episodes = rollout("tenfold/ChainSum-v0", policy, samples=16, store="episodes.jsonl")

`play` is the same by problem, and may stop playing a problem when enough is known of it.

Any `gymnasium.Env` with text in and out will do. Where the environment's `info` says nothing, the first observation is
the problem, the sum of rewards its score.
"""

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

import gymnasium

from .. import disk
from ..core import (
    Completion,
    Episode,
    Incomplete,
    Info,
    Message,
    Policy,
    Sampling,
    Status,
    UserError,
    Verdict,
    batch_size,
    sample_seed,
    verdict_without_answer,
    without_surrogates,
)
from .server import requests
from .store import EpisodeRow, Store, check_episode, episode_from_json, episode_row
from .transcript import Limits, TokenPolicy, Transcript

MAX_TURNS = 16
"""Turns after which an episode that has not ended is ended, with the rewards it has."""

Environment = gymnasium.Env[str, str]


def rollout(
    environment: str | Callable[[], Environment],
    policy: Policy,
    samples: int = 16,
    *,
    problems: Sequence[int] | int | None = None,
    sampling: Sampling | None = None,
    max_turns: int = MAX_TURNS,
    store: str | Path | None = None,
    made_with: Mapping[str, object] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Episode]:
    """Plays `samples` episodes of each problem.

    Args:
        environment: an id, or a function that makes one more environment.
        policy: who answers.
        samples: episodes a problem.
        problems: indices of the problems to play, or how many; defaults to all the environment has.
        sampling: temperature, base seed, and tokens of an episode: all turns of the policy and the replies between them.
        max_turns: turns of the policy, after which an episode is ended. `transcript.py` has the rules.
        store: a file to append finished episodes to, and to take those already played from.
        made_with: what else the store must have been made with, say the policy's URI; a store is of one policy.
        progress: told how many episodes are done, and of how many.

    Returns:
        The episodes, by problem and sample. Those that ended in a fault of ours even on a second try are among them,
        with a verdict that has no score.

    Raises:
        UserError: no such environment, no problem to play, or a store made under other settings.
        Incomplete: the policy could not go on; the episodes that had ended are in the store.
    """
    played = play(
        environment,
        policy,
        samples,
        problems=problems,
        sampling=sampling,
        max_turns=max_turns,
        store=store,
        made_with=made_with,
        progress=progress,
    )
    return [episode for row in played.values() for episode in row]


def play(
    environment: str | Callable[[], Environment],
    policy: Policy,
    samples: int = 16,
    *,
    problems: Sequence[int] | int | None = None,
    sampling: Sampling | None = None,
    max_turns: int = MAX_TURNS,
    store: str | Path | None = None,
    made_with: Mapping[str, object] | None = None,
    progress: Callable[[int, int], None] | None = None,
    decided: Callable[[Sequence[float | None]], bool] | None = None,
) -> dict[int, list[Episode]]:
    """Plays episodes of each problem; the arguments are those of `rollout`, and:

    Args:
        environment, policy, samples, problems, sampling, max_turns, store, made_with, progress: see `rollout`.
        decided: given the scores of a problem's episodes so far (None for a fault), whether it need not be played on. It is
            asked between rounds; a round plays each open problem once, or more often where few are open, so that the policy's
            batches stay full.

    Returns:
        Episodes by the problem's index, those of each in the order of their samples.
    """
    sampling = sampling or Sampling()
    make = (lambda: _make(environment)) if isinstance(environment, str) else environment
    first = make()
    indices = _indices(first, problems)
    settings = {
        **(made_with or {}),
        "environment": environment if isinstance(environment, str) else str(first),
        **dataclasses.asdict(sampling),
        "max_turns": max_turns,
    }
    limits = Limits(sampling.max_tokens, max_turns, policy.window if isinstance(policy, TokenPolicy) else None)
    with disk.locked_file(store) if store else contextlib.nullcontext():
        kept: Store[EpisodeRow] | None = Store(store, settings, check_episode) if store else None
        return _played(make, first, indices, policy, samples, sampling, limits, kept, progress, decided)


def _played(
    make: Callable[[], Environment],
    first: Environment,
    indices: Sequence[int],
    policy: Policy,
    samples: int,
    sampling: Sampling,
    limits: Limits,
    kept: Store[EpisodeRow] | None,
    progress: Callable[[int, int], None] | None,
    decided: Callable[[Sequence[float | None]], bool] | None,
) -> dict[int, list[Episode]]:
    """Plays what the store does not hold; see `play`."""
    played: dict[tuple[int, int], Episode] = {}
    for row in kept.rows if kept else ():
        if (episode := episode_from_json(row)).verdict.status != Status.FAULT:
            played[row["problem"], episode.sample] = episode
    total = len(indices) * samples
    size = batch_size(policy)
    environments = [first]

    def left() -> dict[int, list[int]]:
        """Samples to play of each problem that is open."""
        rows = {index: [sample for sample in range(samples) if (index, sample) not in played] for index in indices}
        return {
            index: row
            for index, row in rows.items()
            if row and not (decided and decided([game.verdict.score for game in _of(played, index, samples)]))
        }

    try:
        with ThreadPoolExecutor(max_workers=16) as threads:
            while rows := left():
                each = max(1, size // len(rows)) if decided else samples
                todo = [(index, sample) for index, row in rows.items() for sample in row[:each]]
                ahead = sum(map(len, rows.values()))
                for start in range(0, len(todo), size):
                    batch = todo[start : start + size]
                    environments += [make() for _ in range(len(batch) - len(environments))]
                    games, stopped = _play(environments, batch, policy, sampling, limits, threads)
                    episodes = [_episode(game) for game in games]
                    if kept:
                        kept.append(
                            episode_row(game.index, episode, [turn.token_ids for turn in game.turns])
                            for game, episode in zip(games, episodes, strict=True)
                        )
                    if stopped:
                        raise stopped.error_to_raise
                    played.update(zip(batch, episodes, strict=True))
                    if progress:
                        progress(total - ahead + start + len(batch), total)
            if progress and decided:
                progress(total, total)
    finally:
        for open_one in environments:
            open_one.close()
    return {index: _of(played, index, samples) for index in indices}


def _of(played: dict[tuple[int, int], Episode], index: int, samples: int) -> list[Episode]:
    return [played[index, sample] for sample in range(samples) if (index, sample) in played]


def _make(id: str) -> Environment:
    try:
        return gymnasium.make(id)
    except gymnasium.error.Error as error:
        raise UserError(f"no environment {id!r}: {error}") from None


def _indices(environment: Environment, problems: Sequence[int] | int | None) -> list[int]:
    has = count_problems(environment)
    if problems is None:
        problems = has
    if problems is None:
        raise UserError(f"{environment} does not tell how many problems it has: say how many to play")
    if isinstance(problems, int):
        problems = range(problems if has is None else min(problems, has))
    indices = list(problems)
    if not indices:
        raise UserError("there is no problem to play")
    return indices


@runtime_checkable
class HasProblems(Protocol):
    """An environment of numbered problems: `reset(options={"problem": i})` poses problem i."""

    @property
    def problems(self) -> Sized:
        """The problems, or whatever tells how many there are."""
        ...


def count_problems(environment: Environment) -> int | None:
    """How many problems an environment has, where it tells."""
    inner = environment.unwrapped
    return len(inner.problems) if isinstance(inner, HasProblems) else None


@dataclasses.dataclass(slots=True)
class _Game:
    """An episode under way."""

    environment: Environment
    index: int
    sample: int
    problem_id: str
    transcript: Transcript
    rewards: float = 0.0
    verdict: Verdict | None = None
    asked: int = 0
    """Turns that the environment has answered."""

    @property
    def turns(self) -> list[Completion]:
        return self.transcript.turns

    def key(self) -> str:
        return f"{self.problem_id}/{self.sample}/{len(self.turns)}"


def _play(
    environments: Sequence[Environment],
    batch: Sequence[tuple[int, int]],
    policy: Policy,
    sampling: Sampling,
    limits: Limits,
    threads: ThreadPoolExecutor,
) -> tuple[list[_Game], Incomplete | None]:
    """Plays one episode of each (problem, sample) to its verdict, turn by turn together.

    Returns:
        The episodes; where the policy could not go on, those that had ended by then, and what it said.
    """
    written = {"tokenizer": policy.tokenizer, "stop_ids": policy.stop_ids} if isinstance(policy, TokenPolicy) else {}
    transcript = functools.partial(Transcript, limits, **written)
    indices, samples = [index for index, _ in batch], [sample for _, sample in batch]
    games = list(threads.map(functools.partial(_begin, transcript), environments, indices, samples))
    while alive := [game for game in games if game.verdict is None]:
        stopped = _sample(alive, policy, sampling, threads)
        list(threads.map(_turn, [game for game in alive if game.asked < len(game.turns)]))
        if stopped:
            return [game for game in games if game.verdict is not None], stopped
    return games, None


def _sample(games: Sequence[_Game], policy: Policy, sampling: Sampling, threads: ThreadPoolExecutor) -> Incomplete | None:
    """The policy's next turn in each game, with as many tokens as are left there.

    Returns:
        What the policy said where it could not go on; some games then have no new turn.
    """
    if isinstance(policy, TokenPolicy):
        sampled = policy.complete(
            [game.transcript.tokens for game in games],
            sampling,
            [sample_seed(sampling.seed, game.key(), 0) for game in games],
            [game.transcript.tokens_left for game in games],
        )
        for game, completion in zip(games, sampled, strict=True):
            game.transcript.add_turn(completion)
        return None
    alike: dict[int, list[_Game]] = {}
    for game in games:
        alike.setdefault(game.transcript.tokens_left, []).append(game)

    def generate(left: int) -> tuple[Sequence[Sequence[Completion | None]], Incomplete | None]:
        conversations, keys = [game.transcript.messages for game in alike[left]], [game.key() for game in alike[left]]
        try:
            return policy.generate(conversations, 1, dataclasses.replace(sampling, max_tokens=left), keys), None
        except Incomplete as error:
            return error.sampled, error

    # In their first turn all have as many tokens left. Later on they differ, and a server is asked for several at once.
    answers = [future.result() for future in requests.submit(generate, alike, 16)] if len(alike) > 1 else map(generate, alike)
    stopped = None
    for alike_games, (rows, error) in zip(alike.values(), answers, strict=True):
        stopped = stopped or error
        for game, row in zip(alike_games, rows, strict=True):
            if row and row[0] is not None:
                game.transcript.add_turn(row[0])
    return stopped


def _begin(transcript: Callable[[list[Message]], Transcript], environment: Environment, index: int, sample: int) -> _Game:
    game = _Game(environment, index, sample, str(index), Transcript(Limits(0, 0), []))
    try:
        text, said = environment.reset(seed=index, options={"problem": index})
        info = cast(Info, said)
        game.problem_id = without_surrogates(str(info.get("problem_id", index)))
        game.transcript = transcript([*first_messages(text, info)])
    except UserError:
        raise
    except Exception as error:
        game.verdict = environment_error(error)
    return game


def _turn(game: _Game) -> None:
    """Hands the policy's last turn to the environment; a fault of ours is tried once more from the start."""
    game.asked = len(game.turns)
    last = game.turns[-1]
    if verdict := verdict_without_answer(last.finish_reason, last.error):
        game.verdict = verdict
        return
    for last_try in (False, True):
        try:
            if last_try:
                game.rewards = _replay(game)
            text, reward, terminated, truncated, said = game.environment.step(game.turns[-1].scorable_text)
        except Exception as error:
            game.verdict = environment_error(error)
            continue
        info = cast(Info, said)
        game.verdict = verdict_of(info, game.rewards + float(reward))
        if last_try or game.verdict.status != Status.FAULT:
            break
    else:
        return
    game.rewards += float(reward)
    try:
        if game.transcript.add_reply(terminated or truncated, info.get("role", "user"), text):
            game.verdict = None
    except Exception as error:  # a chat template may raise
        game.verdict = environment_error(error)


def _replay(game: _Game) -> float:
    """Plays the earlier turns again; what they earned."""
    game.environment.reset(seed=game.index, options={"problem": game.index})
    return sum(float(game.environment.step(turn.scorable_text)[1]) for turn in game.turns[:-1])


def first_messages(text: str, info: Info) -> tuple[Message, ...]:
    """The conversation an episode starts with: what `info` says, else the observation as the user's turn."""
    return tuple(info.get("messages") or (Message(role="user", content=text),))


def verdict_of(info: Info, reward: float) -> Verdict:
    """The verdict in `info`, else the reward as one. A reward that is not a number is a fault."""
    if "verdict" in info:
        return info["verdict"]
    if math.isnan(reward):
        return Verdict(Status.FAULT, None, "environment", "the reward is not a number")
    return Verdict(Status.SCORED, reward, "environment", "")


def environment_error(error: Exception) -> Verdict:
    """The verdict of an episode whose environment raised: our fault, never a wrong answer."""
    return Verdict(Status.FAULT, None, "environment", f"{type(error).__name__}: {error}"[:500])


def _episode(game: _Game) -> Episode:
    assert game.verdict is not None
    played, tokens = game.transcript, sum(len(turn.token_ids) for turn in game.turns)
    return Episode(game.problem_id, game.sample, tuple(played.messages), game.verdict, tokens, played.finish_reason)


def pass_rate(episodes: Sequence[Episode]) -> float | None:
    """Mean score of those episodes that have one; None where none has."""
    scores = [episode.verdict.score for episode in episodes if episode.verdict.score is not None]
    return sum(scores) / len(scores) if scores else None
