"""Recipes: read, check, run, resume, record and report their stages."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import extras

if TYPE_CHECKING:
    from ..stage import Metrics
    from .recipe import Recipe


def run(
    recipe: "str | Path | Recipe",
    out: str | Path | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    quiet: bool = False,
    trust: bool = False,
) -> "dict[str, Metrics]":
    """Runs a recipe or a sweep, or resumes one that was stopped. It needs the extra `train`.

    Args:
        recipe: a YAML file, the name of a recipe of this package, or a recipe object.
        out: folder of the run; default `runs/NAME`.
        settings: values that replace those of the recipe, by name: {"grpo.steps": 100, "seed": 3}; see `changes.py`.
        quiet: print nothing.
        trust: allow the recipe to run code from outside this package; see `trust.py`.

    Returns:
        The metrics of each stage, by name; for a sweep by "RUN/STAGE".

    Raises:
        UserError: see `runner.run`; or the extra `train` is not installed.
    """
    with extras.required_by("a recipe", "train"):
        from . import runner, sweep  # imported here, so that `tenfold.run` exists without the extra
        from .recipe import load
    read = load(recipe, settings)
    return (sweep.run if read.is_sweep else runner.run)(read, out, quiet=quiet, trust=trust)
