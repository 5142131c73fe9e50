"""Recipes: read, check, run, resume, record and report their stages."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import cpu_threads, extras

if TYPE_CHECKING:
    from ..stage import Metrics
    from .recipe import Recipe


def run(
    recipe: "str | Path | Recipe",
    out: str | Path | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    only: Collection[str] = (),
    from_: str | None = None,
    until: str | None = None,
    inexact: bool = False,
    quiet: bool = False,
    trust: bool = False,
    jobs: int = 1,
) -> "dict[str, Metrics]":
    """Runs a recipe or a sweep, or resumes one that was stopped. It needs the extra `train`.

    Args:
        recipe: a YAML file, the name of a recipe of this package, or a recipe object.
        out: folder of the run; default `runs/NAME`.
        settings: values that replace those of the recipe, by name: {"grpo.steps": 100, "seed": 3}; see `changes.py`.
        only: names of the stages to run; they may read from finished stages. Default: all.
        from_: name of the first stage to run; the stages before it must be finished.
        until: name of the last stage to run.
        inexact: extend a stage by further steps even if its result will differ from that of a new run.
        quiet: print nothing.
        trust: allow the recipe to run code from outside this package; see `trust.py`.
        jobs: number of runs of a sweep at the same time.

    Returns:
        The metrics of each finished stage that is not stale, by name; for a sweep by "RUN/STAGE".

    Raises:
        UserError: see `runner.run`; or the extra `train` is not installed.
    """
    cpu_threads.stop_spinning()
    with extras.required_by("a recipe", "train"):
        from . import plan, runner  # imported here, so that `tenfold.run` exists without the extra
        from .recipe import load
        from .sweep import sweep
    read, selection = load(recipe, settings), plan.Selection(only, from_, until)
    if read.is_sweep:
        return sweep.run(read, out, selection=selection, inexact=inexact, quiet=quiet, trust=trust, jobs=jobs)
    return runner.run(read, out, selection=selection, inexact=inexact, quiet=quiet, trust=trust)
