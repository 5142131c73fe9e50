"""Answers about runs: the list, and a run with its stages, its scores and its recipe."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ... import disk
from ...core import UserError
from ..recipe.progress import log, status
from ..recipe.progress.status import StageStatus, Status
from ..stage import RECORD, SETTINGS, STEPS
from . import autopsy, results, steps, stores
from .folders import (
    MAX_RECIPE,
    MAX_STAGES,
    RECIPE,
    STAGE_NAME,
    Entry,
    Folders,
    NotFoundError,
    small_file,
    stage_folder,
    within,
)
from .queries import Advantages, Stage
from .watch import Indexer, State, state_of

WAIT = 1.0
"""Longest time in seconds that an answer waits for an index."""
Answer = dict[str, Any]


class Known(NamedTuple):
    """What was read of a run, and the state of its files at that time."""

    stamps: State
    status: Status | None
    names: list[str]
    error: str


class Runs:
    """The runs that the server shows."""

    def __init__(self, folders: Folders):
        """Starts without having read any run."""
        self.folders, self.indexer, self.kinds = folders, Indexer(), steps.Kinds()
        self._known: dict[str, Known] = {}
        self._answers: dict[str, tuple[object, Answer]] = {}
        self._boards: dict[str, tuple[object, list[Answer]]] = {}

    def close(self) -> None:
        """Ends the threads."""
        self.indexer.close()

    def states(self) -> dict[str, State]:
        """Returns the state of each run's files and indexes, by its id."""
        found = {}
        for entry in self.folders.entries():
            known = self._read(entry)
            state = state_of(entry, known.names)
            progress, _ = self.indexer.progress([stage_folder(entry, name) for name in known.names])
            found[entry.id] = state | {None: (*state[None], *_told(known.status), self.kinds.loaded, round(progress, 2))}
        return found

    def listing(self) -> Answer:
        """Returns the list of runs."""
        return {"runs": [_head(entry, self._read(entry)) for entry in self.folders.entries()]}

    def _read(self, entry: Entry) -> Known:
        """Returns the state of a run, from the last time if its files have not changed."""
        before = self._known.get(entry.id)
        stamps = state_of(entry, before.names if before else ())
        if before and stamps == before.stamps and not (before.status and before.status.holder):
            return before
        found, names, error = None, list[str](), ""
        if entry.kind == "bench":
            names = results.tasks(entry.folder, entry.folder)
        else:
            try:
                names = _stage_names(entry)
                found = status.read(entry.folder)
            except UserError as problem:
                error = str(problem)
            except Exception as problem:  # files of any form: one run does not hide the others
                error = f"the files of the run cannot be read ({type(problem).__name__})"
        known = Known(state_of(entry, names), found, names, error)
        self._known[entry.id] = known
        return known

    def run(self, id: str, wait: float = 0.0) -> Answer:
        """Returns a run, with the progress of those of its indexes that were asked for.

        Args:
            id: id of the run.
            wait: longest time to wait for the import of the kinds of stages; without them, summaries are empty.

        Raises:
            NotFoundError: there is no run with this id.
        """
        entry = self.folders.entry(id)
        known = self._read(entry)
        head = _head(entry, known)
        progress, error = self.indexer.progress([stage_folder(entry, name) for name in known.names])
        kinds = self.kinds.get(wait)
        loaded = self.kinds.loaded
        key = (known.stamps, known.status, loaded)
        before = self._answers.get(id)
        if before is None or before[0] != key:
            before = self._answers[id] = (key, self._detail(entry, known, kinds, loaded))
        return {**head, **before[1], "indexing": round(progress, 4), "indexing_error": error}

    def _detail(self, entry: Entry, known: Known, kinds: steps.Classes, loaded: bool) -> Answer:
        if entry.kind == "bench":
            policy = results.policy_of(entry.folder, entry.folder)
            listed = [_bench_stage(entry, name) for name in known.names]
            board = _scores_of_folder(entry, known.names)
            return {"description": policy, "holder": "", "command": "", "stages": listed, "board": board, "recipe": ""}
        found = known.status
        text = _recipe_text(entry)
        if found is None:
            return {"description": "", "holder": "", "command": "", "stages": [], "board": [], "recipe": text}
        records = {stage.name: steps.record(entry.folder, entry.folder / stage.name, RECORD) for stage in found.stages}
        begun = {stage.name: steps.record(entry.folder, entry.folder / stage.name, SETTINGS) for stage in found.stages}
        return {
            "description": _description(text),
            "holder": found.holder,
            "command": found.resume if found.resume.isprintable() else "",
            "stages": [_stage(entry, stage, records[stage.name], begun[stage.name], kinds) for stage in found.stages],
            "board": self._board(entry, known, records, loaded),
            "recipe": text,
        }

    def _board(self, entry: Entry, known: Known, records: dict[str, disk.Row | None], loaded: bool) -> list[Answer]:
        """Returns the scores of a run, from the last time if no bench stage has changed: they take long, and a run goes on."""
        finished = {name: record for name, record in records.items() if record and "metrics" in record}
        benches = {name: record for name, record in finished.items() if record["stage"].get("kind") == "bench"}
        key = (loaded, [(name, known.stamps.get(name)) for name in benches])
        before = self._boards.get(entry.id)
        if before is None or before[0] != key:
            before = self._boards[entry.id] = (key, _board(entry, benches, loaded))
        return before[1]

    def stage(self, id: str, name: str) -> tuple[Entry, Stage]:
        """Returns a run and its stage.

        Raises:
            NotFoundError: there is no run or no stage with this name.
        """
        entry = self.folders.entry(id)
        if name not in self._read(entry).names:
            raise NotFoundError("the run has no stage with this name")
        folder = stage_folder(entry, name)
        if entry.kind == "bench":
            return entry, Stage(entry.folder, folder, name)
        settings = (steps.record(entry.folder, folder, SETTINGS) or {}).get("stage", {})
        is_grpo = settings.get("kind") == "grpo"
        return entry, Stage(
            entry.folder, folder, None, Advantages(settings.get("normalize_by_std") is not False) if is_grpo else None
        )

    def tables(self, id: str, name: str) -> Answer:
        """Returns the tables of a stage's report; see `steps.tables`."""
        entry, stage = self.stage(id, name)
        record = steps.record(entry.folder, stage.folder, RECORD) if entry.kind == "run" else None
        if record and record["stage"].get("kind") == autopsy.KIND:
            return {"tables": autopsy.tables(entry.folder, stage.folder, f"{entry.shown}/{name}")}
        return {"tables": steps.tables(self.kinds.get(120), record)}


