"""All kinds of stages: those of this package and those of installed packages (see `stage.py`)."""

import importlib.metadata
import warnings
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Annotated, Union, get_args

from pydantic import Field

from .autopsy.autopsy import Autopsy
from .bench.bench import Bench
from .bench.contrast import Contrast
from .corpus.clean import Clean
from .corpus.documents import Documents
from .corpus.mix import Mix
from .corpus.retrieve import Retrieve
from .corpus.select import Select
from .corpus.tag import Tag
from .corpus.tokenizer import Tokenizer
from .distill.distill import Distill
from .distill.sample_pairs import SamplePairs
from .pretrain.pretrain import Pretrain
from .refine.refine import Refine
from .reward.reward_model import RewardModel
from .rl.filter import Filter
from .rl.grpo import GRPO
from .sft.sft import SFT
from .stage import Stage
from .synthesize.synthesize import Synthesize

BUILT_IN_STAGES: tuple[type[Stage], ...] = (
    *(Documents, Clean, Tag, Retrieve, Select, Tokenizer, Mix, Pretrain),
    *(SFT, Refine, SamplePairs, Distill, RewardModel, Synthesize, Filter, GRPO, Autopsy, Bench, Contrast),
)
"""The kinds of this package, ordered from raw text to benchmarks."""
ENTRY_POINTS = "tenfold.stages"
"""Group of entry points with which other packages add kinds of stages."""


def kind_of(stage: type[Stage]) -> str:
    """Returns the value of `kind:` in a recipe."""
    (kind,) = get_args(stage.model_fields["kind"].annotation)
    return str(kind)


def _added() -> Iterator[type[Stage]]:
    """Yields the kinds of installed packages. An unusable kind is skipped with a warning that names its package."""
    taken = {kind_of(stage) for stage in BUILT_IN_STAGES}
    for point in importlib.metadata.entry_points(group=ENTRY_POINTS):
        package = point.dist.name if point.dist else point.value
        try:
            stage = point.load()
        except (Exception, SystemExit) as error:  # importing a package may raise anything
            problem = f"cannot be loaded: {type(error).__name__}: {error}"
        else:
            problem = _problem_of(stage, point, taken)
            if not problem:
                taken.add(point.name)
                yield stage
                continue
        warnings.warn(f"the stage {point.name} of {package} {problem}", stacklevel=2)


def _problem_of(stage: object, point: importlib.metadata.EntryPoint, taken: Collection[str]) -> str:
    """Returns why the object of an entry point cannot be used as a kind; empty if it can."""
    if not (isinstance(stage, type) and issubclass(stage, Stage)):
        return f"is skipped: {point.value} is not a subclass of Stage"
    if get_args(stage.model_fields["kind"].annotation) != (point.name,):
        return f"is skipped: {point.value} has no field kind: Literal[{point.name!r}]"
    return "is skipped: another stage already has this kind" if point.name in taken else ""


KINDS: dict[str, type[Stage]] = {kind_of(stage): stage for stage in (*BUILT_IN_STAGES, *_added())}
"""All kinds of stages, by name."""

if TYPE_CHECKING:
    AnyStage = Stage
else:
    AnyStage = Annotated[Union[tuple(KINDS.values())], Field(discriminator="kind")]  # noqa: UP007
"""The type of a stage in a recipe: pydantic selects the class by `kind`."""
