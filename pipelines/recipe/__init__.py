"""Recipes: read, check, run, resume, record and report their stages."""

from pathlib import Path
from typing import TYPE_CHECKING

from ... import cpu_threads, extras

if TYPE_CHECKING:
    from ..stage import Metrics
    from .recipe import Recipe


def run(
    recipe: "str | Path | Recipe", out: str | Path | None = None, *, quiet: bool = False, trust: bool = False
) -> "dict[str, Metrics]":
    """Runs a recipe, or resumes a run that was stopped. Calls `runner.run`, which needs the extra `train`.

    Args:
        recipe: a YAML file, the name of a recipe of this package, or a recipe object.
        out: folder of the run; default `runs/NAME`.
        quiet: print nothing.
        trust: allow the recipe to run code from outside this package; see `trust.py`.

    Returns:
        The metrics of each stage, by name.

    Raises:
        UserError: see `runner.run`; or the extra `train` is not installed.
    """
    cpu_threads.stop_spinning()
    with extras.required_by("a recipe", "train"):
        from . import runner  # imported here, so that `tenfold.run` exists without the extra
    return runner.run(recipe, out, quiet=quiet, trust=trust)
