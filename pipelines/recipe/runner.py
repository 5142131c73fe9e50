"""Runs a recipe: compares its stages with an earlier run, checks them, runs them in order and records them.

Each stage has its own folder within the run's folder. The last file written there is `stage.json`. If the recipe is run again,
a stage with that file is skipped, and a stage without it resumes from the files in its folder.
"""

import functools
import json
import resource
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from ... import cpu_threads, disk, faults
from ...core import UserError
from ...envs import identity as environments
from ..launch import nodes
from ..stage import RECORD, SETTINGS, Context, Extension, Metrics, Stage, finished_record, work_record
from ..trainer.checkpoints import keep_last
from . import architectures, identity, provenance
from .plan import ALL, Plan, Selection
from .preparation import cautions, identity_of, prepare, reader_of, with_policies
from .progress.log import Log
from .progress.step_lines import StepLines
from .recipe import Recipe, load
from .report import page
from .report.display import Display
from .tracking import prepared
from .tracking.process import following
from .trust import limited


def run(
    recipe: str | Path | Recipe,
    out: str | Path | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    selection: Selection = ALL,
    inexact: bool = False,
    quiet: bool = False,
    trust: bool = False,
    show: int = 0,
) -> dict[str, Metrics]:
    """Runs a recipe, or resumes a run that was stopped.

    Args:
        recipe: a YAML file, the name of a recipe of this package, or a recipe object.
        out: folder of the run; default `runs/NAME`.
        settings: values that replace those of the recipe, by name: {"grpo.steps": 100, "seed": 3}; see `changes.py`.
        selection: the stages to run; by default all.
        inexact: extend a stage by further steps even if its result will differ from that of a new run.
        quiet: print nothing.
        trust: allow the recipe to run code from outside this package; see `trust.py`.
        show: number of the best, and of the worst samples of each GRPO step to print.

    Returns:
        The metrics of each finished stage that is not stale, by name. They are also in each `stage.json` and in `report.html`.

    Raises:
        UserError: the recipe is invalid (see `load`), it runs code without trust, or a stage fails with an error that the user
            can fix.
    """
    recipe = recipe if isinstance(recipe, Recipe) and not settings else load(recipe, settings)
    folder = folder_of(recipe, out)
    with (
        faults.as_user_errors(folder),
        limited(recipe, folder, trusted=trust),
        disk.locked(folder),
        Display(quiet, 0 if quiet else show) as display,
    ):
        original, plan = recipe, prepare(recipe, folder, selection=selection, inexact=inexact)
        recipe = plan.recipe
        disk.write(folder / "recipe.yaml", yaml.safe_dump(original.model_dump(mode="json"), sort_keys=False))
        display.plan(recipe.name, recipe.description, folder, plan.rows(folder))
        display.lines([*cautions(recipe, plan.selected, folder), *plan.stale_lines(folder)])
        log = Log(folder)
        options = [*selection.options(), *(["--inexact"] if inexact else []), *(["--trust"] if trust else [])]
        with (
            following(folder, recipe.trackers, lambda line: display.lines([line])),
            log.run(recipe.name, [stage.name for stage in recipe.stages], options),
        ):
            _choose_threads(recipe, folder, display)
            records = _run_stages(recipe, folder, plan, reader_of(original, folder), display, log, inexact)
            shown = [stage for stage in recipe.stages if stage.name in records]
            page.write(folder, recipe.name, recipe.description, shown, records)
        display.table(shown, records, folder)
        display.lines(plan.stale_lines(folder))
    return {name: record["metrics"] for name, record in records.items()}


def _run_stages(
    recipe: Recipe,
    folder: Path,
    plan: Plan,
    reader: identity.IdentityReader,
    display: Display,
    log: Log,
    inexact: bool,
) -> dict[str, dict[str, Any]]:
    """Runs the selected stages in order; returns the records of all finished stages that are not stale, by name."""
    records: dict[str, dict[str, Any]] = {}
    earlier: dict[str, Path] = {}
    for stage, policy in with_policies(recipe, folder):
        at = folder / stage.name
        if stage.name in plan.selected:
            current = identity_of(stage, policy, reader)
            records[stage.name] = _run_stage(stage, current, recipe, at, dict(earlier), display, log, inexact)
            if recipe.trackers and (error := prepared.write(folder, [each for each in recipe.stages if each.name in records])):
                display.lines([f"{stage.name}: the trackers get no figure: {error}"])
        elif stage.name not in plan.stale and (at / RECORD).is_file():
            records[stage.name] = finished_record(at)
        earlier[stage.name] = at
    return records


def folder_of(recipe: Recipe, out: str | Path | None) -> Path:
    """Returns the folder of a run: `out`, else `runs/NAME`."""
    return Path(out or Path("runs") / recipe.name)


def _choose_threads(recipe: Recipe, folder: Path, display: Display) -> None:
    """Sets the number of torch's threads on a CPU. A resumed run keeps its last stage's number, unless the user gives one."""
    if not recipe.cluster.on_cpu():
        return
    records = [work_record(stage, folder / stage.name) or {} for stage in recipe.stages]
    recorded = [number for record in records if isinstance(number := record.get("machine", {}).get("threads"), int)]
    config = functools.partial(architectures.configuration, recipe.policy, {})
    number = cpu_threads.choose(recipe.cluster.threads, recorded[-1] if recorded else None, config)
    if recorded and number != recorded[-1] and not all("metrics" in record for record in records):
        display.console.print(f"threads: {number} now, {recorded[-1]} before; results may differ in the last bits")


