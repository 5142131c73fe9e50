"""Tables of the error rates of graders on labelled pairs, and of the cost of a judge."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple

from rich.table import Table

from ...core import Status
from .judging import JudgedRow
from .tally import Results, Tally, interval, tally

MAX_ERRORS = 40
"""Number of errors of a grader that are listed."""


class Cost(NamedTuple):
    """The cost of a judge's verdicts on some pairs. The means are over the pairs about which it was called."""

    pairs: int
    asked: int
    """Pairs about which the judge was called. The others have no final answer, or one that cannot be correct."""
    decided: int
    """Pairs that the judge scored. Its other verdicts are undecided or faults."""
    turns: float
    tokens: float
    programs: float
    seconds: float
    """Wall time of the verdicts, divided by the number of pairs about which the judge was called."""
    median_seconds: float
    """Median time from the start of a verdict to its end. With several verdicts at once it is longer than `seconds`."""


def error_rates(results: Results) -> Table:
    """Returns a table with one row per grader: both error rates, undecided pairs, faults and time.

    The time is the wall time of the verdicts divided by the number of all pairs. `costs` divides by the number of pairs about
    which the judge was called.
    """
    table = Table(title="verdicts compared with the labels")
    for column in ("grader", "equal, rejected", "unequal, accepted", "undecided", "faults", "ms per verdict"):
        table.add_column(column, justify="left" if column == "grader" else "right", no_wrap=True)
    for name, verdicts in results.items():
        total = tally(verdicts)
        table.add_row(
            name,
            share(total.rejected, total.equal),
            share(total.accepted, total.unequal),
            str(total.undecided),
            str(total.faults),
            f"{1000 * total.seconds_per_verdict:.2f}",
        )
    return table


def by_kind(results: Results) -> Table:
    """Returns a table with one row per kind of pair: equal pairs rejected and unequal pairs accepted, for each grader."""
    table = Table(title="equal pairs rejected / unequal pairs accepted, by kind")
    table.add_column("kind")
    table.add_column("equal / unequal", justify="right")
    for name in results:
        table.add_column(name, justify="right")
    for kind in sorted({graded.pair.kind for verdicts in results.values() for graded in verdicts}):
        tallies = [tally(graded for graded in verdicts if graded.pair.kind == kind) for verdicts in results.values()]
        cells = [f"{each.rejected} / {each.accepted}" + (f" ({each.faults} faults)" if each.faults else "") for each in tallies]
        equal, unequal = tallies[0].equal + tallies[0].equal_faults, tallies[0].unequal + tallies[0].unequal_faults
        table.add_row(kind, f"{equal} / {unequal}", *cells)
    return table


def by_group(tallies: Mapping[str, Mapping[str, Tally]]) -> Table:
    """Returns a table with both error rates and their 95% intervals.

    Args:
        tallies: the counts by grader and by group of pairs.
    """
    table = Table(title="error rates in percent with 95% intervals, by the verdict of the rules")
    for column in ("pairs", "grader", "equal, rejected", "unequal, accepted", "undecided", "faults"):
        table.add_column(column, justify="left" if column in ("pairs", "grader") else "right")
    for group in next(iter(tallies.values())):
        for name, groups in tallies.items():
            each = groups[group]
            table.add_row(
                group,
                name,
                _with_interval(each.rejected, each.equal),
                _with_interval(each.accepted, each.unequal),
                str(each.undecided),
                str(each.faults),
            )
        table.add_section()
    return table


def cost_of(rows: Sequence[JudgedRow], seconds: float) -> Cost:
    """Returns the cost of a judge's verdicts.

    Args:
        rows: the verdicts on some pairs.
        seconds: their wall time.
    """
    asked = [row for row in rows if row["turns"]]
    count = max(1, len(asked))
    return Cost(
        pairs=len(rows),
        asked=len(asked),
        decided=sum(row["verdict"]["status"] == Status.SCORED for row in asked),
        turns=sum(row["turns"] for row in asked) / count,
        tokens=sum(row["tokens"] for row in asked) / count,
        programs=sum(row["programs"] for row in asked) / count,
        seconds=seconds / count,
        median_seconds=median(row["seconds"] for row in asked) if asked else 0.0,
    )


def costs(groups: Mapping[str, Cost]) -> Table:
    """Returns a table with the cost of a judge.

    Args:
        groups: the cost of each group of pairs.
    """
    table = Table(title="cost of the judge: means over the pairs about which it was called; seconds: wall time / these pairs")
    columns = ("pairs", "asked the judge", "it decided", "turns", "tokens", "programs", "seconds", "median duration")
    for column in columns:
        table.add_column(column, justify="left" if column == "pairs" else "right")
    for group, cost in groups.items():
        table.add_row(
            group,
            share(cost.asked, cost.pairs),
            share(cost.decided, cost.pairs),
            f"{cost.turns:.1f}",
            f"{cost.tokens:.0f}",
            f"{cost.programs:.2f}",
            f"{cost.seconds:.2f}",
            f"{cost.median_seconds:.2f}",
        )
    return table


def errors(name: str, total: Tally) -> list[str]:
    """Returns lines on a grader's first errors: accepted unequal pairs, then rejected equal pairs.

    Args:
        name: name of the grader.
        total: its counts.
    """
    if not total.errors:
        return []
    listed = sorted(total.errors, key=lambda graded: graded.pair.equal)[:MAX_ERRORS]
    first = "" if len(listed) == len(total.errors) else f", the first {len(listed)}"
    return [
        f"errors of {name}: {len(total.errors)}{first}",
        *(
            f"{'rejected' if pair.equal else 'accepted'}: gold {pair.gold!r}, response {pair.response[-100:]!r} "
            f"({verdict.method}: {verdict.reason[:80]})"
            for pair, verdict, _ in listed
        ),
    ]


def share(part: int, whole: int) -> str:
    """Returns a part of a whole with its percentage, such as "1 of 2 (50.0%)"."""
    return f"{part} of {whole} ({100 * part / whole:.1f}%)" if whole else "-"


def _with_interval(part: int, whole: int) -> str:
    ends = interval(part, whole)
    if ends is None:
        return "-"
    return f"{part} of {whole}: {100 * part / whole:.1f} [{100 * ends[0]:.1f}, {100 * ends[1]:.1f}]"
