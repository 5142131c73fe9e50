"""A judge is asked: many questions at once, each answer stored as it comes, nonsense asked about again."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypedDict

from ... import disk
from ...core import Conversation, Incomplete, Policy, Problem, Sampling, batch_size
from ...policies.store import Store
from ...responses import without_thinking

TRIES = 3
"""Times that one question is put; then it counts as unjudged."""
SAMPLING = Sampling(temperature=0.0, max_tokens=4096)
"""How the judge answers at first; asked again, it samples at temperature 1, or it would say the same."""
CHARACTERS_A_TOKEN = 4
"""For the estimate of what judging costs; a rule of thumb."""


class AnswerRow(TypedDict):
    """What the judge said to a question, as a store has it."""

    question: str
    attempt: int
    text: str


class Benchmark(Protocol):
    """What a module of this folder offers; see the folder's docstring."""

    # ruff: noqa: D102
    def questions(self, problem: Problem, response: str) -> list[Conversation]: ...
    def worst(self, problem: Problem) -> Sequence[Any]: ...
    def read(self, text: str) -> Any: ...
    def score(self, problem: Problem, values: Sequence[Any]) -> float: ...
    def summary(self, rows: "Sequence[Judged]") -> dict[str, float]: ...


class Judged(NamedTuple):
    """One response and what the judge said of it."""

    problem: Problem
    response: str
    """What was judged of it: without its reasoning."""
    values: tuple[Any, ...]
    """An answer a question; None where the judge only ever said nonsense."""
    texts: tuple[str, ...]
    """The judge's own words."""
    score: float | None
    """0..1; None where a question is unjudged."""


class Cost(NamedTuple):
    """What judging would take."""

    questions: int
    stored: int
    """Of them, answered before."""
    tokens: int
    """Of the questions still to be asked, about."""

    def __str__(self) -> str:
        asked = self.questions - self.stored
        return f"{asked:,} questions to the judge ({self.stored:,} more are stored), about {self.tokens:,} tokens to read"


def cost(benchmark: Benchmark, responses: Sequence[tuple[Problem, str]], store: str | Path | None, who: dict[str, Any]) -> Cost:
    """What judging these responses will take."""
    kept: Store[AnswerRow] | None = Store(store, who, _check) if store and Path(store).exists() else None
    known = {row["question"] for row in kept.rows} if kept else set()
    asked = [question for problem, response in responses for question in _questions(benchmark, problem, _shown(response))]
    open_ones = [question for question in asked if _name(question) not in known]
    characters = sum(len(turn["content"]) for question in open_ones for turn in question)
    return Cost(len(asked), len(asked) - len(open_ones), characters // CHARACTERS_A_TOKEN)


def judge(
    benchmark: Benchmark,
    responses: Sequence[tuple[Problem, str]],
    policy: Policy,
    who: dict[str, Any],
    store: str | Path | None = None,
    progress: Callable[..., None] | None = None,
) -> list[Judged]:
    """Has a policy judge responses.

    Args:
        benchmark: a module of this folder.
        responses: problems with what was said to each, reasoning and all. The judge is not shown the reasoning. Of a response
            that has nothing else the judge is not asked: it is worth nothing.
        policy: the judge.
        who: what stored judgements must have been made with, the judge's URI.
        store: file to append the judge's answers to, and to take those from that are there already.
        progress: called as progress(questions answered, questions in all).
    """
    shown = [(problem, _shown(response)) for problem, response in responses]
    asked = [_questions(benchmark, problem, text) for problem, text in shown]
    flat = {_name(question): question for questions in asked for question in questions}
    said = _answers(
        benchmark, flat, policy, Store(store, who, _check) if store else None, progress or (lambda done, total: None)
    )
    judged = []
    for (problem, response), questions in zip(shown, asked, strict=True):
        texts = tuple(said[_name(question)] for question in questions)
        read = [benchmark.read(without_thinking(text)) for text in texts] if response else benchmark.worst(problem)
        values = tuple(read)
        score = None if any(value is None for value in values) else benchmark.score(problem, values)
        judged.append(Judged(problem, response, values, texts, score))
    return judged


def _shown(response: str) -> str:
    """What the judge sees of a response."""
    return without_thinking(response).strip()


def _questions(benchmark: Benchmark, problem: Problem, shown: str) -> list[Conversation]:
    """What the judge is asked about a response, as `_shown` has it: nothing where there is nothing to be seen."""
    return benchmark.questions(problem, shown) if shown else []


def filled(template: str, **values: str) -> str:
    """A template with its `{names}` replaced, all at once: what a response holds is not read as a name."""
    return re.sub(r"\{(\w+)\}", lambda name: values.get(name[1], name[0]), template)


def _answers(
    benchmark: Benchmark,
    asked: dict[str, Conversation],
    policy: Policy,
    store: Store[AnswerRow] | None,
    progress: Callable[..., None],
) -> dict[str, str]:
    """The judge's answer to each question: the last one tried."""
    said: dict[str, str] = {}
    tried: dict[str, int] = {}
    for row in store.rows if store else ():
        said[row["question"]], tried[row["question"]] = row["text"], row["attempt"] + 1
    size = batch_size(policy)
    for attempt in range(TRIES):
        left = [
            name
            for name in asked
            if tried.get(name, 0) == attempt and (name not in said or benchmark.read(without_thinking(said[name])) is None)
        ]
        sampling = SAMPLING if not attempt else dataclasses.replace(SAMPLING, temperature=1.0, seed=attempt)
        for start in range(0, len(left), size):
            batch = left[start : start + size]
            stopped = None
            try:
                sampled: Any = policy.generate([asked[name] for name in batch], 1, sampling, batch)
            except Incomplete as error:
                sampled, stopped = error.sampled, error
            came = {name: row[0] for name, row in zip(batch, sampled, strict=True) if row and row[0] is not None}
            for name, completion in came.items():
                said[name], tried[name] = completion.text, attempt + 1
            if store:  # a fault is the server's: a later run asks again
                store.append(
                    {"question": name, "attempt": attempt, "text": completion.text}
                    for name, completion in came.items()
                    if completion.finish_reason != "fault"
                )
            if stopped:
                raise stopped.error_to_raise
            progress(len(said.keys() & asked.keys()), len(asked))
    return said


def _check(row: dict[str, Any]) -> None:
    """Raises where a stored row is no answer of a judge."""
    disk.check_types(row, question=str, attempt=int, text=str)


def _name(question: Conversation) -> str:
    return hashlib.sha256(json.dumps(list(question)).encode()).hexdigest()[:24]
