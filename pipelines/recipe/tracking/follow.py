"""Follows the files of a run: what is new in them, as figures, pictures and tables for a tracker.

| file | what is sent | mark |
|---|---|---|
| `log.jsonl` | values of stages without steps, such as filter and bench | time of the row |
| `STAGE/steps.jsonl` | values of each step | step |
| `STAGE/metrics/*.jsonl` | verl's values of each step, under verl's names | step |
| `STAGE/episodes/*.jsonl` | samples of about `TABLES` steps | step |
| `STAGE/stage.json` | results, samples, the figure of the report (`prepared.py`) | digest of the record |
| `trackers/benchmarks.json` | the table of benchmarks | digest of the file |

A mark says how far a tracker has received a file. It is set when the tracker has taken the item.
"""

import json
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from .... import digests, disk
from ....core import UserError
from ...stage import RECORD, SETTINGS, STEPS
from ..progress import log
from . import prepared, samples
from .state import Mark
from .tracker import FOLDER, STEP, Config, Figures, Item, Picture, Table

TABLES = 10
"""Tables of samples of a GRPO stage, if it has as many steps. Our choice."""
CHUNK = 1 << 24
"""Bytes that are read at once. Our choice."""
RESULT = "result"
"""Group of the figures of a finished stage."""
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_./-]+")
"""Signs that not every tracker has in names."""
_STEP = re.compile(rb'"step": ?(\d+)')
_EXTENDED = frozenset({"steps", "phases"})
"""Settings that differ when a stage continues with more steps."""


def recipe_of(folder: Path) -> disk.Row:
    """Returns the recipe of a run, with its stages by name and without empty settings.

    Raises:
        UserError: the folder is not a run's, or its recipe cannot be read.
    """
    path = folder / "recipe.yaml"
    if not path.is_file():
        raise UserError(f"{folder} is not a run's folder: it has no recipe.yaml; give the folder that `tenfold run` printed")
    with disk.reading(path, "give another folder"):
        recipe: disk.Row = disk.read_yaml(path)
        stages = {str(stage["name"]): _without_empty(stage) for stage in recipe["stages"]}
        return {**_without_empty(recipe), "stages": stages}


def config_of(folder: Path) -> Config | None:
    """Returns the configuration of a run: the recipe, and commit, machine and package versions of its first stage.

    None if no stage has begun.
    """
    recipe = recipe_of(folder)
    for name in recipe["stages"]:
        for file in (SETTINGS, RECORD):
            try:
                record = disk.read_object(folder / name / file, "")
            except (UserError, OSError):
                continue
            return {"recipe": recipe} | {key: record[key] for key in ("commit", "machine", "versions") if key in record}
    return None


def numbers(values: object, name: str = "") -> dict[str, float]:
    """Returns the finite numbers of nested data by path, such as "parts/format", with spaces and other signs replaced."""
    if isinstance(values, Mapping):
        return {path: number for key, inner in values.items() for path, number in numbers(inner, f"{name}/{key}").items()}
    if isinstance(values, int | float) and math.isfinite(values):
        return {_NOT_IN_NAMES.sub("_", name.lstrip("/")): float(values)}
    return {}


def _without_empty(settings: Mapping[str, object]) -> disk.Row:
    return {name: value for name, value in settings.items() if value not in (None, "", [], {})}


def _number(mark: Mark | None) -> float:
    """Returns a mark that is a step or a time; 0 if there is none."""
    return mark if isinstance(mark, int | float) else 0.0


def _last_step(record: disk.Row) -> int:
    """Returns the number of steps of a finished training; 0 for other stages."""
    steps = record["metrics"].get("steps")
    return steps if isinstance(steps, int) else 0


def _losses(record: disk.Row) -> list[tuple[int, float]]:
    """Returns the points of a loss curve in a stage's record."""
    losses = record["metrics"].get("losses")
    pairs = losses if isinstance(losses, list) else []
    return [(pair[0], pair[1]) for pair in pairs if isinstance(pair, list) and len(pair) == 2 and isinstance(pair[1], float)]


