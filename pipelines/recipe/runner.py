"""Runs a recipe: compares its stages with an earlier run, checks them, runs them in order and records them.

Each stage has its own folder within the run's folder. The last file written there is `stage.json`. If the recipe is run again,
a stage with that file is skipped, and a stage without it resumes from the files in its folder.
"""

import json
import resource
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ... import cpu_threads, disk, faults, named_code
from ...core import UserError
from ...envs import identity as environments
from ...policies import check_uri, checkpoints
from ..launch import nodes
from ..pretrain import supply
from ..stage import RECORD, SETTINGS, Context, Extension, Metrics, Stage, finished_record, rerun_advice, work_record
from ..trainer.checkpoints import keep_last
from . import identity, provenance, references, report
from .plan import ALL, Plan, Selection
from .recipe import Recipe, load
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

    Returns:
        The metrics of each finished stage, by name. They are also in each `stage.json` and in `report.html`.

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
        report.Display(quiet) as display,
    ):
        original, plan = recipe, prepare(recipe, folder, selection=selection, inexact=inexact)
        recipe = plan.recipe
        disk.write(folder / "recipe.yaml", yaml.safe_dump(original.model_dump(mode="json"), sort_keys=False))
        display.plan(recipe.name, recipe.description, folder, plan.rows(folder))
        display.lines([*cautions(recipe, plan.selected, folder), *plan.stale_lines(folder)])
        _choose_threads(recipe, folder, display)
        reader, records = _reader(original, folder), dict[str, dict[str, Any]]()
        earlier: dict[str, Path] = {}
        for stage, policy in with_policies(recipe, folder):
            at = folder / stage.name
            if stage.name in plan.selected:
                current = _identity_of(stage, policy, reader)
                records[stage.name] = _run_stage(stage, current, recipe, at, dict(earlier), display, inexact)
            elif stage.name not in plan.stale and (at / RECORD).is_file():
                records[stage.name] = finished_record(at)
            earlier[stage.name] = at
        shown = [stage for stage in recipe.stages if stage.name in records]
        report.write(folder, recipe.name, shown, records)
        display.table(shown, records, folder)
        display.lines(plan.stale_lines(folder))
    return {name: record["metrics"] for name, record in records.items()}


def folder_of(recipe: Recipe, out: str | Path | None) -> Path:
    """Returns the folder of a run: `out`, else `runs/NAME`."""
    return Path(out or Path("runs") / recipe.name)


def prepare(
    recipe: Recipe,
    folder: Path,
    not_checked: list[str] | None = None,
    *,
    selection: Selection = ALL,
    inexact: bool = False,
) -> Plan:
    """Compares a recipe with the stages in the run's folder, and checks the inputs of the stages that are to run.

    It writes nothing. Call it within `limited`.

    Args:
        recipe: as the user gave it.
        folder: folder of the run.
        not_checked: receives a line for each check that a dry run skips.
        selection: the stages to run.
        inexact: extend a stage by further steps even if its result will differ from that of a new run.

    Returns:
        The stages to run, and the state of the others.

    Raises:
        UserError: an input is missing, or a stage has begun with another identity.
    """
    selected = selection.names(recipe.stages, folder)
    waiting = waiting_stages(recipe, folder)
    reader = _reader(recipe, folder)
    needed = reader.needs(selected)
    for name in sorted(selected):
        if missing := [read for read in sorted(reader.reads(name) - selected) if not (folder / read / RECORD).is_file()]:
            raise UserError(f"{name} reads from the stage {missing[0]}, which is not finished: run that stage too")
    recipe = Recipe.model_validate(references.with_folders(recipe.model_dump(), folder))
    supply.check([stage for stage in recipe.stages if stage.name in needed], recipe.policy, folder)
    skipped: list[str] = [] if not_checked is None else not_checked
    begun = [(stage, policy) for stage, policy in with_policies(recipe, folder) if _begun(stage, folder / stage.name)]
    stale: dict[str, str] = {}
    if begun and named_code.not_imported():
        skipped.append(f"the stages in {folder} are not compared: a dry run does not import their code")
    else:
        used = [(stage, _identity_of(stage, policy, reader)) for stage, policy in begun if stage.name in needed]
        identity.check_same([each for each in used if each[0].name not in selected], folder, may_extend=False)
        identity.check_same([each for each in used if each[0].name in selected], folder, inexact=inexact)
        stale = _stale([each for each in begun if each[0].name not in needed], folder, reader)
    _check_inputs(recipe, folder, selected, waiting, skipped)
    return Plan(recipe, frozenset(selected), stale)


def _stale(stages: Sequence[tuple[Stage, str]], folder: Path, reader: identity.IdentityReader) -> dict[str, str]:
    """Returns the stages whose identity differs from that of their work: name to difference."""
    found = {}
    for stage, policy in stages:
        try:
            text = identity.difference(stage, reader.identity_of(stage, policy), folder / stage.name, may_extend=False)
        except UserError as error:
            text = f"cannot be compared ({error})"
        if text:
            found[stage.name] = text
    return found


def _choose_threads(recipe: Recipe, folder: Path, display: report.Display) -> None:
    """Sets the number of threads of torch on a CPU: for a resumed run that of its last stage, unless the user chose another."""
    if not recipe.cluster.on_cpu():
        return
    records = [work_record(stage, folder / stage.name) or {} for stage in recipe.stages]
    recorded = [number for record in records if isinstance(number := record.get("machine", {}).get("threads"), int)]
    number = cpu_threads.choose(recipe.cluster.threads, recorded[-1] if recorded else None)
    if recorded and number != recorded[-1] and not all("metrics" in record for record in records):
        display.console.print(f"threads: {number} instead of {recorded[-1]} as before; results may differ in the last bits")


def _reader(recipe: Recipe, folder: Path) -> identity.IdentityReader:
    named = {stage.name: (stage, policy) for stage, policy in with_policies(recipe, folder)}
    seeds = {name: recipe.seed_of(stage) for name, (stage, _) in named.items()}
    return identity.IdentityReader(folder, seeds, named, recipe.environments)


def _identity_of(stage: Stage, policy: str, reader: identity.IdentityReader) -> identity.StageIdentity:
    try:
        return reader.identity_of(stage, policy)
    except UserError as error:
        raise UserError(f"{stage.name}: {error}") from None


def waiting_stages(recipe: Recipe, folder: Path) -> set[str]:
    """Returns the stages that read the folder of a stage that is not finished. Their inputs cannot be checked yet.

    Args:
        recipe: with references.
        folder: folder of the run.
    """

    def waits(stage: Stage, policy: str) -> bool:
        named = references.stages_named_in([stage.model_dump(), policy], recipe.environments)
        return any(not (folder / name / "stage.json").is_file() for name in named)

    return {stage.name for stage, policy in with_policies(recipe, folder) if waits(stage, policy)}


def _begun(stage: Stage, folder: Path) -> bool:
    """True if a stage has begun in a folder. Checks that its record can be read.

    Raises:
        UserError: the path is a file, or the record is damaged.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: expected a stage's folder, got a file; move it away, or choose another --out")
    record = work_record(stage, folder)
    if record and "metrics" in record:
        with disk.reading(folder / RECORD, rerun_advice(folder)):
            stage.summary(record["metrics"])
    return record is not None


def _check_inputs(recipe: Recipe, folder: Path, selected: set[str], waiting: set[str], skipped: list[str]) -> None:
    """Checks the inputs of all stages that are not finished, so that a wrong name fails at once and not after hours.

    Args:
        recipe: with references replaced.
        folder: folder of the run.
        selected: names of the stages to run.
        waiting: names of the stages that read from an unfinished stage; their files are not checked.
        skipped: receives a line for each stage whose code is not imported.
    """
    recipe.cluster.check()
    starts = starting_checkpoints(recipe, folder, waiting)
    for stage, _ in with_policies(recipe, folder):
        done = (folder / stage.name / RECORD).is_file() and not identity.extension_of(stage, folder / stage.name)
        if stage.name not in selected or done:
            continue
        waits = stage.name in waiting
        try:
            if not waits:
                stage.check()
            stage.check_cluster(recipe.cluster)
            if not waits and (start := starts.get(stage.name)):
                checkpoints.check_files(start)
                recipe.cluster.check_model(start)
                stage.check_policy(start, recipe.cluster)
        except named_code.NotImported as reason:
            skipped.append(f"{stage.name} is not checked: {reason}")
        except UserError as error:
            raise UserError(f"{stage.name}: {error}") from None


def starting_checkpoints(recipe: Recipe, folder: Path, waiting: Collection[str]) -> dict[str, Path]:
    """Returns a folder with the model and the tokenizer that each stage starts from, by stage, as far as they exist already.

    A stage that starts from the result of an unfinished stage has the model and the tokenizer with which the latter starts.

    Args:
        recipe: with references replaced.
        folder: folder of the run.
        waiting: names of the stages that read from an unfinished stage.

    Raises:
        UserError: a checkpoint is missing.
    """
    starts: dict[str, Path] = {}
    stage_of = {f"stage:{folder / stage.name}": stage.name for stage in recipe.stages}
    for stage, policy in with_policies(recipe, folder):
        done = (folder / stage.name / "stage.json").is_file()
        if done and stage.writes_policy:
            starts[stage.name] = folder / stage.name / "policy"
        elif done:
            continue
        elif (earlier := stage_of.get(checkpoints.stage_and_step(policy)[0])) is not None:
            if earlier in starts:
                starts[stage.name] = starts[earlier]
        elif policy:
            check_uri(policy)
            if not stage.writes_policy and policy.partition(":")[0] not in checkpoints.SOURCES:
                continue
            try:
                starts[stage.name] = checkpoints.checkpoint(policy)
            except UserError:
                if stage.name not in waiting:
                    raise
    return starts


def with_policies(recipe: Recipe, folder: Path) -> Iterator[tuple[Stage, str]]:
    """Yields each stage with the URI of the policy that it starts from; empty if it starts from none.

    The policy of a stage of the recipe is stage:FOLDER, or stage:FOLDER@step=N.
    """
    current = recipe.policy
    names = {stage.name for stage in recipe.stages}
    for stage in recipe.stages:
        policy = (stage.policy or current) if stage.reads_policy else ""
        scheme, _, named = policy.partition(":")
        own = scheme == "stage" and checkpoints.stage_and_step(named)[0] in names
        yield stage, f"stage:{folder / named}" if own else policy
        if stage.writes_policy and stage.is_default_start:
            current = f"stage:{stage.name}"


def cautions(recipe: Recipe, selected: Collection[str], folder: Path) -> list[str]:
    """Returns the cautions about the selected stages, one line each.

    Args:
        recipe: with references replaced.
        selected: names of the stages to run.
        folder: folder of the run.
    """
    origins: dict[str, str] = {}
    found = []
    for stage, policy in with_policies(recipe, folder):
        location = Path(checkpoints.stage_and_step(policy)[0].removeprefix("stage:"))
        own = policy.startswith("stage:") and location.parent == folder and location.name in origins
        origins[stage.name] = origins[location.name] if own else policy
        if stage.name in selected:
            found += [f"{stage.name}: caution: {text}" for text in stage.cautions(policy, origins[stage.name])]
    return found


def _run_stage(
    stage: Stage,
    current: identity.StageIdentity,
    recipe: Recipe,
    folder: Path,
    inputs: dict[str, Path],
    display: report.Display,
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
    settings = current.settings | {"versions": before.get("begun_with", before["versions"]) if before else versions}
    settings |= {"cluster": recipe.cluster.model_dump(mode="json")}
    settings |= {"commit": provenance.commit(), "machine": provenance.machine()}  # of the latest start; not in the identity
    settings |= {"extended": [*(before or {}).get("extended", []), *([_extended(extension)] if extension else [])]}

    def write_settings() -> None:
        disk.write(folder / SETTINGS, json.dumps(settings, indent=1))

    if before is None:
        write_settings()
    wall, processor = time.monotonic(), _processor_seconds()
    with display.stage(stage.name) as progress:
        if before is not None:
            progress = _after_new_work(progress, write_settings)
        context = Context(
            folder, settings["policy"], settings["seed"], inputs, progress, recipe.cluster, current.digest(stage.may_change)
        )
        with faults.as_user_errors(folder):
            metrics = stage.run(context)
    nodes.release()
    record = {
        "name": stage.name,
        **settings,
        "versions": versions,
        "begun_with": settings["versions"],  # differs from `versions` if packages have changed before a resume
        "machine": provenance.machine(),  # again, because torch lists its GPUs only once CUDA is initialized
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
    keep_last(folder, getattr(stage, "keep_checkpoints", 0))  # not earlier, because a killed stage resumes from them
    return record


def _extended(extension: Extension) -> dict[str, Any]:
    """Returns the record of an extension."""
    return {"step": extension.step, "exact": not extension.difference}


def _after_new_work(progress: Callable[..., None], write: Callable[[], None]) -> Callable[..., None]:
    """Returns `progress` with a call of `write` when the stage has done more than at the first call.

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
