"""What one way of training gives over another, over several seeds: the mean difference of their figures, pair by pair.

    - {kind: contrast, name: staged, of: [fg_1, fg_2, fg_3], against: [wsd_1, wsd_2, wsd_3]}

The stages named are benchmarks (their avg@k) or trainings (their losses or probabilities on what was held out). The interval is
Student's for the mean of the pairs' differences: it counts what the seeds change, and with three of them it is wide.
"""

from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy
from pydantic import Field, model_validator

from ... import disk
from ...core import UserError
from .. import figures
from ..stage import Context, Metrics, Stage


class Contrast(Stage):
    """Settings of a `contrast` stage."""

    reads_policy: ClassVar[bool] = False

    kind: Literal["contrast"]
    of: list[str] = Field(min_length=2, description="stages of the one way, a seed each")
    against: list[str] = Field(min_length=2, description="stages of the other way, in the same order of seeds")

    @model_validator(mode="after")
    def _pairs(self) -> "Contrast":
        if len(self.of) != len(self.against):
            raise ValueError(f"of names {len(self.of)} stages and against {len(self.against)}: they are compared pair by pair")
        return self

    def run(self, context: Context) -> Metrics:
        """Compares every figure that all stages have."""
        one, other = ([_figures(context.inputs[name]) for name in names] for names in (self.of, self.against))
        shared = sorted(set.intersection(*({*figures} for figures in one + other)))
        if not shared:
            raise UserError(f"{self.name}: these stages have no figure in common")
        pairs = {name: ([figures[name] for figures in one], [figures[name] for figures in other]) for name in shared}
        return {"contrasts": {name: contrast(*pair) for name, pair in pairs.items()}}

    def named_stages(self) -> list[str]:
        """The stages that are compared."""
        return [*self.of, *self.against]

    def summary(self, metrics: Metrics) -> str:
        """Every difference with its interval."""
        return "; ".join(
            f"{name} {found['difference']:+.3f} [{found['low']:+.3f}, {found['high']:+.3f}] of {found['pairs']} seeds"
            for name, found in metrics["contrasts"].items()
        )

    def tables(self, metrics: Metrics) -> str:
        """A row a figure."""
        rows = [
            (
                *(name, f"{found['of']:.4f}", f"{found['against']:.4f}", f"{found['difference']:+.4f}"),
                f"[{found['low']:+.4f}, {found['high']:+.4f}] of {found['pairs']}",
            )
            for name, found in metrics["contrasts"].items()
        ]
        return figures.table(("figure", "of", "against", "difference", "95% interval over seeds"), rows)


def contrast(one: list[float], other: list[float]) -> dict[str, Any]:
    """The mean difference of pairs with its 95% interval (Student's t), and both means."""
    from scipy import stats

    differences = numpy.subtract(one, other)
    mean, count = float(differences.mean()), len(differences)
    half = float(stats.t.ppf(0.975, count - 1) * differences.std(ddof=1) / numpy.sqrt(count))
    means = {"of": float(numpy.mean(one)), "against": float(numpy.mean(other))}
    return {**means, "difference": mean, "low": mean - half, "high": mean + half, "pairs": count}


def _figures(stage: Path) -> dict[str, float]:
    """A finished stage's figures that can be compared, by name."""
    path, remedy = stage / "stage.json", "remove its folder, and the stage is run anew"
    record = disk.read_object(path, remedy)
    with disk.reading(path, remedy):
        return _compared(record, record["metrics"])


def _compared(record: dict[str, Any], metrics: Metrics) -> dict[str, float]:
    if record["stage"]["kind"] == "distill":
        after = metrics["held_out"].get("after", {})
        return {f"held-out {name.replace('_', ' ')}": value for name, value in after.items() if value is not None}
    scores = {task: score["mean"] for task, score in metrics.get("scores", {}).items()}
    losses = {f"loss on {name}": figures["loss"] for name, figures in metrics.get("held_out", {}).items() if "loss" in figures}
    return scores | losses
