"""Tables and plots for a run's report."""

import base64
import html
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SNIPPET = 160
"""Characters shown of an example."""


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Returns an HTML table. Integers are right-aligned; other values are shown as escaped text."""

    def cell(value: object) -> str:
        return f"<td style='text-align:right'>{value:,}" if isinstance(value, int) else f"<td>{html.escape(str(value))}"

    body = "".join(f"<tr>{''.join(map(cell, row))}" for row in rows)
    return f"<div class='frame'><table><tr>{''.join(f'<th>{html.escape(name)}' for name in head)}{body}</table></div>"


def image(figure: "Figure", description: str) -> str:
    """Returns a figure as an image of a page."""
    content = io.BytesIO()
    figure.savefig(content, format="svg")
    data = base64.b64encode(content.getvalue()).decode()
    return f'<img alt="{html.escape(description)}" src="data:image/svg+xml;base64,{data}">'


def counts_text(counted: Mapping[str, int]) -> str:
    """Returns counts as text, such as "books 1,200, code 80"."""
    return ", ".join(f"{name} {count:,}" for name, count in counted.items())


def examples_text(documents: Sequence[Mapping[str, object]]) -> str:
    """Returns the sources and the first `SNIPPET` characters of the first three documents."""
    texts = [" ".join(str(row.get("text") or row.get("snippet", "")).split())[:SNIPPET] for row in documents[:3]]
    return " … ".join(f"{row.get('source', '')}: {text}" for row, text in zip(documents, texts, strict=False))


def loss_plot(points: Iterable[tuple[int, float]]) -> "Figure":
    """Returns a plot of the loss over the steps, from points (step, loss)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 2.6), layout="constrained")
    axes = figure.subplots()
    points = list(points)
    _draw(axes, [step for step, _ in points], [loss for _, loss in points])
    axes.set(xlabel="step", ylabel="loss")
    return figure


def _draw(axes: "Axes", steps: Sequence[int], values: Sequence[float]) -> None:
    """Draws a line, and a dot for each value between gaps, because a line through one point is invisible."""
    padded = [math.nan, *values, math.nan]
    alone = [place for place in range(len(values)) if math.isnan(padded[place]) and math.isnan(padded[place + 2])]
    axes.plot(steps, values, marker=".", markevery=alone)


def line_plots(values: Mapping[str, Sequence[float | None]], steps: Sequence[int] | None = None) -> "Figure":
    """Returns one small plot per series over the steps. A step without a value leaves a gap.

    Args:
        values: series by name, with one value per step.
        steps: step numbers; default: 1, 2, 3, ...
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    grid = figure.subplots(2, math.ceil(len(values) / 2)).flat
    for axes in grid[len(values) :]:
        axes.remove()
    for axes, (name, series) in zip(grid, values.items(), strict=False):
        _draw(axes, steps or range(1, len(series) + 1), [math.nan if value is None else value for value in series])
        axes.set_title(name.replace("_", " "), fontsize=10)
        axes.set_xlabel("step", fontsize=8)
        axes.tick_params(labelsize=8)
    return figure
