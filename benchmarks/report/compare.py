"""A run beside reported figures, or beside another run: how far apart, and is it more than noise?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ...core import UserError
from ..result import Result, scored
from ..stats import intervals, scores

REPORTED = Path(__file__).parent / "reported.yaml"
MOST_SAMPLES = 256
"""Samples a problem that are tried to explain a reported figure."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One result beside one reported figure; all figures are shares, 0..1."""

    task: str
    model: str
    ours: float
    reported: float
    low: float
    """Lower end of the difference's 95% interval over new samples on the same problems, the other's noise taken to be ours."""
    high: float
    """Its upper end."""
    cautions: tuple[str, ...]

    @property
    def difference(self) -> float:
        """Ours less theirs."""
        return self.ours - self.reported

    @property
    def within(self) -> bool:
        """Whether the difference may be the samples' noise alone."""
        return self.low <= 0 <= self.high


def reported(path: str | Path = REPORTED) -> dict[str, Any]:
    """The reported figures by task: k, problems, figures in percent, cautions."""
    found: dict[str, Any] = yaml.safe_load(Path(path).read_text())["tasks"]
    return found


def compare(results: Sequence[Result], model: str | None = None) -> list[Comparison]:
    """Each result beside the reported figures of its task, of one model or of all.

    Raises:
        UserError: nobody reports figures of that model.
    """
    found = []
    known = reported()
    models = sorted({name for entry in known.values() for name in entry["figures"]})
    if model is not None and model not in models:
        raise UserError(f"no figures of {model!r} are reported; there are those of {', '.join(models)}")
    for result in results:
        entry = known.get(result.settings["task"])
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


def _cautions(result: Result, entry: dict[str, Any], model: str, percent: float) -> list[str]:
    said = [*entry.get("cautions", ()), *([entry["of_one"][model]] if model in entry.get("of_one", ()) else ())]
    problems, k = entry.get("problems"), entry.get("k")
    if problems and k and not possible(percent, problems, k):
        fits = next((samples for samples in range(1, MOST_SAMPLES + 1) if possible(percent, problems, samples)), None)
        why = f"; {fits} samples could" if fits else ""
        near = " and ".join(f"{figure:.1f}" for figure in nearest(percent, problems, k))
        said.append(f"{problems} problems x {k} samples cannot give {percent} (nearest: {near}){why}")
    if k and result.score.samples != k:
        said.append(f"avg@{result.score.samples} here, avg@{k} reported")
    if problems and result.score.problems != problems:
        said.append(f"{result.score.problems} of its {problems} problems here")
    return said


def possible(percent: float, problems: int, samples: int) -> bool:
    """Whether a percentage, rounded as it is printed, is that of some number of right samples."""
    places = len(str(percent).partition(".")[2])
    return any(round(figure, places) == percent for figure in nearest(percent, problems, samples))


def nearest(percent: float, problems: int, samples: int) -> tuple[float, float]:
    """The percentages just below and above that so many samples can give."""
    total = problems * samples
    right = math.floor(percent / 100 * total)
    return 100 * right / total, 100 * min(total, right + 1) / total


def paired(better: str | Path, worse: str | Path) -> dict[str, scores.Difference]:
    """The differences of two runs on the tasks that both folders hold, problem by problem.

    Raises:
        UserError: there is no such task.
    """
    tasks = [path.name for path in sorted(Path(better).glob("*.scores.jsonl")) if (Path(worse) / path.name).is_file()]
    if not tasks:
        raise UserError(f"{better} and {worse} hold no result of the same task and k")
    return {
        task: scores.difference(_by_problem(better, task), _by_problem(worse, task))
        for task in (name.removesuffix(".scores.jsonl") for name in tasks)
    }


def _by_problem(folder: str | Path, task: str) -> dict[str, list[float | None]]:
    return {str(row["problem"]): [sample["score"] for sample in row["samples"]] for row in scored(folder, task)}
