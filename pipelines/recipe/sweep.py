"""Sweeps: a recipe run once for each seed and each combination of settings, with a table over the seeds at the end.

    seeds: [1, 2, 3]
    sweep: {grpo.learning_rate: [1.0e-5, 1.0e-4]}

Each run has its own folder, `OUT/grpo.learning_rate=1e-05,seed=1`. The runs follow one another. The same command resumes a
sweep: finished runs are not repeated. `sweep.json` has the value of each metric in each run.

The first stages of a run whose settings and seeds are equal to those of an earlier run are not repeated either: their folders
are linked. To share a stage between seeds, give it a `seed` of its own.

A run's metrics are those that its stages name in `Stage.comparable`, such as benchmark scores and losses on held-out data. The
table has their mean over the seeds, and the mean paired difference from the first combination, each with Student's t interval,
which covers the variation between seeds.
"""

import dataclasses
import itertools
import json
import math
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any
from urllib.parse import quote

from rich.table import Table

from ... import digests, disk
from ...benchmarks.report import static_page
from ...core import UserError
from ..bench.contrast import t_interval
from ..stage import Metrics, finished_record
from . import runner
from .content import changes, references
from .plan import ALL, Selection
from .recipe import Recipe, checked
from .report import Display
from .trust import is_remembered

