"""A stage of a recipe: its settings, what it runs, and how its results are shown. One class a kind.

    class Words(Stage):
        kind: Literal["words"]
        problems: str

        def run(self, context: Context) -> Metrics:
            ...
            return {"words": count}

        def summary(self, metrics: Metrics) -> str:
            return f"{metrics['words']:,} words"

The kinds that this package has are listed in `stages.py`. A package adds kinds by an entry point in its pyproject.toml:

    [project.entry-points."tenfold.stages"]
    words = "lab.stages:Words"

A stage leaves a folder. `stage.json` is written there last: it holds the stage's settings, what decided its result, and its
metrics.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, model_validator

from .. import disk
from ..core import UserError
from .cluster import HERE, Cluster

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Metrics = dict[str, Any]


class Cost(NamedTuple):
    """What a stage will cost at most."""

    samples: int = 0
    """Responses sampled from a policy."""
    generated_tokens: int = 0
    """New tokens in them."""
    trained_tokens: int = 0
    """Tokens that a gradient is computed over, prompts included."""


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
    """The digest of what decides the result (`recipe/identity.py`): what the stage stores is of that alone."""


class Stage(BaseModel):
    """Settings of one stage as a recipe gives them, and what the stage does. Each kind adds a field `kind: Literal["..."]`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    reads_policy: ClassVar[bool] = True
    """Whether the stage starts from a policy. One that does not is given none: what the recipe names may not be made yet."""
    leaves_policy: ClassVar[bool] = False
    """Whether the stage leaves a checkpoint, in the folder `policy`."""
    feeds_next: ClassVar[bool] = True
    """Whether later stages start from that checkpoint, unless they name another."""
    data_parallel: ClassVar[bool] = False
    """Whether the stage has a method `train`, which is called in as many processes as the cluster has GPUs."""
    may_change: ClassVar[frozenset[str]] = frozenset()
    """Settings that may differ when a stage that was begun goes on: what it takes to run, not what comes out."""
    compared_in_identity: ClassVar[frozenset[str]] = frozenset()
    """Settings that name files of which only a part decides the result: `identity` says which part."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", description="what the stage's folder is called")
    seed: int | None = Field(None, ge=0, description="of this stage; default: the recipe's")
    policy: str | None = Field(
        None, description='a policy URI; "stage:NAME" is an earlier stage of the recipe. Default: the last policy left'
    )

    @model_validator(mode="after")
    def _policy_is_read(self) -> "Stage":
        if self.policy is not None and not self.reads_policy:
            raise ValueError(f"policy is {self.policy}, but such a stage starts from none: leave it out")
        return self

    def check(self) -> None:
        """Looks at whatever can be looked at before the first stage runs: files, environments, names.

        Raises:
            UserError: something is not there or cannot be read.
        """

    def check_cluster(self, cluster: Cluster) -> None:
        """Looks at whether the stage can run on a cluster.

        Raises:
            UserError: it cannot.
        """

    def check_links(self, earlier: Mapping[str, "Stage"]) -> None:
        """Looks at whether the stage goes with the earlier stages of its recipe, by name.

        Raises:
            UserError: it does not.
        """

    def named_stages(self) -> list[str]:
        """Earlier stages that the settings name, beside `policy` and `{stage:NAME}`."""
        return []

    def reads_files(self) -> dict[str, str]:
        """Files that decide the result in the folders of earlier stages: the stage's name to the file's."""
        return {}

    def identity(self) -> dict[str, str]:
        """What decides the result of the stage beside the settings and what they refer to, by name (`recipe/identity.py`)."""
        return {}

    def cost(self) -> Cost:
        """What the stage will cost at most. Called after `check`."""
        return Cost()

    def run(self, context: Context) -> Metrics:
        """Runs the stage, or goes on with what a killed run left in its folder.

        Returns:
            What `stage.json` records and the reports show: numbers, texts, lists and dictionaries.

        Raises:
            UserError: something that the user can mend.
        """
        raise NotImplementedError(f"{type(self).__name__} has no run")

    def train(self, context: Context) -> Metrics:
        """Trains in this process, which may be one of several that torch has joined. For stages that are `data_parallel`."""
        raise NotImplementedError(f"{type(self).__name__} has no train")

    def summary(self, metrics: Metrics) -> str:
        """The result in one line."""
        return ""

    def figure(self, metrics: Metrics) -> "Figure | None":
        """The result as a picture for the run's page, where there is something to sample."""
        return None

    def tables(self, metrics: Metrics) -> str:
        """Further results as HTML for the run's page (`figures.table`)."""
        return ""


def record(folder: Path) -> dict[str, Any] | None:
    """What a stage's folder says of how the stage was made: the record of a stage that is done, or was begun; else None.

    Raises:
        UserError: the record is cut, empty, of another program, or no file.
    """
    for name in ("stage.json", "settings.json"):
        path = folder / name
        if not path.exists():
            continue
        if not path.is_file():
            raise UserError(f"{path} is no file: {anew(folder)}")
        found = disk.read_object(path, anew(folder))
        with disk.reading(path, anew(folder)):
            disk.check_types(found, stage=dict, policy=str, seed=int)
            disk.check_types(found["stage"], kind=str)
            maps = ("inputs", "identity", "versions")
            disk.check_types({part: found.get(part, {}) for part in maps}, **dict.fromkeys(maps, dict))
            if name == "stage.json":
                disk.check_types(found, metrics=dict, wall_seconds=(int, float), resumed=bool)
        return found
    return None


def finished(folder: Path) -> dict[str, Any]:
    """The record of a stage that is done.

    Raises:
        UserError: it is not done, or its record cannot be read.
    """
    found = record(folder)
    if found is None or "metrics" not in found:
        raise UserError(f"the stage {folder} is not finished: it has no stage.json")
    return found


def anew(folder: Path) -> str:
    """What a user can do where a stage's folder is broken."""
    return f"remove the folder {folder} and those of the stages after it, and they are run anew"
