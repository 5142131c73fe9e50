"""Unbiased estimates of a problem's pass rate when sampling stops early.

A filter stops sampling a problem as soon as its decision cannot change. The mean score of the samples is then biased: if two
correct and two incorrect samples of 16 decide, a problem with a pass rate of 0.1 has an expected mean of 0.138. The score of
the first sample is unbiased, because the first sample always exists. The estimate is the mean of this score over all orders of
the same samples in which sampling would not have stopped earlier. Of all unbiased estimators it has the smallest variance
(Girshick, Mosteller and Savage, "Unbiased estimates for certain binomial sampling problems", 1946, who count these orders as
paths; Rao and Blackwell).
"""

import functools
import math
import random
from collections import Counter
from collections.abc import Callable, Sequence

Scores = Sequence[float | None]
Decided = Callable[[Scores], bool]
"""True if sampling stops after these scores, in any order; see `filter.decided`."""

STATES, LONGEST = 10_000, 300
"""All orders are counted if there are at most `STATES` prefixes (as multisets) and `LONGEST` samples; otherwise orders are
sampled. Our choice. The count makes two nested calls for each sample, and Python allows 1000."""
SAMPLED, EFFORT = 400, 10_000_000
"""Limits for sampling orders: number of orders, and number of scores read. Our choice."""


def estimate(scores: Scores, decided: Decided) -> float | None:
    """Returns an unbiased estimate of the pass rate; None if no sample has a score.

    Samples after the decision are ignored (samples are made in batches). Samples without a score may be among those that
    decide. Therefore "the first sample" is the first sample with a score.

    Args:
        scores: scores of the samples in order; None for a sample without a score.
        decided: returns True for a prefix after which sampling stops. It may return False for the complete list of scores, if
            all samples were taken without a decision.
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
    """Returns the mean first score over all orders of the samples in which sampling does not stop before the last sample.

    Args:
        samples: (score, number of samples with it).
        decided: see `estimate`.
    """
    values, counts = [value for value, _ in samples], tuple(count for _, count in samples)

    def after(state: tuple[int, ...]) -> list[tuple[float | None, tuple[int, ...]]]:
        """Returns each possible next score with the counts after it."""
        return [
            (value, (*state[:place], state[place] + 1, *state[place + 1 :]))
            for place, value in enumerate(values)
            if state[place] < counts[place]
        ]

    @functools.cache
    def orders(state: tuple[int, ...]) -> int:
        """Returns the number of such orders of the remaining samples."""
        if state == counts:
            return 1
        if decided([value for value, count in zip(values, state, strict=True) for _ in range(count)]):
            return 0
        return sum(orders(further) for _, further in after(state))

    def first_scores(state: tuple[int, ...]) -> float:
        """Returns the sum of the first score over these orders, after a prefix without scores."""
        if not orders(state):
            return 0.0
        return math.fsum(first_scores(further) if value is None else value * orders(further) for value, further in after(state))

    none = (0,) * len(counts)
    return first_scores(none) / orders(none)


def _sampled(made: Scores, decided: Decided) -> float:
    """Returns the mean first score over a uniform sample of the orders: unbiased too, with a larger variance."""
    generator, first = random.Random(repr(made)), []
    for _ in range(min(SAMPLED, EFFORT // len(made) ** 2)):
        order = generator.sample(made, len(made))
        if len(_until_decided(order, decided)) == len(made):
            first.append(_first(order))
    return math.fsum(first) / len(first) if first else _first(made)


def _first(scores: Scores) -> float:
    return next(score for score in scores if score is not None)
