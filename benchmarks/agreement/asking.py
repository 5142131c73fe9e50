"""Verdicts of a judge on pairs of responses, in both orders.

There are two questions. `arena_hard` is that of Arena-Hard (`judged/arena_hard.py`), with its settings: the judge gives reasons
and one of five verdicts. `preference` is that of reward models and preference environments (`policies/preference.py`): the
judge answers with a letter. As in both uses, a response without text loses, and the judge is not asked about it.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypedDict

from ... import disk
from ...core import Message, Policy, Problem, PromptRefused, UserError, batch_size
from ...policies.preference import PairwiseJudge
from ...policies.server.replies import InvalidReply
from ...policies.store import Store
from ...verifiers import pairwise
from ...verifiers.pairwise import ResponsePair
from .. import judged
from ..judged import JudgeSettings, arena_hard
from .votes import TIE, Vote, VotedPair, question_text

QUESTIONS = ("arena_hard", "preference")
Progress = Callable[..., None]
"""Called as progress(questions answered, all questions)."""
STORED_TOGETHER = 64
"""Questions about A and B that are asked at a time, at most. A kill loses their answers. vLLM on a CPU computes as many."""


class PairVerdict(NamedTuple):
    """A judge's verdict on a pair, from the side of the pair's first response."""

    shown_first: float | None
    """1.0 if it is better, 0.0 if it is worse, 0.5 for a tie, or a probability, if it is shown first; None: unreadable."""
    shown_second: float | None
    """The same if it is shown second."""
    asked: bool = True
    """False if the judge was not asked in both orders: a response is empty, or the verdict is a published one."""
    tokens: int = 0
    """Tokens of the answers, as far as they are known."""
    seconds: float = 0.0
    """Wall time of the answers. The time of questions that are asked at once is divided among them."""
    faults: int = 0
    """Questions without an answer because the server failed."""

    @property
    def verdict(self) -> Vote | None:
        """The verdict if it is the same in both orders, else a tie; None if one of them is unreadable."""
        if self.shown_first is None or self.shown_second is None:
            return None
        first, second = vote_of(self.shown_first), vote_of(self.shown_second)
        return first if first == second else TIE

    @property
    def mean(self) -> Vote:
        """The verdict of the mean over both orders. An unreadable answer counts as a tie."""
        return vote_of(sum(TIE if value is None else value for value in (self.shown_first, self.shown_second)) / 2)


class LetterRow(TypedDict):
    """A row of the store of answers to the question `preference`."""

    question: str
    """Digest of the question."""
    probability: float | None
    """Probability that the response that is shown first is better; None: the judge answers with another text."""
    seconds: float


def vote_of(value: float) -> Vote:
    """Returns the vote that a probability stands for."""
    return TIE if value == TIE else float(value > TIE)


def check_letter(row: dict[str, Any]) -> None:
    """Raises if a stored row is no answer to the question `preference`."""
    disk.check_types(row, question=str, probability=(int, float, type(None)), seconds=(int, float))


def arena_hard_cost(
    pairs: Sequence[VotedPair], settings: JudgeSettings, store: str | None, store_settings: Mapping[str, object]
) -> judged.JudgeCost:
    """Returns the estimated cost of `by_arena_hard`.

    Args:
        pairs: see `by_arena_hard`.
        settings: see `by_arena_hard`.
        store: see `by_arena_hard`.
        store_settings: see `by_arena_hard`.

    Raises:
        UserError: the file was made with other settings.
    """
    return judged.cost(arena_hard, _responses(pairs), store, store_settings, settings)


def by_arena_hard(
    pairs: Sequence[VotedPair],
    policy: Policy,
    settings: JudgeSettings,
    store: str | None,
    store_settings: Mapping[str, object],
    progress: Progress,
) -> list[PairVerdict]:
    """Returns the verdicts of a judge that is asked the question of Arena-Hard.

    Args:
        pairs: the pairs. The votes are not used.
        policy: the judge.
        settings: how it is asked.
        store: file of its answers, to read and to extend; None: they are not stored.
        store_settings: facts that must equal those of the file.
        progress: see `Progress`.
    """
    rows = iter(judged.judge(arena_hard, _responses(pairs), policy, store_settings, settings, store, progress))
    return [_undisputed(pair) or _of_judged(next(rows)) for pair in pairs]


def by_preference(
    pairs: Sequence[VotedPair], policy: Policy, store: Store[LetterRow] | None, progress: Progress
) -> list[PairVerdict]:
    """Returns the verdicts of a judge that is asked which response is better, A or B.

    Args:
        pairs: the pairs. The votes are not used.
        policy: the judge.
        store: its answers, to read and to extend.
        progress: see `Progress`.

    Raises:
        UserError: the server fails.
    """
    orders = [order for pair in pairs if _undisputed(pair) is None for order in _orders(pair)]
    questions = {_digest(order): order for order in orders}
    rows = {row["question"]: row for row in (store.rows if store else ())}
    left = [name for name in questions if name not in rows]
    prefer, size = PairwiseJudge(policy), min(batch_size(policy), STORED_TOGETHER)
    progress(len(questions) - len(left), len(questions))
    for start in range(0, len(left), size):
        names, started = left[start : start + size], time.perf_counter()
        probabilities = _probabilities(prefer, [questions[name] for name in names])
        seconds = (time.perf_counter() - started) / len(names)
        found = [
            LetterRow(question=name, probability=None if math.isnan(value) else value, seconds=seconds)
            for name, value in zip(names, probabilities, strict=True)
        ]
        rows |= {row["question"]: row for row in found}
        if store:
            store.append(found)
        progress(len(questions) - len(left) + start + len(names), len(questions))
    answers: Iterator[LetterRow] = (rows[_digest(order)] for order in orders)
    return [_undisputed(pair) or _of_letters(next(answers), next(answers)) for pair in pairs]


def published(pairs: Sequence[VotedPair], verdicts: Sequence[VotedPair]) -> list[PairVerdict | None]:
    """Returns published verdicts on pairs; None for a pair without one. The last of several verdicts on a pair counts.

    The question, the part and the models must be equal, as in MT-Bench; without models the texts.

    Args:
        pairs: the pairs.
        verdicts: pairs whose votes are the verdicts.
    """

    def name(pair: VotedPair) -> tuple[object, ...]:
        return (pair.question, pair.part, pair.models) if all(pair.models) else pair.key

    found = {name(pair): PairVerdict(pair.votes[-1], pair.votes[-1], asked=False) for pair in verdicts}
    return [found.get(name(pair)) for pair in pairs]


def _undisputed(pair: VotedPair) -> PairVerdict | None:
    """Returns the verdict on a pair with an empty response; None if both have text."""
    if pair.first and pair.second:
        return None
    value = TIE if pair.first == pair.second else float(bool(pair.first))
    return PairVerdict(value, value, asked=False)


def _responses(pairs: Sequence[VotedPair]) -> list[tuple[Problem, str]]:
    """Returns the pairs about which a judge is asked, as responses to problems whose baseline is the first response."""
    return [
        (Problem("", (Message(role="user", content=question_text(pair)),), pair.first, ""), pair.second)
        for pair in pairs
        if _undisputed(pair) is None
    ]


def _of_judged(row: judged.Judged) -> PairVerdict:
    """Returns a verdict of Arena-Hard's judge. A clear win counts as a win. In the second order the first response is B."""
    first, second = (value[0] if value else None for value in row.values)
    return PairVerdict(first, None if second is None else 1 - second, tokens=row.tokens, seconds=row.seconds, faults=row.faults)


def _of_letters(first: LetterRow, second: LetterRow) -> PairVerdict:
    reversed_value = None if second["probability"] is None else 1 - second["probability"]
    return PairVerdict(first["probability"], reversed_value, seconds=first["seconds"] + second["seconds"])


def _orders(pair: VotedPair) -> list[ResponsePair]:
    """Returns a pair as the question `preference` shows it, in both orders."""
    prompt = [Message(role="user", content=question_text(pair))]
    first, second = pairwise.shown(pair.first), pairwise.shown(pair.second)
    return [(prompt, first, second), (prompt, second, first)]


def _probabilities(prefer: PairwiseJudge, questions: Sequence[ResponsePair]) -> list[float]:
    """Returns the probability of the response that is shown first; NaN for an answer that is no letter and for a refusal.

    Raises:
        UserError: the server fails.
    """
    try:
        return prefer(questions)
    except (ValueError, UserError) as error:
        if isinstance(error, UserError) and not isinstance(error.__cause__, InvalidReply | PromptRefused):
            raise
    if len(questions) == 1:
        return [math.nan]
    return [value for question in questions for value in _probabilities(prefer, [question])]  # finds the others' answers


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:24]
