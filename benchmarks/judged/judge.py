"""Questions to a judge, many at once.

The answers are stored as they come, or batch after batch. If an answer cannot be read, the judge is asked again.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypedDict

from ... import disk
from ...core import Conversation, Policy, Problem, Sampling
from ...policies.play.completions import in_parts
from ...policies.store import Store
from ...responses import complete_words, without_thinking

ATTEMPTS = 3
"""Maximum number of times that a question is asked. If no answer can be read, it counts as unjudged. Our choice."""
SAMPLING = Sampling(temperature=0.0, max_tokens=4096)
"""Sampling of the judge's first answer. Later attempts use temperature 1, because greedy decoding would repeat the answer."""
CHARACTERS_PER_TOKEN = 4
"""Rule of thumb for the estimated cost."""

Value = Any
"""The value of an answer. Each benchmark has a type of its own; see the benchmark's `read`."""


class AnswerRow(TypedDict):
    """A row of the store of the judge's answers."""

    question: str
    """Digest of the question."""
    attempt: int
    """Number of the attempt, from 0."""
    text: str


class Benchmark(Protocol):
    """The functions of a module of this folder."""

    def questions(self, problem: Problem, response: str) -> list[Conversation]:
        """Returns what the judge is asked about one response."""
        ...

    def worst(self, problem: Problem) -> Sequence[Value]:
        """Returns the values of an empty response, about which the judge is not asked."""
        ...

    def read(self, text: str) -> Value | None:
        """Returns the value of the judge's answer to one question; None if it cannot be read."""
        ...

    def score(self, problem: Problem, values: Sequence[Value]) -> float:
        """Returns a response's score, 0..1, from the values of all its questions."""
        ...

    def summary(self, rows: "Sequence[Judged]") -> dict[str, float]:
        """Returns the benchmark's own metrics over all responses, by name."""
        ...


class Judged(NamedTuple):
    """A response with the judge's answers and its score."""

    problem: Problem
    response: str
    """The judged text: the response without its reasoning."""
    values: tuple[Value, ...]
    """One value per question; None if no answer could be read."""
    texts: tuple[str, ...]
    """The judge's answers as text, one per question."""
    score: float | None
    """0..1; None if a question is unjudged."""


class JudgeCost(NamedTuple):
    """Estimated cost of judging."""

    questions: int
    stored: int
    """Questions with a stored answer."""
    tokens: int
    """Estimated tokens of the other questions."""

    def __str__(self) -> str:
        remaining = self.questions - self.stored
        return f"{remaining:,} questions to the judge ({self.stored:,} more are stored), about {self.tokens:,} prompt tokens"


def cost(
    benchmark: Benchmark,
    responses: Sequence[tuple[Problem, str]],
    store: str | Path | None,
    store_settings: Mapping[str, object],
) -> JudgeCost:
    """Returns the estimated cost of judging these responses.

    Args:
        benchmark: a module of this folder.
        responses: problems with one response each.
        store: file of the judge's stored answers.
        store_settings: facts that must equal those of the store, such as the judge's URI.
    """
    stored: Store[AnswerRow] | None = Store(store, store_settings, _check) if store and Path(store).exists() else None
    answered = {row["question"] for row in stored.rows} if stored else set()
    questions = [question for problem, response in responses for question in _questions(benchmark, problem, _shown(response))]
    remaining = [question for question in questions if _name(question) not in answered]
    characters = sum(len(turn["content"]) for question in remaining for turn in question)
    return JudgeCost(len(questions), len(questions) - len(remaining), characters // CHARACTERS_PER_TOKEN)


def judge(
    benchmark: Benchmark,
    responses: Sequence[tuple[Problem, str]],
    policy: Policy,
    store_settings: Mapping[str, object],
    store: str | Path | None = None,
    progress: Callable[..., None] | None = None,
) -> list[Judged]:
    """Judges responses with a policy.

    Args:
        benchmark: a module of this folder.
        responses: problems with one response each, including its reasoning. The judge does not see the reasoning. A response
            without other text gets the lowest score, and the judge is not asked about it.
        policy: the judge.
        store_settings: facts that must equal those of the store, such as the judge's URI.
        store: file of the judge's answers, to read and to extend.
        progress: called as progress(questions answered, all questions).
    """
    shown = [(problem, _shown(response)) for problem, response in responses]
    all_questions = [_questions(benchmark, problem, text) for problem, text in shown]
    by_name = {_name(question): question for questions in all_questions for question in questions}
    answers = _answers(
        benchmark,
        by_name,
        policy,
        Store(store, store_settings, _check) if store else None,
        progress or (lambda done, total: None),
    )
    judged = []
    for (problem, response), questions in zip(shown, all_questions, strict=True):
        texts = tuple(answers[_name(question)] for question in questions)
        read = [benchmark.read(without_thinking(text)) for text in texts] if response else benchmark.worst(problem)
        values = tuple(read)
        score = None if any(value is None for value in values) else benchmark.score(problem, values)
        judged.append(Judged(problem, response, values, texts, score))
    return judged


def _shown(response: str) -> str:
    """Returns the part of a response that the judge sees."""
    return without_thinking(response).strip()


def _questions(benchmark: Benchmark, problem: Problem, shown: str) -> list[Conversation]:
    """Returns the questions about the part of a response that the judge sees; none if that part is empty."""
    return benchmark.questions(problem, shown) if shown else []


def filled(template: str, **values: str) -> str:
    """Returns a template with its `{names}` replaced. Names inside the values are not replaced."""
    return re.sub(r"\{(\w+)\}", lambda name: values.get(name[1], name[0]), template)


def _answers(
    benchmark: Benchmark,
    questions: dict[str, Conversation],
    policy: Policy,
    store: Store[AnswerRow] | None,
    progress: Callable[..., None],
) -> dict[str, str]:
    """Returns the judge's last answer to each question, by the question's name."""
    answers: dict[str, str] = {}
    attempts: dict[str, int] = {}
    for row in store.rows if store else ():
        answers[row["question"]], attempts[row["question"]] = row["text"], row["attempt"] + 1
    for attempt in range(ATTEMPTS):
        left = [
            name
            for name in questions
            if attempts.get(name, 0) == attempt
            and (name not in answers or benchmark.read(without_thinking(answers[name])) is None)
        ]
        sampling = SAMPLING if not attempt else dataclasses.replace(SAMPLING, temperature=1.0, seed=attempt)
        for places, rows in in_parts(policy, [questions[name] for name in left], 1, sampling, left):
            completions = {left[place]: completion for place, (completion,) in zip(places, rows, strict=True)}
            texts = {
                name: complete_words(completion.text) if completion.finish_reason == "length" else completion.text
                for name, completion in completions.items()
            }
            for name, text in texts.items():
                answers[name], attempts[name] = text, attempt + 1
            if store:  # without the server's faults, so that a later run asks again
                store.append(
                    {"question": name, "attempt": attempt, "text": texts[name]}
                    for name, completion in completions.items()
                    if completion.finish_reason != "fault"
                )
            progress(len(answers.keys() & questions.keys()), len(questions))
    return answers


def _check(row: dict[str, Any]) -> None:
    """Raises if a stored row is not a judge's answer."""
    disk.check_types(row, question=str, attempt=int, text=str)


def _name(question: Conversation) -> str:
    return hashlib.sha256(json.dumps(list(question)).encode()).hexdigest()[:24]
