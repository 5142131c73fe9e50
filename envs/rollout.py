"""`rollout` for registered environments: its store also records the environment's identity."""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ..core import Episode, Policy, Sampling
from ..policies import rollout as playing
from ..policies.play.games import Environment
from . import identity, registry


def rollout(
    environment: str | Callable[[], Environment],
    policy: Policy,
    samples: int = 16,
    *,
    problems: Sequence[int] | int | None = None,
    sampling: Sampling | None = None,
    max_turns: int | None = None,
    store: str | Path | None = None,
    store_settings: Mapping[str, object] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Episode]:
    """Plays `samples` episodes of each problem.

    A store can be continued only while all inputs of the reward are unchanged: problems, gold answers, template, verifier,
    judge.

    Args:
        environment: an environment id, or a function that creates an environment. For a function, name the inputs of the reward
            in `store_settings`.
        policy: samples the responses.
        samples: number of episodes for each problem.
        problems: indices of the problems, or a number N for the first N problems; the default is all problems.
        sampling: temperature, base seed, and token limit of an episode.
        max_turns: limit of the policy's turns in an episode; see `turn_limit`.
        store: JSONL file for the episodes. Episodes that it contains are not played again, except those with a fault.
        store_settings: further settings that must be equal to continue a store. The default names the policy: its URI and the
            digests of its files. Name a policy of your own class here: {"policy": "mine, step 300"}.
        progress: called with the number of finished episodes and the total.

    Returns:
        The episodes, ordered by problem and sample.

    Raises:
        UserError: there is no such environment, it has no problems, or the store was made under other settings.
        SamplingIncomplete: the policy stopped; the finished episodes are in the store.
    """
    if store is not None and isinstance(environment, str):
        store_settings = {**identity.store_settings(environment), **(store_settings or {}), "environment": environment}
    return playing.rollout(
        functools.partial(registry.make, environment) if isinstance(environment, str) else environment,
        policy,
        samples,
        problems=problems,
        sampling=sampling,
        max_turns=turn_limit(environment, max_turns) if isinstance(environment, str) else max_turns or playing.MAX_TURNS,
        store=store,
        store_settings=store_settings,
        progress=progress,
    )


def turn_limit(id: str, chosen: int | None = None) -> int:
    """Returns the limit of the policy's turns in an episode.

    Rollouts, filter, GRPO and benchmarks all use it, so an episode ends at the same turn in each of them.

    Args:
        id: see `registry.make`.
        chosen: the user's limit. The default is the environment's `max_episode_steps`, or 16 if it has none.

    Raises:
        UserError: there is no such environment.
    """
    return chosen or registry.find(id).max_episode_steps or playing.MAX_TURNS
