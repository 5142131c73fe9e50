"""The base class of stages: settings, what the stage runs, and how its results are shown. Each kind of stage is a class.

    class Words(Stage):
        kind: Literal["words"]
        problems: str

        def run(self, context: Context) -> Metrics:
            ...
            return {"words": count}

        def summary(self, metrics: Metrics) -> str:
            return f"{metrics['words']:,} words"

`stages.py` lists the kinds of this package. Another package adds kinds through an entry point in its pyproject.toml:

    [project.entry-points."tenfold.stages"]
    words = "lab.stages:Words"

Each stage writes to its own folder. The last file written there is `stage.json`: settings, identity and metrics.
`settings.json` has the settings and the identity of the work in the folder.
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
RECORD, SETTINGS, STEPS = "stage.json", "settings.json", "steps.jsonl"
"""Files of a stage's folder: the record of a finished stage, the settings and identity of its work, and the values of each step
of a training."""
MAX_SEED = 2**32 - 1
"""Largest base seed: numpy's generator, which is seeded for training, takes no larger one."""
START_FILES = frozenset({SETTINGS, STEPS, "processes.json", "progress.json", "train.log"})
"""Files that a start writes before any work, and those that alone are no work to resume from."""


class Extension(NamedTuple):
    """How a stage continues work that was done with fewer steps."""

    step: int
    """Number of steps of the earlier work."""
    changed: frozenset[str]
    """Settings that may differ from those before."""
    difference: str = ""
    """Why the result differs from that of a new run; empty if it does not."""


class OtherPolicy(NamedTuple):
    """Upper bounds of what a stage does with a policy that it does not start from, such as a teacher or a judge."""

    policy: str
    """URI of the policy."""
    samples: int = 0
    """Responses sampled from it. They are part of `CostEstimate.samples`."""
    generated_tokens: int = 0
    """Tokens of these responses, part of `CostEstimate.generated_tokens`."""
    forward_tokens: int = 0
    """Tokens of sequences that pass through it once, as those of a teacher whose distributions are learned."""


class CostEstimate(NamedTuple):
    """Upper bounds of what a stage will sample and train on. A stage of another package may give the first three only."""

    samples: int = 0
    """Responses sampled from a policy."""
    generated_tokens: int = 0
    """Tokens of these responses."""
    trained_tokens: int = 0
    """Tokens of the training sequences, prompts included."""
    training_length: float = 0.0
    """Tokens of a training sequence; the mean over the tokens if the lengths differ."""
    forward_tokens: int = 0
    """Tokens of training sequences that also pass through a model of the policy's size without training, once for each pass."""
    prompt_tokens: int = 0
    """Tokens of the prompt of a sample; 0: unknown."""
    samples_per_step: int = 0
    """Samples that all copies of the policy together sample at the same time; 0: no limit."""
    samples_per_copy: int = 0
    """Samples that each copy samples at the same time; 0: no limit."""
    others: tuple[OtherPolicy, ...] = ()
    """What the stage does with other policies."""
    written_bytes: float | None = 0.0
    """Bytes of files other than the policy, the checkpoints and the samples' texts; None: unknown. With `copies_of` it is
    a factor of that stage's bytes."""
    copies_of: str = ""
    """Folder of the earlier stage whose bytes `written_bytes` multiplies; empty for none."""
    unknown: str = ""
    """What the estimate leaves out because it is not known before the run; empty if nothing."""


@dataclass(frozen=True, slots=True)
class Context:
    """The arguments of a stage's `run`."""

    folder: Path
    """The stage's folder. It may hold files of an earlier run that was killed."""
    policy: str
    """URI of the policy to start from; empty if the stage starts from none."""
    seed: int
    inputs: dict[str, Path]
    """Folders of the earlier stages, by name."""
    progress: Callable[..., None]
    """progress(done, total, **values) shows how far the stage is."""
    cluster: Cluster = HERE
    identity: str = ""
    """Digest of the stage's identity (`recipe/identity.py`). Stored samples are reused only under the same digest."""

    def waits(self, for_what: str = "for the policy to load") -> None:
        """Shows what the stage waits for before its work begins."""
        self.progress(0, 0, waiting=for_what)


