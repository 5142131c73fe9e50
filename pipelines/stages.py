"""The kinds of stages that a recipe may have: those of this package, and those that installed packages add (see `stage.py`)."""

import importlib.metadata
import warnings
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Annotated, Union, get_args

from pydantic import Field

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

OWN: tuple[type[Stage], ...] = (
    *(Documents, Clean, Tag, Retrieve, Select, Tokenizer, Mix, Pretrain),
    *(SFT, Refine, SamplePairs, Distill, RewardModel, Synthesize, Filter, GRPO, Bench, Contrast),
)
"""The kinds of this package, in the order of a training from raw text to benchmarks."""
ENTRY_POINTS = "tenfold.stages"
"""The group of entry points by which a package adds kinds of stages."""


def kind_of(stage: type[Stage]) -> str:
    """What a recipe writes after `kind:`."""
    (kind,) = get_args(stage.model_fields["kind"].annotation)
    return str(kind)


def _added() -> Iterator[type[Stage]]:
    """The kinds that installed packages add. One that cannot be used is left out with a warning that names its package."""
    taken = {kind_of(stage) for stage in OWN}
    for point in importlib.metadata.entry_points(group=ENTRY_POINTS):
        package = point.dist.name if point.dist else point.value
        try:
            stage = point.load()
        except (Exception, SystemExit) as error:  # whatever a package does when it is imported
            said = f"cannot be loaded: {type(error).__name__}: {error}"
        else:
            said = _unfit(stage, point, taken)
            if not said:
                taken.add(point.name)
                yield stage
                continue
        warnings.warn(f"the stage {point.name} of {package} {said}", stacklevel=2)


def _unfit(stage: object, point: importlib.metadata.EntryPoint, taken: Collection[str]) -> str:
    """Why what an entry point leads to cannot be a kind of that name; empty where it can."""
    if not (isinstance(stage, type) and issubclass(stage, Stage)):
        return f"is left out: {point.value} is no class derived from Stage"
    if get_args(stage.model_fields["kind"].annotation) != (point.name,):
        return f"is left out: {point.value} has no field kind: Literal[{point.name!r}]"
    return "is left out: this kind is taken" if point.name in taken else ""


KINDS: dict[str, type[Stage]] = {kind_of(stage): stage for stage in (*OWN, *_added())}
"""Every kind of stage by its name."""

if TYPE_CHECKING:
    AnyStage = Stage
else:
    AnyStage = Annotated[Union[tuple(KINDS.values())], Field(discriminator="kind")]  # noqa: UP007
"""A stage of any kind, as pydantic reads it."""
