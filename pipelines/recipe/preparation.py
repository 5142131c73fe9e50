"""Preparation of a run: a recipe is compared with the stages in the run's folder, and the inputs of the stages are checked."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from ... import disk, named_code
from ...core import UserError
from ...policies import check_uri, checkpoints
from ...policies.identity import without_backend
from ...policies.server.hub import Unreachable
from ..pretrain import supply
from ..stage import RECORD, Stage, rerun_advice, work_record
from . import identity
from .content import references
from .plan import ALL, Plan, Selection, is_finished
from .recipe import Recipe
from .tracking import checks as trackers


def prepare(
    recipe: Recipe,
    folder: Path,
    not_checked: list[str] | None = None,
    *,
    selection: Selection = ALL,
    inexact: bool = False,
) -> Plan:
    """Compares a recipe with the stages in the run's folder, and checks the inputs of the stages that are to run.

    It writes nothing. Call it within `trust.limited`, which imports the recipe's modules and registers its environments.

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
    trackers.check(recipe.trackers, "trackers")
    selected = selection.names(recipe.stages, folder)
    waiting = waiting_stages(recipe, folder)
    reader = reader_of(recipe, folder)
    needed = reader.needs(selected)
    for name in sorted(selected):
        if missing := [read for read in sorted(reader.reads(name) - selected) if not (folder / read / RECORD).is_file()]:
            raise UserError(f"{name} reads from the stage {missing[0]}, which is not finished: run that stage too")
    recipe = Recipe.model_validate(references.with_folders(recipe.model_dump(), folder))
    supply.check([stage for stage in recipe.stages if stage.name in needed], recipe.policy, folder)
    skipped: list[str] = [] if not_checked is None else not_checked
    begun = [(stage, policy) for stage, policy in with_policies(recipe, folder) if _begun(stage, folder / stage.name)]
    settings_only = frozenset(stage.name for stage, _ in begun) if named_code.not_imported() else frozenset[str]()
    if settings_only:
        skipped.append(
            f"the stages in {folder} are compared only by their settings, because a dry run does not import the recipe's "
            "modules; add --trust to compare code and data too"
        )
    used = [(stage, identity_of(stage, policy, reader)) for stage, policy in begun if stage.name in needed]
    identity.check_same([each for each in used if each[0].name not in selected], folder, may_extend=False)
    identity.check_same([each for each in used if each[0].name in selected], folder, inexact=inexact)
    stale = _stale([each for each in begun if each[0].name not in needed], folder, reader)
    _check_inputs(recipe, folder, selected, waiting, skipped, may_be_unreachable=not_checked is not None)
    return Plan(recipe, frozenset(selected), stale, settings_only)


def _stale(stages: Sequence[tuple[Stage, str]], folder: Path, reader: identity.IdentityReader) -> dict[str, str]:
    """Returns the stages whose identity differs from that of their work: name to difference."""
    found = {}
    for stage, policy in stages:
        try:
            text = identity.difference(stage, _identity_of(stage, policy, reader), folder / stage.name, may_extend=False)
        except UserError as error:
            text = f"cannot be compared ({error})"
        if text:
            found[stage.name] = text
    return found


def reader_of(recipe: Recipe, folder: Path) -> identity.IdentityReader:
    """Returns the reader of the identities of a recipe's stages.

    Raises:
        UserError: the policy of a stage is the result of the stage itself or of a later one.
    """
    named = {stage.name: (stage, policy) for stage, policy in with_policies(recipe, folder)}
    seeds = {name: recipe.seed_of(stage) for name, (stage, _) in named.items()}
    reader, earlier = identity.IdentityReader(folder, seeds, named, recipe.environments), set[str]()
    for name, (_, policy) in named.items():
        if later := reader.reads(name) - earlier:
            raise UserError(
                f"{name}: its policy {policy} is of the stage {min(later)}, which is not an earlier stage of this run; use "
                "another policy, or another --out"
            )
        earlier.add(name)
    return reader


def identity_of(stage: Stage, policy: str, reader: identity.IdentityReader) -> identity.StageIdentity:
    """Returns a stage's identity; an error names the stage."""
    try:
        return _identity_of(stage, policy, reader)
    except UserError as error:
        raise UserError(f"{stage.name}: {error}") from None


def _identity_of(stage: Stage, policy: str, reader: identity.IdentityReader) -> identity.StageIdentity:
    """Returns a stage's identity; in a dry run that does not import the recipe's modules, only its part from the settings."""
    if not named_code.not_imported():
        return reader.identity_of(stage, policy)
    earlier = {f"stage {name}": reader.settings_digest(name) for name in sorted(reader.reads(stage.name))}
    settings = {"stage": stage.model_dump(mode="json"), "seed": reader.seeds[stage.name], "policy": policy}
    return identity.StageIdentity({**settings, "inputs": {}, "identity": earlier}, complete=False)


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


def _check_inputs(
    recipe: Recipe,
    folder: Path,
    selected: set[str],
    waiting: set[str],
    skipped: list[str],
    *,
    may_be_unreachable: bool,
) -> None:
    """Checks the inputs of the selected stages that are not finished, so that a wrong name fails at once and not after hours.

    Args:
        recipe: with references replaced.
        folder: folder of the run.
        selected: names of the stages to run.
        waiting: names of the stages that read from an unfinished stage; their files are not checked.
        skipped: receives a line for each stage whose code is not imported, or whose data cannot be reached.
        may_be_unreachable: check what can be checked without a connection to the hub.
    """
    recipe.cluster.check()
    starts = starting_checkpoints(recipe, folder, waiting, skipped if may_be_unreachable else None)
    for stage, _ in with_policies(recipe, folder):
        if stage.name not in selected or is_finished(stage, folder / stage.name):
            continue
        waits = stage.name in waiting
        try:
            if not waits:
                try:
                    stage.check()
                except Unreachable as reason:
                    if not may_be_unreachable:
                        raise
                    skipped.append(f"{stage.name} is not checked: {reason}")
                    waits = True
            stage.check_cluster(recipe.cluster)
            if not waits and (start := starts.get(stage.name)):
                checkpoints.check_files(start)
                recipe.cluster.check_model(start)
                stage.check_policy(start, recipe.cluster)
        except named_code.NotImported as reason:
            skipped.append(f"{stage.name} is not checked: {reason}; add --trust to check it")
        except UserError as error:
            raise UserError(f"{stage.name}: {error}") from None


def starting_checkpoints(
    recipe: Recipe, folder: Path, waiting: Collection[str], skipped: list[str] | None = None
) -> dict[str, Path]:
    """Returns the folder with the model and the tokenizer that each stage starts from, by stage, if it exists already.

    For a stage that starts from the result of an unfinished stage, it is the folder that the unfinished stage starts from.
    For a finished stage that writes a policy, it is the folder of this policy.

    Args:
        recipe: with references replaced.
        folder: folder of the run.
        waiting: names of the stages that read from an unfinished stage.
        skipped: receives a line for each policy that cannot be reached; None: it is an error.

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
            start = policy if stage.writes_policy else without_backend(policy)  # a backend only samples
            needs_checkpoint = stage.writes_policy or stage.reads_checkpoint
            if not needs_checkpoint and start.partition(":")[0] not in checkpoints.SOURCES:
                continue
            try:
                starts[stage.name] = checkpoints.checkpoint(start)
            except UserError as error:
                if isinstance(error, Unreachable) and skipped is not None:
                    line = f"the policy {policy} is not checked: {error}"
                    skipped += [line] if line not in skipped else []
                elif stage.name not in waiting:
                    raise
    return starts


def with_policies(recipe: Recipe, folder: Path) -> Iterator[tuple[Stage, str]]:
    """Yields each stage with the URI of the policy that it starts from; empty if it starts from none.

    If a stage of the recipe writes this policy, the URI is stage:FOLDER or stage:FOLDER@step=N.
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