def _head(entry: Entry, known: Known) -> Answer:
    stages = known.status.stages if known.status else ()
    times = [stamp[0] for stamps in known.stamps.values() for stamp in stamps if isinstance(stamp, tuple)]
    head = {"id": entry.id, "name": entry.name, "folder": entry.shown, "kind": entry.kind, "error": known.error}
    if entry.kind == "bench":
        finished, state = len(known.names), "failed" if known.error else "finished"
    else:
        finished = sum(stage.state == "finished" for stage in stages)
        state = known.status.state if known.status else "failed"
    if known.status and known.status.error and state != "running":
        head["error"] = known.status.error
    counts = {"stages": len(known.names), "stages_finished": finished}
    return {**head, "state": state, "updated": max(times, default=0) / 1e9, **counts}


def _told(found: Status | None) -> tuple[object, ...]:
    """Returns what changes without a change of the files: a process ends without a word, or makes no progress."""
    return (found.state, found.holder, *(stage.seconds_left is None for stage in found.stages)) if found else ()


def _stage_names(entry: Entry) -> list[str]:
    """Returns the names of a run's stages, and checks all that `status.read` takes for granted.

    Raises:
        UserError: the recipe cannot be read, or a stage is not in a folder of the run.
    """
    if small_file(entry.folder, entry.folder / RECIPE, MAX_RECIPE) is None:
        raise UserError(f"{RECIPE} is missing, is a link out of the run, or is larger than {MAX_RECIPE // 2**20} MiB")
    recipe = disk.read_yaml(entry.folder / RECIPE)
    with disk.reading(entry.folder / RECIPE, "give another folder"):
        disk.check_types(recipe, name=str, stages=list)
        if len(recipe["stages"]) > MAX_STAGES:
            raise ValueError(f"more than {MAX_STAGES} stages")
        for stage in recipe["stages"]:
            disk.check_types(stage, name=str, kind=str)
    names = [stage["name"] for stage in recipe["stages"]]
    for name in names:
        folder = stage_folder(entry, name)
        for file in (folder / RECORD, folder / SETTINGS):
            if file.exists() and small_file(entry.folder, file) is None:
                raise UserError(f"{name}/{file.name} is a link out of the run, or is too large, so the run is not shown")
    for file in (entry.folder / log.NAME, entry.folder / ".lock"):
        if file.exists() and small_file(entry.folder, file) is None:
            raise UserError(f"{file.name} is a link out of the run, or is too large, so the run is not shown")
    return [*dict.fromkeys(name for name in names if STAGE_NAME.fullmatch(name))]


def _recipe_text(entry: Entry) -> str:
    path = small_file(entry.folder, entry.folder / RECIPE, MAX_RECIPE)
    try:
        return path.read_text(encoding="utf-8", errors="replace") if path else ""
    except OSError:
        return ""


def _description(text: str) -> str:
    try:
        recipe = disk.yaml_value(text)
    except (ValueError, RecursionError):
        return ""
    found = recipe.get("description") if isinstance(recipe, dict) else None
    return found if isinstance(found, str) else ""