class Stage(BaseModel):
    """A stage: its settings in the recipe, and the methods that run it. Each kind adds a field `kind: Literal["..."]`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    reads_policy: ClassVar[bool] = True
    """True if the stage starts from a policy. If False, `Context.policy` is empty, and the policy need not exist yet."""
    reads_checkpoint: ClassVar[bool] = False
    """True if the policy must be a checkpoint although the stage writes none. A stage that writes a policy always needs one."""
    writes_policy: ClassVar[bool] = False
    """True if the stage writes a checkpoint to the folder `policy`."""
    is_default_start: ClassVar[bool] = True
    """True if later stages start from that checkpoint by default."""
    data_parallel: ClassVar[bool] = False
    """True if the stage has a method `train`, which runs in one process per GPU of the cluster."""
    may_change: ClassVar[frozenset[str]] = frozenset()
    """Settings that may change when a stage is resumed, because they do not affect its result."""
    compared_in_identity: ClassVar[frozenset[str]] = frozenset()
    """Settings that name files of which only a part affects the result. The digests of these files are not compared; the method
    `identity` returns the values that are compared instead."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", description="name of the stage and of its folder")
    seed: int | None = Field(None, ge=0, le=MAX_SEED, description="base seed of this stage; default: the recipe's seed")
    policy: str | None = Field(
        None,
        description='URI of the policy to start from; "stage:NAME" is an earlier stage. '
        "Default: the checkpoint of the last stage that trained one, or the recipe's policy",
    )

    @model_validator(mode="after")
    def _policy_is_read(self) -> "Stage":
        if self.policy is not None and not self.reads_policy:
            raise ValueError(f"policy: this kind of stage does not start from a policy, got {self.policy}; remove the setting")
        return self

    def check(self) -> None:
        """Checks files, environments and names before the first stage runs.

        Raises:
            UserError: something is missing or cannot be read.
        """

    def check_cluster(self, cluster: Cluster) -> None:
        """Checks that the stage can run on a cluster.

        Raises:
            UserError: the stage cannot run there.
        """

    def check_policy(self, checkpoint: Path, cluster: Cluster) -> None:
        """Checks the settings against the model and the tokenizer of the policy that the stage starts from.

        If that policy is the result of an earlier stage that is not finished, `checkpoint` is the folder from which the
        earlier stage starts: it has the same configuration and tokenizer, and other weights.

        Args:
            checkpoint: folder with a configuration, weights and a tokenizer.
            cluster: hardware that the stage runs on.

        Raises:
            UserError: the stage would fail with this model.
        """

    def check_links(self, earlier: Mapping[str, "Stage"]) -> None:
        """Checks the stage's references to earlier stages.

        Args:
            earlier: the earlier stages of the recipe, by name.

        Raises:
            UserError: a reference is invalid.
        """

    def named_stages(self) -> list[str]:
        """Returns the earlier stages that the settings name, other than in `policy` and `{stage:NAME}`."""
        return []

    def files_read(self) -> dict[str, str]:
        """Returns the files of earlier stages that affect the result: stage name to file name."""
        return {}

    def identity(self) -> dict[str, str]:
        """Returns what affects the result besides the settings and their files, by name (`recipe/identity.py`)."""
        return {}

    def extension(self, before: Mapping[str, Any]) -> Extension | None:
        """Returns how the stage continues from the last checkpoint of work with fewer steps; None if it cannot.

        Args:
            before: the stage's settings at that time.
        """
        return None

    def cautions(self, policy: str, origin: str) -> list[str]:
        """Returns texts about settings that are valid but probably a mistake.

        Args:
            policy: URI of the policy to start from; empty for none.
            origin: URI of the policy with which the training of `policy` began; equal to `policy` if no stage trained it.
        """
        return []

    def step_line(self, row: disk.Row) -> str:
        """Returns a line on a step for the terminal; empty if the progress bar is enough.

        Args:
            row: the step's line in `steps.jsonl`.
        """
        return ""

    def examples(self, folder: Path) -> Callable[[int, int], list[str]]:
        """Returns a function (step, count) that returns the `count` best and the `count` worst samples of a step as texts.

        It is called once for each step, in order.

        Args:
            folder: the stage's folder.
        """
        return lambda step, count: []

    def has_work(self, folder: Path) -> bool:
        """True if an unfinished stage has left anything in its folder that a resume would use."""
        files = (path for path in folder.rglob("*") if path.is_file())
        return any(path.name.removesuffix(".partial") not in START_FILES for path in files)

    def cost(self) -> CostEstimate:
        """Returns upper bounds of the stage's cost. Called after `check`."""
        return CostEstimate()

    def run(self, context: Context) -> Metrics:
        """Runs the stage, or resumes it from the files that a killed run left in its folder.

        Returns:
            The metrics for `stage.json` and the reports: numbers, texts, lists and dictionaries.

        Raises:
            UserError: an error that the user can fix.
        """
        raise NotImplementedError(f"{type(self).__name__} has no run")

    def train(self, context: Context) -> Metrics:
        """Trains in this process, which may be one of several. Stages with `data_parallel` implement it."""
        raise NotImplementedError(f"{type(self).__name__} has no train")

    def summary(self, metrics: Metrics) -> str:
        """Returns the result as one line of text."""
        return ""

    def comparable(self, metrics: Metrics) -> dict[str, float]:
        """Returns the metrics that a sweep or a contrast compares, by name."""
        return {}

    def figure(self, metrics: Metrics) -> "Figure | None":
        """Returns a plot for the run's report, or None."""
        return None

    def tables(self, metrics: Metrics) -> str:
        """Returns further results as HTML for the run's report (`figures.table`)."""
        return ""


