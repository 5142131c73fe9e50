"""The recipe: a policy, environments and a list of stages, read from a YAML file.

    name: quickstart
    seed: 7
    policy: "micro:"
    stages:
      - {kind: sft, name: sft, problems: "jsonl:train.jsonl", steps: 100}
      - {kind: grpo, name: grpo, environment: tenfold/ChainSum-v0, steps: 40}

`runner.py` runs and resumes recipes.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import pydantic
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator

from ... import disk, named_code
from ...core import UserError
from ...policies.checkpoints import stage_and_step
from .. import cluster as clusters
from ..cluster import HERE, Cluster
from ..stage import MAX_SEED, Stage
from ..stages import KINDS, AnyStage
from .content import changes, references, repeat, trained

RECIPES = Path(__file__).parent.parent / "recipes"


class Recipe(BaseModel):
    """The content of a recipe file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", description="name of the recipe; the default folder of a run is runs/NAME"
    )
    description: str = Field("", description="one line, printed when the recipe starts")
    seed: int = Field(0, ge=0, le=MAX_SEED, description="base seed of every stage")
    policy: str = Field(description="URI of the policy to start from")
    environments: dict[str, dict[str, Any]] = Field({}, description="environments to register: id to arguments of register()")
    modules: list[str] = Field([], description="modules to import before the run, such as one that registers environments")
    cluster: Cluster = Field(HERE, description="hardware: settings, a YAML file, or the name of a cluster of this package")
    stages: list[AnyStage] = Field(min_length=1, description="the stages, in the order in which they run")
    seeds: list[Annotated[int, Field(ge=0, le=MAX_SEED)]] = Field(
        [], description="base seeds of a sweep: one run for each; see `sweep/sweep.py`"
    )
    sweep: dict[str, list[Any] | dict[str, dict[str, Any]]] = Field(
        {},
        description="values of settings of a sweep, by name (STAGE.SETTING), or groups of settings, by a name of your choice: "
        "one run for each combination",
    )
    trackers: list[Literal["tensorboard", "wandb", "mlflow", "trackio", "swanlab"]] = Field(
        [], description="experiment trackers that receive the figures of all stages; see the guide on trackers"
    )
    _changes: dict[str, Any] = PrivateAttr(default_factory=dict)
    _content: dict[str, Any] | None = PrivateAttr(None)
    """The content before the word `trained` is replaced, because later settings may change what the word stands for."""

    @property
    def content(self) -> dict[str, Any]:
        """The content as it was given, with the user's settings and with repeated stages in full."""
        return self.model_dump(exclude_unset=True) if self._content is None else dict(self._content)

    def is_changed(self, name: str) -> bool:
        """True if a setting, or a setting that contains it, comes from the user and not from the recipe file.

        Args:
            name: as in `changes.py`: "cluster.device", "grpo.steps".
        """
        return any(f"{name}.".startswith(f"{changed}.") for changed in self._changes)

    @property
    def is_sweep(self) -> bool:
        """True if the recipe stands for several runs; see `sweep/sweep.py`."""
        return bool(self.seeds or self.sweep)

    @property
    def user_settings(self) -> dict[str, Any]:
        """The settings that come from the user and not from the recipe file, by name as in `changes.py`."""
        return dict(self._changes)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """See pydantic. `content` has the updated settings, too."""
        copy = super().model_copy(update=update, deep=deep)
        if update and copy._content is not None:
            copy._content = {**copy._content, **copy.model_dump(include={*update}, exclude_unset=True)}
        return copy

    def with_cluster(self, **settings: Any) -> "Recipe":
        """Returns the recipe with other settings of its cluster."""
        return self.model_copy(update={"cluster": self.cluster.model_copy(update=settings)})

    @property
    def user_code_names(self) -> frozenset[str]:
        """Names of code (module:name) in the settings that the user gave."""
        return frozenset(named_code.names_in(self._changes))

    def seed_of(self, stage: Stage) -> int:
        """Returns the stage's own seed, else the recipe's."""
        return self.seed if stage.seed is None else stage.seed

    @field_validator("sweep", mode="before")
    @classmethod
    def _has_choices(cls, sweep: Any) -> Any:
        for name, values in sweep.items() if isinstance(sweep, Mapping) else ():
            groups = values.values() if isinstance(values, Mapping) else ()
            if not isinstance(values, list | Mapping) or not all(isinstance(group, Mapping) and group for group in groups):
                raise ValueError(f"{name}: expected a list of values, or groups of settings by name")
            if not values:
                raise ValueError(f"{name}: expected at least one value; add one, or remove {name}")
        return sweep

    @field_validator("stages", mode="before")
    @classmethod
    def _with_trained(cls, stages: Any) -> Any:
        return trained.with_environments(stages)

    @field_validator("cluster", mode="before")
    @classmethod
    def _named(cls, cluster: Any) -> Any:
        return clusters.named(cluster) if isinstance(cluster, str) else cluster


