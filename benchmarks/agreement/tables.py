"""Tables of the agreement and the bias of a judge of two responses."""

from collections.abc import Mapping

from rich.table import Table

from .figures import Agreement, Bias, Cost, Share

_BIAS = {
    "changed": "pairs whose verdict changes if the responses are swapped",
    "shown_first": "verdicts for the response that is shown first (no bias: 50)",
    "longer": "verdicts for the longer response, without ties",
    "longer_votes": "votes for the longer response, on the same pairs",
    "on_longer": "agreement on votes for the longer response",
    "on_shorter": "agreement on votes for the shorter response",
}


def agreement(found: Mapping[str, Agreement], title: str = "agreement with votes in percent, with 95% intervals") -> Table:
    """Returns a table with one row per judge or part of the data.

    Args:
        found: the figures by the name of the row.
        title: the title of the table.
    """
    table = Table(title=title)
    table.add_column("")
    for column in ("votes", "with ties", "without ties", "accuracy", "kappa"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, row in found.items():
        cells = [percent(row.with_ties), percent(row.without_ties), percent(row.accuracy), _number(row.kappa)]
        table.add_row(name, f"{row.with_ties.cases:,}" if row.with_ties else "0", *cells)
    return table


def bias(found: Bias, cost: Cost) -> Table:
    """Returns a table of what the verdicts of a judge depend on, and of its unreadable answers."""
    table = Table(title="bias of the judge in percent, with 95% intervals")
    table.add_column("")
    for column in ("share", "of"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, text in _BIAS.items():
        value: Share | None = getattr(found, name)
        table.add_row(text, percent(value), f"{value.cases:,}" if value else "0")
    asked = cost.questions - cost.faults
    table.add_row("answers that cannot be read", f"{100 * cost.unreadable / asked:.1f}" if asked else "-", f"{asked:,}")
    return table


def cost_line(cost: Cost, not_asked: int) -> str:
    """Returns the cost of a judge as a line.

    Args:
        cost: the cost.
        not_asked: number of pairs about which the judge was not asked, because a response is empty.
    """
    tokens = f"{cost.tokens:,} tokens of answers, " if cost.tokens else ""
    line = f"{cost.questions:,} questions to the judge, {tokens}{cost.seconds:,.1f} s"
    return line + f"; not asked about {not_asked:,} pairs with an empty response" * bool(not_asked)


def percent(value: Share | None) -> str:
    """Returns a share in percent with its interval; "-" for None."""
    return f"{100 * value.mean:.1f} [{100 * value.low:.1f}, {100 * value.high:.1f}]" if value else "-"


def _number(value: Share | None) -> str:
    return f"{value.mean:.2f} [{value.low:.2f}, {value.high:.2f}]" if value else "-"
