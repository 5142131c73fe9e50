"""Scores as a person reads them: a line a task, a table a run."""

from collections.abc import Mapping, Sequence

from rich.table import Table

from . import catalogue
from .evaluate import Result


def tasks() -> str:
    """The suites, and every task with its draws and where its problems come from."""
    lines = [f"{suite:16} {' '.join(members)}" for suite, members in catalogue.SUITES.items()]
    for name in catalogue.names():
        settings = catalogue.settings(name)
        where = settings["metadata"].get("problems") or f"published by {settings['metadata']['published']}"
        lines.append(f"{name:16} avg@{settings['repeats']}  {where}")
    return "\n".join(lines)


def line(result: Result) -> str:
    """One result, in one line."""
    score = result.score
    said = (
        f"{result.task}: avg@{score.draws} {score} on {score.problems} problems, pass@{score.draws} {100 * score.pass_at_k:.1f}"
    )
    return f"{said}; {result.truncated:.1%} cut short; settings {result.hash}"


def results(found: Sequence[Result], lacking: Mapping[str, str] | None = None) -> Table:
    """All results of a run, and the tasks that were not run, with what they lack."""
    table = Table(title="95% intervals: for new problems of the kind, and for new draws on these")
    for column in ("task", "avg@k", "new problems", "same problems", "pass@k", "shows from", "tokens", "cut", "settings"):
        table.add_column(column, justify="left" if column in ("task", "settings") else "right")
    for result in found:
        score = result.score
        table.add_row(
            result.task,
            f"{100 * score.mean:.1f}",
            f"{100 * score.low:.1f} to {100 * score.high:.1f}",
            f"{100 * score.draws_low:.1f} to {100 * score.draws_high:.1f}",
            f"{100 * score.pass_at_k:.1f}",
            f"{100 * score.detectable:.1f}",
            f"{result.tokens:.0f}",
            f"{result.truncated:.1%}",
            result.hash,
        )
        for name, figure in result.figures.items():
            table.add_row(f"  {name}", f"{100 * figure:.1f}")
    for name, lacks in (lacking or {}).items():
        table.add_row(name, f"not run: {lacks}")
    return table


def rescored(changed: Sequence[tuple[Result, Result]]) -> Table:
    """Each result as it was and as the verifiers of today have it."""
    table = Table("task", "was", "is", "settings")
    for before, after in changed:
        table.add_row(before.task, str(before.score), str(after.score), after.hash)
    return table
