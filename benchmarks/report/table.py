"""Results as text: a line per task, a table per run. All scores are in percent."""

from collections.abc import Mapping, Sequence

from rich.table import Table

from .. import catalogue, environment, judged
from ..result import Result, sampling_text
from . import bfcl as bfcl_sections
from . import live_bench as live_bench_categories
from .bfcl import Comparison as BFCLComparison
from .bfcl import Estimate, Scores
from .compare import Comparison
from .format_sensitivity import FormatSensitivity
from .leaderboard import Leaderboard, mean_text
from .paired import TaskComparison

LISTED_IDS = 10
"""Number of flipped problems of each direction that are listed. Our choice; the page has all."""


def tasks() -> str:
    """Returns the list of suites and tasks: the number of samples, the source of the problems, differences in the protocol."""
    lines = [f"{suite:16} {' '.join(members)}" for suite, members in catalogue.SUITES.items()]
    for name in catalogue.names():
        settings = catalogue.settings(name)
        metadata = settings["metadata"]
        source = metadata.get("problems") or f"published by {metadata['published']}"
        lines.append(f"{name:16} avg@{settings['repeats']}  {source}")
        if differing := catalogue.differences(metadata):
            lines.append(f"{'':16} differs from the published protocol: {'; '.join(differing)}")
        if "judged" in metadata:
            lines += [f"{'':16} {condition}" for condition in judged.settings.conditions(metadata)]
    lines.append(f"{'env:ID':16} avg@{environment.SAMPLES}  a registered environment; `tenfold env list` lists them")
    lines.append(f"{'FILE.yaml':16} avg@K  a task of your own, in a file")
    return "\n".join(lines)


def line(result: Result) -> str:
    """Returns one result as one line. Its interval is the 95% interval over new problems."""
    score = result.score
    detectable = f"; detectable difference {100 * score.detectable:.1f}" if score.detectable else ""
    refused = f"; {result.refused} refused" if result.refused else ""
    sampling = f"; {text}" if (text := sampling_text(result.settings.get("sampling") or {})) else ""
    return (
        f"{result.task}: avg@{score.samples} {score} (95% over new problems) on {score.problems} problems, "
        f"pass@{score.samples} {100 * score.pass_at_k:.1f}"
        f"{detectable}; {result.truncated:.1%} truncated{refused}{sampling}; settings {result.hash}"
    )


def results(found: Sequence[Result]) -> Table:
    """Returns the table of all results of a run."""
    table = Table(
        title="95% intervals of avg@k: over new problems, and over new samples of the same problems", collapse_padding=True
    )
    table.add_column("task", overflow="fold")
    for column in ("avg@k", "new problems", "new samples", "pass@k", "tokens", "trunc."):
        table.add_column(column, justify="right", no_wrap=True)
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
        for name, value in result.figures.items():
            table.add_row(f"  {name}", f"{100 * value:.1f}")
        for name, count in result.judge.items():
            table.add_row(f"  judge: {name.replace('_', ' ')}", f"{count:,}")
    return table


def bfcl(policy: Scores) -> Table:
    """Returns the table of the sections of BFCL-V4 and their weighted mean; see `bfcl.py`."""
    absent = ", ".join(bfcl_sections.missing_text(*each) for each in bfcl_sections.missing(policy).items())
    title = "the leaderboard's overall score" + f"; not measured, so 0: {absent}" * bool(absent)
    table = Table("BFCL-V4", "weight", "score, 95% interval over new problems", "problems", title=title, title_justify="left")
    for name, found in bfcl_sections.sections(policy).items():
        categories = bfcl_sections.weights(name) if name in bfcl_sections.WEIGHTS else policy
        count = sum(len(policy[category]) for category in categories)
        table.add_row(name, _section_weight(name), percent(found), str(count))
    return table


def live_bench(policy: Mapping[str, Result]) -> Table:
    """Returns the table of the categories of LiveBench and their mean; see `live_bench.py`."""
    absent = ", ".join(live_bench_categories.missing(policy))
    title = "the mean over the categories" + f"; not measured, so left out: {absent}" * bool(absent)
    table = Table("LiveBench", "score, 95% interval over new problems", "problems", title=title, title_justify="left")
    for name, found in live_bench_categories.categories(policy).items():
        counted = [policy[name]] if name in policy else policy.values()
        table.add_row(name, percent(found), str(sum(result.score.problems for result in counted)))
    return table


def format_sensitivity(found: FormatSensitivity) -> Table:
    """Returns the table of the accuracy of BFCL-V4 with each prompt format, and of the leaderboard's statistics."""
    title = (
        f"BFCL-V4, format sensitivity: max delta {100 * found.max_delta:.2f}, "
        f"standard deviation {100 * found.standard_deviation:.2f} percentage points"
    )
    names = ("calls", "tag", "functions", "layout", "style")
    table = Table(*names, "accuracy", title=title, title_justify="left")
    for name, accuracy in found.accuracies.items():
        table.add_row(*(part.partition("=")[2] for part in name.split("&")), f"{100 * accuracy:.1f}")
    return table


