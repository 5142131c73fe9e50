"""What a run is doing, from the files in its folder. The run may belong to another process, or have ended."""

import dataclasses
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

State = Literal["running", "finished", "failed", "stopped", "killed"]
StageState = Literal["finished", "running", "begun", "to do"]


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
    """The same two as text."""


@dataclasses.dataclass(frozen=True)
class Status:
    """The state of a run."""

    recipe: str
    folder: str
    state: State
    holder: str
    """Process that runs it; empty if none does."""
    seconds: float | None
    """Seconds since the last row of its log; None without a log."""
    error: str
    stages: Sequence[StageStatus]


def read(folder: Path) -> Status:
    """Returns the state of a run.

    Raises:
        UserError: the folder is not a run's, or its recipe cannot be read.
    """
    if not (folder / "recipe.yaml").is_file():
        raise UserError(f"{folder} is not a run's folder: it has no recipe.yaml; give the folder that `tenfold run` printed")
    with disk.reading(folder / "recipe.yaml", "give another folder"):
        recipe = disk.read_yaml(folder / "recipe.yaml")
        names = [(str(stage["name"]), str(stage["kind"])) for stage in recipe["stages"]]
    rows, holder = log.read(folder), disk.holder(folder)
    last = rows[-1] if rows else None
    return Status(
        recipe=str(recipe["name"]),
        folder=str(folder),
        state="running" if holder else _ended(last["event"] if last else None, [folder / name for name, _ in names]),
        holder=holder,
        seconds=time.time() - last["time"] if last else None,
        error=last.get("error", "") if last else "",
        stages=[_stage(folder / name, kind, rows, running=bool(holder)) for name, kind in names],
    )


def _ended(event: log.Event | None, stages: Sequence[Path]) -> State:
    """Returns the state of a run that no process runs.

    Args:
        event: the last one of its log; None without a log.
        stages: folders of the stages.
    """
    if event in ("failed", "stopped", "finished"):
        return event
    return "finished" if all((stage / RECORD).is_file() for stage in stages) else "killed"


def _stage(folder: Path, kind: str, rows: Sequence[Row], *, running: bool) -> StageStatus:
    """Returns the state of a stage; `running`: a process runs the recipe."""
    name = folder.name
    if (folder / RECORD).is_file():
        record: dict[str, Any] = disk.read_object(folder / RECORD, "run the recipe again")
        return StageStatus(name, kind, "finished", values=record.get("comparable", {}), seconds=record.get("wall_seconds"))
    own = [row for row in rows if row.get("stage") == name]
    starts = [place for place, row in enumerate(own) if row["event"] == "start"]
    now = [row for row in own[starts[-1] :] if row["event"] == "progress"] if starts else []
    started = bool(starts) or (folder / SETTINGS).is_file()
    state: StageState = "running" if running and rows and rows[-1].get("stage") == name else "begun" if started else "to do"
    if not now:
        return StageStatus(name, kind, state)
    pace = Pace()
    for row in now:
        pace.add(row["done"], row["total"], row["time"])
    known = (pace.speed, pace.seconds_left, str(pace)) if state == "running" else (None, None, "")
    return StageStatus(name, kind, state, now[-1]["done"], now[-1]["total"], now[-1].get("values", {}), None, *known)


def lines(status: Status) -> list[str]:
    """Returns the state as text, one line for the run, one for each stage, and what to do if the run has ended early."""
    ago = f", {duration(status.seconds)} ago" if status.seconds is not None and not status.holder else ""
    error = f": {status.error}" if status.error and not status.holder else ""
    found = [f"{status.recipe} in {status.folder}: {status.state}{f' ({status.holder})' if status.holder else ''}{ago}{error}"]
    found += [f"  {number}. {_stage_line(stage)}" for number, stage in enumerate(status.stages, start=1)]
    if status.state in ("failed", "stopped", "killed"):
        found.append(f"resume: tenfold run {status.folder}/recipe.yaml --out {status.folder}")
    return found


def _stage_line(stage: StageStatus) -> str:
    values = "  ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in stage.values.items()
    )
    head = f"{stage.name} ({stage.kind}): "
    if stage.state == "finished":
        took = f" in {duration(stage.seconds)}" if stage.seconds is not None else ""
        return f"{head}finished{took}{f': {values}' if values else ''}"
    if stage.state == "to do" or not stage.total:
        return head + stage.state
    begun = "" if stage.state == "running" else "begun, "
    return f"{head}{begun}{stage.done}/{stage.total} {values}".rstrip() + (f" ({stage.pace})" if stage.pace else "")