def load(recipe: "str | Path | Recipe", settings: Mapping[str, Any] | None = None) -> Recipe:
    """Reads and checks a recipe.

    Args:
        recipe: a YAML file, the name of a recipe of this package, or a recipe that was read before.
        settings: values that replace those of the recipe, by name: {"grpo.steps": 100, "seed": 3}; see `changes.py`.

    Raises:
        UserError: no such recipe, invalid YAML, or an invalid setting or value. For an unknown setting, stage or kind the
            message lists the valid names.
    """
    settings = dict(settings or {})
    content: Any
    if isinstance(recipe, Recipe):
        path, content = Path(recipe.name), recipe.content
    else:
        path = _file_of(recipe)
        content = disk.read_yaml(path)
    try:
        content = repeat.expanded(content)
        if settings and isinstance(content, dict):
            content = changes.apply(content, settings, [*Recipe.model_fields])
    except RecursionError:
        raise UserError(f"{path} is not YAML: it contains itself") from None
    return checked(content, path, (recipe.user_settings if isinstance(recipe, Recipe) else {}) | settings)


def checked(content: object, path: Path, user_settings: Mapping[str, Any]) -> Recipe:
    """Returns the recipe of a file's content.

    Args:
        content: the content.
        path: the file, for errors.
        user_settings: the settings in the content that the user gave; see `Recipe.user_settings`.

    Raises:
        UserError: an invalid setting or value.
    """
    try:
        read = Recipe.model_validate(content)
    except RecursionError:
        raise UserError(f"{path} is not YAML: it contains itself") from None
    except pydantic.ValidationError as error:
        raise UserError(f"{path}: {first_error(error, Recipe)}") from None
    _check_links(read, path)
    read._changes = dict(user_settings)
    read._content = content if isinstance(content, dict) else None
    return read


def _file_of(recipe: str | Path) -> Path:
    path = Path(recipe)
    if not path.is_file():
        path = RECIPES / f"{recipe}.yaml"
    if not path.is_file():
        files = [*RECIPES.glob("*.yaml"), *RECIPES.glob("ablations/*.yaml")]
        names = ", ".join(sorted(str(file.relative_to(RECIPES).with_suffix("")) for file in files))
        raise UserError(f"there is no recipe {recipe}: use a file, or one of {names}")
    return path


def first_error(error: pydantic.ValidationError, model: type[BaseModel]) -> str:
    """Returns the first error of a model's settings as one line: the setting's name, what is wrong, and the valid choices."""
    first = error.errors()[0]
    parts = [str(part) for part in first["loc"]]
    name = ".".join(parts)
    if first["type"] == "union_tag_not_found":
        return f"{name}: expected the kind of a stage; add kind, one of {', '.join(KINDS)}"
    if first["type"] == "union_tag_invalid":
        return f"{name}.kind: unknown kind of stage {first['ctx']['tag']!r}; use one of {first['ctx']['expected_tags']}"
    if first["type"] == "extra_forbidden":
        return f"{name}: unknown setting {parts[-1]!r}; use one of {', '.join(_model_at(model, parts[:-1]).model_fields)}"
    message, value = first["msg"].removeprefix("Value error, "), f"got {first['input']!r:.200}"
    # Not the whole stage, and not twice: this package's own checks may already say it.
    adds_value = first["type"] != "missing" and not isinstance(first["input"], dict) and value not in message
    return f"{name}{': ' if name else ''}{message}{f', {value}' if adds_value else ''}"


def _model_at(model: type[BaseModel], parts: Sequence[str]) -> type[BaseModel]:
    """Returns the model of the settings at a place in a recipe or another model, such as stages.0.pretrain.phases.1."""
    for part in parts:
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        inner = [each for each in (annotation, *get_args(annotation)) if isinstance(each, type) and issubclass(each, BaseModel)]
        model = inner[0] if inner else KINDS.get(part, model) if model is Recipe else model
    return model


def _check_links(recipe: Recipe, path: Path) -> None:
    """Checks that stage names are unique and that stages refer to earlier stages only."""
    seen: dict[str, Stage] = {}
    for stage in recipe.stages:
        if stage.name in seen:
            raise UserError(f"{path}: two stages are named {stage.name!r}")
        location = stage.policy.partition(":")[2] if stage.policy and stage.policy.startswith("stage:") else ""
        named, step = stage_and_step(location)
        if named and "/" not in named and (named not in seen or not seen[named].writes_policy):
            able = ", ".join(name for name, earlier in seen.items() if earlier.writes_policy) or "none"
            raise UserError(f"{path}: {stage.name}.policy: no earlier stage {named!r} trains a policy; stages that do: {able}")
        if step is not None and named in seen and step not in (steps := _kept_steps(seen[named])):
            raise UserError(
                f"{path}: {stage.name}.policy: the stage {named} keeps the checkpoints of the steps "
                f"{', '.join(map(str, steps)) or 'none'}, not of step {step}: change its save_steps or keep_checkpoints"
            )
        try:
            stage.check_links(seen)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
        if unknown := [name for name in stage.named_stages() if name not in seen]:
            raise UserError(f"{path}: {stage.name} names {unknown[0]!r}, which is not an earlier stage")
        for name in sorted(references.stages_named_in(stage.model_dump(), recipe.environments) - seen.keys()):
            names = ", ".join(seen) or "none"
            raise UserError(
                f"{path}: {stage.name} names {{stage:{name}}}, but no earlier stage has that name; earlier stages: {names}"
            )
        seen[stage.name] = stage


def _kept_steps(stage: Stage) -> list[int]:
    """Returns the steps whose checkpoints a finished stage has."""
    steps, every, keep = (getattr(stage, name, 0) for name in ("steps", "save_steps", "keep_checkpoints"))
    return sorted({*range(every, steps, every), steps})[-keep:] if keep else []
