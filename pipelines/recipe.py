"""A recipe is a list of stages: read, checked, run, resumed, recorded.

    name: quickstart
    seed: 7
    policy: "micro:"
    stages:
      - {kind: sft, name: sft, problems: "jsonl:train.jsonl", steps: 100}
      - {kind: grpo, name: grpo, environment: tenfold/ChainSum-v0, steps: 40}

Every stage has a folder of its own under the run's. `stage.json` is written there last: a folder that has it is done and is
passed over when the recipe is run again; one that has not goes on from what it holds.
"""

import json
import resource
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import pydantic
import yaml
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator

from .. import disk, faults, named_code
from ..core import UserError
from ..envs import identity as environments
from ..policies import initial
from . import (
    bench,
    contrast,
    distill,
    draw_pairs,
    identity,
    places,
    pretrain,
    refine,
    report,
    reward_model,
    sft,
    summary,
    supply,
    synthesize,
)
from . import cluster as clusters
from .cluster import HERE, Cluster
from .context import Context, Metrics, Settings
from .corpus import clean, documents, mix, retrieve, select, tag, tokenizer
from .rl import filter as rl_filter
from .rl import stage as rl_stage
from .rl import verl_config
from .rl.verl_config import GRPO
from .trust import limited

RECIPES = Path(__file__).parent / "recipes"
KINDS: dict[str, tuple[type[Settings], Callable[[Any, Context], Metrics]]] = {
    "documents": (documents.Documents, documents.run),
    "clean": (clean.Clean, clean.run),
    "tag": (tag.Tag, tag.run),
    "retrieve": (retrieve.Retrieve, retrieve.run),
    "select": (select.Select, select.run),
    "tokenizer": (tokenizer.Tokenizer, tokenizer.run),
    "mix": (mix.Mix, mix.run),
    "pretrain": (pretrain.Pretrain, pretrain.run),
    "sft": (sft.SFT, sft.run),
    "refine": (refine.Refine, refine.run),
    "draw_pairs": (draw_pairs.DrawPairs, draw_pairs.run),
    "distill": (distill.Distill, distill.run),
    "reward_model": (reward_model.RewardModel, reward_model.run),
    "synthesize": (synthesize.Synthesize, synthesize.run),
    "filter": (rl_filter.Filter, rl_filter.run),
    "grpo": (GRPO, rl_stage.run),
    "bench": (bench.Bench, bench.run),
    "contrast": (contrast.Contrast, contrast.run),
}

Stage = Annotated[
    documents.Documents
    | clean.Clean
    | tag.Tag
    | retrieve.Retrieve
    | select.Select
    | tokenizer.Tokenizer
    | mix.Mix
    | pretrain.Pretrain
    | sft.SFT
    | refine.Refine
    | draw_pairs.DrawPairs
    | distill.Distill
    | reward_model.RewardModel
    | synthesize.Synthesize
    | rl_filter.Filter
    | GRPO
    | bench.Bench
    | contrast.Contrast,
    Field(discriminator="kind"),
]


