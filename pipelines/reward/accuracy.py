"""Accuracy, calibration and length bias of a judge on labelled pairs of responses, and two simple baselines.

The judge receives every pair in both orders. The 95% intervals are over new problems (`scores.py`), because the pairs of one
problem are not independent.
"""

import functools
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from ...benchmarks.stats.scores import Score, avg_at_k
from ...envs.problems.pairs import PreferencePair
from ...verifiers.pairwise import Prefer, ResponsePair

Array = NDArray[np.float64]

BINS = 10
"""Number of bins for the calibration error. Our choice."""
WORDS = 2_000
"""Number of most common words in the bag of words. With `TRAIN_PAIRS` it keeps the table of counts below 100 MB. Our choice."""
TRAIN_PAIRS = 5_000
"""Largest number of pairs that the bag of words is trained on. Our choice."""
RIDGES = (1.0, 10.0, 100.0, 1000.0)
"""Ridge penalties for the summed loss. The most accurate one on a fifth of the training problems is used. Our choice."""


@dataclass(frozen=True, slots=True)
class JudgedPair:
    """A pair with a judge's probabilities."""

    pair: PreferencePair
    first: float
    """Probability that the chosen response is better when it is shown first."""
    second: float
    """Probability that the chosen response is better when it is shown second."""

    @property
    def probability(self) -> float:
        """Mean of both orders."""
        return (self.first + self.second) / 2


def compare(prefer: Prefer, pairs: Sequence[PreferencePair]) -> list[JudgedPair]:
    """Asks the judge about every pair in both orders. A pair with an order that it does not answer (NaN) is left out."""
    first = prefer([question for pair in pairs for question in orders(pair)])
    judged = [JudgedPair(pair, first[2 * i], 1 - first[2 * i + 1]) for i, pair in enumerate(pairs)]
    return [row for row in judged if not math.isnan(row.probability)]


def orders(pair: PreferencePair) -> list[ResponsePair]:
    """Returns a pair in both orders: the chosen response first, then second."""
    return [(pair.prompt, pair.chosen, pair.rejected), (pair.prompt, pair.rejected, pair.chosen)]


def accuracy(pairs: Sequence[PreferencePair], margins: Sequence[float]) -> Score:
    """Returns the share of pairs with a margin above 0 (a margin of 0 counts half), as the mean over problems."""
    rows: dict[str, list[float]] = {}
    for pair, margin in zip(pairs, margins, strict=True):
        rows.setdefault(pair.prompt_text, []).append((1 + np.sign(margin)) / 2)
    return avg_at_k(list(rows.values()))


def margins(judged: Sequence[JudgedPair]) -> list[float]:
    """Returns the probability of the chosen response minus 0.5, for each pair."""
    return [row.probability - 0.5 for row in judged]


def agreement(judged: Sequence[JudgedPair]) -> float:
    """Returns the share of pairs for which both orders give the same winner."""
    return fmean((row.first > 0.5) == (row.second > 0.5) for row in judged)


def first_shown(judged: Sequence[JudgedPair]) -> float:
    """Returns the mean probability of the response that is shown first. It is 0.5 without position bias."""
    return fmean((row.first + 1 - row.second) / 2 for row in judged)


@dataclass(frozen=True, slots=True)
class Bin:
    """A bin of the reliability diagram."""

    probability: float
    """Mean predicted probability."""
    correct: float
    """Share of the bin's points whose outcome is 1."""
    count: int


def calibration(judged: Sequence[JudgedPair]) -> tuple[float, list[Bin]]:
    """Returns the expected calibration error over bins of equal width (Guo et al., 2017), and all bins that are not empty.

    A pair whose chosen response has probability p counts twice: as p with outcome 1 and as 1 - p with outcome 0. Therefore the
    result does not depend on the order of the two responses.
    """
    points = [point for row in judged for point in ((row.probability, 1.0), (1 - row.probability, 0.0))]
    bins: list[list[tuple[float, float]]] = [[] for _ in range(BINS)]
    for probability, outcome in points:
        bins[min(BINS - 1, int(probability * BINS))].append((probability, outcome))
    found = [Bin(fmean(p for p, _ in own), fmean(outcome for _, outcome in own), len(own)) for own in bins if own]
    return sum(own.count * abs(own.probability - own.correct) for own in found) / len(points), found


