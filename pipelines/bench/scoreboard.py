"""The scoreboard of a run: a row for each bench stage, with the change since the previous bench stage.

The change is a paired difference: both stages answered the same problems. Its interval accounts for the choice of the problems
and the randomness of the samples (`benchmarks/stats/scores.py`).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from rich.table import Table

from ...benchmarks.report import paired
from ...benchmarks.result import sampling_text
from ...benchmarks.stats.scores import Difference
from ...core import UserError
from ...disk import Row

Record = Row


class Cell(NamedTuple):
    """The result of a bench stage on one task."""

    score: Row
    """The score as `dataclasses.asdict` returns it."""
    change: Difference | None
    """Change since the previous bench stage; None if that stage lacks the task or has too few of its problems."""

    def __str__(self) -> str:
        return interval(self.score) + (f"  {self.change}" if self.change else "")


def interval(score: Row) -> str:
    """Returns a score in percent with its interval, such as "63.2 [60.1, 66.3]"."""
    mean, low, high = (100 * score[name] for name in ("mean", "low", "high"))
    return f"{mean:.1f} [{low:.1f}, {high:.1f}]"


Board = dict[str, dict[str, Cell]]
"""Cells by bench stage and task."""


def board(folder: Path, records: dict[str, Record]) -> Board:
    """Returns the results of a run's bench stages, in order; empty if no stage can be compared with the previous one.

    Args:
        folder: folder of the run.
        records: the stages' `stage.json`, by name.
    """
    rows = cells(folder, records)
    return rows if any(cell.change for row in rows.values() for cell in row.values()) else {}


def cells(folder: Path, records: dict[str, Record]) -> Board:
    """Returns the results of a run's bench stages, in order. Arguments as for `board`."""
    benches = [name for name, record in records.items() if record["stage"]["kind"] == "bench"]
    rows: Board = {}
    for number, name in enumerate(benches):
        changes = _changes(folder / benches[number - 1], folder / name) if number else {}
        rows[name] = {task: Cell(score, changes.get(task)) for task, score in records[name]["metrics"]["scores"].items()}
    return rows


def _changes(before: Path, after: Path) -> dict[str, Difference]:
    """Returns the change of each result of a bench stage since an earlier one, by the name of the later result."""
    try:
        compared = paired.compare_folders([before, after])
    except UserError:  # no shared task, or too few shared problems
        return {}
    return {pair.second.result.task: pair.difference for task in compared for pair in task.pairs if pair.difference}


def learned(folder: Path, rows: Board) -> list[str]:
    """Returns a line on each task that several bench stages have: the change from the first of them to the last.

    Args:
        folder: folder of the run.
        rows: its board.
    """
    lines = []
    for task in tasks(rows):
        having = [name for name, row in rows.items() if task in row]
        if len(having) > 1 and (change := _changes(folder / having[0], folder / having[-1]).get(task)):
            first, last = (100 * rows[name][task].score["mean"] for name in (having[0], having[-1]))
            lines.append(f"{task}: {first:.1f} ({having[0]}) to {last:.1f} ({having[-1]}), {change}")
    return lines


def tasks(rows: Board) -> list[str]:
    """Returns all tasks of a board, in the order of their first appearance."""
    return list(dict.fromkeys(task for row in rows.values() for task in row))


def table(rows: Board) -> Table:
    """Returns the board as a table for the terminal."""
    shown = Table(
        "", *tasks(rows), title="avg@k with its 95% interval, and the difference from the row above", title_justify="left"
    )
    for name, row in rows.items():
        shown.add_row(name, *(str(row[task]) if task in row else "" for task in tasks(rows)))
    return shown


def scored(score: Row) -> str:
    """Returns a score as text, such as "63.2 [60.1, 66.3] avg@8 on 200 problems"."""
    return f"{interval(score)} avg@{score['samples']} on {score['problems']} problems"


def sampled(scores: Mapping[str, Row]) -> dict[str, str]:
    """Returns how the samples of each task were sampled, as text to follow its score.

    If all tasks have the same settings, only the last one has a text. Results of earlier versions have none.

    Args:
        scores: scores by task, as the bench stage stores them.
    """
    texts = {
        task: f", sampled with {sampling_text(score['sampling'])}" for task, score in scores.items() if "sampling" in score
    }
    if len({*texts.values()}) == 1 and len(texts) == len(scores):
        return {task: text for task, text in texts.items() if task == [*texts][-1]}
    return texts
