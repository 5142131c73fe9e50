"""What a tracker is: five functions. Each tracker has a file of its own."""

import dataclasses
import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

NAMES = ("tensorboard", "wandb", "mlflow", "trackio", "swanlab")
"""The trackers that a recipe may name. The module of this name in this folder contains `open_tracker`."""
FOLDER = "trackers"
"""Folder in a run's folder with a folder for each tracker that writes files."""
STEP = "step"
Cell = str | float | None
Config = Mapping[str, object]
"""The configuration of a run: nested mappings and lists, with texts, numbers, booleans and None."""


@dataclasses.dataclass(frozen=True)
class Run:
    """A run as trackers name it."""

    project: str
    """Name of the recipe."""
    name: str
    """Name of the run's folder."""
    folder: Path
    """Folder for the files of a tracker without a server."""
    config: Config
    id: str = ""
    """The tracker's own id of the run; empty for a new run."""
    sent: int = 0
    """Number of calls that earlier processes have sent."""


class Tracker(Protocol):
    """Sends what a run has done. Every function may raise any exception."""

    def start(self, run: Run) -> str:
        """Starts a run of the tracker, or continues the one with the id `run.id`. Returns the id."""

    def figures(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        """Sends figures of a step of a stage, by name without the stage's."""

    def picture(self, stage: str, name: str, step: int, png: bytes) -> None:
        """Sends a picture as PNG."""

    def table(self, stage: str, name: str, step: int, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        """Sends a table."""

    def finish(self) -> None:
        """Sends what is left, and ends the run of the tracker."""


@dataclasses.dataclass(frozen=True)
class Figures:
    """Figures of a step of a stage."""

    stage: str
    step: int
    values: Mapping[str, float]

    def send(self, tracker: Tracker) -> None:
        """Gives the figures to a tracker, if there are any."""
        if self.values:
            tracker.figures(self.stage, self.step, self.values)


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture of a stage as PNG."""

    stage: str
    name: str
    step: int
    png: bytes

    def send(self, tracker: Tracker) -> None:
        """Gives the picture to a tracker."""
        tracker.picture(self.stage, self.name, self.step, self.png)


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of a stage."""

    stage: str
    name: str
    step: int
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    def send(self, tracker: Tracker) -> None:
        """Gives the table to a tracker, if it has rows."""
        if self.rows:
            tracker.table(self.stage, self.name, self.step, self.columns, self.rows)


Item = Figures | Picture | Table
_MARKDOWN = {ord(sign): f"&#{ord(sign)};" for sign in "&<>|`[]*_~$\\"} | {ord("\n"): "<br>"}


def load(name: str) -> Tracker:
    """Imports a tracker's library and returns the tracker.

    Raises:
        ImportError: the library is not installed.
    """
    open_tracker: Callable[[], Tracker] = importlib.import_module(f"{__package__}.{name}").open_tracker
    return open_tracker()


def flat(config: object, name: str = "") -> dict[str, Cell]:
    """Returns nested data by dotted name, such as "recipe.stages.sft.steps"; without None and empty parts."""
    if isinstance(config, Mapping):
        return {key: value for part, inner in config.items() for key, value in flat(inner, f"{name}.{part}").items()}
    if isinstance(config, list):
        return {name.lstrip("."): ", ".join(map(str, config))} if config else {}
    if config is None or config == "":
        return {}
    return {name.lstrip("."): config if isinstance(config, int | float) else str(config)}


def markdown(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Returns a table in Markdown. Signs of HTML and Markdown are escaped: a text can neither load a picture nor lose signs."""
    lines = [columns, ["---"] * len(columns), *([_markdown_cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _markdown_cell(value: Cell) -> str:
    if not isinstance(value, str):
        return "" if value is None else f"{value:.4g}"
    return value.translate(_MARKDOWN)
