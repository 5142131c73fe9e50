"""Learning rates by phases: each goes from one rate to another by a law that has a name."""

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

LawName = Literal["linear", "cosine", "sqrt", "exponential"]

LAWS: dict[str, Callable[[float, float, float], float]] = {
    "linear": lambda start, end, part: start + (end - start) * part,
    "cosine": lambda start, end, part: end + (start - end) * (1 + math.cos(math.pi * part)) / 2,
    # 1 - sqrt(t) did best of the decays that Haegele et al. (2024) compared
    "sqrt": lambda start, end, part: start + (end - start) * math.sqrt(part),
    "exponential": lambda start, end, part: start * (end / start) ** part,
}
"""(from, to, part done in 0..1) -> learning rate."""


class Leg(NamedTuple):
    """So many steps from one learning rate to another."""

    steps: int
    start: float
    end: float
    law: LawName = "linear"


def learning_rate(legs: Sequence[Leg], step: int) -> float:
    """The rate of a step, counted from 0. The last step of a leg has exactly the rate that the leg ends with.

    After the last leg it stays where that ended.
    """
    for leg in legs:
        if step < leg.steps:
            return LAWS[leg.law](leg.start, leg.end, (step + 1) / leg.steps)
        step -= leg.steps
    return legs[-1].end
