"""Scores as a person reads them: a line a task, a table a run."""

from collections.abc import Mapping, Sequence

from rich.table import Table

from .. import catalogue
from ..result import Result
from ..stats.scores import Difference
from .compare import Comparison


def tasks() -> str:
    """The suites, and every task with its samples and where its problems come from."""
    lines = [f"{suite:16} {' '.join(members)}" for suite, members in catalogue.SUITES.items()]
    for name in catalogue.names():
        settings = catalogue.settings(name)
        where = settings["metadata"].get("problems") or f"published by {settings['metadata']['published']}"
        lines.append(f"{name:16} avg@{settings['repeats']}  {where}")
    return "\n".join(lines)


def line(result: Result) -> str:
    """One result, in one line."""
    score = result.score
    shows = f"; shows differences from {100 * score.detectable:.1f}" if score.detectable else ""
    refused = f"; {result.refused} refused" if result.refused else ""
    return (
        f"{result.task}: avg@{score.samples} {score} on {score.problems} problems, "
        f"pass@{score.samples} {100 * score.pass_at_k:.1f}"
        f"{shows}; {result.truncated:.1%} cut short{refused}; settings {result.hash}"
    )


def results(found: Sequence[Result]) -> Table:
    """All results of a run."""
    table = Table(title="with 95% intervals, for new problems of the kind and for new samples on these")
    for column in ("task", "avg@k", "new problems", "new samples", "pass@k", "tokens", "cut"):
        table.add_column(column, justify="left" if column == "task" else "right", no_wrap=True)
    for result in found:
        score = result.score
        table.add_row(
            result.task,
            f"{100 * score.mean:.1f}",
            f"{100 * score.low:.1f} - {100 * score.high:.1f}",
            f"{100 * score.same_problems_low:.1f} - {100 * score.same_problems_high:.1f}",
            f"{100 * score.pass_at_k:.1f}",
            f"{result.tokens:.0f}",
            f"{result.truncated:.1%}",
        )
        if result.refused:
            table.add_row("  samples refused", str(result.refused))
        for name, figure in result.figures.items():
            table.add_row(f"  {name}", f"{100 * figure:.1f}")
    return table


def rescored(changed: Sequence[tuple[Result, Result]]) -> Table:
    """Each result as it was and as the verifiers of today have it."""
    table = Table("task", "was", "is", "settings")
    for before, after in changed:
        table.add_row(before.task, str(before.score), str(after.score), after.hash)
    return table


def compared(rows: Sequence[Comparison]) -> Table:
    """Results beside reported figures."""
    table = Table(title="beside what is reported, with the samples' 95% interval of the difference")
    for column in ("task", "model", "here", "reported", "difference", "noise alone?"):
        table.add_column(column, justify="left" if column in ("task", "model") else "right", no_wrap=True)
    for row in rows:
        table.add_row(
            row.task,
            row.model,
            f"{100 * row.ours:.1f}",
            f"{100 * row.reported:.1f}" + ("*" if row.cautions else ""),
            f"{100 * row.difference:+.1f} [{100 * row.low:+.1f}, {100 * row.high:+.1f}]",
            "may be" if row.within else "no",
        )
    return table


def cautions(rows: Sequence[Comparison]) -> str:
    """What to bear in mind, a line a caution."""
    lines = {f"* {row.task}, {row.model}: {caution}": None for row in rows for caution in row.cautions}
    return "\n".join(lines)


def paired(found: Mapping[str, Difference]) -> Table:
    """Two runs, problem by problem."""
    table = Table("task", "problems", "difference", "over new samples", "shows from")
    for task, difference in found.items():
        table.add_row(
            task,
            str(difference.problems),
            str(difference),
            f"{100 * difference.same_problems_low:+.1f}, {100 * difference.same_problems_high:+.1f}",
            f"{100 * difference.detectable:.1f}",
        )
    return table