class Follower:
    """Reads what is new in a run's folder."""

    def __init__(self, folder: Path, marks: dict[str, Mark]):
        """Reads the names of the stages.

        Args:
            folder: the run's folder.
            marks: how far a tracker has received each file. They are updated.

        Raises:
            UserError: the folder is not a run's.
        """
        self.folder, self.marks = folder, marks
        self.recipe = recipe_of(folder)
        self.stages = {name: _Stage(folder / name, marks) for name in self.recipe["stages"]}
        self.log, self.since = NewLines(folder / log.NAME), _number(marks.get("log"))

    def new(self) -> Iterator[Item]:
        """Yields what is new. Its mark is set when the next item is taken."""
        yield from self._log_values()
        for stage in self.stages.values():
            yield from stage.new()
        path = self.folder / FOLDER / prepared.BENCHMARKS
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            if self.marks.get("benchmarks") != (digest := digests.of(text)[:16]):
                yield Table("benchmarks", "scores", 0, prepared.BENCHMARK_COLUMNS, json.loads(text))
                self.marks["benchmarks"] = digest

    def _log_values(self) -> Iterator[Item]:
        """Yields the values of stages without steps."""
        for row in self.log.rows(log.check):
            if row["time"] <= self.since:
                continue
            stage = self.stages.get(str(row.get("stage")))
            if stage and row["event"] == "progress" and not stage.has_steps():
                share = row["done"] / row["total"] if row["total"] else 0.0
                values = {"progress": share} | numbers(row["values"])
                yield Figures(stage.name, row["done"], values)
            self.marks["log"] = row["time"]