def _stage(entry: Entry, stage: StageStatus, record: disk.Row | None, begun: disk.Row | None, kinds: steps.Classes) -> Answer:
    shown = record or begun or {}
    return {
        "name": stage.name,
        "kind": stage.kind,
        "state": stage.state,
        "done": stage.done,
        "total": stage.total,
        "values": stage.values,
        "per_second": stage.per_second,
        "seconds_left": stage.seconds_left,
        "seconds": stage.seconds,
        "summary": steps.summary(kinds, record) if record and kinds else "",
        "has": _views(entry, entry.folder / stage.name, stage.kind, record),
        "commit": str(shown.get("commit") or "")[:100],
        "machine": _machine(shown.get("machine")),
    }


def _views(entry: Entry, folder: Path, kind: str, record: disk.Row | None) -> list[str]:
    """Returns which views of a stage have content."""
    path = within(entry.folder, folder / STEPS)
    found = {
        "steps": path is not None and path.is_file() and path.stat().st_size > 0,
        "episodes": bool(stores.sources(entry.folder, folder)),
        "result": bool(results.tasks(entry.folder, folder)),
        "corpus": kind in steps.TABLED and record is not None and "metrics" in record,
    }
    return [name for name, exists in found.items() if exists]


def _machine(machine: object) -> str:
    if not isinstance(machine, dict):
        return ""
    gpus = machine.get("gpus")
    parts = [
        str(machine.get("processor") or "")[:100],
        f"{machine['processors']} processors" if isinstance(machine.get("processors"), int) else "",
        f"{machine['memory_gib']} GiB" if isinstance(machine.get("memory_gib"), int) else "",
        *([str(gpu)[:100] for gpu in gpus[:64]] if isinstance(gpus, list) else []),
        str(machine.get("platform") or "")[:200],
    ]
    return ", ".join(filter(None, parts))


def _bench_stage(entry: Entry, task: str) -> Answer:
    names = ("done", "total", "per_second", "seconds_left", "seconds", "summary", "commit", "machine")
    empty = dict.fromkeys(names[:2], 0) | dict.fromkeys(names[2:5]) | dict.fromkeys(names[5:], "")
    has = ["episodes", "result"] if within(entry.folder, entry.folder / f"{task}.scores.jsonl") else ["result"]
    return {"name": task, "kind": "bench", "state": "finished", **empty, "values": {}, "has": has}


def _board(entry: Entry, benches: dict[str, disk.Row], with_changes: bool) -> list[Answer]:
    """Returns the scores of a run's bench stages, each with its change since the bench stage before.

    Args:
        entry: the run.
        benches: the records of its finished bench stages.
        with_changes: false while the modules that compute changes are imported, which takes seconds.
    """
    if not benches:
        return []
    changes = _changes(entry, benches) if with_changes else {}
    found = []
    for name, record in benches.items():
        scores = record["metrics"].get("scores") if isinstance(record["metrics"], dict) else None
        for task, score in (scores if isinstance(scores, dict) else {}).items():
            numbers = [_number(score, key) for key in ("mean", "low", "high")]
            if numbers[0] is not None:
                found.append(_line(name, task, numbers, changes.get((name, task))))
    return found


def _changes(entry: Entry, benches: dict[str, disk.Row]) -> dict[tuple[str, str], Answer]:
    """Returns the change of each task in a bench stage; empty if a file is damaged or the extra `bench` is missing."""
    changes: dict[tuple[str, str], Answer] = {}
    try:
        from ..bench import scoreboard

        for name in benches:
            for task in results.tasks(entry.folder, entry.folder / name):
                if small_file(entry.folder, entry.folder / name / f"{task}.scores.jsonl") is None:
                    raise UserError(f"{name}/{task}.scores.jsonl cannot be read")
        for name, row in scoreboard.board(entry.folder, benches).items():
            for task, cell in row.items():
                if cell.change:
                    changes[name, task] = {"value": cell.change.mean, "low": cell.change.low, "high": cell.change.high}
    except (UserError, ImportError, OSError, LookupError, TypeError, ValueError, AttributeError):
        return {}
    return changes


def _scores_of_folder(entry: Entry, names: Sequence[str]) -> list[Answer]:
    found = []
    for name in names:
        try:
            row = disk.parse_row((entry.folder / f"{name}.result.json").read_bytes(), lambda row: row["score"])
        except OSError:  # it was removed a moment ago
            row = None
        numbers = [_number(row["score"], key) for key in ("mean", "low", "high")] if row else [None]
        if numbers[0] is not None:
            found.append(_line(name, name, numbers, None))
    return found


def _line(stage: str, task: str, numbers: Sequence[float | None], change: Answer | None) -> Answer:
    return {"stage": stage, "task": task, "score": numbers[0], "low": numbers[1], "high": numbers[2], "change": change}


def _number(score: object, name: str) -> float | None:
    value = score.get(name) if isinstance(score, dict) else None
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
