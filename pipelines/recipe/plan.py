"""What a run will do: which stages it runs, and in which state the stages are.

tenfold run RECIPE --only filter,grpo
tenfold run RECIPE --from grpo --until after
"""

import dataclasses
from collections.abc import Collection, Sequence
from pathlib import Path

from ...core import UserError
from ..stage import RECORD, Stage, work_record
from . import identity
from .recipe import Recipe


def is_finished(stage: Stage, folder: Path) -> bool:
    """True if a stage is finished in a folder, and its settings do not extend it."""
    return (folder / RECORD).is_file() and not identity.extension_of(stage, folder)


@dataclasses.dataclass(frozen=True, slots=True)
class Selection:
    """The stages that the user wants to run; by default all."""

    only: Collection[str] = ()
    """Names of the stages; empty: all."""
    from_: str | None = None
    """The first stage. The stages before it must be finished."""
    until: str | None = None
    """The last stage."""

    def options(self) -> list[str]:
        """Returns the options of `tenfold run` that select these stages."""
        only = [option for name in self.only for option in ("--only", name)]
        from_ = ["--from", self.from_] if self.from_ else []
        return [*only, *from_, *(["--until", self.until] if self.until else [])]

    def names(self, stages: Sequence[Stage], folder: Path) -> set[str]:
        """Returns the names of the selected stages.

        Args:
            stages: stages of the recipe, in order.
            folder: folder of the run.

        Raises:
            UserError: there is no such stage, no stage is selected, or a stage before the first one is not finished.
        """
        names = [stage.name for stage in stages]
        for option, given in (("only", self.only), ("from", [self.from_]), ("until", [self.until])):
            if unknown := [name for name in given if name is not None and name not in names]:
                raise UserError(f"--{option}: there is no stage {unknown[0]!r}; use one of {', '.join(names)}")
        if self.only:
            if self.from_ or self.until:
                raise UserError("--only cannot be combined with --from and --until; use either")
            return {*self.only}
        first = names.index(self.from_) if self.from_ else 0
        last = names.index(self.until) if self.until else len(names) - 1
        if first > last:
            raise UserError(f"--from {self.from_} comes after --until {self.until} in the recipe; no stage is left")
        if self.from_ and (missing := [name for name in names[:first] if not (folder / name / RECORD).is_file()]):
            raise UserError(f"--from {self.from_}: the stage {missing[0]} before it is not finished; use --from {missing[0]}")
        return {*names[first : last + 1]}


ALL = Selection()


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """The stages of a run, after all checks."""

    recipe: Recipe
    """The recipe with all references {stage:NAME} replaced."""
    selected: frozenset[str]
    """Names of the stages to run. Those that are finished are not run again."""
    stale: dict[str, str]
    """Stages that are not selected and whose work has another identity now: name to difference."""
    settings_only: frozenset[str] = frozenset()
    """Stages that have begun and were compared only by their settings."""

    def rows(self, folder: Path) -> list[tuple[str, str, str]]:
        """Returns name, kind and state of each stage.

        Args:
            folder: folder of the run.
        """
        return [(stage.name, stage.kind, self._state(stage, folder / stage.name)) for stage in self.recipe.stages]

    def selected_stages(self) -> list[Stage]:
        """Returns the selected stages, in order."""
        return [stage for stage in self.recipe.stages if stage.name in self.selected]

    def names_to_run(self, folder: Path) -> set[str]:
        """Returns the names of the selected stages that are not finished or are extended.

        Args:
            folder: folder of the run.
        """
        return {stage.name for stage in self.selected_stages() if not is_finished(stage, folder / stage.name)}

    def stale_lines(self, folder: Path) -> list[str]:
        """Returns a line for each stale stage.

        Args:
            folder: folder of the run.
        """
        return [
            f"{name} is stale, so its results are not shown: it {difference}; to run it again, remove {folder / name}"
            for name, difference in self.stale.items()
        ]

    def _state(self, stage: Stage, folder: Path) -> str:
        done = (folder / RECORD).is_file()
        partly = " if code and data are unchanged (not compared)" if stage.name in self.settings_only else ""
        if stage.name not in self.selected:
            return "stale" if stage.name in self.stale else f"done{partly}" if done else "not selected"
        if extension := identity.extension_of(stage, folder):
            return f"continues after step {extension.step}{partly}"
        return f"done{partly}" if done else f"resumes{partly}" if work_record(stage, folder) else "to do"
