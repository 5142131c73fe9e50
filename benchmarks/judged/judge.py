"""Questions to a judge, many at once.

The answers are stored as they come, or batch after batch. If an answer cannot be read, the judge is asked again.
"""

import dataclasses
import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple, NotRequired, Protocol, TypedDict, runtime_checkable

from ... import disk
from ...core import Conversation, Policy, Problem, Sampling, UserError
from ...policies.play.completions import in_parts
from ...policies.store import Store
from ...responses import complete_words, without_thinking
from ..stats.pooled import Part

SAMPLING = Sampling(temperature=0.0, max_tokens=4096)
"""Sampling of a judge for which a benchmark publishes none. Our choice."""
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
    tokens: NotRequired[int]
    """Tokens of the answer; 0 if the server does not return them."""
    seconds: NotRequired[float]
    """Wall time of the answer. The time of questions that are asked at once is divided among them."""
    fault: NotRequired[bool]
    """True if the server failed. Such a row is not stored."""


@runtime_checkable
class SupportsResponseFormat(Protocol):
    """A policy on a server that can answer in a structured form."""

    response_format: Mapping[str, object] | None
    """The form in the server's syntax; None: text."""


@dataclasses.dataclass(frozen=True)
class JudgeSettings:
    """How a judge is asked."""

    prompts: Mapping[str, str]
    """Texts by name; each benchmark has its own names."""
    published: bool = False
    """True if the texts are those of the benchmark, False if they are ours."""
    sampling: Sampling = SAMPLING
    """Sampling of the first answer to a question. If it is greedy, later attempts have temperature 1, because greedy decoding
    would repeat the answer."""
    attempts: int = 3
    """Maximum number of times that a question is asked. If no answer can be read, it counts as unjudged."""


