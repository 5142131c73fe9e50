"""Learning rate schedules of several segments, each from one rate to another."""

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

ScheduleName = Literal["linear", "cosine", "sqrt", "exponential"]
"""Name of the curve between two learning rates."""

SCHEDULES: dict[str, Callable[[float, float, float], float]] = {
    "linear": lambda start, end, part: start + (end - start) * part,
    "cosine": lambda start, end, part: end + (start - end) * (1 + math.cos(math.pi * part)) / 2,
    # Haegele et al. (2024) found 1 - sqrt(t) the best of the decays that they compared.
    "sqrt": lambda start, end, part: start + (end - start) * math.sqrt(part),
    "exponential": lambda start, end, part: start * (end / start) ** part,
}
"""Functions of start rate, end rate and completed share (0..1) of a segment that return the learning rate."""


class Segment(NamedTuple):
    """A part of the schedule: a number of steps from one learning rate to another."""

    steps: int
    start: float
    end: float
    schedule: ScheduleName = "linear"


def learning_rate(segments: Sequence[Segment], step: int) -> float:
    """Returns the learning rate of a step, counted from 0.

    The last step of a segment has exactly its end rate. Steps after the last segment have the end rate of that segment.
    """
    for segment in segments:
        if step < segment.steps:
            return SCHEDULES[segment.schedule](segment.start, segment.end, (step + 1) / segment.steps)
        step -= segment.steps
    return segments[-1].end
