"""How good a judge of two responses is, where the better one is known: accuracy, calibration, what it goes by instead.

Every pair is asked in both orders. Intervals are over questions (`scores.py`): pairs of one question share its difficulty.
"""

import functools
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from ...benchmarks.stats.scores import Score, avg_at_k
from ...envs.problems.pairs import PreferencePair
from ...verifiers.pairwise import Prefer

Array = NDArray[np.float64]

BINS = 10
WORDS = 2_000
"""Most common words that the bag of words counts; with `LEARNT` it keeps the table of counts below 100 MB."""
LEARNT = 5_000
"""Most pairs that the bag of words learns from."""
RIDGES = (1.0, 10.0, 100.0, 1000.0)
"""Weights of the squared weights beside the summed loss, of which a fifth of the questions learnt from chooses."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A pair and what a judge said of it."""

    pair: PreferencePair
    first: float
    """Probability that the chosen one is better, shown first."""
    second: float
    """The same, shown second."""

    @property
    def chance(self) -> float:
        """The mean of both orders."""
        return (self.first + self.second) / 2


def compare(prefer: Prefer, pairs: Sequence[PreferencePair]) -> list[Compared]:
    """Asks about every pair, in both orders."""
    told = prefer([question for pair in pairs for question in orders(pair)])
    return [Compared(pair, told[2 * i], 1 - told[2 * i + 1]) for i, pair in enumerate(pairs)]


def orders(pair: PreferencePair) -> list[tuple[Any, str, str]]:
    """The two questions that a pair makes, the chosen one first in the first."""
    return [(pair.prompt, pair.chosen, pair.rejected), (pair.prompt, pair.rejected, pair.chosen)]


def accuracy(pairs: Sequence[PreferencePair], margins: Sequence[float]) -> Score:
    """How often the chosen response has a margin above 0 (0 counts half): the mean over questions, and its interval."""
    rows: dict[str, list[float]] = {}
    for pair, margin in zip(pairs, margins, strict=True):
        rows.setdefault(pair.group, []).append((1 + np.sign(margin)) / 2)
    return avg_at_k(list(rows.values()))


def margins(compared: Sequence[Compared]) -> list[float]:
    """By how much the chosen one is found better: -0.5 to 0.5."""
    return [one.chance - 0.5 for one in compared]


def agreement(compared: Sequence[Compared]) -> float:
    """Share of pairs of which both orders name the same winner."""
    return fmean((one.first > 0.5) == (one.second > 0.5) for one in compared)


def first_shown(compared: Sequence[Compared]) -> float:
    """Mean probability given to whichever response is shown first: 0.5 where the place does not matter."""
    return fmean((one.first + 1 - one.second) / 2 for one in compared)


@dataclass(frozen=True, slots=True)
class Bin:
    """Pairs that a judge is about as sure of."""

    chance: float
    """Mean probability given."""
    right: float
    """Share in which it came true."""
    count: int


def calibration(compared: Sequence[Compared]) -> tuple[float, list[Bin]]:
    """Expected calibration error over 10 bins of equal width (Guo et al., 2017), and the bins that hold any.

    A pair of which the chosen one is better with probability p counts twice, as p that came true and 1 - p that did not: the
    bins mirror each other, whichever response is called the first.
    """
    points = [point for one in compared for point in ((one.chance, 1.0), (1 - one.chance, 0.0))]
    bins: list[list[tuple[float, float]]] = [[] for _ in range(BINS)]
    for chance, true in points:
        bins[min(BINS - 1, int(chance * BINS))].append((chance, true))
    found = [Bin(fmean(c for c, _ in own), fmean(true for _, true in own), len(own)) for own in bins if own]
    return sum(own.count * abs(own.chance - own.right) for own in found) / len(points), found


@dataclass(frozen=True, slots=True)
class LengthBias:
    """What length has to do with a judge's choice."""

    longer: Score | None
    """Accuracy where the chosen response is the longer one; None where it never is."""
    shorter: Score | None
    """The same where it is the shorter one."""
    correlation: float
    """Pearson's, of the margin and the difference in characters; 0 where either is always the same."""


def length_bias(compared: Sequence[Compared]) -> LengthBias:
    """What length has to do with the judge's choice."""
    by = [len(one.pair.chosen) - len(one.pair.rejected) for one in compared]
    found = margins(compared)

    def of(sign: int) -> Score | None:
        kept = [(one.pair, margin) for one, margin, more in zip(compared, found, by, strict=True) if more * sign > 0]
        return accuracy([pair for pair, _ in kept], [margin for _, margin in kept]) if kept else None

    # Which of a pair is called the chosen one must not matter: every pair counts in both directions.
    spread = math.sqrt(fmean(m * m for m in found) * fmean(d * d for d in by))
    return LengthBias(of(1), of(-1), fmean(m * d for m, d in zip(found, by, strict=True)) / spread if spread else 0.0)


def always_longer(pairs: Sequence[PreferencePair]) -> list[float]:
    """The margins of a judge that prefers the longer response."""
    return [float(len(pair.chosen) - len(pair.rejected)) for pair in pairs]


def bag_of_words(train: Sequence[PreferencePair]) -> Callable[[Sequence[PreferencePair]], list[float]]:
    """A judge that goes by the difference in word counts: logistic regression, numbers counted as one word.

    Returns:
        A function of pairs that gives their margins.
    """
    train = train[:LEARNT]
    counted = Counter(word for pair in train for text in (pair.chosen, pair.rejected) for word in set(_words(text)))
    places = {word: place for place, (word, _) in enumerate(counted.most_common(WORDS))}
    table = _differences(train, places)
    questions = {group: place for place, group in enumerate(dict.fromkeys(pair.group for pair in train))}
    aside = np.array([questions[pair.group] % 5 == 4 for pair in train])
    right = [float((table[aside] @ _weights(table[~aside], ridge) > 0).mean()) if aside.any() else 0 for ridge in RIDGES]
    return functools.partial(_by_words, places, _weights(table, RIDGES[int(np.argmax(right))]))


def _weights(table: Array, ridge: float) -> Array:
    """The weights of (pairs, words) for which margins above 0 are the most likely."""

    def loss(weights: Array) -> tuple[float, Array]:
        margin = table @ weights
        value = np.logaddexp(0, -margin).sum() + ridge / 2 * weights @ weights
        return float(value), -table.T @ special.expit(-margin) + ridge * weights

    return optimize.minimize(loss, np.zeros(table.shape[1]), jac=True, method="L-BFGS-B").x


def _by_words(places: dict[str, int], weights: Array, pairs: Sequence[PreferencePair]) -> list[float]:
    return (_differences(pairs, places) @ weights).tolist()


def _differences(pairs: Sequence[PreferencePair], places: dict[str, int]) -> Array:
    """Word counts of the chosen response less those of the rejected one, (pairs, words)."""
    table = np.zeros((len(pairs), len(places)))
    for row, pair in enumerate(pairs):
        for text, sign in ((pair.chosen, 1), (pair.rejected, -1)):
            for word in _words(text):
                if word in places:
                    table[row, places[word]] += sign
    return table


def _words(text: str) -> list[str]:
    return ["0" if word.isdigit() else word for word in re.findall(r"\w+|[^\w\s]", text.casefold())]