def _run_stage(
    stage: Stage,
    current: identity.StageIdentity,
    recipe: Recipe,
    folder: Path,
    inputs: dict[str, Path],
    display: Display,
    log: Log,
    inexact: bool,
) -> dict[str, Any]:
    """Runs one stage and returns its record, or returns the record of a finished stage.

    Args:
        stage: with references replaced.
        current: the stage's identity now.
        recipe: with references replaced.
        folder: the stage's folder.
        inputs: folders of the earlier stages, by name.
        display: shows progress.
        log: the run's log.
        inexact: see `prepare`.
    """
    identity.check_same([(stage, current)], folder.parent, inexact=inexact)
    if changed := identity.changed_versions(folder):
        display.console.print(f"{stage.name}: package versions have changed since the stage started: {changed}")
    before, extension = work_record(stage, folder), identity.extension_of(stage, folder)
    if before and "metrics" in before and not extension:
        return before
    folder.mkdir(exist_ok=True)
    versions = environments.versions(identity.RECORDED)
    settings = current.settings | {"versions": (before or {}).get("begun_with") or (before or {}).get("versions", versions)}
    settings |= {"cluster": recipe.cluster.model_dump(mode="json")}
    settings |= {"commit": provenance.commit(), "machine": provenance.machine()}  # of the latest start; not in the identity
    settings |= {"extended": [*(before or {}).get("extended", []), *([_extended(extension)] if extension else [])]}

    def write_settings() -> None:
        disk.write(folder / SETTINGS, json.dumps(settings, indent=1))

    if before is None:
        write_settings()
    wall, processor = time.monotonic(), _processor_seconds()
    log.add("start", stage=stage.name, kind=stage.kind, resumed=before is not None)
    lines = StepLines(stage, folder, display.examples)
    with display.stage(stage.name) as progress:
        progress = log.progress(stage.name, _with_lines(progress, lines, display))
        if before is not None:
            progress = _after_new_work(progress, write_settings)
        context = Context(
            folder, settings["policy"], settings["seed"], inputs, progress, recipe.cluster, current.digest(stage.may_change)
        )
        with faults.as_user_errors(folder):
            metrics = stage.run(context)
        display.lines([*lines.new()])  # of the last steps, after which no progress was reported
    nodes.release()
    record = {
        "name": stage.name,
        **settings,
        "versions": versions,
        "begun_with": settings["versions"],  # differs from `versions` if packages have changed before a resume
        "machine": provenance.machine(),  # again, because torch lists its GPUs only after CUDA is initialized
        "resumed": before is not None,  # if true, the times are those of the last process only
        "wall_seconds": round(time.monotonic() - wall, 2),
        "processor_seconds": round(_processor_seconds() - processor, 2),
        "metrics": (stored := _read_back(stage, metrics)),
        "comparable": stage.comparable(stored),
    }
    with faults.as_user_errors(folder):
        disk.sync_folder(folder)
        write_settings()
        disk.write(folder / RECORD, json.dumps(record, indent=1))
    log.add("end", stage=stage.name, seconds=record["wall_seconds"])
    keep_last(folder, getattr(stage, "keep_checkpoints", 0))  # not earlier, because a killed stage resumes from them
    return record


def _extended(extension: Extension) -> dict[str, Any]:
    """Returns the record of an extension."""
    return {"step": extension.step, "exact": not extension.difference}


def _with_lines(progress: Callable[..., None], steps: StepLines, display: Display) -> Callable[..., None]:
    """Returns a function that calls `progress`, and prints the lines of the steps that have ended."""

    def step(done: int, total: int, **values: object) -> None:
        display.lines([*steps.new()])
        progress(done, total, **values)

    return step


def _after_new_work(progress: Callable[..., None], write: Callable[[], None]) -> Callable[..., None]:
    """Returns a function that calls `progress`, and calls `write` once, when the stage has done more than at the first call.

    Until then the settings of the earlier work stay, because a start that is refused or killed has added nothing to it.
    """
    first: int | None = None
    written = False

    def step(done: int, total: int, **values: object) -> None:
        nonlocal first, written
        first = done if first is None else first
        if done > first and not written:
            write()
            written = True
        progress(done, total, **values)

    return step


def _read_back(stage: Stage, metrics: Metrics) -> Metrics:
    """Returns a stage's metrics after a round trip through JSON, as they are read from `stage.json`.

    Raises:
        UserError: a stage of another package returned something other than a dictionary for JSON.
    """
    expected = f"{stage.name}: {type(stage).__name__}.run: expected a dictionary of metrics that JSON can store"
    if not isinstance(metrics, dict):
        raise UserError(f"{expected}, got {type(metrics).__name__}")
    try:
        stored: Metrics = json.loads(json.dumps(metrics))
    except (TypeError, ValueError) as error:
        raise UserError(f"{expected} ({error})") from None
    return stored


def _processor_seconds() -> float:
    """Returns the user and system time of this process and of its ended children, without Ray's processes."""
    return sum(
        usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )
