"""A recipe is run: its stages are compared with what was begun, checked, run one after another, and recorded.

Every stage has a folder of its own under the run's. `stage.json` is written there last: a folder that has it is done and is
passed over when the recipe is run again; one that has not goes on from what it holds.
"""

import json
import resource
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from ... import disk, faults, named_code
from ...core import UserError
from ...envs import identity as environments
from ...policies import checkpoints
from ..launch import nodes
from ..pretrain import supply
from ..stage import Context, Metrics, Stage, anew
from ..stage import record as record_of
from . import identity, references, report
from .recipe import Recipe, load
from .trust import limited


def run(
    recipe: str | Path | Recipe, out: str | Path | None = None, *, quiet: bool = False, trust: bool = False
) -> dict[str, Metrics]:
    """Runs a recipe, or goes on with one that was stopped.

    Args:
        recipe: a file, the name of a recipe of the package, or the recipe itself.
        out: the run's folder; default `runs/NAME`.
        quiet: show nothing.
        trust: the recipe may run code that is not this package's; see `trust.py`.

    Returns:
        The metrics of every stage, by name. They are also in each `stage.json`, and in `report.html` as a picture.

    Raises:
        UserError: see `load`; it runs code, and nobody trusts it; and whatever a stage has to say that its user can mend.
    """
    recipe = recipe if isinstance(recipe, Recipe) else load(recipe)
    folder = folder_of(recipe, out)
    with (
        faults.as_user_errors(folder),
        limited(recipe, folder, trusted=trust),
        disk.locked(folder),
        report.Display(quiet) as display,
    ):
        given, recipe = recipe, prepare(recipe, folder)
        disk.write(folder / "recipe.yaml", yaml.safe_dump(given.model_dump(mode="json"), sort_keys=False))
        display.plan(recipe.name, recipe.description, folder, [_plan(stage, folder) for stage in recipe.stages])
        reader, records = _reader(given, folder), dict[str, dict[str, Any]]()
        for stage, policy in with_policies(recipe, folder):
            earlier = {name: folder / name for name in records}
            made = _made(stage, policy, reader)
            records[stage.name] = _run_stage(stage, made, recipe, folder / stage.name, earlier, display)
        report.write(folder, recipe.name, recipe.stages, records)
        display.table(recipe.stages, records, folder)
    return {name: record["metrics"] for name, record in records.items()}


def folder_of(recipe: Recipe, out: str | Path | None) -> Path:
    """Where a run of the recipe is kept."""
    return Path(out or Path("runs") / recipe.name)


def prepare(recipe: Recipe, folder: Path, not_seen: list[str] | None = None) -> Recipe:
    """Compares a recipe to the stages that were begun in the folder, and looks at all that the other stages will need. Writes
    nothing. It is called within `limited`.

    Args:
        recipe: as its user gives it.
        folder: of the run.
        not_seen: is told, a line each, what a dry run could not look at.

    Returns:
        The recipe with the folders of its stages filled in.

    Raises:
        UserError: something is not there, or a stage was begun with something else.
    """
    waiting = {stage.name for stage, policy in with_policies(recipe, folder) if _waits(recipe, stage, policy, folder)}
    reader = _reader(recipe, folder)
    recipe = Recipe.model_validate(references.filled(recipe.model_dump(), folder))
    supply.check(recipe.stages, recipe.policy, folder)
    unseen: list[str] = [] if not_seen is None else not_seen
    begun = [(stage, policy) for stage, policy in with_policies(recipe, folder) if _begun(stage, folder / stage.name)]
    if begun and named_code.not_imported():
        unseen.append(f"the stages in {folder} are not compared: their code is not imported")
    else:
        identity.check_same([(stage, _made(stage, policy, reader)) for stage, policy in begun], folder)
    _check_inputs(recipe, folder, waiting, unseen)
    return recipe


def _reader(recipe: Recipe, folder: Path) -> identity.Reader:
    named = {stage.name: (stage, policy) for stage, policy in with_policies(recipe, folder)}
    seeds = {name: recipe.seed_of(stage) for name, (stage, _) in named.items()}
    return identity.Reader(folder, seeds, named, recipe.environments)


def _made(stage: Stage, policy: str, reader: identity.Reader) -> identity.Made:
    try:
        return reader.made(stage, policy)
    except UserError as error:
        raise UserError(f"{stage.name}: {error}") from None


def _waits(recipe: Recipe, stage: Stage, policy: str, folder: Path) -> bool:
    """Whether a stage reads from the folder of one that is not done: there is nothing to look at yet."""
    named = references.named([stage.model_dump(), policy], recipe.environments)
    return any(not (folder / name / "stage.json").is_file() for name in named)


def _plan(stage: Stage, folder: Path) -> tuple[str, str, str]:
    done = (folder / stage.name / "stage.json").is_file()
    begun = (folder / stage.name / "settings.json").is_file()
    return stage.name, stage.kind, "done" if done else "goes on" if begun else "to do"


def _begun(stage: Stage, folder: Path) -> bool:
    """Whether a stage was begun in a folder; what it left there can be read.

    Raises:
        UserError: a file stands where the folder belongs, or its record is broken.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file, and a stage's folder is to be there: move it away, or choose another --out")
    record = record_of(folder)
    if record and "metrics" in record:
        with disk.reading(folder / "stage.json", anew(folder)):
            stage.summary(record["metrics"])
    return record is not None


def _check_inputs(recipe: Recipe, folder: Path, waiting: set[str], unseen: list[str]) -> None:
    """Looks at what the stages that are not done will need, so that nothing runs for hours before a name proves wrong."""
    recipe.cluster.check()
    left_by_stages = {f"stage:{folder / stage.name}" for stage in recipe.stages}
    for stage, policy in with_policies(recipe, folder):
        if (folder / stage.name / "stage.json").is_file():
            continue
        waits = stage.name in waiting
        if not waits and policy not in left_by_stages and policy.partition(":")[0] in checkpoints.SOURCES:
            checkpoints.checkpoint(policy)
        try:
            if not waits:
                stage.check()
            stage.check_cluster(recipe.cluster)
        except named_code.NotImported as reason:
            unseen.append(f"{stage.name} is not looked at: {reason}")
        except UserError as error:
            raise UserError(f"{stage.name}: {error}") from None


def with_policies(recipe: Recipe, folder: Path) -> Iterator[tuple[Stage, str]]:
    """Each stage with the URI of the policy it starts from; empty if it starts from none."""
    current = recipe.policy
    names = {stage.name for stage in recipe.stages}
    for stage in recipe.stages:
        policy = (stage.policy or current) if stage.reads_policy else ""
        scheme, _, named = policy.partition(":")
        yield stage, f"stage:{folder / named}" if scheme == "stage" and named in names else policy
        if stage.leaves_policy and stage.feeds_next:
            current = f"stage:{stage.name}"


def _run_stage(
    stage: Stage, made: identity.Made, recipe: Recipe, folder: Path, inputs: dict[str, Path], display: report.Display
) -> dict[str, Any]:
    """Runs one stage, or takes the record it left. Its record is written last, in one move."""
    identity.check_same([(stage, made)], folder.parent)
    if changed := identity.changed_versions(folder):
        display.console.print(f"{stage.name} was begun with {changed}")
    before = record_of(folder)
    if (folder / "stage.json").is_file():
        assert before is not None
        return before
    folder.mkdir(exist_ok=True)
    versions = environments.versions(identity.RECORDED)
    settings = made.settings | {"versions": before["versions"] if before else versions}
    settings |= {"cluster": recipe.cluster.model_dump(mode="json")}
    disk.write(folder / "settings.json", json.dumps(settings, indent=1))
    wall, processor = time.monotonic(), _processor_seconds()
    with display.stage(stage.name) as progress:
        context = Context(
            folder, settings["policy"], settings["seed"], inputs, progress, recipe.cluster, made.digest(stage.may_change)
        )
        with faults.as_user_errors(folder):
            metrics = stage.run(context)
    nodes.free()
    record = {
        "name": stage.name,
        **settings,
        "versions": versions,
        "begun_with": settings["versions"],  # differs where packages were changed before the stage went on
        "resumed": before is not None,  # the times are then those of the process that ended it
        "wall_seconds": round(time.monotonic() - wall, 2),
        "processor_seconds": round(_processor_seconds() - processor, 2),
        "metrics": _read_back(stage, metrics),
    }
    with faults.as_user_errors(folder):
        disk.sync_folder(folder)
        disk.write(folder / "stage.json", json.dumps(record, indent=1))
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)  # needed until now, should the stage be killed
    return record


def _read_back(stage: Stage, metrics: Metrics) -> Metrics:
    """The metrics of a stage as `stage.json` will give them back.

    Raises:
        UserError: a kind that another package adds returns something else.
    """
    made = f"{stage.name}: {type(stage).__name__}.run is to return the metrics, a dictionary that JSON can hold"
    if not isinstance(metrics, dict):
        raise UserError(f"{made}, not {type(metrics).__name__}")
    try:
        found: Metrics = json.loads(json.dumps(metrics))
    except (TypeError, ValueError) as error:
        raise UserError(f"{made} ({error})") from None
    return found


def _processor_seconds() -> float:
    """User and system time of this process and of its ended children (Ray's own processes are not among them)."""
    return sum(
        usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )
