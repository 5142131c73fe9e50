"""A folder of results as a page: every benchmark, every problem's pass rate, any response a click away.

`index.html` stands in the folder; what it shows of a problem is read from `page/TASK/NUMBER.js` when somebody asks for it, so
that a run of a hundred million characters opens at once, from a disk as from a server.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

from .compare import compare
from .result import Result, results

TEMPLATE = Path(__file__).parent / "page.html"


def write(folder: str | Path) -> Path:
    """Writes the page of a folder of results; returns its path.

    Raises:
        UserError: the folder holds no result.
    """
    folder = Path(folder)
    found = results(folder)
    shutil.rmtree(folder / "page", ignore_errors=True)
    tasks = [_task(folder, result) for result in found]
    run = {"who": str(found[0].settings.get("policy", folder.name)), "tasks": tasks}
    page = folder / "index.html"
    page.write_text(TEMPLATE.read_text(encoding="utf-8").replace("/*RUN*/null", _json(run)), encoding="utf-8")
    return page


def _task(folder: Path, result: Result) -> dict[str, Any]:
    """What the page holds of a task from the start; its problems go to files of their own."""
    stem = result.task.rsplit("_avg", 1)[0]
    texts = {(row["request"], row["draw"]): row["text"] for row in _lines(folder / f"{stem}.draws.jsonl") if "request" in row}
    problems = []
    (folder / "page" / result.task).mkdir(parents=True)
    for number, row in enumerate(_lines(folder / f"{result.task}.scores.jsonl")):
        scored = [draw["score"] for draw in row["draws"] if draw["score"] is not None]
        problems.append({"id": str(row["problem"]), "rate": fmean(scored) if scored else None})
        parts = {
            "prompt": "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in row["prompt"]),
            "gold": row["gold"] if isinstance(row["gold"], str) else json.dumps(row["gold"], ensure_ascii=False),
            "draws": [draw | {"text": texts.get((row["request"], place), "")} for place, draw in enumerate(row["draws"])],
        }
        name = f"{result.task}/{number}"
        (folder / "page" / f"{name}.js").write_text(f"receive({_json(name)}, {_json(parts)});\n", encoding="utf-8")
    reported = [
        {
            "model": row.model,
            "figure": row.reported,
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


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if path.is_file():
        with path.open(encoding="utf-8") as lines:
            yield from map(json.loads, lines)


def _json(value: Any) -> str:
    """JSON that may stand within a script of a page."""
    return (
        json.dumps(value, ensure_ascii=False).replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    )
