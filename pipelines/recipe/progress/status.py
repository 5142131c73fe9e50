"""What a run is doing, from the files in its folder. The run may belong to another process, or have ended."""

import dataclasses
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from .... import disk
from ....core import UserError
from ...stage import RECORD, SETTINGS
from . import log
from .log import Row, Value
from .pace import Pace, duration

State = Literal["running", "finished", "partly finished", "failed", "stopped", "killed", "unknown"]
"""The state of a run. Partly finished: the selected stages are finished. Killed: it has ended without a word. Unknown: the file
system has no locks, so it cannot be told whether a process runs it."""
StageState = Literal["finished", "running", "begun", "to do"]
SILENT = 3
"""A stage makes no progress if it has not reported for this many times the usual duration. Our choice."""


@dataclasses.dataclass(frozen=True)
class StageStatus:
    """The state of a stage."""

    name: str
    kind: str
    state: StageState
    done: int = 0
    total: int = 0
    values: dict[str, Value] = dataclasses.field(default_factory=dict)
    """While it runs: its last values. When it is finished: its results."""
    seconds: float | None = None
    """Duration of a finished stage."""
    per_second: float | None = None
    seconds_left: float | None = None
    """Of a running stage, if they are known."""
    pace: str = ""
    """The same two as text, or for how long there has been no progress."""


@dataclasses.dataclass(frozen=True)
class Status:
    """The state of a run."""

    recipe: str
    folder: str
    state: State
    holder: str
    """Process that runs it; empty if none does, or if it cannot be told."""
    seconds: float | None
    """Seconds since the last row of its log; None without a log."""
    error: str
    resume: str
    """Command that resumes the run; empty if it runs or is finished."""
    stages: Sequence[StageStatus]


def read(folder: Path) -> Status:
    """Returns the state of a run.

    Raises:
        UserError: the folder is not a run's, or its recipe cannot be read.
    """
    if not (folder / "recipe.yaml").is_file():
        if (folder / "sweep.json").is_file() or any(folder.glob("*/recipe.yaml")):
            raise UserError(f"{folder} has several runs: give the folder of one of them")
        raise UserError(f"{folder} is not a run's folder: it has no recipe.yaml; give the folder that `tenfold run` printed")
    with disk.reading(folder / "recipe.yaml", "give another folder"):
        recipe = disk.read_yaml(folder / "recipe.yaml")
        names = [(str(stage["name"]), str(stage["kind"])) for stage in recipe["stages"]]
    rows, holder = log.read(folder), disk.holder(folder)
    now = time.time()
    stages = [_stage(folder / name, kind, rows, now, running=bool(holder)) for name, kind in names]
    last = rows[-1] if rows else None
    state: State = "unknown" if holder is None else "running" if holder else _ended(last["event"] if last else None, stages)
    options = next((row.get("options", []) for row in reversed(rows) if row["event"] == "run"), [])
    command = ["tenfold", "run", str(folder / "recipe.yaml"), "--out", str(folder), *options]
    return Status(
        recipe=str(recipe["name"]),
        folder=str(folder),
        state=state,
        holder=holder or "",
        seconds=now - last["time"] if last else None,
        error=last.get("error", "") if last else "",
        resume=shlex.join(command) if state in ("failed", "stopped", "killed") else "",
        stages=stages,
    )


def _ended(event: log.Event | None, stages: Sequence[StageStatus]) -> State:
    """Returns the state of a run that no process runs.

    Args:
        event: the last one of its log; None without a log.
        stages: its stages.
    """
    finished = all(stage.state == "finished" for stage in stages)
    if event in ("failed", "stopped"):
        return event
    if event == "finished":
        return "finished" if finished else "partly finished"
    return "finished" if finished else "killed"


def _stage(folder: Path, kind: str, rows: Sequence[Row], now: float, *, running: bool) -> StageStatus:
    """Returns the state of a stage.

    Args:
        folder: its folder.
        kind: its kind.
        rows: the run's log.
        now: the present time.
        running: whether a process runs the recipe.
    """
    name = folder.name
    own = [row for row in rows if row.get("stage") == name]
    starts = [place for place, row in enumerate(own) if row["event"] == "start"]
    latest = own[starts[-1] :] if starts else []
    has_ended = not latest or latest[-1]["event"] == "end"  # a finished stage that is extended keeps its record meanwhile
    if (folder / RECORD).is_file() and has_ended:
        record: dict[str, Any] = disk.read_object(folder / RECORD, "run the recipe again")
        return StageStatus(name, kind, "finished", values=record.get("comparable", {}), seconds=record.get("wall_seconds"))
    begun = bool(starts) or (folder / SETTINGS).is_file()
    state: StageState = "running" if running and rows and rows[-1].get("stage") == name else "begun" if begun else "to do"
    reports = [row for row in latest if row["event"] == "progress"]
    if not reports:
        return StageStatus(name, kind, state)
    pace = Pace()
    for row in reports:
        pace.add(row["done"], row["total"], row["time"])
    last, speed = reports[-1], pace.speed
    silent = now - last["time"]
    if state != "running":
        known: tuple[float | None, float | None, str] = (None, None, "")
    elif silent > SILENT * max(log.LONG, 1 / speed if speed else 0):
        known = (None, None, f"no progress for {duration(silent)}")
    else:
        known = (speed, pace.seconds_left, str(pace))
    return StageStatus(name, kind, state, last["done"], last["total"], last.get("values", {}), None, *known)


def lines(status: Status) -> list[str]:
    """Returns the state as text, one line for the run, one for each stage, and what to do if the run has ended early."""
    ago = f", {duration(status.seconds)} ago" if status.seconds is not None and not status.holder else ""
    error = f": {status.error}" if status.error and not status.holder else ""
    found = [f"{status.recipe} in {status.folder}: {status.state}{f' ({status.holder})' if status.holder else ''}{ago}{error}"]
    found += [f"  {number}. {_stage_line(stage)}" for number, stage in enumerate(status.stages, start=1)]
    return [*found, f"resume: {status.resume}"] if status.resume else found


def _stage_line(stage: StageStatus) -> str:
    values = "  ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in stage.values.items()
    )
    head = f"{stage.name} ({stage.kind}): "
    if stage.state == "finished":
        took = f" in {duration(stage.seconds)}" if stage.seconds is not None else ""
        return f"{head}finished{took}{f': {values}' if values else ''}"
    if stage.state != "running" and not stage.total:
        return head + stage.state
    begun = "" if stage.state == "running" else "begun, "
    done = f"{stage.done}/{stage.total}" if stage.total else stage.state
    return f"{head}{begun}{done} {values}".rstrip() + (f" ({stage.pace})" if stage.pace else "")
