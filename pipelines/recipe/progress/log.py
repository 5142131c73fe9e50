"""The log of a run, `log.jsonl` in its folder: what happened when, one JSON object a line.

    {"time": 1764500000.1, "event": "run", "recipe": "quickstart", "process": 4711, "stages": ["sft", ...], "options": []}
    {"time": ..., "event": "start", "stage": "sft", "kind": "sft", "resumed": false}
    {"time": ..., "event": "progress", "stage": "sft", "done": 20, "total": 1000, "values": {"loss": 2.1}}
    {"time": ..., "event": "end", "stage": "sft", "seconds": 129.4}
    {"time": ..., "event": "finished"}

A run that ends early has "failed" with `error`, or "stopped" with `error`, the signal's name, instead of "finished". A killed
process writes nothing. A resumed run appends to the file. `time` is in seconds since 1970. The values of each training step are
in `STAGE/steps.jsonl`, and stages' results in `STAGE/stage.json`.
"""

import contextlib
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NotRequired, TypedDict, cast

from .... import disk
from ....core import UserError
from ....terminal import plain
from .pace import LastValues

NAME = "log.jsonl"
SECONDS, LONG, PARTS = 1.0, 30.0, 500
"""A row of progress is written at most every `SECONDS`, and then only after one of `PARTS` parts of the work, or `LONG`
seconds. So a stage has about `PARTS` rows and two for each minute. Our choice."""
LARGE = 2**53
"""A number of work or of seconds is smaller; a larger one is a damaged line, and may not be a float."""
Value = float | str | None

Event = Literal["run", "start", "progress", "end", "finished", "failed", "stopped"]


class Row(TypedDict):
    """A line of the log."""

    time: float
    event: Event
    recipe: NotRequired[str]
    process: NotRequired[int]
    """Id of the process that runs the recipe."""
    stages: NotRequired[list[str]]
    """Names of all stages of the recipe."""
    options: NotRequired[list[str]]
    """Options of `tenfold run` that the same run needs again, such as --trust."""
    stage: NotRequired[str]
    kind: NotRequired[str]
    resumed: NotRequired[bool]
    done: NotRequired[int]
    total: NotRequired[int]
    values: NotRequired[dict[str, Value]]
    """What the stage reports besides its progress: its last loss or reward, or what it waits for."""
    seconds: NotRequired[float]
    error: NotRequired[str]


class Log:
    """Appends to the log of a run. A disk that is full does not stop the run: the rows are lost."""

    def __init__(self, folder: Path):
        """Names the file; it is created with the first row.

        Args:
            folder: folder of the run.
        """
        self.path = folder / NAME

    def add(self, event: Event, **fields: object) -> None:
        """Appends a row."""
        line = json.dumps({"time": round(time.time(), 3), "event": event, **fields}, ensure_ascii=False, allow_nan=False)
        with contextlib.suppress(OSError), self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    @contextlib.contextmanager
    def run(self, recipe: str, stages: list[str], options: Sequence[str] = ()) -> Iterator[None]:
        """Adds a row at the start of the block, and one at its end that says how it ended.

        Args:
            recipe: name of the recipe.
            stages: see `Row`.
            options: see `Row`.
        """
        self.add("run", recipe=recipe, process=os.getpid(), stages=stages, options=[*options])
        try:
            yield
        except KeyboardInterrupt as error:
            self.add("stopped", error=str(error) or "interrupt")
            raise
        except BaseException as error:
            self.add("failed", error=plain(str(error)) if isinstance(error, UserError) else type(error).__name__)
            raise
        self.add("finished")

    def progress(self, stage: str, show: Callable[..., None]) -> Callable[..., None]:
        """Returns a function progress(done, total, **values) that calls `show` with the same arguments and adds rows."""
        at, before, last = -math.inf, -1, LastValues()
        written: dict[str, Value] = {}

        def update(done: int, total: int, **values: object) -> None:
            nonlocal at, before, written
            show(done, total, **values)
            known = {name: _plain_value(value) for name, value in last.after(done, total, values).items()}
            now = time.monotonic()
            if (done == before and known == written) or (done != total and now < at + SECONDS):
                return
            if before < 0 or done == total or PARTS * (done - before) >= total or now >= at + LONG:
                self.add("progress", stage=stage, done=done, total=total, values=known)
                at, before, written = now, done, known

        return update


def _plain_value(value: object) -> Value:
    if value is None or isinstance(value, bool | str):
        return value if value is None else plain(str(value))
    if isinstance(value, int | float):
        return value if math.isfinite(value) else None
    return plain(str(value))


def read(folder: Path) -> list[Row]:
    """Returns the rows of a run's log; empty if it has none. Lines that cannot be read are skipped, as after a kill."""
    path = folder / NAME
    if not path.is_file():
        return []
    return [cast(Row, row) for _, row in disk.read_rows(path, check)]


def check(row: disk.Row) -> None:
    """Checks the fields of a row that its readers use.

    Raises:
        KeyError, TypeError, ValueError: a field is missing, has another type, or is a number that no stage or time has.
    """
    disk.check_types(row, time=(int, float), event=str)
    if row["event"] == "progress":
        disk.check_types(row, stage=str, done=int, total=int, values=dict)
        if not 0 <= row["done"] < LARGE or not 0 <= row["total"] < LARGE:
            raise ValueError("an amount of work that no stage has")
    if not 0 <= row["time"] < LARGE:
        raise ValueError("a time that no run has")
