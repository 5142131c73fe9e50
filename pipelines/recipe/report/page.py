"""The report of a run as a page: `report.html`, with the results, tables and figures of all stages."""

import html
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .... import disk
from ....benchmarks.report import static_page
from ... import figures
from ...stage import Stage, rerun_advice
from .display import Record, result, seconds

if TYPE_CHECKING:
    from ...bench import scoreboard

NAME = "report.html"
PAGES = ("index.html", "autopsy.html")
"""Names of the pages that stages write."""


def write(folder: Path, name: str, description: str, stages: Sequence[Stage], records: dict[str, Record]) -> None:
    """Writes the report of a run.

    Args:
        folder: folder of the run.
        name: name of the recipe.
        description: one line, or empty.
        stages: stages of the recipe.
        records: their `stage.json`, by name.
    """
    from ...bench import scoreboard

    rows, details = [], []
    for stage in stages:
        record, at = records[stage.name], folder / stage.name
        with disk.reading(at / "stage.json", rerun_advice(at)):
            rows.append([_link(folder, stage.name), stage.kind, seconds(record), static_page.text(result(stage, record))])
            figure = stage.figure(record["metrics"])
            if shown := (figures.image(figure, stage.kind) if figure else "") + stage.tables(record["metrics"]):
                details.append(f"<h2>{html.escape(stage.name)}</h2>{shown}")
    parts = [
        f'<p class="soft">{static_page.text(description)}</p>' if description else "",
        _board(scoreboard.board(folder, records)),
        static_page.table(("stage", "kind", "seconds", "result"), rows),
        *details,
        '<p class="soft">Settings, seeds, versions, commit, machine and input digests are in each stage\'s stage.json. '
        "<code>tenfold view</code> with this folder shows curves and episodes.</p>",
    ]
    static_page.write(folder / NAME, name, filter(None, parts))


def _board(rows: "scoreboard.Board") -> str:
    """Returns the table of the benchmarks. A change whose interval excludes 0 is bold."""
    if not rows:
        return ""
    from ...bench import scoreboard

    tasks = scoreboard.tasks(rows)

    def cell(found: "scoreboard.Cell | None") -> str:
        if found is None:
            return ""
        text, change = scoreboard.interval(found.score), found.change
        second = "" if change is None else f"<br><b>{change}</b>" if change.low > 0 or change.high < 0 else f"<br>{change}"
        return f"{text}{second}"

    cells = [[html.escape(name), *(cell(row.get(task)) for task in tasks)] for name, row in rows.items()]
    caption = "avg@k in percent with its 95% interval, and the difference from the row above on the same problems"
    return f'<p class="soft">{caption}</p>{static_page.table(["", *tasks], cells)}'


def _link(folder: Path, stage: str) -> str:
    """Returns the stage's name, as a link to its page if the stage is a benchmark or an autopsy."""
    name = html.escape(stage)
    page = next((page for page in PAGES if (folder / stage / page).is_file()), None)
    return f'<a href="{name}/{page}">{name}</a>' if page else name
