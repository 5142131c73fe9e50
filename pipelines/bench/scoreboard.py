"""What the stages between did to each benchmark: a row a bench stage, with the change since the one before.

The change is that of the same problems, and its interval is of new problems and samples (`benchmarks/stats/scores.py`).
"""

from pathlib import Path
from typing import Any, NamedTuple

from rich.table import Table

from ...benchmarks.report import compare
from ...benchmarks.stats.scores import Difference
from ...core import UserError

Record = dict[str, Any]


class Cell(NamedTuple):
    """A bench stage's result on one task."""

    score: dict[str, Any]
    change: Difference | None
    """Since the bench stage before, where that has the task."""

    def __str__(self) -> str:
        return interval(self.score) + (f"  {self.change}" if self.change else "")


def interval(score: dict[str, Any]) -> str:
    """A recorded score in percent, with its interval."""
    mean, low, high = (100 * score[name] for name in ("mean", "low", "high"))
    return f"{mean:.1f} [{low:.1f}, {high:.1f}]"


Board = dict[str, dict[str, Cell]]
"""By bench stage, by task."""


def board(folder: Path, records: dict[str, Record]) -> Board:
    """The results of a run's bench stages, in their order; empty where no task was run twice."""
    benches = [name for name, record in records.items() if record["stage"]["kind"] == "bench"]
    rows: Board = {}
    for place, name in enumerate(benches):
        try:
            changes = compare.paired(folder / name, folder / benches[place - 1]) if place else {}
        except UserError:  # they share no task, or too few problems
            changes = {}
        rows[name] = {task: Cell(score, changes.get(task)) for task, score in records[name]["metrics"]["scores"].items()}
    return rows if any(cell.change for row in rows.values() for cell in row.values()) else {}


def tasks(rows: Board) -> list[str]:
    """All tasks of a board, in the order in which they first come."""
    return list(dict.fromkeys(task for row in rows.values() for task in row))


def table(rows: Board) -> Table:
    """The board for the terminal."""
    shown = Table(
        "", *tasks(rows), title="avg@k with its 95% interval, and the change since the row above", title_justify="left"
    )
    for name, row in rows.items():
        shown.add_row(name, *(str(row[task]) if task in row else "" for task in tasks(rows)))
    return shown


def scored(score: dict[str, Any]) -> str:
    """A score as `dataclasses.asdict` gives it, in words: "63.2 [60.1, 66.3] avg@8 on 200 problems"."""
    return f"{interval(score)} avg@{score['samples']} on {score['problems']} problems"