class _Stage:
    """Reads what is new in a stage's folder."""

    def __init__(self, folder: Path, marks: dict[str, Mark]):
        self.folder, self.name, self.marks = folder, folder.name, marks
        self.steps = NewLines(folder / STEPS)
        self.files: dict[Path, NewLines] = {}
        self.episodes: dict[int, dict[tuple[int, int, int], disk.Row]] = {}
        """Episodes of the chosen steps whose table was not sent yet."""
        self.kind, self.settings = "", disk.Row()
        self.seen: dict[str, tuple[int, int]] = {}
        """Time and size of the files that were read."""
        self.digest, self.picture, self.last_step = "", folder, 0
        """Digest, file of the figure, and number of steps of the finished stage."""

    def new(self) -> Iterator[Item]:
        """Yields what is new in the folder."""
        if not self._begun():
            return
        for row in self.steps.rows():
            if self._is_new(STEPS, row):
                yield Figures(self.name, row[STEP], numbers({key: row[key] for key in row if key != STEP}))
                self.marks[f"{self.name}/{STEPS}"] = row[STEP]
        for row in self._rows_of("metrics"):
            if self._is_new("metrics", row) and isinstance(row.get("data"), dict):
                yield Figures(self.name, row[STEP], numbers(row["data"]))
                self.marks[f"{self.name}/metrics"] = row[STEP]
        yield from self._samples()
        yield from self._results()

    def has_steps(self) -> bool:
        """True if the stage writes its values to `steps.jsonl`."""
        self._begun()
        return not _EXTENDED.isdisjoint(self.settings)

    def _begun(self) -> bool:
        """Reads the stage's settings; false if it has not begun. After other work in the folder its marks are removed."""
        if self._changed(SETTINGS) and (record := self._read(SETTINGS)):
            self.settings = record.get("stage", {})
            self.kind = str(self.settings.get("kind", ""))
            work = {key: value for key, value in self.settings.items() if key not in _EXTENDED}
            digest = digests.of([work, record.get("policy"), record.get("seed"), record.get("identity")])[:16]
            done = self._read(RECORD) or {}  # a stage that was continued keeps its steps, also if its identity has changed
            if self.marks.get(f"{self.name}/work", digest) != digest and not done.get("resumed", False):
                for mark in [mark for mark in self.marks if mark.startswith(f"{self.name}/")]:
                    del self.marks[mark]
            self.marks[f"{self.name}/work"] = digest
        return bool(self.settings)

    def _is_new(self, file: str, row: disk.Row) -> bool:
        return isinstance(row.get(STEP), int) and row[STEP] > _number(self.marks.get(f"{self.name}/{file}"))

    def _rows_of(self, folder: str) -> Iterator[disk.Row]:
        for path in sorted((self.folder / folder).glob("*.jsonl")):
            yield from self.files.setdefault(path, NewLines(path)).rows()

    def _samples(self) -> Iterator[Item]:
        """Yields a table for each chosen step that has ended. verl reports a step after all of its episodes are written."""
        ended, sent = (_number(self.marks.get(f"{self.name}/{mark}")) for mark in (STEPS, "episodes"))
        last = int(self.settings.get("steps") or 0)
        every = max(1, math.ceil(last / TABLES))
        for path in sorted((self.folder / "episodes").glob("*.jsonl")):
            for line in self.files.setdefault(path, NewLines(path)).read():
                found = _STEP.search(line)  # most lines need not be parsed
                step = int(found[1]) if found else 0
                if step <= sent or (step not in (1, last) and step % every):
                    continue
                if (row := disk.parse_row(line, samples.check_episode)) is not None and row.get(STEP) == step:
                    key = (row["problem"], row.get("attempt", 0), row["sample"])
                    self.episodes.setdefault(step, {})[key] = row
        for step in sorted(step for step in self.episodes if step <= ended):
            rows = self.episodes.pop(step)
            shown = samples.of_episodes(rows[key] for key in sorted(rows))
            yield Table(self.name, "samples", step, samples.COLUMNS, shown)
            self.marks[f"{self.name}/episodes"] = step

    def _results(self) -> Iterator[Item]:
        """Yields what a finished stage shows."""
        if self._changed(RECORD) and (record := self._read(RECORD)) and "metrics" in record:
            self.digest, self.picture = prepared.digest(record), prepared.picture_file(self.folder.parent, record)
            self.last_step = _last_step(record)
            if not self.steps.path.is_file():  # a run of an earlier version
                for at, loss in _losses(record):
                    if self._is_new(STEPS, {STEP: at}):
                        yield Figures(self.name, at, {"loss": loss})
                        self.marks[f"{self.name}/{STEPS}"] = at
            if self._lacks(RESULT):
                found = record.get("comparable", {}) | {"seconds": record.get("wall_seconds")}
                yield Figures(self.name, self.last_step, {f"{RESULT}/{key}": value for key, value in numbers(found).items()})
                self.marks[f"{self.name}/{RESULT}"] = self.digest
            if self._lacks("samples"):
                yield Table(self.name, "samples", self.last_step, samples.COLUMNS, samples.of_stage(self.folder))
                self.marks[f"{self.name}/samples"] = self.digest
        if self.digest and self._lacks("figure") and self.picture.is_file():
            yield Picture(self.name, "figure", self.last_step, self.picture.read_bytes())
            self.marks[f"{self.name}/figure"] = self.digest

    def _lacks(self, mark: str) -> bool:
        """True if the tracker does not have a part of the finished stage's results."""
        return self.marks.get(f"{self.name}/{mark}") != self.digest

    def _changed(self, file: str) -> bool:
        """True if a file was written since the last call."""
        try:
            state = (self.folder / file).stat()
        except OSError:
            return False
        seen = (state.st_mtime_ns, state.st_size)
        changed = self.seen.get(file) != seen
        self.seen[file] = seen
        return changed

    def _read(self, file: str) -> disk.Row | None:
        try:
            return disk.read_object(self.folder / file, "")
        except (UserError, OSError):
            return None


class NewLines:
    """The complete lines that were added to a file since the last call."""

    def __init__(self, path: Path):
        """Starts at the beginning of the file, which need not exist yet."""
        self.path, self.offset, self.file = path, 0, -1

    def read(self) -> Iterator[bytes]:
        """Yields the new lines. After a file is replaced, as when a training resumes, it yields all lines."""
        try:
            with self.path.open("rb") as file:
                state = os.fstat(file.fileno())
                if state.st_ino != self.file or state.st_size < self.offset:
                    self.file, self.offset = state.st_ino, 0
                file.seek(self.offset)
                while lines := file.readlines(CHUNK):
                    for line in lines:
                        if not line.endswith(b"\n"):
                            return
                        self.offset += len(line)
                        yield line
        except FileNotFoundError:
            return

    def rows(self, check: Callable[[disk.Row], object] = bool) -> Iterator[disk.Row]:
        """Yields the new lines that are JSON objects and pass a check; see `disk.parse_row`."""
        for line in self.read():
            if (row := disk.parse_row(line, check)) is not None:
                yield row