def read_record(folder: Path) -> dict[str, Any] | None:
    """Returns the record of a finished stage, else that of a stage that has begun, else None.

    Raises:
        UserError: the record is truncated, empty, of another format, or not a file.
    """
    for name in (RECORD, SETTINGS):
        path = folder / name
        if not path.exists():
            continue
        if not path.is_file():
            raise UserError(f"{path} is not a file: {rerun_advice(folder)}")
        found = disk.read_object(path, rerun_advice(folder))
        with disk.reading(path, rerun_advice(folder)):
            disk.check_types(found, stage=dict, policy=str, seed=int)
            disk.check_types(found["stage"], kind=str)
            maps = ("inputs", "identity", "versions")
            disk.check_types({part: found.get(part, {}) for part in maps}, **dict.fromkeys(maps, dict))
            if name == RECORD:
                disk.check_types(found, metrics=dict, wall_seconds=(int, float), resumed=bool)
        return found
    return None


def work_record(stage: Stage, folder: Path) -> dict[str, Any] | None:
    """Returns the record of a stage's work: that of `read_record`, but None if the stage has begun and done no work.

    Raises:
        UserError: see `read_record`.
    """
    found = read_record(folder)
    return found if found is None or "metrics" in found or stage.has_work(folder) else None


def finished_record(folder: Path) -> dict[str, Any]:
    """Returns the record of a finished stage.

    Raises:
        UserError: the stage is not finished, or its record cannot be read.
    """
    found = read_record(folder)
    if found is None or "metrics" not in found:
        raise UserError(f"the stage {folder} is not finished: it has no stage.json")
    return found


def rerun_advice(folder: Path) -> str:
    """Returns the end of an error message: what to do about a damaged stage folder."""
    return f"remove the folder {folder} and those of the later stages, then run again"
