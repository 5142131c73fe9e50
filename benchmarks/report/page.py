"""HTML page of a folder of results: every benchmark, every problem's pass rate and every response.

The page is `index.html` in the folder. It loads a problem's responses from `page/TASK/NUMBER.js` when they are opened, so that
a run of a hundred million characters opens at once. It works from a disk and from a server.
"""

import json
import shutil
from pathlib import Path
from statistics import fmean
from typing import Any

from ... import disk
from ...core import message_text
from ...policies.store import check_episode
from ...texts import without_surrogates
from ..result import Result, results, scored
from .compare import compare

TEMPLATE = Path(__file__).parent / "page.html"


def write(folder: str | Path) -> Path:
    """Writes the page of a folder of results and returns its path.

    Raises:
        UserError: the folder contains no result, or a file is missing or damaged.
    """
    folder = Path(folder)
    found = results(folder)  # first, because it raises for a missing folder
    with disk.locked(folder):
        return _write(folder, found)


def _write(folder: Path, found: list[Result]) -> Path:
    shutil.rmtree(folder / "page", ignore_errors=True)
    tasks = [_task(folder, result) for result in found]
    run = {"policy": str(found[0].settings.get("policy", folder.name)), "tasks": tasks}
    page = folder / "index.html"
    disk.write(page, TEMPLATE.read_text(encoding="utf-8").replace("/*RUN*/null", _json(run)))
    return page


def _task(folder: Path, result: Result) -> dict[str, Any]:
    """Returns a task's data for `index.html`. Writes each problem into a file of its own."""
    sampled = folder / result.store_name
    rows = disk.read_rows(sampled, _check) if sampled.is_file() else ()
    stored = {_key(row): row for _, row in rows if "settings" not in row}
    problems = []
    (folder / "page" / result.task).mkdir(parents=True)
    for number, row in enumerate(scored(folder, result.task)):
        scores = [sample["score"] for sample in row["samples"] if sample["score"] is not None]
        problems.append({"id": str(row["problem"]), "rate": fmean(scores) if scores else None})
        parts = {
            "prompt": "\n\n".join(f"{turn['role']}: {message_text(turn)}" for turn in row["prompt"]),
            "gold": row["gold"] if isinstance(row["gold"], str) else json.dumps(row["gold"], ensure_ascii=False),
            "samples": [
                sample | {"text": _text(stored.get((row["request"], index)), len(row["prompt"]))}
                for index, sample in enumerate(row["samples"])
            ],
        }
        name = f"{result.task}/{number}"
        page = folder / "page" / f"{name}.js"
        page.write_text(without_surrogates(f"receive({_json(name)}, {_json(parts)});\n"), encoding="utf-8")
    reported = [
        {
            "model": row.model,
            "published": row.reported,
            "difference": row.difference,
            "low": row.low,
            "high": row.high,
            "within": row.within,
            "cautions": row.cautions,
        }
        for row in compare([result])
    ]
    return {"name": result.task, "problems": problems, "reported": reported} | {
        name: value for name, value in result.as_dict().items() if name != "task"
    }


def _check(row: dict[str, Any]) -> None:
    """Raises if a line of a store is neither its settings nor a sample nor an episode."""
    if "messages" in row:
        check_episode(row)
    elif "settings" not in row:
        disk.check_types(row, request=str, sample=int, text=str)


def _key(row: dict[str, Any]) -> tuple[str, int]:
    """Returns the request and the number of a stored sample."""
    return row["request"] if "request" in row else str(row["problem"]), row["sample"]


def _text(row: dict[str, Any] | None, prompt: int) -> str:
    """Returns the text of a stored sample; of an episode, its turns after the first `prompt` messages, each with its role."""
    if row is None or "messages" not in row:
        return row["text"] if row else ""
    turns = row["messages"][prompt:]
    if len(turns) == 1:
        return message_text(turns[0])
    return "\n\n".join(f"{turn['role']}: {message_text(turn)}" for turn in turns)


def _json(value: object) -> str:
    """Returns JSON that is safe inside a <script> element."""
    return (
        json.dumps(value, ensure_ascii=False).replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    )
