"""How often a judge agrees with votes, and what its verdicts depend on.

Agreement is a share of votes: a vote is compared with the judge's verdict on its pair. "With ties" and "without ties" are the
setups S1 and S2 of MT-Bench (Zheng et al., "Judging LLM-as-a-judge with MT-Bench and Chatbot Arena", 2023). They are counted as
in FastChat's `compute_agreement.py`: a verdict that differs between the orders is a tie, and pairs with an unreadable verdict
are left out; without ties a vote counts if neither it nor the verdict is a tie. "Accuracy" is that of JudgeBench (Tan et al.,
2024): the mean of both orders decides, a tie of it is an error, an unreadable answer is a tie, and votes for ties do not count.

All intervals are 95% intervals over new questions, whose votes are not independent.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..stats import pooled
from .asking import PairVerdict, vote_of
from .votes import TIE, Vote, VotedPair

Array = NDArray[np.float64]

ROUNDS, SEED = 2_000, 0
"""Rounds of the bootstrap for kappa, and its seed. Our choice."""
TAIL = 0.025


class Comparison(NamedTuple):
    """Two opinions on a pair: of a judge and a voter, or of two voters."""

    question: str
    one: Vote
    other: Vote
    """The vote of a person, or the label."""
    weight: float = 1.0


class Share(NamedTuple):
    """A share of cases, with its interval."""

    mean: float
    low: float
    high: float
    cases: int
    """Votes, pairs of votes, or verdicts."""
    questions: int


class Agreement(NamedTuple):
    """How often opinions agree. A figure is None if no case counts for it."""

    with_ties: Share | None
    without_ties: Share | None
    accuracy: Share | None
    """None for voters with each other."""
    kappa: Share | None
    """Cohen's kappa with ties."""


class Bias(NamedTuple):
    """What a judge's verdicts depend on."""

    changed: Share | None
    """Pairs with another verdict if the responses are swapped."""
    shown_first: Share | None
    """Verdicts for the response that is shown first, of all verdicts of both orders; a tie is half of one."""
    longer: Share | None
    """Verdicts for the longer response. The votes of `longer_votes` are the cases."""
    longer_votes: Share | None
    """Votes for the longer response, of those that count without ties and whose responses differ in length."""
    on_longer: Share | None
    """Agreement without ties on votes for the longer response."""
    on_shorter: Share | None
    """Agreement without ties on votes for the shorter response."""


class Cost(NamedTuple):
    """The cost of a judge."""

    questions: int
    """Questions to the judge: two per pair."""
    unreadable: int
    """Questions without an answer that can be read. Faults are not counted."""
    faults: int
    """Questions that the server did not answer."""
    tokens: int
    seconds: float


def share(cases: Iterable[tuple[str, float, float]]) -> Share | None:
    """Returns a share with its interval; None without cases.

    Args:
        cases: the question of each case, its value (0..1) and its weight.
    """
    rows: dict[str, list[pooled.Part | None]] = {}
    count = 0.0
    for question, value, weight in cases:
        rows.setdefault(question, []).append(pooled.Part("all", value * weight, weight))
        count += weight
    if not rows:
        return None
    score = pooled.score([*rows.values()])
    return Share(score.mean, score.low, score.high, round(count), len(rows))


def agreement(pairs: Sequence[VotedPair], verdicts: Sequence[PairVerdict]) -> Agreement:
    """Returns the agreement of verdicts with all votes on their pairs."""
    judged = list(zip(pairs, verdicts, strict=True))
    readable = [Comparison(pair.question, one, vote) for pair, row, one, vote in _compared(judged)]
    decided = [(pair.question, float(row.mean == vote), 1.0) for pair, row in judged for vote in pair.votes if vote != TIE]
    return _agreement(readable)._replace(accuracy=share(decided))


def between_voters(pairs: Sequence[VotedPair]) -> Agreement:
    """Returns the agreement of voters with each other: of each two votes on the same pair, as FastChat counts them."""
    return _agreement(
        [
            Comparison(pair.question, vote, other, 0.5)  # in both orders, because neither voter is the first one
            for pair in pairs
            for place, vote in enumerate(pair.votes)
            for place_of_other, other in enumerate(pair.votes)
            if place != place_of_other
        ]
    )


