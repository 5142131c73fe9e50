"""Folders of results compared with the first of them, task by task and paired by problem."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...core import UserError
from ..result import ScoredProblem, results
from ..stats import pooled, scores
from . import comparable, result_folders
from .comparable import Measured, SettingDifferences

METHOD = "paired interval over problems"
"""Name of the method of `scores.difference`: Student's t over the differences of the problems' means."""
P_VALUE = "McNemar's exact test"


@dataclass(frozen=True, slots=True)
class Pair:
    """A result compared with the first one of its task."""

    first: Measured
    second: Measured
    difference: scores.Difference | None
    """Second minus first; None if fewer than two problems have scores of both. It is the difference of the means over strata
    if both scores are means over the same ones (`mean_over` of the settings), else that of the means over problems."""
    p_value: float | None
    """p-value of McNemar's exact test; None if there are several samples per problem or scores other than 0 and 1, or if the
    difference is that of means over strata, because the test gives all problems the same weight."""
    settings: SettingDifferences
    gained: tuple[str, ...]
    """Ids of the problems that the second solves in most samples and the first does not."""
    lost: tuple[str, ...]
    """Ids of the problems that the first solves in most samples and the second does not."""

    @property
    def name(self) -> str:
        """Name of the difference, "B - A"."""
        return f"{self.second.label} - {self.first.label}"

    @property
    def method(self) -> str:
        """Methods of the interval and the p-value, with the p-value."""
        settings, others = self.first.result.settings, self.second.result.settings
        own_score = ""
        if field := _strata(self.first, self.second):
            own_score = f"; of the mean over the values of {field}"
        elif "judging" in settings or "mean_over" in settings or "mean_over" in others:
            own_score = "; of the mean over problems, not of the benchmark's score"
        return METHOD + own_score + (f"; {P_VALUE} p = {self.p_value:.3g}" if self.p_value is not None else "")


@dataclass(frozen=True, slots=True)
class TaskComparison:
    """The results of a task."""

    name: str
    """Name of the first result."""
    measured: tuple[Measured, ...]
    """The first result, and the others in the order of their folders."""
    pairs: tuple[Pair, ...]
    """One for each result but the first."""


def compare_folders(folders: Sequence[Path]) -> list[TaskComparison]:
    """Compares the results in folders with those in the first folder.

    A result is compared with a result of the same task in each other folder: one with equal settings if there is one, else one
    with the same name, else one with as many samples, else the first.

    Raises:
        UserError: the folders have no task with two shared problems, or a file is damaged.
    """
    labels = result_folders.labels(folders)
    first, *others = [
        [Measured(folder, label, result) for result in results(folder)] for folder, label in zip(folders, labels, strict=True)
    ]
    found = []
    for measured in first:
        matches = [match for other in others if (match := _match(measured, other))]
        if matches:
            pairs = tuple(_pair(measured, match) for match in matches)
            found.append(TaskComparison(measured.result.task, (measured, *matches), pairs))
    if not any(pair.difference for task in found for pair in task.pairs):
        raise UserError(
            f"{', '.join(labels)}: there is no task with two problems in common; name folders with results of the same tasks"
        )
    return found


def _match(measured: Measured, others: Sequence[Measured]) -> Measured | None:
    """Returns the result of another folder to compare with."""

    def likeness(other: Measured) -> tuple[bool, ...]:
        result, found = measured.result, other.result
        return found.hash == result.hash, found.task == result.task, found.score.samples == result.score.samples

    return max((other for other in others if other.task == measured.task), key=likeness, default=None)


def _pair(first: Measured, second: Measured) -> Pair:
    shared = [
        id for id, row in first.problems.items() if id in second.problems and second.problems[id].get("gold") == row.get("gold")
    ]
    before, after = ({id: _scores(measured.problems[id]) for id in shared} for measured in (first, second))
    field = _strata(first, second)
    try:
        if field:
            strata = {id: str(first.problems[id]["meta"].get(field)) for id in shared}
            difference = pooled.difference_over(strata, after, before)
        else:
            difference = scores.difference(after, before)
    except UserError:  # fewer than two problems
        difference = None
    solved = [(id, _is_solved(before[id]), _is_solved(after[id])) for id in shared]
    return Pair(
        first,
        second,
        difference,
        None if field else scores.mcnemar(before, after),
        comparable.setting_differences(first, second),
        gained=tuple(id for id, by_first, by_second in solved if (by_first, by_second) == (False, True)),
        lost=tuple(id for id, by_first, by_second in solved if (by_first, by_second) == (True, False)),
    )


def _strata(first: Measured, second: Measured) -> str | None:
    """Returns the field of `meta` whose values are the strata of both scores; None if not both are means over the same ones."""
    field, other = (measured.result.settings.get("mean_over") for measured in (first, second))
    return str(field) if field and field == other else None


def _scores(row: ScoredProblem) -> list[float | None]:
    return [sample["score"] for sample in row["samples"]]


def _is_solved(row: Sequence[float | None]) -> bool | None:
    """True if more than half of the samples with a score solve the problem; None if no sample has a score."""
    scored = [score for score in row if score is not None]
    return 2 * sum(score >= 1 for score in scored) > len(scored) if scored else None
