"""Episodes of a registered environment, stored with what decides their rewards."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ..core import Episode, Policy, Sampling
from ..policies import rollout as playing
from . import identity


def rollout(
    environment: str | Callable[[], playing.Environment],
    policy: Policy,
    samples: int = 16,
    *,
    problems: Sequence[int] | int | None = None,
    sampling: Sampling | None = None,
    store: str | Path | None = None,
    made_with: Mapping[str, object] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Episode]:
    """Plays `samples` episodes of each problem; see `policies.rollout.rollout`, which has the same arguments.

    A store of episodes of a registered environment is only continued while nothing that decides a reward has changed: problems,
    gold answers, template, verifier, judge. For a function that makes environments, say in `made_with` what decides.

    Raises:
        UserError: no such environment, no problem to play, or a store made under other settings.
    """
    if store is not None and isinstance(environment, str):
        made_with = {**identity.made_with(environment), **(made_with or {})}
    return playing.rollout(
        environment,
        policy,
        samples,
        problems=problems,
        sampling=sampling,
        store=store,
        made_with=made_with,
        progress=progress,
    )
