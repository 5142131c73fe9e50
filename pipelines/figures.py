"""Tables and pictures of results for a run's page."""

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SNIPPET = 160
"""Characters of an example that are shown."""


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """An HTML table; whole numbers stand on the right, everything else is escaped text."""

    def cell(value: Any) -> str:
        return f"<td style='text-align:right'>{value:,}" if isinstance(value, int) else f"<td>{html.escape(str(value))}"

    body = "".join(f"<tr>{''.join(map(cell, row))}" for row in rows)
    return f"<table><tr>{''.join(f'<th>{html.escape(name)}' for name in head)}{body}</table>"


def counts(counted: Mapping[str, int]) -> str:
    """Counts by name as text: "books 1,200, code 80"."""
    return ", ".join(f"{name} {count:,}" for name, count in counted.items())


def examples(documents: Sequence[Mapping[str, Any]]) -> str:
    """The first words of the first three documents, with their sources."""
    texts = [" ".join(str(one.get("text") or one.get("snippet", "")).split())[:SNIPPET] for one in documents[:3]]
    return " … ".join(f"{one.get('source', '')}: {text}" for one, text in zip(documents, texts, strict=False))


def losses(points: Iterable[tuple[int, float]]) -> "Figure":
    """A curve of (step, loss)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 2.6), layout="constrained")
    axes = figure.subplots()
    axes.plot(*zip(*points, strict=True))
    axes.set(xlabel="step", ylabel="loss")
    return figure


def curves(values: Mapping[str, Sequence[float | None]], steps: Sequence[int] | None = None) -> "Figure":
    """A small picture of each figure over the steps, with a gap where a step has no value.

    Args:
        values: the figures, by name; each has one value a step.
        steps: numbers of the steps; default: 1, 2, 3, ...
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    for axes, (name, series) in zip(figure.subplots(2, math.ceil(len(values) / 2)).flat, values.items(), strict=False):
        axes.plot(steps or range(1, len(series) + 1), [math.nan if value is None else value for value in series])
        axes.set_title(name.replace("_", " "), fontsize=10)
        axes.set_xlabel("step", fontsize=8)
        axes.tick_params(labelsize=8)
    return figure
