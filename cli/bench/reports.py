"""`tenfold bench compare` and `tenfold bench leaderboard`: reports over folders of results."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from ...core import UserError


def compare(folders: Sequence[str], model: str | None, out: str | None, json_lines: TextIO | None = None) -> None:
    """Compares the results of one folder with published scores, or those of several folders with the first.

    Args:
        folders: names of folders, runs or stages.
        model: compare only with published scores of this model.
        out: the page to write.
        json_lines: receives each comparison of several folders as a line of JSON.
    """
    from ...benchmarks.report import bfcl, compare_page, json_object, paired, result_folders, table
    from ...pipelines.recipe.report.display import Display

    found = [folder for name in folders or ["."] for folder in result_folders.find(name)]
    if len(found) == 1 or model is not None:
        return _published(found, model)
    compared = paired.compare_folders(found)
    overall = bfcl.compare_folders(found)
    # the page comes first, because it refuses to replace another file
    page = compare_page.write(Path(out or "compare.html"), compared, overall)
    console = Display().console
    for task in compared:
        console.print(table.task_comparison(task))
        for line in table.pair_lines(task):
            print(line)
    for comparison in overall:
        console.print(table.bfcl_comparison(comparison))
        for line in table.bfcl_lines(comparison):
            print(line)
    print(f"page: {page}")
    lines = [json_object.pair(task, pair) for task in compared for pair in task.pairs]
    for row in [*lines, *map(json_object.bfcl_comparison, overall)] if json_lines else ():
        print(json.dumps(row, ensure_ascii=False), file=json_lines, flush=True)


def _published(folders: Sequence[Path], model: str | None) -> None:
    """Compares results with published scores."""
    from ...benchmarks.report import compare, page, table
    from ...benchmarks.result import results
    from ...pipelines.recipe.report.display import Display

    rows = compare.compare([result for folder in folders for result in results(folder)], model)
    if not rows:
        raise UserError(f"{', '.join(map(str, folders))}: no result of a task with published scores")
    Display().console.print(table.compared(rows))
    print(table.cautions(rows))
    for folder in folders:
        print(f"page: {page.write(folder)}")


def leaderboard(folders: Sequence[str], by: str | None, out: str | None, json_lines: TextIO | None) -> None:
    """Prints the results of several policies as one table, and writes its page.

    Args:
        folders: names of folders, each with the results of one policy or with such folders.
        by: task to sort by; None: the mean.
        out: the page to write.
        json_lines: receives the leaderboard as one JSON object.
    """
    from ...benchmarks.report import leaderboard, result_folders, table
    from ...pipelines.recipe.report.display import Display

    board = leaderboard.leaderboard([folder for name in folders or ["."] for folder in result_folders.find(name)], by)
    page = leaderboard.write(Path(out or "leaderboard.html"), board)
    print(leaderboard.caption(board))
    Display().console.print(table.leaderboard(board))
    for line in board.caution_lines():
        print(line)
    print(f"page: {page}")
    if json_lines:
        print(json.dumps(leaderboard.as_json(board), ensure_ascii=False), file=json_lines, flush=True)
