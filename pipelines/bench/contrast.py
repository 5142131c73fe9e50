"""The contrast stage: the mean paired difference between two ways of training over several seeds.

    - {kind: contrast, name: staged, stages: [fg_1, fg_2, fg_3], baselines: [wsd_1, wsd_2, wsd_3]}

Stages that can be compared: bench (avg@k), filter (pass rate), sft (final training loss), grpo (reward), pretrain (losses on
held-out data), distill (probabilities on held-out pairs) and reward_model (accuracy on held-out pairs). The interval is
Student's t interval for the mean difference. It covers the variation between seeds and is wide for three seeds.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal, TypedDict, cast

import numpy
from pydantic import Field, model_validator

from ... import disk
from ...core import UserError
from .. import figures
from ..stage import Context, Metrics, Stage, finished_record, rerun_advice


class Contrast(Stage):
    """Compares two ways of training over several seeds."""

    reads_policy: ClassVar[bool] = False

    kind: Literal["contrast"]
    stages: list[str] = Field(min_length=2, description="stages of the first way, one per seed")
    baselines: list[str] = Field(min_length=2, description="stages of the second way, in the same order of seeds")

    @model_validator(mode="after")
    def _pairs(self) -> "Contrast":
        if len(self.stages) != len(self.baselines):
            raise ValueError(
                f"expected as many names in stages as in baselines, got {len(self.stages)} and {len(self.baselines)}"
            )
        for names in (self.stages, self.baselines):
            if len({*names}) < len(names):
                raise ValueError(f"a stage is named twice in {names}; name one stage per seed")
        return self

    def run(self, context: Context) -> Metrics:
        """Compares each metric that all stages have."""
        first, second = ([_comparable(context.inputs[name]) for name in names] for names in (self.stages, self.baselines))
        shared = sorted(set.intersection(*({*values} for values in first + second)))
        if not shared:
            raise UserError(
                f"{self.name}: these stages have no metric in common; compare stages of one kind, and of the same tasks"
            )
        pairs = {name: ([values[name] for values in first], [values[name] for values in second]) for name in shared}
        return {"contrasts": {name: contrast(*pair) for name, pair in pairs.items()}}

    def named_stages(self) -> list[str]:
        """Returns the stages that are compared."""
        return [*self.stages, *self.baselines]

    def summary(self, metrics: Metrics) -> str:
        """Returns each difference with its interval."""
        contrasts: dict[str, Difference] = metrics["contrasts"]
        return "; ".join(
            f"{name} {result['difference']:+.3f} [{result['low']:+.3f}, {result['high']:+.3f}], {result['seeds']} seeds"
            for name, result in contrasts.items()
        )

    def tables(self, metrics: Metrics) -> str:
        """Returns a table with a row for each metric."""
        contrasts: dict[str, Difference] = metrics["contrasts"]
        rows = [
            (
                *(name, f"{result['mean']:.4f}", f"{result['baseline_mean']:.4f}", f"{result['difference']:+.4f}"),
                f"[{result['low']:+.4f}, {result['high']:+.4f}], {result['seeds']} seeds",
            )
            for name, result in contrasts.items()
        ]
        return figures.table(("metric", "stages", "baselines", "difference", "95% interval over seeds"), rows)


class Difference(TypedDict):
    """The mean paired difference of a metric."""

    mean: float
    """Mean over `stages`."""
    baseline_mean: float
    """Mean over `baselines`."""
    difference: float
    """`mean` minus `baseline_mean`."""
    low: float
    """Lower end of the 95% interval."""
    high: float
    """Upper end of the 95% interval."""
    seeds: int
    """Number of pairs of stages, one for each seed."""


def contrast(first: list[float], second: list[float]) -> Difference:
    """Returns the mean difference of pairs with its 95% interval (Student's t), and both means."""
    differences = numpy.subtract(first, second).tolist()
    low, high = t_interval(differences)
    return {
        "mean": float(numpy.mean(first)),
        "baseline_mean": float(numpy.mean(second)),
        "difference": float(numpy.mean(differences)),
        "low": low,
        "high": high,
        "seeds": len(differences),
    }


def _comparable(stage: Path) -> dict[str, float]:
    """Returns the comparable metrics of a finished stage, by name."""
    record = finished_record(stage)
    with disk.reading(stage / "stage.json", rerun_advice(stage)):
        disk.check_types(record, comparable=dict)
    return cast(dict[str, float], record["comparable"])


def t_interval(values: Sequence[float]) -> tuple[float, float]:
    """Returns Student's t interval (95%) of the mean of at least two values."""
    from scipy import stats

    half = float(stats.t.ppf(0.975, len(values) - 1) * numpy.std(values, ddof=1) / numpy.sqrt(len(values)))
    mean = float(numpy.mean(values))
    return mean - half, mean + half
