"""What every stage shares: the settings it may have, and what it is given to run with."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, model_validator

from .cluster import HERE, Cluster

Metrics = dict[str, Any]


class Cost(NamedTuple):
    """What a stage will cost at most."""

    draws: int = 0
    """Responses drawn from a policy."""
    drawn_tokens: int = 0
    """New tokens in them."""
    trained_tokens: int = 0
    """Tokens that a gradient is computed over, prompts included."""


class Settings(BaseModel):
    """Settings of one stage as a recipe gives them; each kind of stage adds its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reads_policy: ClassVar[bool] = True
    """Whether the stage starts from a policy. One that does not is given none: what the recipe names may not be made yet."""
    leaves_policy: ClassVar[bool] = False
    """Whether the stage leaves a checkpoint, in the folder `policy`."""
    is_next: ClassVar[bool] = True
    """Whether later stages start from that checkpoint, unless they name another."""
    may_change: ClassVar[frozenset[str]] = frozenset()
    """Settings that may differ when a stage that was begun goes on: what it takes to run, not what comes out."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", description="what the stage's folder is called")
    seed: int | None = Field(None, ge=0, description="of this stage; default: the recipe's")
    policy: str | None = Field(
        None, description='a policy URI; "stage:NAME" is an earlier stage of the recipe. Default: the last policy left'
    )

    @model_validator(mode="after")
    def _policy_is_read(self) -> "Settings":
        if self.policy is not None and not self.reads_policy:
            raise ValueError(f"policy is {self.policy}, but such a stage starts from none: leave it out")
        return self

    def check(self) -> None:
        """Looks at whatever can be looked at before the first stage runs: files, environments, names.

        Raises:
            UserError: something is not there or cannot be read.
        """

    def decided_by(self) -> dict[str, str]:
        """What decides the result of the stage beside the settings and what they refer to, by name (`identity.py`)."""
        return {}

    def cost(self) -> Cost:
        """What the stage will cost at most. Called after `check`."""
        return Cost()


@dataclass(frozen=True, slots=True)
class Context:
    """What a stage is run with."""

    folder: Path
    """Where everything the stage writes goes; it may hold the remains of a run that was killed."""
    policy: str
    """URI of the policy to start from."""
    seed: int
    inputs: dict[str, Path]
    """Folders of the earlier stages, by name."""
    progress: Callable[..., None]
    """progress(done, total, **figures): shows how far the stage is."""
    cluster: Cluster = HERE
    """What to run on."""
    identity: str = ""
    """The digest of what decides the result (`identity.py`): what the stage stores is of that alone."""