Values = dict[str, dict[str, float]]
"""Values of the metrics of runs: by run, then by metric ("STAGE METRIC")."""
MAX_RUNS = 1_000
"""Largest number of runs of a sweep. Our choice."""
_NOT_SWEPT = ("seed", "seeds", "sweep", "name", "stages")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.=,+-]+")


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of a sweep."""

    combination: str
    """The swept settings as text, without the seed; "" if none are swept."""
    seed: int
    settings: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        return ",".join(filter(None, (self.combination, f"seed={self.seed}")))


def runs_of(recipe: Recipe) -> list[Run]:
    """Returns the runs of a sweep: for each combination of settings, one for each seed.

    Raises:
        UserError: two runs have the same name, or there are too many.
    """
    names = [*recipe.sweep]
    if wrong := [name for name in names if name in _NOT_SWEPT]:
        raise UserError(
            f"sweep: {wrong[0]} cannot be swept; use settings of stages, and seeds: [1, 2, 3] (--seeds) for the seed"
        )
    runs = []
    for values in itertools.product(*recipe.sweep.values()):
        settings = dict(zip(names, values, strict=True))
        text = ",".join(f"{name}={value}" for name, value in settings.items())
        for seed in recipe.seeds or [recipe.seed]:
            runs.append(Run(_NOT_IN_NAMES.sub("-", text)[:200], seed, settings | {"seed": seed}))
    if len(runs) > MAX_RUNS:
        raise UserError(f"the sweep has {len(runs):,} runs, more than {MAX_RUNS:,}; use fewer values")
    if len({run.name for run in runs}) < len(runs):
        repeated = next(run.name for number, run in enumerate(runs) if run.name in {other.name for other in runs[:number]})
        raise UserError(f"two runs of the sweep have the name {repeated}; give each setting and seed distinct values")
    return runs


def recipe_of(recipe: Recipe, run: Run) -> Recipe:
    """Returns the recipe of one run.

    The swept values are the recipe's, not the user's: code that they name needs trust, as in any other setting.

    Raises:
        UserError: a name in `sweep` is no setting, or a value is invalid.
    """
    content = {name: value for name, value in recipe.content.items() if name not in ("seeds", "sweep")}
    content = changes.apply(content, run.settings, [*Recipe.model_fields])
    return checked(content, Path(recipe.name), recipe)


def run(
    recipe: Recipe,
    out: str | Path | None = None,
    *,
    selection: Selection = ALL,
    inexact: bool = False,
    quiet: bool = False,
    trust: bool = False,
) -> dict[str, Metrics]:
    """Runs or resumes a sweep, prints its table, and writes `sweep.json` and `report.html`.

    Args:
        recipe: a recipe with `seeds` or `sweep`.
        out: folder of the sweep; default `runs/NAME`.
        selection, inexact, quiet, trust: for each run; see `runner.run`.

    Returns:
        The metrics of each stage, by "RUN/STAGE".

    Raises:
        UserError: see `runner.run`; or a run of the sweep is invalid, which is found before the first one starts.
    """
    folder = runner.folder_of(recipe, out)
    runs = runs_of(recipe)
    recipes = {each.name: recipe_of(recipe, each) for each in runs}
    console = Display(quiet).console
    metrics: dict[str, Metrics] = {}
    finished: dict[str, Path] = {}
    values: Values = {}
    trust = trust or is_remembered(recipe)  # the runs have other digests than the sweep
    for number, each in enumerate(runs, start=1):
        console.print(f"run {number} of {len(runs)}: {each.name}", style="bold")
        _link(recipes[each.name], folder / each.name, finished)
        found = runner.run(
            recipes[each.name], folder / each.name, selection=selection, inexact=inexact, quiet=quiet, trust=trust
        )
        metrics |= {f"{each.name}/{stage}": values for stage, values in found.items()}
        values[each.name] = _values(folder / each.name, found)
        first = _first_stages(recipes[each.name], folder / each.name)
        finished |= {digest: path for digest, path in first.items() if path.name in found}
    rows = table(runs, values)
    disk.write(
        folder / "sweep.json", json.dumps({"runs": values, "table": [dataclasses.asdict(row) for row in rows]}, indent=1)
    )
    _write_page(folder / "report.html", recipe.name, rows, runs)
    console.print(_printed(rows))
    console.print(f"report: {folder / 'report.html'}")
    return metrics


def _first_stages(recipe: Recipe, folder: Path) -> dict[str, Path]:
    """Returns the folders of a run's stages that other runs may share, by a digest of all that decides their results.

    The list ends before the first stage whose settings contain the path of another stage's folder.
    """
    found: dict[str, Path] = {}
    settings: list[Any] = [recipe.policy, recipe.environments, recipe.modules, recipe.cluster.model_dump(mode="json")]
    for stage in recipe.stages:
        own = stage.model_dump(mode="json")
        if references.stages_named_in(own, recipe.environments):
            break
        settings += [own, recipe.seed_of(stage)]
        found[digests.of(settings)] = folder / stage.name
    return found


def _link(recipe: Recipe, folder: Path, finished: Mapping[str, Path]) -> None:
    """Links the folders of finished stages of earlier runs into a new run's folder. The files are the same files."""
    for digest, target in _first_stages(recipe, folder).items():
        if digest not in finished:
            return
        if target.exists():
            continue
        partial = target.with_name(f"{target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(finished[digest], partial, copy_function=os.link)
        partial.rename(target)


def _values(folder: Path, stages: Iterable[str]) -> dict[str, float]:
    """Returns the metrics of finished stages of a run, by "STAGE METRIC"."""
    records = {name: finished_record(folder / name) for name in stages}
    return {f"{name} {metric}": value for name, record in records.items() for metric, value in record["comparable"].items()}


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


HEAD = ("metric", "settings", "mean", "difference from the first", "seeds")


def _printed(rows: Sequence[Row]) -> Table:
    printed = Table(title="means and paired differences, with 95% intervals over seeds")
    for head in HEAD:
        printed.add_column(head)
    for row in rows:
        printed.add_row(*_cells(row))
    return printed


def _write_page(path: Path, name: str, rows: Sequence[Row], runs: Sequence[Run]) -> None:
    cells = [[static_page.text(cell) for cell in _cells(row)] for row in rows]
    links = "".join(f'<li><a href="{quote(run.name)}/report.html">{static_page.text(run.name)}</a>' for run in runs)
    caption = "<p>Means and paired differences, with 95% intervals over seeds (Student's t).</p>"
    static_page.write(path, name, [caption, static_page.table(HEAD, cells), f"<h2>Runs</h2><ul>{links}</ul>"])
