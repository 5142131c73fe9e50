"""The leaderboard: the results of several policies, a row for each policy and a column for each task."""

import html
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from ...core import UserError
from ..result import results
from . import comparable, result_folders, static_page
from .comparable import Measured
from .json_object import json_object
from .static_page import text

MARK = "*"
"""Mark of a result that is not comparable with most others of its task."""


@dataclass(frozen=True, slots=True)
class Row:
    """A policy with its results."""

    policy: str
    """The policy recorded in the results, with the folder's name if several folders have the same policy."""
    folder: Path
    cells: dict[str, Measured]
    """The results by task. Missing tasks are omitted."""
    mean: float | None
    """Mean over the tasks that all policies have; None if there is no such task."""


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """The results of several policies."""

    tasks: tuple[str, ...]
    common: tuple[str, ...]
    """The tasks that all policies have."""
    rows: tuple[Row, ...]
    """Sorted, the best first."""
    cautions: dict[tuple[str, str], str]
    """The settings that differ, by task and policy, for each result that is not comparable with the reference of its task. The
    reference is the first result with the settings of most policies."""

    def cell(self, row: Row, task: str) -> str:
        """Returns a result as text: avg@k, the mark, the 95% interval over new problems; empty if it is missing.

        Args:
            row: the policy.
            task: the task.
        """
        if task not in row.cells:
            return ""
        mark = f" {MARK}" if (task, row.policy) in self.cautions else ""
        return str(row.cells[task].result.score).replace(" [", f"{mark} [")

    def caution_lines(self) -> list[str]:
        """Returns the cautions, one line for each marked result."""
        return [f"{MARK} {task}, {policy}: {caution}" for (task, policy), caution in self.cautions.items()]


def mean_text(row: Row) -> str:
    """Returns the mean of a row in percent; empty if there is none."""
    return "" if row.mean is None else f"{100 * row.mean:.1f}"


def leaderboard(folders: Sequence[Path], by: str | None = None) -> Leaderboard:
    """Returns the leaderboard of folders of results, one folder for each policy.

    If a folder has several results of a task, the one with the settings of most policies is used.

    Args:
        folders: folders of results.
        by: task to sort by; default: the mean over the tasks that all policies have.

    Raises:
        UserError: a folder has no result, a file is damaged, or no folder has the task `by`.
    """
    labels = result_folders.labels(folders)
    found = [
        [Measured(folder, label, result) for result in results(folder)] for folder, label in zip(folders, labels, strict=True)
    ]
    names = [str(measured[0].result.settings.get("policy") or measured[0].label) for measured in found]
    policies = [name if names.count(name) == 1 else f"{name} ({label})" for name, label in zip(names, labels, strict=True)]
    references: dict[str, str] = {}
    for task in dict.fromkeys(result.task for measured in found for result in measured):
        hashes = Counter(digest for measured in found for digest in {m.result.hash: None for m in measured if m.task == task})
        references[task] = hashes.most_common(1)[0][0]
    tasks = tuple(references)
    if by is not None and by not in tasks:
        raise UserError(f"--by: no folder has a result of {by!r}; use one of {', '.join(tasks)}")
    all_cells = [
        {result.task: result for result in sorted(measured, key=lambda m: m.result.hash == references[m.task])}
        for measured in found
    ]
    common = tuple(task for task in tasks if all(task in cells for cells in all_cells))
    rows = [
        Row(policy, folder, cells, fmean(cells[task].result.score.mean for task in common) if common else None)
        for policy, folder, cells in zip(policies, folders, all_cells, strict=True)
    ]
    rows.sort(key=lambda row: _sorting_score(row, by), reverse=True)
    return Leaderboard(tasks, common, tuple(rows), _cautions(rows, references))


def _sorting_score(row: Row, by: str | None) -> float:
    score = row.mean if by is None else row.cells[by].result.score.mean if by in row.cells else None
    return -1.0 if score is None else score


def _cautions(rows: Sequence[Row], references: dict[str, str]) -> dict[tuple[str, str], str]:
    """Returns `Leaderboard.cautions`."""
    found = {}
    for task, reference in references.items():
        measured = [(row.policy, row.cells[task]) for row in rows if task in row.cells]
        policy, usual = next((pair for pair in measured if pair[1].result.hash == reference), measured[0])
        for other, cell in measured:
            differences = comparable.setting_differences(usual, cell)
            if differences.settings and not differences.comparable:
                found[task, other] = f"{', '.join(differences.settings)} (first value: {policy})"
    return found


def write(path: Path, board: Leaderboard) -> Path:
    """Writes the page of a leaderboard and returns its path.

    Args:
        path: file to write.
        board: the leaderboard.

    Raises:
        UserError: the path exists and is not the page of a leaderboard.
    """
    return static_page.write(path, "Leaderboard", _parts(path, board), replaces="Leaderboard")


def _parts(path: Path, board: Leaderboard) -> Iterator[str]:
    yield f"<p>{text(caption(board))}</p>"
    rows = [
        [
            static_page.link(path, row.folder, row.policy),
            mean_text(row),
            *(html.escape(board.cell(row, task)) for task in board.tasks),
        ]
        for row in board.rows
    ]
    yield static_page.table(["policy", "mean", *board.tasks], rows)
    if board.cautions:
        yield f"<p>{MARK} not comparable with the other results of the task:</p>"
        yield static_page.items(line.removeprefix(f"{MARK} ") for line in board.caution_lines())


def caption(board: Leaderboard) -> str:
    """Returns a text that explains the numbers."""
    over = f"mean: over {', '.join(board.common)}" if board.common else "no mean, because no task is in all folders"
    return f"avg@k in percent with its 95% interval over new problems; {over}"


def as_json(board: Leaderboard) -> dict[str, object]:
    """Returns a leaderboard as JSON data. Scores are shares, 0..1."""
    return {
        "tasks": list(board.tasks),
        "common_tasks": list(board.common),
        "policies": [
            {
                "policy": row.policy,
                "folder": str(row.folder),
                "mean": row.mean,
                "results": {
                    task: {
                        **json_object(measured.result, row.folder),
                        "comparable": (task, row.policy) not in board.cautions,
                        "differs_in": board.cautions.get((task, row.policy)),
                    }
                    for task, measured in row.cells.items()
                },
            }
            for row in board.rows
        ],
    }
