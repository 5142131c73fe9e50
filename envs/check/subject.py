"""What is checked: how to make the environment, the environment, the settings of the check, and the times of its verdicts."""

import random
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field

import gymnasium

from ...policies.play.games import count_problems
from .. import registry

GOLD_CHECKED = 100
"""Number of problems whose gold answers are played. Our choice."""
WRONG_CHECKED = 20
"""Number of problems on which responses that must not win are played. Our choice."""
ALLOWED = 0.1
"""Share of problems beyond chance from which the check of such a response fails. Our choice."""

Environment = gymnasium.Env[str, str]


@dataclass(frozen=True)
class Make:
    """Makes the environment to check, without warnings."""

    id: str
    options: Mapping[str, object]

    def __call__(self) -> Environment:
        """Returns a new environment."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return registry.make(self.id, **self.options)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a check."""

    problems: int | None = None
    """Number of problems to play; None: `GOLD_CHECKED` with gold answers, and `WRONG_CHECKED` with other responses."""
    seed: int = 0
    """Seed of the choice of problems."""
    allow: float = ALLOWED
    """Share of problems, beyond chance, that a response that must not win may win without failing the check."""
    strict: bool = False
    """Let the check fail where it warns that such a response wins."""


@dataclass(frozen=True, slots=True)
class Subject:
    """An environment that is checked."""

    make: Make
    environment: Environment
    settings: Settings = Settings()
    seconds: list[float] = field(default_factory=list)
    """The time of each `step` so far that returned a verdict."""

    def indices(self, number: int) -> list[int]:
        """Returns the indices of the problems to play, in order: a random choice that depends only on the seed.

        Args:
            number: number of problems if the settings name none. An endless environment has as many problems.
        """
        number = self.settings.problems or number
        count = count_problems(self.environment)
        if count is None or count <= number:
            return [*range(number if count is None else count)]
        return sorted(random.Random(self.settings.seed).sample(range(count), number))
