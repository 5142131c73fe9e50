"""The runs of a sweep: one for each combination of settings and each seed."""

import dataclasses
import itertools
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ....core import UserError
from ..content import changes
from ..recipe import Recipe, checked

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
        UserError: two runs have the same name, there are too many, or two parts of `sweep` have the same setting.
    """
    runs: list[Run] = []
    parts = [_choices(name, values) for name, values in recipe.sweep.items()]
    count = math.prod(map(len, parts)) * max(1, len(recipe.seeds))
    if count > MAX_RUNS:
        raise UserError(f"the sweep has {count:,} runs, more than {MAX_RUNS:,}; use fewer values")
    for choices in itertools.product(*parts):
        settings: dict[str, Any] = {}
        for _, chosen in choices:
            if twice := settings.keys() & chosen.keys():
                raise UserError(f"sweep: {min(twice)} has values in two parts of the sweep; use each setting in one part only")
            settings |= chosen
        text = ",".join(label for label, _ in choices)
        for seed in recipe.seeds or [recipe.seed]:
            runs.append(Run(_NOT_IN_NAMES.sub("-", text)[:200], seed, settings | {"seed": seed}))
    if len({run.name for run in runs}) < len(runs):
        repeated = next(run.name for number, run in enumerate(runs) if run.name in {other.name for other in runs[:number]})
        raise UserError(
            f"two runs of the sweep have the name {repeated}; give each setting and seed distinct values, or name groups of "
            "settings: sweep: {NAME: {FIRST: {SETTING: VALUE}, SECOND: {SETTING: VALUE}}}"
        )
    return runs


def _choices(name: str, values: list[Any] | dict[str, dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """Returns the choices of one part of a sweep: the text and the settings of each.

    Args:
        name: a setting; or the name of a choice between groups of settings.
        values: the setting's values; or the settings of each group, by the group's name.
    """
    if isinstance(values, dict):
        found = [(f"{name}={group}", dict(settings)) for group, settings in values.items()]
    else:
        found = [(f"{name}={value}", {name: value}) for value in values]
    if wrong := [setting for _, settings in found for setting in settings if setting in _NOT_SWEPT]:
        raise UserError(
            f"sweep: {wrong[0]} cannot be swept; use settings of stages, and seeds: [1, 2, 3] (--seeds) for the seed"
        )
    return found


def recipe_of(recipe: Recipe, run: Run) -> Recipe:
    """Returns the recipe of one run.

    The swept values are the recipe's, not the user's: code that they name needs trust, as in any other setting. A user's
    setting that a swept value changes counts as the recipe's, too.

    Raises:
        UserError: a name in `sweep` is no setting, or a value is invalid.
    """
    content = {name: value for name, value in recipe.content.items() if name not in ("seeds", "sweep")}
    content = changes.apply(content, run.settings, [*Recipe.model_fields])
    kept = {name: value for name, value in recipe.user_settings.items() if not any(_overlap(name, own) for own in run.settings)}
    return checked(content, Path(recipe.name), kept)


def _overlap(one: str, other: str) -> bool:
    """True if one setting is the other or a part of it."""
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")