class Recipe(BaseModel):
    """What a recipe file holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    description: str = ""
    seed: int = Field(0, ge=0)
    policy: str = Field(description="URI of the policy to start from")
    environments: dict[str, dict[str, Any]] = Field({}, description="environments to register: id to register()'s arguments")
    modules: list[str] = Field([], description="modules to import first, say one that registers environments")
    cluster: Cluster = Field(HERE, description="what to run on: settings, their file, or the name of one of the package's")
    stages: list[Stage] = Field(min_length=1)
    _changes: dict[str, Any] = PrivateAttr(default_factory=dict)

    @property
    def changed(self) -> frozenset[str]:
        """What of it its user has said himself, in the place of the file."""
        return frozenset(self._changes)

    @property
    def own(self) -> frozenset[str]:
        """Names of code that its user has given."""
        return frozenset(named_code.names_in(self._changes))

    def seed_of(self, stage: Settings) -> int:
        """A stage's own seed, or the recipe's."""
        return self.seed if stage.seed is None else stage.seed

    @field_validator("cluster", mode="before")
    @classmethod
    def _named(cls, cluster: Any) -> Any:
        return clusters.named(cluster) if isinstance(cluster, str) else cluster


def load(recipe: str | Path, **changes: Any) -> Recipe:
    """Reads and checks a recipe: a file, or the name of one that comes with the package.

    Args:
        recipe: see above.
        changes: take the place of the recipe's own: cluster=, policy=, seed=, ...

    Raises:
        UserError: no such recipe, no YAML, or a key or value that cannot be; one line that names it and the choices.
    """
    path = Path(recipe)
    if not path.is_file():
        path = RECIPES / f"{recipe}.yaml"
    if not path.is_file():
        files = [*RECIPES.glob("*.yaml"), *RECIPES.glob("ablations/*.yaml")]
        names = ", ".join(sorted(str(file.relative_to(RECIPES).with_suffix("")) for file in files))
        raise UserError(f"there is no recipe {recipe}: give a file, or one of {names}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        read = Recipe.model_validate(content | changes if isinstance(content, dict) else content)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())[:200]}") from None
    except pydantic.ValidationError as error:
        raise UserError(f"{path}: {_first_error(error)}") from None
    _check_links(read, path)
    read._changes = {name: value for name, value in changes.items() if isinstance(value, str | list | dict)}
    return read


def _first_error(error: pydantic.ValidationError) -> str:
    """One line on the first thing that is wrong: where, what, and the choices."""
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    if first["type"] == "union_tag_invalid":
        return f"{'.'.join(place)}.kind: {first['ctx']['tag']!r} is no kind of stage; there are {first['ctx']['expected_tags']}"
    if first["type"] == "extra_forbidden":
        kinds: dict[str, type[BaseModel]] = {kind: model for kind, (model, _) in KINDS.items()} | {"cluster": Cluster}
        model = next((kinds[part] for part in place if part in kinds), Recipe)
        return f"{'.'.join(place)}: unknown key {place[-1]!r}; there are {', '.join(model.model_fields)}"
    given = f", not {first['input']!r}" if first["type"] != "missing" else ""
    return f"{'.'.join(place)}: {first['msg']}{given}"


def _check_links(recipe: Recipe, path: Path) -> None:
    """Stages have names of their own and refer to stages before them."""
    seen: dict[str, Settings] = {}
    for stage in recipe.stages:
        if stage.name in seen:
            raise UserError(f"{path}: two stages are named {stage.name!r}")
        named = stage.policy.partition(":")[2] if stage.policy and stage.policy.startswith("stage:") else None
        if named and "/" not in named and (named not in seen or not seen[named].leaves_policy):
            able = ", ".join(name for name, earlier in seen.items() if earlier.leaves_policy) or "none"
            raise UserError(f"{path}: {stage.name}.policy: no earlier stage {named!r} leaves a policy; those that do: {able}")
        keep = stage.keep if isinstance(stage, GRPO) else None
        if keep and not isinstance(seen.get(keep), rl_filter.Filter):
            filters = ", ".join(name for name, earlier in seen.items() if isinstance(earlier, rl_filter.Filter)) or "none"
            raise UserError(f"{path}: {stage.name}.keep: no earlier filter stage {keep!r}; there are: {filters}")
        if keep and (said := rl_filter.plays_otherwise(seen[keep], stage)):
            raise UserError(f"{path}: {said}")
        compared = [*stage.of, *stage.against] if isinstance(stage, contrast.Contrast) else []
        if unknown := [name for name in compared if name not in seen]:
            raise UserError(f"{path}: {stage.name} compares {unknown[0]!r}, which is no earlier stage")
        for place in sorted(places.named(stage.model_dump(), recipe.environments) - seen.keys()):
            there = ", ".join(seen) or "none"
            raise UserError(
                f"{path}: {stage.name} speaks of {{stage:{place}}}, and no earlier stage has that name; there are {there}"
            )
        seen[stage.name] = stage


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
    with faults.said(folder), limited(recipe, folder, trusted=trust), disk.held(folder), report.Display(quiet) as display:
        given, recipe = recipe, prepare(recipe, folder)
        disk.write(folder / "recipe.yaml", yaml.safe_dump(given.model_dump(mode="json"), sort_keys=False))
        display.plan(recipe.name, recipe.description, folder, [_plan(stage, folder) for stage in recipe.stages])
        reader, records = _reader(given, folder), dict[str, dict[str, Any]]()
        for stage, policy in with_policies(recipe, folder):
            earlier = {name: folder / name for name in records}
            made = _made(stage, policy, reader)
            records[stage.name] = _run_stage(stage, made, recipe, folder / stage.name, earlier, display)
        report.write(folder, recipe.name, records)
        display.table(records, folder)
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
    recipe = Recipe.model_validate(places.filled(recipe.model_dump(), folder))
    supply.check(recipe.stages, recipe.policy, folder)
    unseen: list[str] = [] if not_seen is None else not_seen
    begun = [(stage, policy) for stage, policy in with_policies(recipe, folder) if _begun(folder / stage.name)]
    if begun and named_code.waiting():
        unseen.append(f"the stages in {folder} are not compared: their code is not imported")
    else:
        identity.check_same([(stage, _made(stage, policy, reader)) for stage, policy in begun], folder)
    _check_inputs(recipe, folder, waiting, unseen)
    return recipe


def _reader(recipe: Recipe, folder: Path) -> identity.Reader:
    named = {stage.name: (stage, policy) for stage, policy in with_policies(recipe, folder)}
    seeds = {name: recipe.seed_of(stage) for name, (stage, _) in named.items()}
    return identity.Reader(folder, seeds, named, recipe.environments)


def _made(stage: Settings, policy: str, reader: identity.Reader) -> identity.Made:
    try:
        return reader.made(stage, policy)
    except UserError as error:
        raise UserError(f"{stage.name}: {error}") from None


def _waits(recipe: Recipe, stage: Settings, policy: str, folder: Path) -> bool:
    """Whether a stage reads from the folder of one that is not done: there is nothing to look at yet."""
    named = places.named([stage.model_dump(), policy], recipe.environments)
    return any(not (folder / name / "stage.json").is_file() for name in named)


def _plan(stage: Settings, folder: Path) -> tuple[str, str, str]:
    done = (folder / stage.name / "stage.json").is_file()
    begun = (folder / stage.name / "settings.json").is_file()
    return stage.name, stage.kind, "done" if done else "goes on" if begun else "to do"  # type: ignore[attr-defined]


def _begun(folder: Path) -> bool:
    """Whether a stage was begun in a folder; what it left there can be read.

    Raises:
        UserError: a file stands where the folder belongs, or its record is broken.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file, and a stage's folder is to be there: move it away, or choose another --out")
    record = identity.record(folder)
    if record and "metrics" in record:
        with disk.understood(folder / "stage.json", identity.anew(folder)):
            summary.line(record)
    return record is not None