@dataclass(frozen=True, slots=True)
class LengthBias:
    """Dependence of a judge's preference on length."""

    longer: Score | None
    """Accuracy on pairs whose chosen response is longer; None without such pairs."""
    shorter: Score | None
    """Accuracy on pairs whose chosen response is shorter; None without such pairs."""
    correlation: float
    """Pearson correlation of the margin with the difference in characters, where each pair counts in both orders; 0 if the
    margin or the difference is always 0."""


def length_bias(judged: Sequence[JudgedPair]) -> LengthBias:
    """Returns the dependence of the judge's preference on length."""
    differences = [len(row.pair.chosen) - len(row.pair.rejected) for row in judged]
    found = margins(judged)

    def of(sign: int) -> Score | None:
        kept = [(row.pair, m) for row, m, difference in zip(judged, found, differences, strict=True) if difference * sign > 0]
        return accuracy([pair for pair, _ in kept], [margin for _, margin in kept]) if kept else None

    # The means are not subtracted, because they are 0: every pair counts in both orders, and margin and difference have the
    # opposite sign in the other order.
    spread = math.sqrt(fmean(m * m for m in found) * fmean(d * d for d in differences))
    covariance = fmean(m * d for m, d in zip(found, differences, strict=True))
    return LengthBias(of(1), of(-1), covariance / spread if spread else 0.0)


def always_longer(pairs: Sequence[PreferencePair]) -> list[float]:
    """Returns the margins of a judge that prefers the longer response."""
    return [float(len(pair.chosen) - len(pair.rejected)) for pair in pairs]


def bag_of_words(train: Sequence[PreferencePair]) -> Callable[[Sequence[PreferencePair]], list[float]]:
    """Trains a logistic regression on differences of word counts. All numbers count as one word.

    Returns:
        A function that returns the margins of pairs.
    """
    train = train[:TRAIN_PAIRS]
    counted = Counter(word for pair in train for text in (pair.chosen, pair.rejected) for word in set(_words(text)))
    columns = {word: column for column, (word, _) in enumerate(counted.most_common(WORDS))}
    table = _differences(train, columns)
    problems = {group: number for number, group in enumerate(dict.fromkeys(pair.prompt_text for pair in train))}
    validation = np.array([problems[pair.prompt_text] % 5 == 4 for pair in train])

    def accuracy_with(ridge: float) -> float:
        return float((table[validation] @ _weights(table[~validation], ridge) > 0).mean()) if validation.any() else 0.0

    correct = [accuracy_with(ridge) for ridge in RIDGES]
    return functools.partial(_by_words, columns, _weights(table, RIDGES[int(np.argmax(correct))]))


def _weights(table: Array, ridge: float) -> Array:
    """Returns the weights (words,) that maximize the penalized likelihood of positive margins; table is (pairs, words)."""

    def loss(weights: Array) -> tuple[float, Array]:
        margin = table @ weights
        value = np.logaddexp(0, -margin).sum() + ridge / 2 * weights @ weights
        return float(value), -table.T @ special.expit(-margin) + ridge * weights

    return optimize.minimize(loss, np.zeros(table.shape[1]), jac=True, method="L-BFGS-B").x


def _by_words(columns: dict[str, int], weights: Array, pairs: Sequence[PreferencePair]) -> list[float]:
    return (_differences(pairs, columns) @ weights).tolist()


def _differences(pairs: Sequence[PreferencePair], columns: dict[str, int]) -> Array:
    """Returns the word counts of the chosen response minus those of the rejected one, (pairs, words)."""
    table = np.zeros((len(pairs), len(columns)))
    for row, pair in enumerate(pairs):
        for text, sign in ((pair.chosen, 1), (pair.rejected, -1)):
            for word in _words(text):
                if word in columns:
                    table[row, columns[word]] += sign
    return table


def _words(text: str) -> list[str]:
    return ["0" if word.isdigit() else word for word in re.findall(r"\w+|[^\w\s]", text.casefold())]