def bfcl_comparison(comparison: BFCLComparison) -> Table:
    """Returns the table of the paired differences of the sections of BFCL-V4 and of the overall score."""
    title = f"BFCL-V4: {comparison.name}, paired by problem, {comparison.problems} shared problems"
    table = Table("", "weight", "difference, 95% interval", title=title, title_justify="left")
    for name, found in comparison.differences.items():
        table.add_row(name, _section_weight(name), percent(found, signed=True))
    return table


def bfcl_lines(comparison: BFCLComparison) -> list[str]:
    """Returns the lines below that table: the sections that are not compared."""
    return [f"{comparison.name}: BFCL-V4: not compared, so 0 in both: {reason}" for reason in comparison.not_compared]


def percent(found: Estimate, signed: bool = False) -> str:
    """Returns an estimate in percent with its interval.

    Args:
        found: the estimate.
        signed: write the sign of positive numbers, for differences.
    """
    mean, low, high = (f"{100 * value:{'+' if signed else ''}.1f}" for value in (found.mean, found.low, found.high))
    return f"{mean} [{low}, {high}]"


def _section_weight(section: str) -> str:
    return f"{bfcl_sections.WEIGHTS[section]:.0%}" if section in bfcl_sections.WEIGHTS else ""


def rescored(changed: Sequence[tuple[Result, Result]]) -> Table:
    """Returns the table of results before and after their samples were judged again."""
    table = Table("task", "before", "after", "settings", title="avg@k with its 95% interval over new problems")
    table.columns[0].overflow = "fold"
    for before, after in changed:
        table.add_row(before.task, str(before.score), str(after.score), after.hash)
    return table


def compared(rows: Sequence[Comparison]) -> Table:
    """Returns the table of results and published scores."""
    table = Table(title="difference from published scores, with its 95% interval over new samples of the same problems")
    for column in ("task", "model", "here", "reported", "difference", "only noise?"):
        left = column in ("task", "model")
        table.add_column(column, justify="left" if left else "right", no_wrap=column != "task", overflow="fold")
    for row in rows:
        table.add_row(
            row.task,
            row.model,
            f"{100 * row.measured:.1f}",
            f"{100 * row.reported:.1f}" + ("*" if row.cautions else ""),
            f"{100 * row.difference:+.1f} [{100 * row.low:+.1f}, {100 * row.high:+.1f}]",
            "possible" if row.within else "no",
        )
    return table


def cautions(rows: Sequence[Comparison]) -> str:
    """Returns the cautions about the published scores, one per line."""
    lines = {f"* {row.task}, {row.model}: {caution}": None for row in rows for caution in row.cautions}
    return "\n".join(lines)


def task_comparison(task: TaskComparison) -> Table:
    """Returns the table of a task in several folders: each score, and the differences from the first."""
    table = Table(title=task.name, title_justify="left")
    table.add_column("", overflow="fold")
    for column in ("avg@k, 95% interval", "problems"):
        table.add_column(column, justify="right", no_wrap=True)
    for measured in task.measured:
        table.add_row(measured.label, str(measured.result.score), str(measured.result.score.problems))
    for pair in task.pairs:
        shown = (str(pair.difference), str(pair.difference.problems)) if pair.difference else ("too few shared problems", "")
        table.add_row(pair.name, *shown)
    return table


def pair_lines(task: TaskComparison) -> list[str]:
    """Returns the lines below the table of a task: methods, cautions, and the problems that flipped."""
    lines = []
    for pair in task.pairs:
        if difference := pair.difference:
            detectable = f"; detectable difference {100 * difference.detectable:.1f}" if difference.detectable else ""
            lines.append(f"{pair.name}: {pair.method}; {difference.problems} shared problems{detectable}")
        if str(pair.settings):
            lines.append(f"{pair.name}: caution: {pair.settings}")
        for solver, other, ids in ((pair.second, pair.first, pair.gained), (pair.first, pair.second, pair.lost)):
            listed = ", ".join(ids[:LISTED_IDS]) + (", ..." if len(ids) > LISTED_IDS else "")
            lines.append(
                f"solved by most samples of {solver.label}, not of {other.label}: {len(ids)}" + f": {listed}" * bool(ids)
            )
    return lines


def leaderboard(board: Leaderboard) -> Table:
    """Returns the table of a leaderboard. The interval is below the score, so that the table is narrow."""
    table = Table()
    table.add_column("policy", overflow="fold")
    for column in ("mean", *board.tasks):
        table.add_column(column, justify="right", overflow="fold")
    for row in board.rows:
        cells = (board.cell(row, task).replace(" [", "\n[") for task in board.tasks)
        table.add_row(row.policy, mean_text(row), *cells)
    return table
