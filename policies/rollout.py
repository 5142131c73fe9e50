"""`rollout`: plays episodes of an environment with a policy. Finished episodes are stored and not played again.

    episodes = rollout("tenfold/ChainSum-v0", policy, samples=16, store="episodes.jsonl")

`play` returns the episodes by problem, and can stop early for a problem.

Any `gymnasium.Env` with text observations and text actions works. If its `info` has no entries of `core.Info`, the first
observation is the prompt, and the sum of the rewards is the score.
"""

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import gymnasium

from .. import disk
from ..core import (
    Completion,
    Episode,
    Info,
    Message,
    Policy,
    Sampling,
    SamplingIncomplete,
    Status,
    UserError,
    Verdict,
    batch_size,
    sample_seed,
    verdict_without_response,
)
from ..texts import without_surrogates
from .server import requests
from .store import EpisodeRow, Store, check_episode, episode_from_json, episode_row, sampling_settings
from .transcript import Limits, TokenPolicy, Transcript

MAX_TURNS = 16
"""Number of turns after which an episode ends with the rewards so far. Our choice."""

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
    store_settings: Mapping[str, object] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Episode]:
    """Plays `samples` episodes of each problem.

    Args:
        environment: an environment id, or a function that creates an environment.
        policy: samples the responses.
        samples: number of episodes for each problem.
        problems: indices of the problems, or the number of the first problems; the default is all problems.
        sampling: temperature, base seed, and token limit of an episode: all turns of the policy and the replies between them.
        max_turns: limit of the policy's turns in an episode; see `transcript.py`.
        store: JSONL file for the episodes. Episodes that it contains are not played again, except those with a fault.
        store_settings: further settings that must be equal to continue the store, such as the policy's URI.
        progress: called with the number of finished episodes and the total.

    Returns:
        The episodes, ordered by problem and sample. Episodes with a fault are included; their verdict has no score.

    Raises:
        UserError: there is no such environment, it has no problems, or the store was made under other settings.
        SamplingIncomplete: the policy stopped; the finished episodes are in the store.
    """
    played = play(
        environment,
        policy,
        samples,
        problems=problems,
        sampling=sampling,
        max_turns=max_turns,
        store=store,
        store_settings=store_settings,
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
    store_settings: Mapping[str, object] | None = None,
    progress: Callable[[int, int], None] | None = None,
    is_decided: Callable[[Sequence[Episode]], bool] | None = None,
) -> dict[int, list[Episode]]:
    """Plays episodes of each problem, and can stop early for a problem.

    Args:
        environment, policy, samples, problems, sampling, max_turns, store, store_settings, progress: see `rollout`.
        is_decided: called between rounds with a problem's episodes so far. If it returns true, the problem is not played
            further. A round plays each open problem once, or several times if few problems are open, so that the policy's
            batches stay full.

    Returns:
        For each index of a problem, its episodes in the order of their samples.
    """
    sampling = sampling or Sampling()
    create = (lambda: _create(environment)) if isinstance(environment, str) else environment
    limits = Limits(sampling.max_tokens, max_turns, policy.window if isinstance(policy, TokenPolicy) else None)
    with contextlib.closing(create()) as first, disk.locked_file(store) if store else contextlib.nullcontext():
        indices = _indices(first, problems)
        settings = {
            "environment": environment if isinstance(environment, str) else str(first),
            **(store_settings or {}),
            **sampling_settings(sampling),
            "max_turns": max_turns,
        }
        episode_store: Store[EpisodeRow] | None = Store(store, settings, check_episode) if store else None
        return _play_missing(create, first, indices, policy, samples, sampling, limits, episode_store, progress, is_decided)


def _play_missing(
    create: Callable[[], Environment],
    first: Environment,
    indices: Sequence[int],
    policy: Policy,
    samples: int,
    sampling: Sampling,
    limits: Limits,
    store: Store[EpisodeRow] | None,
    progress: Callable[[int, int], None] | None,
    is_decided: Callable[[Sequence[Episode]], bool] | None,
) -> dict[int, list[Episode]]:
    """Plays the episodes that the store does not have; see `play`."""
    played: dict[tuple[int, int], Episode] = {}
    for row in store.rows if store else ():
        if (episode := episode_from_json(row)).verdict.status != Status.FAULT:
            played[row["problem"], episode.sample] = episode
    total = len(indices) * samples
    size = batch_size(policy)
    environments = [first]

    def open_samples() -> dict[int, list[int]]:
        """Returns the samples still to play, by problem."""
        missing = {index: [sample for sample in range(samples) if (index, sample) not in played] for index in indices}
        return {
            index: numbers
            for index, numbers in missing.items()
            if numbers and not (is_decided and is_decided(_of(played, index, samples)))
        }

    try:
        with ThreadPoolExecutor(max_workers=16) as threads:
            while by_problem := open_samples():
                round_samples = max(1, size // len(by_problem)) if is_decided else samples
                todo = [(index, sample) for index, numbers in by_problem.items() for sample in numbers[:round_samples]]
                open_count = sum(map(len, by_problem.values()))
                for start in range(0, len(todo), size):
                    batch = todo[start : start + size]
                    environments += [create() for _ in range(len(batch) - len(environments))]
                    games, stopped = _play(environments, batch, policy, sampling, limits, threads)
                    episodes = [_episode(game) for game in games]
                    if store:
                        store.append(
                            episode_row(game.index, episode, game.turns) for game, episode in zip(games, episodes, strict=True)
                        )
                    if stopped:
                        raise stopped.error_to_raise
                    played.update(zip(batch, episodes, strict=True))
                    if progress:
                        progress(total - open_count + start + len(batch), total)
            if progress and is_decided:
                progress(total, total)
    finally:
        for environment in environments[1:]:  # `play` closes the first
            environment.close()
    return {index: _of(played, index, samples) for index in indices}


def _of(played: dict[tuple[int, int], Episode], index: int, samples: int) -> list[Episode]:
    return [played[index, sample] for sample in range(samples) if (index, sample) in played]


def _create(id: str) -> Environment:
    try:
        return gymnasium.make(id)
    except (gymnasium.error.Error, ImportError) as error:
        raise UserError(f"no environment {id!r}: {error}") from None


def _indices(environment: Environment, problems: Sequence[int] | int | None) -> list[int]:
    if problems is None or isinstance(problems, int):
        count = count_problems(environment, problems)
        if (number := problems if count is None else count) is None:
            raise UserError(f"{environment} has no attribute `problems`: give the number of problems to play")
        problems = range(number)
    indices = list(dict.fromkeys(problems))
    if not indices:
        raise UserError("there are no problems to play")
    within = count_problems(environment, max(0, *indices) + 1)
    if wrong := [index for index in indices if not 0 <= index < (math.inf if within is None else within)]:
        count = count_problems(environment)
        raise UserError(f"there is no problem {wrong[0]}: use an index from 0" + (f" to {count - 1}" if count else ""))
    return indices


def count_problems(environment: Environment, limit: int | None = None) -> int | None:
    """Returns the number of problems of an environment, the length of its attribute `problems`; None if it has none.

    Args:
        environment: the environment.
        limit: largest number to return; later problems are not generated.
    """
    problems = getattr(environment.unwrapped, "problems", None)
    if problems is None:
        return None
    if limit is not None and isinstance(problems, Sequence):
        problems = problems[:limit]
    return len(problems) if limit is None else min(len(problems), limit)


@dataclasses.dataclass(slots=True)
class _Game:
    """An episode that is being played."""

    environment: Environment
    index: int
    sample: int
    problem_id: str
    transcript: Transcript
    rewards: float = 0.0
    verdict: Verdict | None = None
    turns_passed: int = 0
    """Number of turns that were passed to the environment."""

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
) -> tuple[list[_Game], SamplingIncomplete | None]:
    """Plays an episode for each (problem, sample) to its verdict. All episodes advance by one turn at a time.

    Returns:
        The episodes. If the policy stopped, the finished episodes and the error.
    """
    token_settings = {"tokenizer": policy.tokenizer, "stop_ids": policy.stop_ids} if isinstance(policy, TokenPolicy) else {}
    transcript = functools.partial(Transcript, limits, **token_settings)
    indices, samples = [index for index, _ in batch], [sample for _, sample in batch]
    games = list(threads.map(functools.partial(_begin, transcript), environments, indices, samples))
    while active := [game for game in games if game.verdict is None]:
        stopped = _sample(active, policy, sampling)
        list(threads.map(_turn, [game for game in active if game.turns_passed < len(game.turns)]))
        if stopped:
            return [game for game in games if game.verdict is not None], stopped
    return games, None


