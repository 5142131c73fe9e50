"""Recipes: read, checked, run, resumed, recorded, reported."""

from pathlib import Path
from typing import TYPE_CHECKING

from ... import extras

if TYPE_CHECKING:
    from ..stage import Metrics
    from .recipe import Recipe


def run(
    recipe: "str | Path | Recipe", out: str | Path | None = None, *, quiet: bool = False, trust: bool = False
) -> "dict[str, Metrics]":
    """Runs a recipe, or goes on with one that was stopped; see `runner.run`, which has the same arguments.

    Args:
        recipe: a file, the name of a recipe of the package, or the recipe itself.
        out: the run's folder; default `runs/NAME`.
        quiet: show nothing.
        trust: the recipe may run code that is not this package's; see `trust.py`.

    Returns:
        The metrics of every stage, by name.

    Raises:
        UserError: see `runner.run`; or the extra `train` is not installed.
    """
    with extras.required_by("a recipe", "train"):
        from . import runner
    return runner.run(recipe, out, quiet=quiet, trust=trust)
