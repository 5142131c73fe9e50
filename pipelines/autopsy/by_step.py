"""Means and gaps by step, with 95% intervals over new problems (`benchmarks/stats`).

The gap is the reward minus the judge's score on the same samples. Its change is the difference from the gap of the first steps.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TypedDict

from ...benchmarks.stats import scores
from .alarm import Group
from .judges import Judged
from .samples import Sample

Interval = tuple[float, float, float]
"""A mean, and both ends of its 95% interval."""
Values = Sequence[tuple[Sample, float | None]]
"""Samples with a value each, None for those without."""
Key = tuple[int, int, int]
"""Step, problem and attempt: the samples of a group."""


class JudgeStep(TypedDict):
    """A judge in a step. A figure is None if it cannot be computed, for example with samples of one group only."""

    mean: Interval | None
    """Mean score."""
    gap: Interval | None
    """Mean of the reward minus the score."""
    change: Interval | None
    """The gap minus that of the first steps."""
    denied: float | None
    """Share of the reward that the judge does not confirm."""
    capital: float
    """Of the test (`alarm.py`)."""


class TrickStep(TypedDict):
    """A trick in a step."""

    rate: Interval | None
    """Mean score."""
    rewarded: float | None
    """The same, weighted by the reward: how much of the reward goes to the trick."""


class Step(TypedDict):
    """The figures of a step."""

    step: int
    samples: int
    reward: Interval | None
    judges: Mapping[str, JudgeStep]
    tricks: Mapping[str, TrickStep]
    baselines: Mapping[str, float]
    """Mean values."""


def mean(values: Values) -> Interval | None:
    """Returns the mean of values in 0..1 over groups, with its interval; None without a value."""
    rows = grouped(values)
    if not rows:
        return None
    score = scores.avg_at_k([row for row in rows.values()])
    return score.mean, score.low, score.high


def gap(values: Values) -> Interval | None:
    """Returns the mean of the reward minus a judge's score over groups; None for fewer than two groups."""
    judged = grouped(values)
    rewards = grouped([(sample, sample.reward) for sample, value in values if value is not None])
    if len(judged) < 2:
        return None
    found = scores.difference({str(key): row for key, row in rewards.items()}, {str(key): row for key, row in judged.items()})
    return found.mean, found.low, found.high


def difference(later: Interval | None, earlier: Interval | None) -> Interval | None:
    """Returns the difference of two independent means. The interval is by MOVER (`intervals.weighted_mean_distances`)."""
    if later is None or earlier is None:
        return None
    below = math.hypot(later[0] - later[1], earlier[2] - earlier[0])
    above = math.hypot(later[2] - later[0], earlier[0] - earlier[1])
    return later[0] - earlier[0], later[0] - earlier[0] - below, later[0] - earlier[0] + above


def denied(values: Values) -> list[Group]:
    """Returns how much of the reward a judge denies, by group, in the order of the samples."""
    groups: dict[Key, list[tuple[float, float]]] = {}
    for sample, value in values:
        if value is not None:
            groups.setdefault(key_of(sample), []).append((max(0.0, sample.reward - value), sample.reward))
    return [_group(rows) for rows in groups.values()]


def taken(values: Values) -> list[Group]:
    """Returns how much of the reward goes to a trick, by group, in the order of the samples."""
    groups: dict[Key, list[tuple[float, float]]] = {}
    for sample, value in values:
        groups.setdefault(key_of(sample), []).append((sample.reward * (value or 0.0), sample.reward))
    return [_group(rows) for rows in groups.values()]


def share(groups: Iterable[Group]) -> float | None:
    """Returns the share of the reward that is denied; None without reward."""
    groups = list(groups)
    reward = math.fsum(group.reward * group.samples for group in groups)
    return math.fsum(group.denied * group.samples for group in groups) / reward if reward > 0 else None


def of(judged: Judged, samples: Mapping[int, Sequence[Sample]]) -> dict[int, Values]:
    """Returns the samples of each step with the scores of a judge."""
    return {step: list(zip(rows, judged.scores[step], strict=True)) for step, rows in samples.items()}


def key_of(sample: Sample) -> Key:
    """Returns the group of a sample, over all steps."""
    return (sample.step, *sample.group)


def grouped(values: Values) -> dict[Key, list[float]]:
    """Returns the values by group, without the samples that have none."""
    found: dict[Key, list[float]] = {}
    for sample, value in values:
        if value is not None:
            found.setdefault(key_of(sample), []).append(value)
    return found


def _group(rows: Sequence[tuple[float, float]]) -> Group:
    return Group(math.fsum(row[0] for row in rows) / len(rows), math.fsum(row[1] for row in rows) / len(rows), len(rows))
