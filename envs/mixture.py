"""Several environments as one: problems of all of them, in turn, each posed and judged by its own.

tenfold.register("lab/All-v0", entry_point="tenfold.envs.mixture:Mixture", environments=["tenfold/GSM8K-v0", "lab/Code-v0"])
"""

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium

from ..core import UserError, Verdict
from ..policies.rollout import count_problems
from . import registry
from .text import SupportsScoreGroup, Text, problem_index


class Mixture(gymnasium.Env[str, str]):
    """Poses the first problem of each environment, then the second of each, until none has any left."""

    metadata = {"render_modes": []}  # noqa: RUF012 (Gymnasium's own name and form)

    def __init__(self, environments: Sequence[str | Mapping[str, Any]], each: int | None = None):
        """Makes the environments.

        Args:
            environments: ids, or {"id": ..., further keyword arguments of that environment}.
            each: only so many problems of each.

        Raises:
            UserError: one of them cannot be made, or does not tell how many problems it has.
        """
        given = [{"id": entry} if isinstance(entry, str) else dict(entry) for entry in environments]
        self.parts = [registry.make(**entry) for entry in given]
        sizes = []
        for entry, part in zip(given, self.parts, strict=True):
            if (has := count_problems(part)) is None:
                raise UserError(f"{entry['id']} does not tell how many problems it has: it cannot be mixed with others")
            sizes.append(min(has, each or has))
        self.problems = [(part, index) for index in range(max(sizes)) for part, size in enumerate(sizes) if index < size]
        """Each problem's environment, and its index there."""
        self.observation_space = self.action_space = Text()
        self.playing: gymnasium.Env[str, str] | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Poses problem `options["problem"]`; without it one is drawn."""
        super().reset(seed=seed)
        index = problem_index(options, len(self.problems), self.np_random)
        part, own = self.problems[index]
        self.playing = self.parts[part]
        text, info = self.playing.reset(seed=seed, options={"problem": own})
        return text, {**info, "index": index}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """What the environment that posed the problem says to the action."""
        if self.playing is None:
            raise gymnasium.error.ResetNeeded("call reset() before step()")
        text, reward, terminated, truncated, info = self.playing.step(action)
        return text, float(reward), terminated, truncated, info

    def score_group(self, index: int, responses: Sequence[str]) -> list[Verdict] | None:
        """Verdicts on all responses to a problem where its environment judges groups, else None."""
        part, own = self.problems[index]
        judge = self.parts[part].unwrapped
        return judge.score_group(own, responses) if isinstance(judge, SupportsScoreGroup) else None

    def close(self) -> None:
        """Closes all environments."""
        for part in self.parts:
            part.close()
