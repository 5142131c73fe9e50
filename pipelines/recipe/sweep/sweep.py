"""Runs a sweep: a recipe once for each seed and each combination of settings, with a table over the seeds at the end.

    seeds: [1, 2, 3]
    sweep:
      grpo.learning_rate: [1.0e-5, 1.0e-4]           values of a setting
      loss:                                          groups of settings; `loss`, `sft` and `dpd` are names of our choice
        sft: {distill.nll: 1, distill.dpo: 0}
        dpd: {distill.nll: 0, distill.dpo: 1}

Each run has its own folder, `OUT/grpo.learning_rate=1e-05,loss=sft,seed=1`. The runs follow one another, or several run at
once (`parallel.py`). The same command resumes a sweep: finished runs are not repeated. `sweep.json` has the value of each
metric in each run. If a run fails, the other runs go on.

A stage whose settings, seed and inputs are equal to those of a finished stage of another run is not repeated either: its
folder is linked (`sharing.py`). To share a stage between seeds, give it a `seed` of its own.

A run's metrics are those that its stages name in `Stage.comparable`, such as benchmark scores and losses on held-out data. The
table has their mean over the seeds, and the mean paired difference from the first combination, each with Student's t interval,
which covers the variation between seeds.
"""

import contextlib
import dataclasses
import functools
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from .... import cpu_threads, disk
from ....core import UserError
from ...stage import RECORD, Metrics, finished_record, work_record
from .. import architectures, runner
from ..plan import ALL, Selection
from ..preparation import prepare
from ..recipe import Recipe
from ..report.display import Display
from ..trust import is_remembered, limited
from . import parallel, sharing, table
from .runs import Run, recipe_of, runs_of


def run(
    recipe: Recipe,
    out: str | Path | None = None,
    *,
    selection: Selection = ALL,
    inexact: bool = False,
    quiet: bool = False,
    trust: bool = False,
    jobs: int = 1,
) -> dict[str, Metrics]:
    """Runs or resumes a sweep, prints its table, and writes `sweep.json` and `report.html`.

    Args:
        recipe: a recipe with `seeds` or `sweep`.
        out: folder of the sweep; default `runs/NAME`.
        selection, inexact, quiet, trust: for each run; see `runner.run`.
        jobs: number of runs at the same time.

    Returns:
        The metrics of each finished stage that is not stale, by "RUN/STAGE".

    Raises:
        UserError: a run of the sweep is invalid (checked before the first run starts), or runs have failed (the message names
            the first).
    """
    folder = runner.folder_of(recipe, out)
    runs = runs_of(recipe)
    recipes = {each.name: recipe_of(recipe, each) for each in runs}
    console = Display(quiet).console
    # Trust is remembered for the sweep's digest, which differs from the digests of its runs' recipes (`trust.py`).
    options = parallel.Options(selection, inexact, trust or is_remembered(recipe))
    with disk.locked(folder):
        recipes = _with_threads(recipes, folder, jobs)
        if jobs > 1:
            failed = parallel.run(recipes, folder, options, jobs, lambda line: console.print(line, style="bold"))
        else:
            failed = _run_each(recipes, folder, options, quiet)
        records = {name: _records(each, folder / name, options) for name, each in recipes.items()}
        _write_table(folder, recipe, runs, {name: _values(found) for name, found in records.items()}, quiet)
    if failed:
        name, error = next(iter(failed.items()))
        raise UserError(f"{len(failed)} of {len(runs)} runs failed; the same command repeats them; {name}: {error}")
    return {f"{name}/{stage}": record["metrics"] for name, found in records.items() for stage, record in found.items()}


def _run_each(recipes: Mapping[str, Recipe], folder: Path, options: parallel.Options, quiet: bool) -> dict[str, str]:
    """Runs one recipe after another in this process; returns the errors of failed runs."""
    console, failed = Display(quiet).console, dict[str, str]()
    finished: dict[str, Path] = {}
    for number, (name, recipe) in enumerate(recipes.items(), start=1):
        console.print(f"run {number} of {len(recipes)}: {name}", style="bold")
        stages = sharing.stage_digests(recipe, folder / name)
        sharing.link(recipe, stages, folder / name, finished)
        try:
            runner.run(recipe, folder / name, quiet=quiet, **vars(options))
        except UserError as error:
            failed[name] = str(error)
            console.print(f"{name} failed: {error}", markup=False, soft_wrap=True)
        finished |= sharing.finished_stages(stages, folder / name)
    return failed


def _with_threads(recipes: Mapping[str, Recipe], folder: Path, jobs: int) -> dict[str, Recipe]:
    """Returns the recipes with one number of threads for all runs, because results depend on it in their last bits.

    It is the user's number, else that of an earlier start. Otherwise it is each run's share of the processors if several
    run at once, and a measured number if not. If `cluster.threads` is swept, each run has its own number. On GPUs nothing
    changes.
    """
    first = next(iter(recipes.values()))
    if not first.cluster.on_cpu():
        return dict(recipes)
    records = (work_record(stage, folder / name / stage.name) or {} for name, each in recipes.items() for stage in each.stages)
    recorded = next((number for record in records if (number := record.get("machine", {}).get("threads"))), None)
    if jobs > 1 and recorded is None:
        recorded = cpu_threads.share(jobs)
    config = functools.partial(architectures.configuration, first.policy, {})
    number = cpu_threads.choose(first.cluster.threads, recorded, config)
    return {name: each.with_cluster(threads=each.cluster.threads or number) for name, each in recipes.items()}


def _records(recipe: Recipe, folder: Path, options: parallel.Options) -> dict[str, dict[str, Any]]:
    """Returns the records of a run's finished stages, by name. Stale ones are left out."""
    finished = [stage.name for stage in recipe.stages if (folder / stage.name / RECORD).is_file()]
    stale: Collection[str] = ()
    if options.selection != ALL and finished:
        # A failed run may raise its error again.
        with contextlib.suppress(UserError), limited(recipe, folder, trusted=options.trust):
            stale = prepare(recipe, folder, selection=options.selection, inexact=options.inexact).stale
    return {name: finished_record(folder / name) for name in finished if name not in stale}


def _values(records: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Returns the metrics that finished stages compare, by "STAGE METRIC"."""
    return {f"{name} {metric}": value for name, record in records.items() for metric, value in record["comparable"].items()}


def _write_table(folder: Path, recipe: Recipe, runs: Sequence[Run], values: table.Values, quiet: bool) -> None:
    """Prints the table of a sweep, and writes it to `sweep.json` and `report.html`."""
    rows = table.table(runs, values)
    content = {"runs": values, "table": [dataclasses.asdict(row) for row in rows]}
    disk.write(folder / "sweep.json", json.dumps(content, indent=1))
    table.write_page(folder / "report.html", recipe.name, rows, runs)
    console = Display(quiet).console
    console.print(table.printed(rows))
    console.print(f"report: {folder / 'report.html'}", markup=False, soft_wrap=True)
