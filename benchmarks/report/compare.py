"""Differences between a run and published scores, with intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NotRequired, TypedDict

import yaml

from ...core import UserError
from .. import catalogue
from ..result import Result
from ..stats import intervals

REPORTED = Path(__file__).parent / "reported.yaml"
MAX_SAMPLES = 256
"""If the stated k cannot give a published score, values of k up to this number are tried. Our choice."""


class Reported(TypedDict):
    """The published scores of a task, from `reported.yaml`."""

    scores: dict[str, float]
    """Percent, by model."""
    k: NotRequired[int]
    problems: NotRequired[int]
    cautions: NotRequired[list[str]]
    model_cautions: NotRequired[dict[str, str]]
    """Cautions about the score of one model."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A result and one published score of its task. Scores are shares, 0..1."""

    task: str
    model: str
    measured: float
    reported: float
    low: float
    """Lower end of the difference's 95% interval over new samples of the same problems. The published score is assumed to have
    the same sampling noise as tenfold's."""
    high: float
    """Upper end of that interval."""
    cautions: tuple[str, ...]

    @property
    def difference(self) -> float:
        """The measured score minus the published one."""
        return self.measured - self.reported

    @property
    def within(self) -> bool:
        """True if sampling noise alone can explain the difference."""
        return self.low <= 0 <= self.high


def reported(path: str | Path = REPORTED) -> dict[str, Reported]:
    """Returns the published scores by task."""
    reported: dict[str, Reported] = yaml.safe_load(Path(path).read_text())["tasks"]
    return reported


def compare(measured: Sequence[Result], model: str | None = None) -> list[Comparison]:
    """Compares each result with the published scores of its task, of one model or of all.

    Raises:
        UserError: no scores of that model are published.
    """
    found = []
    entries = reported()
    models = sorted({name for entry in entries.values() for name in entry["scores"]})
    if model is not None and model not in models:
        raise UserError(f"no scores of {model!r} are published; use one of {', '.join(models)}")
    for result in measured:
        entry = entries.get(result.settings["task"])
        if entry is None or result.settings.get("own"):  # the user's own problems
            continue
        noise = intervals.Z95 * math.sqrt(2) * result.score.same_problems_stderr
        for name, percent in entry["scores"].items():
            if model is not None and model != name:
                continue
            difference = result.score.mean - percent / 100
            found.append(
                Comparison(
                    result.task,
                    name,
                    result.score.mean,
                    percent / 100,
                    difference - noise,
                    difference + noise,
                    tuple(_cautions(result, entry, name, percent)),
                )
            )
    return found


def _cautions(result: Result, entry: Reported, model: str, percent: float) -> list[str]:
    of_model = entry.get("model_cautions", {})
    cautions = [*entry.get("cautions", ()), *([of_model[model]] if model in of_model else ())]
    problems, k = entry.get("problems"), entry.get("k")
    if problems and k and not possible(percent, problems, k):
        fits = next((samples for samples in range(1, MAX_SAMPLES + 1) if possible(percent, problems, samples)), None)
        fit = f"; {fits} samples per problem could" if fits else ""
        near = " and ".join(f"{score:.1f}" for score in nearest(percent, problems, k))
        cautions.append(f"{problems} problems x {k} samples cannot give {percent} (nearest: {near}){fit}")
    if k and result.score.samples != k:
        cautions.append(f"avg@{result.score.samples} here, avg@{k} reported")
    if problems and result.score.problems != problems:
        cautions.append(f"{result.score.problems} of {problems} problems here")
    if differing := result.settings.get("protocol"):
        cautions.append(f"this protocol differs from the published one: {'; '.join(differing)}")
    own = catalogue.settings(result.settings["task"])["metadata"]
    if result.settings.get("system") != own.get("system") or result.settings.get("fewshot") != (own.get("fewshot") or 0):
        cautions.append("the prompt here has a system turn or few-shot examples of your choice")
    return cautions


def possible(percent: float, problems: int, samples: int) -> bool:
    """True if some number of correct samples gives this percentage when rounded to its printed decimals.

    A score halfway between two printed values gives both, because programs and authors round it up, down or to even.

    Args:
        percent: a published score.
        problems: number of problems.
        samples: samples per problem.
    """
    decimals = len(str(percent).partition(".")[2])
    half = 0.5 * 10**-decimals + 1e-9  # the second term is for errors of floating point
    return any(abs(score - percent) <= half for score in nearest(percent, problems, samples))


def nearest(percent: float, problems: int, samples: int) -> tuple[float, float]:
    """Returns the nearest percentages below and above that a number of correct samples can give.

    Args:
        percent: a published score.
        problems: number of problems.
        samples: samples per problem.
    """
    total = problems * samples
    correct = math.floor(percent / 100 * total)
    return 100 * correct / total, 100 * min(total, correct + 1) / total
