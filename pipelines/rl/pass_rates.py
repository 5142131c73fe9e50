"""The pass rate of a problem whose samples stop once it is decided whether it stays.

The mean of the samples that were made is biased: with two right and two wrong ones of 16 deciding, a problem that is solved
once in ten tries shows a mean of 0.138. The first sample's score has no bias, for it is always made. Its mean over all orders
in which the same samples could have come and stopped is the estimator with the least spread that has none (Girshick, Mosteller
and Savage, "Unbiased estimates for certain binomial sampling problems", 1946, who count these orders as paths; Rao and
Blackwell)."""

import functools
import math
import random
from collections import Counter
from collections.abc import Callable, Sequence

Scores = Sequence[float | None]
Decided = Callable[[Scores], bool]
"""Whether samples of these scores, in whatever order, are the last ones; see `filter.decided`."""

STATES, LONGEST = 10_000, 500
"""Kinds of beginnings, and samples, up to which all orders are counted; beyond it they are sampled."""
SAMPLED, EFFORT = 400, 10_000_000
"""Orders that are sampled at most, and scores that are looked at for it."""


def estimate(scores: Scores, decided: Decided) -> float | None:
    """The pass rate, without bias: its mean over what could have been sampled is the mean score of a sample that has one.

    Samples made after the decision (samples are made in batches) do not count. Faults count neither as right nor as wrong, but
    they may be among the samples that decide, so the first sample with a score takes the place of the first one.

    Args:
        scores: of the samples in their order; None for a fault.
        decided: of any beginning of the samples; the last one needs not be decided where there are no further samples.

    Returns:
        None where no sample has a score.
    """
    made = _until_decided(scores, decided)
    if all(score is None for score in made):
        return None
    counts = Counter(made)
    if math.prod(count + 1 for count in counts.values()) <= STATES and len(made) <= LONGEST:
        return _counted(tuple(sorted(counts.items(), key=str)), decided)
    return _sampled(made, decided)


def _until_decided(scores: Scores, decided: Decided) -> Scores:
    return next((scores[:made] for made in range(1, len(scores)) if decided(scores[:made])), scores)


@functools.lru_cache(maxsize=10_000)
def _counted(samples: tuple[tuple[float | None, int], ...], decided: Decided) -> float:
    """The mean first score over all orders of these samples in which none is decided before the last.

    Args:
        samples: scores, and how often each was sampled.
        decided: see `estimate`.
    """
    values, counts = [value for value, _ in samples], tuple(count for _, count in samples)

    def after(state: tuple[int, ...]) -> list[tuple[float | None, tuple[int, ...]]]:
        """Which score may come next, and how often each has come then."""
        return [
            (value, (*state[:place], state[place] + 1, *state[place + 1 :]))
            for place, value in enumerate(values)
            if state[place] < counts[place]
        ]

    @functools.cache
    def orders(state: tuple[int, ...]) -> int:
        """Orders in which the rest can follow."""
        if state == counts:
            return 1
        if decided([value for value, count in zip(values, state, strict=True) for _ in range(count)]):
            return 0
        return sum(orders(further) for _, further in after(state))

    def first_scores(state: tuple[int, ...]) -> float:
        """Sum of the first score over these orders, where nothing but faults has come."""
        if not orders(state):
            return 0.0
        return math.fsum(first_scores(further) if value is None else value * orders(further) for value, further in after(state))

    none = (0,) * len(counts)
    return first_scores(none) / orders(none)


def _sampled(made: Scores, decided: Decided) -> float:
    """The same over some of the orders, sampled evenly: as free of bias, with more spread."""
    generator, first = random.Random(repr(made)), []
    for _ in range(min(SAMPLED, EFFORT // len(made) ** 2)):
        order = generator.sample(made, len(made))
        if len(_until_decided(order, decided)) == len(made):
            first.append(_first(order))
    return math.fsum(first) / len(first) if first else _first(made)


def _first(scores: Scores) -> float:
    return next(score for score in scores if score is not None)