class Benchmark(Protocol):
    """The constants and functions of a module of this folder."""

    @property
    def OWN_PROMPTS(self) -> Mapping[str, str]:
        """Our prompts, which are used without the benchmark's files."""
        ...

    @property
    def RESPONSE_FORMAT(self) -> Mapping[str, object] | None:
        """The form of an answer in the syntax of OpenAI's servers; None: text."""
        ...

    def prompts(self, files: Mapping[str, str]) -> dict[str, str]:
        """Returns the published prompts from the contents of the benchmark's files, with the names of ours."""
        ...

    def questions(self, problem: Problem, response: str, prompts: Mapping[str, str]) -> list[Conversation]:
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

    def stratum(self, problem: Problem) -> str | None:
        """Returns a problem's stratum in the benchmark's score (`stats/pooled.py`); None if the score does not contain it."""
        ...

    def part(self, row: "Judged") -> Part:
        """Returns what a response with a score adds to the benchmark's score."""
        ...

    def summary(self, rows: "Sequence[Judged]") -> dict[str, float]:
        """Returns the benchmark's other metrics over all responses, and measurements of the judge, by name."""
        ...

    def differences(self, rows: "Sequence[Judged]") -> list[str]:
        """Returns what the benchmark's own program does otherwise with these responses and answers."""
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
    tokens: int = 0
    """Tokens of the judge's answers, as far as they are known."""
    seconds: float = 0.0
    """Wall time of the judge's answers, as far as it is known."""
    faults: int = 0
    """Questions without an answer because the server failed."""


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
    settings: JudgeSettings,
) -> JudgeCost:
    """Returns the estimated cost of judging these responses.

    Args:
        benchmark: a module of this folder.
        responses: problems with one response each.
        store: file of the judge's stored answers.
        store_settings: facts that must equal those of the store, such as the judge's URI.
        settings: how the judge is asked.
    """
    stored: Store[AnswerRow] | None = Store(store, store_settings, _check) if store and Path(store).exists() else None
    answered = {row["question"] for row in stored.rows} if stored else set()
    questions = [
        question for problem, response in responses for question in _questions(benchmark, problem, _shown(response), settings)
    ]
    remaining = [question for question in questions if _name(question, settings) not in answered]
    characters = sum(len(turn["content"]) for question in remaining for turn in question)
    return JudgeCost(len(questions), len(questions) - len(remaining), characters // CHARACTERS_PER_TOKEN)


def judge(
    benchmark: Benchmark,
    responses: Sequence[tuple[Problem, str]],
    policy: Policy,
    store_settings: Mapping[str, object],
    settings: JudgeSettings,
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
        settings: how the judge is asked.
        store: file of the judge's answers, to read and to extend.
        progress: called as progress(questions answered, all questions).
    """
    shown = [(problem, _shown(response)) for problem, response in responses]
    all_questions = [_questions(benchmark, problem, text, settings) for problem, text in shown]
    by_name = {_name(question, settings): question for questions in all_questions for question in questions}
    answers = _answers(
        benchmark,
        by_name,
        policy,
        settings,
        Store(store, store_settings, _check) if store else None,
        progress or (lambda done, total: None),
    )
    judged = []
    for (problem, response), questions in zip(shown, all_questions, strict=True):
        rows = [answers[_name(question, settings)] for question in questions]
        texts = tuple(row["text"] for row in rows)
        read = [benchmark.read(without_thinking(text)) for text in texts] if response else benchmark.worst(problem)
        values = tuple(read)
        score = None if any(value is None for value in values) else benchmark.score(problem, values)
        cost = sum(row.get("tokens", 0) for row in rows), sum(row.get("seconds", 0.0) for row in rows)
        faults = sum(row.get("fault", False) for row in rows)
        judged.append(Judged(problem, response, values, texts, score, *cost, faults))
    return judged


def _shown(response: str) -> str:
    """Returns the part of a response that the judge sees."""
    return without_thinking(response).strip()


def _questions(benchmark: Benchmark, problem: Problem, shown: str, settings: JudgeSettings) -> list[Conversation]:
    """Returns the questions about the part of a response that the judge sees; none if that part is empty."""
    return benchmark.questions(problem, shown, settings.prompts) if shown else []


def filled(template: str, *values: str, **named: str) -> str:
    """Returns a template with `{}` and `{name}` replaced, and `{{` and `}}` as single braces.

    Braces inside the values are not replaced. `str.format` is not used, because a template from someone else's file could
    format a value to any length.

    Args:
        template: the template.
        values: values of the places `{}`, in this order.
        named: values of the names.

    Raises:
        UserError: the template has another name, or more places than values.
    """
    remaining = list(reversed(values))

    def value(place: re.Match[str]) -> str:
        if place[0] in ("{{", "}}"):
            return place[0][0]
        return named[place[1]] if place[1] else remaining.pop()

    try:
        return re.sub(r"\{\{|\}\}|\{(\w*)\}", value, template)
    except (KeyError, IndexError) as error:
        raise UserError(f"the judge's prompt has an unknown place ({error}); download its file again") from None


def measures(rows: "Sequence[Judged]") -> dict[str, float]:
    """Returns measurements of a judge: the share of answers that cannot be read, and the mean scores of the longer and of the
    shorter half of the responses. Responses without text, about which the judge was not asked, are left out."""
    asked = [row for row in rows if row.texts]
    scored = sorted((len(row.response), row.score) for row in asked if row.score is not None)
    found = {"judge: unreadable answers": fmean(value is None for row in asked for value in row.values)} if asked else {}
    if len(scored) > 1:
        half = len(scored) // 2
        found["judge: score of the shorter half"] = fmean(score for _, score in scored[:half])
        found["judge: score of the longer half"] = fmean(score for _, score in scored[-half:])
    return found


def empty_responses(rows: "Sequence[Judged]") -> list[str]:
    """Returns that responses without text get the lowest score without a question to the judge, if there are any."""
    count = sum(not row.response for row in rows)
    return [f"{count} responses without text have the lowest score, and the judge was not asked about them"] if count else []


def unreadable(rows: "Sequence[Judged]", otherwise: str) -> list[str]:
    """Returns that responses without a readable answer of the judge are left out, if there are any.

    Args:
        rows: all responses.
        otherwise: what the benchmark's own program does with them.
    """
    count = sum(row.score is None for row in rows)
    return [f"{count} responses are left out, because no answer of the judge can be read; {otherwise}"] if count else []


def _answers(
    benchmark: Benchmark,
    questions: dict[str, Conversation],
    policy: Policy,
    settings: JudgeSettings,
    store: Store[AnswerRow] | None,
    progress: Callable[..., None],
) -> dict[str, AnswerRow]:
    """Returns the judge's last answer to each question, by the question's name."""
    answers: dict[str, AnswerRow] = {}
    attempts: dict[str, int] = {}
    for row in store.rows if store else ():
        answers[row["question"]], attempts[row["question"]] = row, row["attempt"] + 1
    for attempt in range(settings.attempts):
        left = [
            name
            for name in questions
            if attempts.get(name, 0) == attempt
            and (name not in answers or benchmark.read(without_thinking(answers[name]["text"])) is None)
        ]
        temperature = settings.sampling.temperature or float(attempt > 0)
        sampling = dataclasses.replace(settings.sampling, temperature=temperature, seed=attempt)
        last = time.perf_counter()
        for places, rows in in_parts(policy, [questions[name] for name in left], 1, sampling, left):
            now = time.perf_counter()
            seconds, last = (now - last) / len(places), now
            answered = {left[place]: completion for place, (completion,) in zip(places, rows, strict=True)}
            for name, completion in answered.items():
                text = complete_words(completion.text) if completion.finish_reason == "length" else completion.text
                answers[name] = {
                    "question": name,
                    "attempt": attempt,
                    "text": text,
                    "tokens": len(completion.token_ids),
                    "seconds": seconds,
                }
                if completion.finish_reason == "fault":
                    answers[name]["fault"] = True
                attempts[name] = attempt + 1
            if store:  # without the server's faults, so that a later run asks again
                store.append(answers[name] for name, completion in answered.items() if completion.finish_reason != "fault")
            progress(len(answers.keys() & questions.keys()), len(questions))
    return answers


def _check(row: dict[str, Any]) -> None:
    """Raises if a stored row is not a judge's answer."""
    disk.check_types(row, question=str, attempt=int, text=str)


def _name(question: Conversation, settings: JudgeSettings) -> str:
    """Returns a digest of a question and of the sampling of its answer."""
    asked = [list(question), dataclasses.asdict(settings.sampling)]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:24]
