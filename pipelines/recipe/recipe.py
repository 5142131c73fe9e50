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

from pathlib import Path
from typing import Any

import pydantic
import yaml
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator

from ... import named_code
from ...core import UserError
from .. import cluster as clusters
from ..cluster import HERE, Cluster
from ..stage import Stage
from ..stages import KINDS, AnyStage
from . import references

RECIPES = Path(__file__).parent.parent / "recipes"


class Recipe(BaseModel):
    """What a recipe file holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", description="the run's folder is runs/NAME")
    description: str = Field("", description="one line, shown when the recipe starts")
    seed: int = Field(0, ge=0, description="base seed of every stage")
    policy: str = Field(description="URI of the policy to start from")
    environments: dict[str, dict[str, Any]] = Field({}, description="environments to register: id to register()'s arguments")
    modules: list[str] = Field([], description="modules to import first, say one that registers environments")
    cluster: Cluster = Field(HERE, description="what to run on: settings, their file, or the name of one of the package's")
    stages: list[AnyStage] = Field(min_length=1)
    _changes: dict[str, Any] = PrivateAttr(default_factory=dict)

    @property
    def changed(self) -> frozenset[str]:
        """What of it its user has said himself, in the place of the file."""
        return frozenset(self._changes)

    @property
    def own(self) -> frozenset[str]:
        """Names of code that its user has given."""
        return frozenset(named_code.names_in(self._changes))

    def seed_of(self, stage: Stage) -> int:
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
        kinds: dict[str, type[BaseModel]] = {**KINDS, "cluster": Cluster}
        model = next((kinds[part] for part in place if part in kinds), Recipe)
        return f"{'.'.join(place)}: unknown key {place[-1]!r}; there are {', '.join(model.model_fields)}"
    given = f", not {first['input']!r}" if first["type"] != "missing" else ""
    return f"{'.'.join(place)}: {first['msg']}{given}"


def _check_links(recipe: Recipe, path: Path) -> None:
    """Stages have names of their own and refer to stages before them."""
    seen: dict[str, Stage] = {}
    for stage in recipe.stages:
        if stage.name in seen:
            raise UserError(f"{path}: two stages are named {stage.name!r}")
        named = stage.policy.partition(":")[2] if stage.policy and stage.policy.startswith("stage:") else None
        if named and "/" not in named and (named not in seen or not seen[named].leaves_policy):
            able = ", ".join(name for name, earlier in seen.items() if earlier.leaves_policy) or "none"
            raise UserError(f"{path}: {stage.name}.policy: no earlier stage {named!r} leaves a policy; those that do: {able}")
        try:
            stage.check_links(seen)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
        if unknown := [name for name in stage.named_stages() if name not in seen]:
            raise UserError(f"{path}: {stage.name} names {unknown[0]!r}, which is no earlier stage")
        for place in sorted(references.named(stage.model_dump(), recipe.environments) - seen.keys()):
            there = ", ".join(seen) or "none"
            raise UserError(
                f"{path}: {stage.name} speaks of {{stage:{place}}}, and no earlier stage has that name; there are {there}"
            )
        seen[stage.name] = stage