def _check_inputs(recipe: Recipe, folder: Path, waiting: set[str], unseen: list[str]) -> None:
    """Looks at what the stages that are not done will need, so that nothing runs for hours before a name proves wrong."""
    recipe.cluster.check()
    left_by_stages = {f"stage:{folder / stage.name}" for stage in recipe.stages}
    for stage, policy in with_policies(recipe, folder):
        if (folder / stage.name / "stage.json").is_file():
            continue
        waits = stage.name in waiting
        if not waits and policy not in left_by_stages and policy.partition(":")[0] in initial.SOURCES:
            initial.checkpoint(policy)
        try:
            if not waits:
                stage.check()
            if isinstance(stage, GRPO):
                verl_config.check(stage, recipe.cluster)
        except named_code.NotImported as reason:
            unseen.append(f"{stage.name} is not looked at: {reason}")
        except UserError as error:
            raise UserError(f"{stage.name}: {error}") from None


def with_policies(recipe: Recipe, folder: Path) -> Iterator[tuple[Settings, str]]:
    """Each stage with the URI of the policy it starts from; empty if it starts from none."""
    current = recipe.policy
    names = {stage.name for stage in recipe.stages}
    for stage in recipe.stages:
        policy = (stage.policy or current) if stage.reads_policy else ""
        scheme, _, named = policy.partition(":")
        yield stage, f"stage:{folder / named}" if scheme == "stage" and named in names else policy
        if stage.leaves_policy and stage.is_next:
            current = f"stage:{stage.name}"


def _run_stage(
    stage: Settings, made: identity.Made, recipe: Recipe, folder: Path, inputs: dict[str, Path], display: report.Display
) -> dict[str, Any]:
    """Runs one stage, or takes the record it left. Its record is written last, in one move."""
    identity.check_same([(stage, made)], folder.parent)
    if changed := identity.changed_versions(folder):
        display.console.print(f"{stage.name} was begun with {changed}")
    before = identity.record(folder)
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
        with faults.said(folder):
            metrics = KINDS[stage.kind][1](stage, context)  # type: ignore[attr-defined]
    clusters.free()
    record = {
        "name": stage.name,
        **settings,
        "versions": versions,
        "begun_with": settings["versions"],  # differs where packages were changed before the stage went on
        "resumed": before is not None,  # the times are then those of the process that ended it
        "wall_seconds": round(time.monotonic() - wall, 2),
        "processor_seconds": round(_processor_seconds() - processor, 2),
        "metrics": json.loads(json.dumps(metrics)),  # as it will be read back
    }
    with faults.said(folder):
        disk.settle(folder)
        disk.write(folder / "stage.json", json.dumps(record, indent=1))
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)  # needed until now, should the stage be killed
    return record


def _processor_seconds() -> float:
    """User and system time of this process and of its ended children (Ray's own processes are not among them)."""
    return sum(
        usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )
