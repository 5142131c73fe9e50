"""`rollout`: plays episodes of an environment with a policy. Episodes are stored. Only those with a fault are played again.

    episodes = rollout("tenfold/ChainSum-v0", policy, samples=16, store="episodes.jsonl")

`play` returns the episodes by problem, and can stop early for a problem.

Any `gymnasium.Env` with text observations and text actions works. If its `info` has no entries of `core.Info`, the first
observation is the prompt, and the sum of the rewards is the score.
"""

import contextlib
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import gymnasium

from .. import disk
from ..core import Episode, Policy, Sampling, Status, UserError
from . import identity
from .play import games
from .play.games import Environment, count_problems
from .play.hosted import Episodes, HostedEnvironment
from .play.hosts import OnNodes
from .play.loop import Loop
from .play.plan import Decided, Plan
from .store import EpisodeRow, Store, check_episode, episode_from_json, episode_row, sampling_settings
from .transcript import Limits, TokenPolicy, Transcript

MAX_TURNS = 16
"""Number of turns after which an episode ends with the rewards so far. Our choice."""


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
        problems: indices of the problems, or a number N for the first N problems; the default is all problems.
        sampling: temperature, base seed, and token limit of an episode: all turns of the policy and the replies between them.
        max_turns: limit of the policy's turns in an episode; see `transcript.py`.
        store: JSONL file for the episodes. Episodes that it contains are not played again, except those with a fault.
        store_settings: further settings that must be equal to continue the store. The default names the policy: its URI and the
            digests of its files. Name a policy of your own class here: {"policy": "mine, step 300"}.
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
    is_decided: Decided | None = None,
    on_nodes: OnNodes | None = None,
) -> dict[int, list[Episode]]:
    """Plays episodes of each problem, and can stop early for a problem.

    Args:
        environment, policy, samples, problems, sampling, max_turns, store, store_settings, progress: see `rollout`.
        is_decided: called with a problem's first episodes, in the order of their samples. If it returns true, the problem is
            not played further. If few problems are open, further episodes of a problem may be in play by then. They are stored
            but not returned.
        on_nodes: starts the processes in which the environments are reset and stepped; the default is this process.

    Returns:
        For each index of a problem, its episodes in the order of their samples, up to the one that decides.
    """
    sampling = sampling or Sampling()
    create = functools.partial(_create, environment) if isinstance(environment, str) else environment
    limits = Limits(sampling.max_tokens, max_turns, policy.window if isinstance(policy, TokenPolicy) else None)
    with contextlib.closing(create()) as first, disk.locked_file(store) if store else contextlib.nullcontext():
        indices = _indices(first, problems)
        settings = {
            "environment": environment if isinstance(environment, str) else str(first),
            **(identity.with_policy(store_settings, policy) if store else {}),
            **sampling_settings(sampling),
            "max_turns": max_turns,
        }
        episode_store: Store[EpisodeRow] | None = Store(store, settings, check_episode) if store else None
        run = functools.partial(_run, create, first, policy, sampling, limits, on_nodes)
        return _play_missing(run, indices, samples, episode_store, progress, is_decided)


Finished = Callable[[Sequence[games.Game]], None]
"""Called with episodes that have ended."""


def _run(
    create: Callable[[], Environment],
    first: Environment,
    policy: Policy,
    sampling: Sampling,
    limits: Limits,
    on_nodes: OnNodes | None,
    finished: Finished,
    plan: Plan,
) -> None:
    """Plays the episodes of a plan.

    Args:
        create: creates an environment.
        first: an environment that exists already.
        policy: see `play`.
        sampling: see `play`.
        limits: limits of an episode.
        on_nodes: see `play`.
        finished: see `Loop`.
        plan: the episodes.
    """
    tokens = {"tokenizer": policy.tokenizer, "stop_ids": policy.stop_ids} if isinstance(policy, TokenPolicy) else {}
    transcript = functools.partial(Transcript, limits, **tokens)
    with on_nodes(functools.partial(Episodes, create)) if on_nodes else contextlib.nullcontext() as hosts:
        if hosts:
            hosted = functools.partial(HostedEnvironment, hosts)
            Loop(hosted, [], transcript, policy, sampling, finished, hosts.concurrency).run(plan)
            return
        environments = [first]
        try:
            Loop(create, environments, transcript, policy, sampling, finished).run(plan)
        finally:
            for environment in environments[1:]:  # `play` closes the first
                environment.close()


def _play_missing(
    run: Callable[[Finished, Plan], None],
    indices: Sequence[int],
    samples: int,
    store: Store[EpisodeRow] | None,
    progress: Callable[[int, int], None] | None,
    is_decided: Decided | None,
) -> dict[int, list[Episode]]:
    """Plays the episodes that the store does not have; see `play`.

    `run` is `_run` with all arguments given except `finished` and `plan`.
    """
    played: dict[tuple[int, int], Episode] = {}
    for row in store.rows if store else ():
        if (episode := episode_from_json(row)).verdict.status != Status.FAULT:
            played[row["problem"], episode.sample] = episode
    plan = Plan(indices, samples, is_decided)
    plan.begin(played)

    def finished(ended: Sequence[games.Game]) -> None:
        episodes = [games.episode(game) for game in ended]
        if store:
            store.append(episode_row(game.index, new, game.turns) for game, new in zip(ended, episodes, strict=True))
        for game, new in zip(ended, episodes, strict=True):
            plan.end(game.index, new)
        if progress:
            progress(plan.done, len(indices) * samples)

    if plan.done < len(indices) * samples:  # else no process need be started
        run(finished, plan)
    return {index: plan.known[index] for index in indices}


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


def pass_rate(episodes: Sequence[Episode]) -> float | None:
    """Returns the mean score of the episodes with a score, or None if there are none."""
    scores = [episode.verdict.score for episode in episodes if episode.verdict.score is not None]
    return sum(scores) / len(scores) if scores else None
