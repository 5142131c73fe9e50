"""The calibration error of stated confidences: how far they are from the share of correct responses.

Source: `calib_err` of Humanity's Last Exam (Phan et al., 2025), after Hendrycks et al., "Deep anomaly detection with outlier
exposure", 2019.
"""

import math
from collections.abc import Sequence
from statistics import fmean

BIN = 100
"""Number of responses in a bin. Source: Humanity's Last Exam."""


def error(confidences: Sequence[float], correct: Sequence[bool], size: int = BIN) -> float | None:
    """Returns the root mean square calibration error; None for fewer than two bins.

    The responses are sorted by confidence and divided into bins of `size` responses. The rest belongs to the last bin. The
    error is the square root of the sum of (mean confidence - share of correct responses)^2 over the bins. The weight of a bin
    is its share of all responses. As in the benchmark's own program, the last bin, with the highest confidences, is left out
    of the sum.

    Equal confidences keep the order of the responses. The benchmark's own program leaves their order to NumPy.

    Args:
        confidences: the stated confidences, 0..1.
        correct: whether each response is correct.
        size: number of responses in a bin.
    """
    order = sorted(range(len(confidences)), key=confidences.__getitem__)
    bins = len(order) // size
    if bins < 2:
        return None
    squares = 0.0
    for number in range(bins - 1):
        members = order[number * size : (number + 1) * size]
        difference = fmean(confidences[index] for index in members) - fmean(correct[index] for index in members)
        squares += size / len(order) * difference**2
    return math.sqrt(squares)
