"""Differences of a run to reported figures and to another run, with intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NotRequired, TypedDict

import yaml

from ...core import UserError
from ..result import Result, scored
from ..stats import intervals, scores

REPORTED = Path(__file__).parent / "reported.yaml"
MAX_SAMPLES = 256
"""Largest number of samples per problem that is tried to explain a reported figure. Our choice."""


class Reported(TypedDict):
    """The reported figures of a task, from `reported.yaml`."""

    figures: dict[str, float]
    """Percent, by model."""
    k: NotRequired[int]
    problems: NotRequired[int]
    cautions: NotRequired[list[str]]
    of_one: NotRequired[dict[str, str]]
    """Cautions about the figure of one model."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A result and one reported figure of its task. Figures are shares, 0..1."""

    task: str
    model: str
    ours: float
    reported: float
    low: float
    """Lower end of the difference's 95% interval over new samples of the same problems. The reported figure is assumed to have
    the same sampling noise as ours."""
    high: float
    """Upper end of that interval."""
    cautions: tuple[str, ...]

    @property
    def difference(self) -> float:
        """Our figure minus the reported one."""
        return self.ours - self.reported

    @property
    def within(self) -> bool:
        """True if sampling noise alone can explain the difference."""
        return self.low <= 0 <= self.high


def reported(path: str | Path = REPORTED) -> dict[str, Reported]:
    """Returns the reported figures by task."""
    figures: dict[str, Reported] = yaml.safe_load(Path(path).read_text())["tasks"]
    return figures


def compare(results: Sequence[Result], model: str | None = None) -> list[Comparison]:
    """Compares each result with the reported figures of its task, of one model or of all.

    Raises:
        UserError: no figures of that model are reported.
    """
    found = []
    entries = reported()
    models = sorted({name for entry in entries.values() for name in entry["figures"]})
    if model is not None and model not in models:
        raise UserError(f"no figures of {model!r} are reported; use one of {', '.join(models)}")
    for result in results:
        entry = entries.get(result.settings["task"])
        if entry is None:
            continue
        noise = intervals.Z95 * math.sqrt(2) * result.score.same_problems_stderr
        for name, percent in entry["figures"].items():
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
    cautions = [*entry.get("cautions", ()), *([entry["of_one"][model]] if model in entry.get("of_one", ()) else ())]
    problems, k = entry.get("problems"), entry.get("k")
    if problems and k and not possible(percent, problems, k):
        fits = next((samples for samples in range(1, MAX_SAMPLES + 1) if possible(percent, problems, samples)), None)
        fit = f"; {fits} samples per problem could" if fits else ""
        near = " and ".join(f"{figure:.1f}" for figure in nearest(percent, problems, k))
        cautions.append(f"{problems} problems x {k} samples cannot give {percent} (nearest: {near}){fit}")
    if k and result.score.samples != k:
        cautions.append(f"avg@{result.score.samples} here, avg@{k} reported")
    if problems and result.score.problems != problems:
        cautions.append(f"{result.score.problems} of {problems} problems here")
    return cautions


def possible(percent: float, problems: int, samples: int) -> bool:
    """True if some number of correct samples gives this percentage when rounded to its printed decimals.

    Args:
        percent: a reported figure.
        problems: number of problems.
        samples: samples per problem.
    """
    decimals = len(str(percent).partition(".")[2])
    return any(round(figure, decimals) == percent for figure in nearest(percent, problems, samples))


def nearest(percent: float, problems: int, samples: int) -> tuple[float, float]:
    """Returns the nearest percentages below and above that a number of correct samples can give.

    Args:
        percent: a reported figure.
        problems: number of problems.
        samples: samples per problem.
    """
    total = problems * samples
    correct = math.floor(percent / 100 * total)
    return 100 * correct / total, 100 * min(total, correct + 1) / total


def paired(better: str | Path, worse: str | Path) -> dict[str, scores.Difference]:
    """Returns the paired difference of two runs on each task that both folders contain.

    Raises:
        UserError: no task is in both folders.
    """
    tasks = [path.name for path in sorted(Path(better).glob("*.scores.jsonl")) if (Path(worse) / path.name).is_file()]
    if not tasks:
        raise UserError(f"{better} and {worse} contain no result of the same task and k")
    return {
        task: scores.difference(_by_problem(better, task), _by_problem(worse, task))
        for task in (name.removesuffix(".scores.jsonl") for name in tasks)
    }


def _by_problem(folder: str | Path, task: str) -> dict[str, list[float | None]]:
    return {str(row["problem"]): [sample["score"] for sample in row["samples"]] for row in scored(folder, task)}
