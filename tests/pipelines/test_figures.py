"""Plots of a run's report."""

import io

import numpy
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from tenfold.pipelines import figures


def colored_pixels(figure: Figure) -> int:
    """Returns the number of pixels that are not grey: those of lines and dots."""
    written = io.BytesIO()
    figure.savefig(written, format="png")
    written.seek(0)
    pixels = imread(written)[:, :, :3]
    return int(numpy.count_nonzero(pixels.max(axis=2) - pixels.min(axis=2) > 0.2))


@pytest.mark.parametrize(
    "figure",
    [
        figures.loss_plot([(20, 3.5)]),
        figures.line_plots({"reward": [0.5]}),
        figures.line_plots({"reward": [None, 0.5, None, 0.7]}),
    ],
)
def test_a_value_between_gaps_is_visible(figure: Figure) -> None:
    assert colored_pixels(figure) > 0


def test_a_line_has_no_dots() -> None:
    (axes,) = figures.loss_plot(enumerate([3.0, 2.0, 1.0])).axes
    assert list(axes.lines[0].get_markevery()) == []


def test_a_plot_without_values_is_empty() -> None:
    assert colored_pixels(figures.loss_plot([])) == colored_pixels(figures.line_plots({"reward": [None]})) == 0