def bias(pairs: Sequence[VotedPair], verdicts: Sequence[PairVerdict]) -> Bias:
    """Returns what verdicts depend on. Order is measured on the pairs about which the judge was asked in both orders."""
    judged = list(zip(pairs, verdicts, strict=True))
    orders = [
        (pair.question, vote_of(row.shown_first), vote_of(row.shown_second))
        for pair, row in judged
        if row.asked and row.shown_first is not None and row.shown_second is not None
    ]
    # The value of the longer response: 1.0 if it is preferred.
    lengths = [
        (pair.question, *((one, vote) if len(pair.first) > len(pair.second) else (1 - one, 1 - vote)))
        for pair, _, one, vote in _compared(judged)
        if TIE not in (one, vote) and len(pair.first) != len(pair.second)
    ]
    return Bias(
        changed=share((question, float(first != second), 1.0) for question, first, second in orders),
        shown_first=share((question, value, 1.0) for question, one, two in orders for value in (one, 1 - two)),
        longer=share((question, one, 1.0) for question, one, _ in lengths),
        longer_votes=share((question, vote, 1.0) for question, _, vote in lengths),
        on_longer=share((question, one, 1.0) for question, one, vote in lengths if vote == 1),
        on_shorter=share((question, 1 - one, 1.0) for question, one, vote in lengths if vote == 0),
    )


def cost(verdicts: Sequence[PairVerdict]) -> Cost:
    """Returns the cost of the verdicts for which the judge was asked."""
    asked = [row for row in verdicts if row.asked]
    faults = sum(row.faults for row in asked)
    missing = sum(value is None for row in asked for value in (row.shown_first, row.shown_second))
    tokens, seconds = sum(row.tokens for row in asked), sum(row.seconds for row in asked)
    return Cost(2 * len(asked), missing - faults, faults, tokens, seconds)


def _compared(judged: Sequence[tuple[VotedPair, PairVerdict]]) -> list[tuple[VotedPair, PairVerdict, Vote, Vote]]:
    """Returns each vote with the verdict on its pair, if that can be read."""
    return [(pair, row, row.verdict, vote) for pair, row in judged if row.verdict is not None for vote in pair.votes]


def _agreement(rows: Sequence[Comparison]) -> Agreement:
    with_ties = share((row.question, float(row.one == row.other), row.weight) for row in rows)
    decided = [row for row in rows if TIE not in (row.one, row.other)]
    without_ties = share((row.question, float(row.one == row.other), row.weight) for row in decided)
    return Agreement(with_ties, without_ties, None, _kappa(rows))


def _kappa(rows: Sequence[Comparison]) -> Share | None:
    """Returns Cohen's kappa with its bootstrap interval over questions; None if it is undefined: all opinions are ties.

    The interval of one question is -1..1.

    Each comparison counts in both orders of the two responses, because their order in a file means nothing. So the first
    response is as likely to win as the second one, and agreement by chance depends on the shares of ties only.
    """
    questions = {question: place for place, question in enumerate(dict.fromkeys(row.question for row in rows))}
    counts = np.zeros((len(questions), 4))
    for row in rows:
        values = (1, row.one == row.other, row.one == TIE, row.other == TIE)
        counts[questions[row.question]] += row.weight * np.array(values, dtype=float)
    if not len(counts) or np.isnan(found := _kappa_of(counts.sum(axis=0)[None])[0]):
        return None
    if len(counts) == 1:
        return Share(float(found), -1.0, 1.0, round(counts[0, 0]), 1)
    weights = np.random.default_rng(SEED).multinomial(len(counts), np.full(len(counts), 1 / len(counts)), size=ROUNDS)
    drawn = _kappa_of(weights @ counts)
    low, high = np.nanquantile(drawn, [TAIL, 1 - TAIL])
    return Share(float(found), float(low), float(high), round(counts[:, 0].sum()), len(counts))


def _kappa_of(sums: Array) -> Array:
    """Returns kappa from sums (samples, 4): comparisons, equal ones, ties of one side, ties of the other; NaN if undefined."""
    total, equal, ties, other_ties = sums.T
    one, other = ties / total, other_ties / total
    chance = one * other + (1 - one) * (1 - other) / 2
    return np.divide(equal / total - chance, 1 - chance, out=np.full_like(chance, np.nan), where=chance < 1)