def _sample(games: Sequence[_Game], policy: Policy, sampling: Sampling) -> SamplingIncomplete | None:
    """Samples the policy's next turn in each game, with the game's own token limit.

    Returns:
        The error if the policy stopped; some games then have no new turn.
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
    by_limit: dict[int, list[_Game]] = {}
    for game in games:
        by_limit.setdefault(game.transcript.tokens_left, []).append(game)

    def generate(limit: int) -> tuple[Sequence[Sequence[Completion | None]], SamplingIncomplete | None]:
        conversations, keys = [game.transcript.messages for game in by_limit[limit]], [game.key() for game in by_limit[limit]]
        try:
            return policy.generate(conversations, 1, dataclasses.replace(sampling, max_tokens=limit), keys), None
        except SamplingIncomplete as error:
            return error.completions, error

    # In the first turn all games have the same limit. Later the limits differ, and the requests to a server are concurrent.
    concurrent = len(by_limit) > 1
    results = [f.result() for f in requests.submit(generate, by_limit, 16)] if concurrent else map(generate, by_limit)
    stopped = None
    for group, (rows, error) in zip(by_limit.values(), results, strict=True):
        stopped = stopped or error
        for game, row in zip(group, rows, strict=True):
            if row and row[0] is not None:
                game.transcript.add_turn(row[0])
    return stopped


def _begin(transcript: Callable[[list[Message]], Transcript], environment: Environment, index: int, sample: int) -> _Game:
    game = _Game(environment, index, sample, str(index), Transcript(Limits(0, 0), []))
    try:
        text, raw_info = environment.reset(seed=index, options={"problem": index})
        info = cast(Info, raw_info)
        game.problem_id = without_surrogates(str(info.get("problem_id", index)))
        game.transcript = transcript([*prompt_messages_of(text, info)])
    except UserError:
        raise
    except Exception as error:
        game.verdict = environment_error(error)
    return game


def _turn(game: _Game) -> None:
    """Passes the policy's last turn to the environment. After a fault, the episode is replayed once from the start."""
    game.turns_passed = len(game.turns)
    last = game.turns[-1]
    if verdict := verdict_without_response(last.finish_reason, last.error):
        game.verdict = verdict
        return
    for is_retry in (False, True):
        try:
            if is_retry:
                game.rewards = _replay(game)
            text, reward, terminated, truncated, raw_info = game.environment.step(game.turns[-1].scorable_text)
            info, rewards = cast(Info, raw_info), game.rewards + float(reward)
            game.verdict = verdict_of(info, rewards)
            if game.verdict.status != Status.FAULT or is_retry:
                break
        except Exception as error:
            game.verdict = environment_error(error)
    else:
        return
    game.rewards = rewards
    try:
        if game.transcript.add_reply(terminated or truncated, info.get("role", "user"), text):
            game.verdict = None
    except Exception as error:  # chat templates may raise
        game.verdict = environment_error(error)


def _replay(game: _Game) -> float:
    """Plays the earlier turns again, and returns the sum of their rewards."""
    game.environment.reset(seed=game.index, options={"problem": game.index})
    return sum(float(game.environment.step(turn.scorable_text)[1]) for turn in game.turns[:-1])


def prompt_messages_of(text: str, info: Info) -> tuple[Message, ...]:
    """Returns the prompt of an episode: the messages in `info`, else the observation as a user turn."""
    return tuple(info.get("messages") or (Message(role="user", content=text),))


def verdict_of(info: Info, reward: float) -> Verdict:
    """Returns the verdict in `info`, else the reward as a verdict. A NaN reward is a fault."""
    if "verdict" in info:
        return info["verdict"]
    if math.isnan(reward):
        return Verdict(Status.FAULT, None, "environment", "the reward is NaN")
    return Verdict(Status.SCORED, reward, "environment", "")


def environment_error(error: Exception) -> Verdict:
    """Returns the verdict of an episode whose environment raised: a fault, not a score of 0."""
    return Verdict(Status.FAULT, None, "environment", f"{type(error).__name__}: {error}"[:500])


def _episode(game: _Game) -> Episode:
    assert game.verdict is not None
    transcript, tokens = game.transcript, sum(len(turn.token_ids) for turn in game.turns)
    return Episode(game.problem_id, game.sample, tuple(transcript.messages), game.verdict, tokens, transcript.finish_reason)


def pass_rate(episodes: Sequence[Episode]) -> float | None:
    """Returns the mean score of the episodes with a score, or None if there are none."""
    scores = [episode.verdict.score for episode in episodes if episode.verdict.score is not None]
    return sum(scores) / len(scores) if scores else None
