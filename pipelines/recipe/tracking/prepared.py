"""Pictures and the table of benchmarks, written by the run for the process that feeds the trackers.

That process then needs no torch and no statistics, so it starts fast and takes little memory. The files are
`trackers/STAGE-DIGEST.png` and `trackers/benchmarks.json` in the run's folder.
"""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from .... import digests, disk
from ....core import UserError
from ...stage import RECORD, Stage, finished_record
from .tracker import FOLDER, Cell

BENCHMARKS = "benchmarks.json"
BENCHMARK_COLUMNS = ("stage", "task", "avg@k", "low", "high", "k", "problems", "change")
"""Scores and their 95% intervals in percent, and the change since the previous bench stage with its interval."""


def digest(record: disk.Row) -> str:
    """Returns the digest of a stage's record, with which a tracker knows whether it has the stage's results."""
    return digests.of(record)[:16]


def picture_file(folder: Path, record: disk.Row) -> Path:
    """Returns the file with the figure of a finished stage. A stage without a figure has none.

    Args:
        folder: the run's folder.
        record: the stage's record as `stage.json` has it.
    """
    return folder / FOLDER / f"{record['name']}-{digest(record)}.png"


def write(folder: Path, stages: Sequence[Stage]) -> str:
    """Writes the figures and the table of all finished stages.

    Args:
        folder: the run's folder.
        stages: the stages that are shown.

    Returns:
        Why something is missing; empty if nothing is. A stage of another package may fail in any way.
    """
    try:
        (folder / FOLDER).mkdir(exist_ok=True)
        records = {stage.name: finished_record(folder / stage.name) for stage in stages}
        for stage in stages:
            _write_picture(folder, stage, records[stage.name])
        if any(stage.kind == "bench" for stage in stages):
            disk.write(folder / FOLDER / BENCHMARKS, json.dumps(_benchmarks(folder, records)))
    except Exception as error:
        return " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return ""


def write_all(folder: Path, names: Sequence[str]) -> str:
    """Does the same for a run that has ended, from the records of its stages."""
    from ...stages import KINDS  # imported here, because it takes seconds

    stages = []
    for name in names:
        if (folder / name / RECORD).is_file():
            try:
                settings = finished_record(folder / name)["stage"]
                stages.append(KINDS[settings["kind"]].model_validate(settings))
            except (UserError, KeyError, ValueError) as error:
                return f"{name}: {error}"
    return write(folder, stages)


def _write_picture(folder: Path, stage: Stage, record: disk.Row) -> None:
    file = picture_file(folder, record)
    if file.is_file() or (figure := stage.figure(record["metrics"])) is None:
        return
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=100)
    partial = file.with_name(f"{file.name}.partial")
    partial.write_bytes(image.getvalue())
    partial.replace(file)


def _benchmarks(folder: Path, records: Mapping[str, disk.Row]) -> list[Sequence[Cell]]:
    """Returns the results of all finished bench stages of a run, as the terminal shows them at the end."""
    from ...bench import scoreboard

    rows: list[Sequence[Cell]] = []
    for stage, cells in scoreboard.cells(folder, dict(records)).items():
        for task, cell in cells.items():
            percent = [round(100 * cell.score[name], 2) for name in ("mean", "low", "high")]
            change = str(cell.change) if cell.change else None
            rows.append([stage, task, *percent, cell.score["samples"], cell.score["problems"], change])
    return rows
