"""The values of a training's steps, and the tables of a stage's report."""

import html.parser
import importlib
import json
import math
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from ... import disk
from ...core import UserError
from ..stage import STEPS, Stage
from . import stores
from .folders import MAX_FILE, NotFoundError, within

MAX_STEPS, MAX_NAMES, MAX_LINE = 5_000, 200, 2**20
MAX_TABLES, MAX_ROWS, MAX_CELL = 100, 1_000, 2_000
"""Limits of an answer. Our choices."""
TABLED = frozenset({"documents", "clean", "tag", "select", "mix", "pretrain", "contrast", "autopsy"})
"""Kinds of stages whose report has tables (`Stage.tables`)."""


Classes = Mapping[str, type[Stage]]
"""The classes of stages, by kind."""


class Steps(TypedDict):
    """Values by name, one for each step."""

    names: list[str]
    steps: list[int]
    values: dict[str, list[float | None]]


class Table(TypedDict):
    """A table of a stage's report."""

    title: str
    head: list[str]
    rows: list[list[str]]


def read(root: Path, folder: Path) -> Steps:
    """Returns the steps of a training, at most `MAX_STEPS` of them at equal distances, with the first and the last.

    Raises:
        NotFoundError: the stage has none.
    """
    path = within(root, folder / STEPS)
    if path is None or not path.is_file():
        raise NotFoundError("this stage has no steps")
    count = 0
    with path.open("rb") as file:
        while block := file.read(2**20):
            count += block.count(b"\n")
    chosen = (
        range(count) if count <= MAX_STEPS else {round(place * (count - 1) / (MAX_STEPS - 1)) for place in range(MAX_STEPS)}
    )
    found: dict[int, dict[str, float | None]] = {}  # a step that is there twice counts once: the later line
    names: dict[str, None] = {}
    with path.open("rb") as file:
        for place, line in enumerate(stores.lines(file, 0)):
            if place not in chosen or line.length > MAX_LINE:  # longer than any step
                continue
            row = disk.parse_row(line.text, lambda row: disk.check_types(row, step=int))
            if row is not None and abs(row["step"]) < 2**53:
                found[row["step"]] = values = _numbers(row)
                names |= dict.fromkeys([name for name in values if name not in names][: MAX_NAMES - len(names)])
    steps = sorted(found)
    return {
        "names": [*names],
        "steps": steps,
        "values": {name: [found[step].get(name) for step in steps] for name in names},
    }


def _numbers(row: disk.Row) -> dict[str, float | None]:
    """Returns the numbers of a step; those of an inner object such as `parts` as "parts NAME"."""
    found: dict[str, float | None] = {}
    for name, value in row.items():
        inner = {f"{name} {key}": item for key, item in value.items()} if isinstance(value, dict) else {name: value}
        for key, item in inner.items():
            if key != "step" and (item is None or (isinstance(item, int | float) and not isinstance(item, bool))):
                found[key[:100]] = None if item is None else _finite(item)
    return found


def _finite(value: float) -> float | None:
    try:
        return value if math.isfinite(value) else None
    except OverflowError:  # a whole number that no float holds
        return None


class Kinds:
    """The classes of stages, which give a result as text and tables.

    Importing them, and the modules that compare benchmarks, takes seconds, so a thread does it.
    """

    def __init__(self) -> None:
        """Starts no thread yet."""
        self._kinds: dict[str, type[Stage]] = {}
        self._loaded = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def get(self, wait: float) -> dict[str, type[Stage]]:
        """Returns the classes by kind; empty if they are not imported after `wait` seconds, or lack a package."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._load, name="tenfold view kinds", daemon=True)
                self._thread.start()
        self._loaded.wait(wait)
        return self._kinds

    @property
    def loaded(self) -> bool:
        """True if the import has ended."""
        return self._loaded.is_set()

    def _load(self) -> None:
        try:
            importlib.import_module("..bench.scoreboard", __package__)
            self._kinds = importlib.import_module("..stages", __package__).KINDS
        except (ImportError, UserError):  # without the extra `train`
            self._kinds = {}
        finally:
            self._loaded.set()


def summary(kinds: Classes, record: disk.Row) -> str:
    """Returns the result of a finished stage as text; empty if it is not known."""
    try:
        return str(kinds[record["stage"]["kind"]].model_validate(record["stage"]).summary(record["metrics"]))
    except Exception:  # stages of other packages, and records of other versions, may raise anything
        return ""


def tables(kinds: Classes, record: disk.Row | None) -> list[Table]:
    """Returns the tables of a finished stage's report.

    Raises:
        NotFoundError: the stage is not finished, or has none.
        UserError: the record is of another form, or the package with this kind of stage is not installed.
    """
    if record is None or "metrics" not in record:
        raise NotFoundError("this stage is not finished, so it has no tables yet")
    kind = record["stage"].get("kind")
    if kind not in kinds:
        raise UserError(f"the stages of kind {kind!r} are not installed: pip install 'tenfold[corpus]'")
    try:
        text = kinds[kind].model_validate(record["stage"]).tables(record["metrics"])
    except Exception as error:  # see `summary`
        raise UserError(f"the record of the stage has an unexpected form ({type(error).__name__})") from None
    found = parsed(text)
    if not found:
        raise NotFoundError("this stage has no tables")
    return found


def parsed(text: str) -> list[Table]:
    """Returns the tables and the sentences of a report's HTML as text."""
    parser = _Tables()
    parser.feed(text)
    parser.close()
    return parser.found


class _Tables(html.parser.HTMLParser):
    """Reads the tables and the sentences of a report that `figures.table` wrote."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Table] = []
        self._text: list[str] = []
        self._title: list[str] = []
        self._cell: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        if tag in ("table", "p"):
            self._end_text()
        if tag == "table" and len(self.found) < MAX_TABLES:
            self.found.append({"title": " ".join(self._title), "head": [], "rows": []})
            self._title = []
        elif tag == "tr" and self.found:
            self._cell = None
            self.found[-1]["rows"].append([])
        elif tag in ("th", "td") and self.found:
            table = self.found[-1]
            cells = table["head"] if tag == "th" else table["rows"][-1]
            cells.append("")
            self._cell = cells

    def handle_endtag(self, tag: str) -> None:
        if tag == "table" and self.found:
            self._cell = None
            self.found[-1]["rows"] = [row for row in self.found[-1]["rows"] if row][:MAX_ROWS]

    def handle_data(self, data: str) -> None:
        if self._cell is None:
            self._text.append(data)
        else:
            self._cell[-1] = (self._cell[-1] + data)[:MAX_CELL]

    def close(self) -> None:
        super().close()
        self._end_text()
        if self._title:  # sentences after the last table
            self.found.append({"title": " ".join(self._title), "head": [], "rows": []})

    def _end_text(self) -> None:
        if text := " ".join("".join(self._text).split()):
            self._title.append(text)
        self._text = []


def record(root: Path, folder: Path, name: str) -> disk.Row | None:
    """Returns a record of a stage, `stage.json` or `settings.json`; None if there is none or it is of another form."""
    path = within(root, folder / name)
    try:
        if path is None or not path.is_file() or path.stat().st_size > MAX_FILE:
            return None
        found = json.loads(path.read_bytes())
        disk.check_types(found, stage=dict)
        return dict(found)
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
