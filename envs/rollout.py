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
    max_turns: int = playing.MAX_TURNS,
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
        max_turns: limit of the policy's turns in an episode.
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
        max_turns=max_turns,
        store=store,
        store_settings=store_settings,
        progress=progress,
    )
