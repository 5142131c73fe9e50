"""The table of a sweep: means of metrics over the seeds, and paired differences between combinations of settings."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from urllib.parse import quote

from rich.table import Table

from ....benchmarks.report import static_page
from ...bench.contrast import t_interval
from .runs import Run

Values = Mapping[str, Mapping[str, float]]
"""Values of the metrics of runs: by run, then by metric ("STAGE METRIC")."""
Estimate = tuple[float, float | None, float | None]
"""A mean over seeds with the ends of its 95% interval, which are None for one seed."""


@dataclasses.dataclass(frozen=True)
class Row:
    """A metric of one combination of settings, over the seeds."""

    combination: str
    metric: str
    mean: Estimate
    difference: Estimate | None
    """Mean paired difference from the first combination; None for the first one."""
    seeds: int


def table(runs: Sequence[Run], values: Values) -> list[Row]:
    """Returns a row for each metric and combination, in the order of the metrics.

    Args:
        runs: the runs of the sweep.
        values: their metrics. A metric that a run lacks is left out for that run.
    """
    combinations = list(dict.fromkeys(run.combination for run in runs))
    rows = []
    for metric in dict.fromkeys(metric for found in values.values() for metric in found):
        first: dict[int, float] = {}
        for number, combination in enumerate(combinations):
            own = [run for run in runs if run.combination == combination]
            found = {run.seed: value for run in own if math.isfinite(value := values[run.name].get(metric, math.nan))}
            differences = [value - first[seed] for seed, value in found.items() if seed in first]
            if number == 0:
                first = found
            if found:
                difference = _estimate(differences) if differences else None
                rows.append(Row(combination, metric, _estimate([*found.values()]), difference, len(found)))
    return rows


def _estimate(values: Sequence[float]) -> Estimate:
    return (fmean(values), *(t_interval(values) if len(values) > 1 else (None, None)))


def _cells(row: Row) -> tuple[str, ...]:
    def text(estimate: Estimate | None, sign: str) -> str:
        if estimate is None:
            return ""
        mean, low, high = estimate
        return f"{mean:{sign}.4g}" + ("" if low is None else f" [{low:{sign}.4g}, {high:{sign}.4g}]")

    return row.metric, row.combination or "all", text(row.mean, ""), text(row.difference, "+"), str(row.seeds)


_HEAD = ("metric", "settings", "mean", "difference from the first", "seeds")


def printed(rows: Sequence[Row]) -> Table:
    """Returns the table for the terminal."""
    printed = Table(title="means and paired differences, with 95% intervals over seeds")
    for head in _HEAD:
        printed.add_column(head)
    for row in rows:
        printed.add_row(*_cells(row))
    return printed


def write_page(path: Path, name: str, rows: Sequence[Row], runs: Sequence[Run]) -> None:
    """Writes the table as a page with a link to the report of each run.

    Args:
        path: file to write.
        name: title of the page.
        rows: the table.
        runs: the runs, whose folders are beside the page.
    """
    cells = [[static_page.text(cell) for cell in _cells(row)] for row in rows]
    links = "".join(f'<li><a href="{quote(run.name)}/report.html">{static_page.text(run.name)}</a>' for run in runs)
    caption = "<p>Means and paired differences, with 95% intervals over seeds (Student's t).</p>"
    static_page.write(path, name, [caption, static_page.table(_HEAD, cells), f"<h2>Runs</h2><ul>{links}</ul>"])
