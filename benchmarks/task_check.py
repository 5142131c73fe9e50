"""Checks of a task file: its problems, its first prompt, and the verdicts on gold answers, empty answers and swapped answers.

The swapped answer of a problem is the gold answer of another problem.
"""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import verifiers
from ..core import Message, Problem, Status, Verdict, Verifier
from ..envs.gold import gold_response, is_right
from ..envs.problems import sources
from ..envs.text import unusable
from ..verifiers.rewards.weighted import WeightedVerifier
from . import catalogue
from .tasks import avg_at_k

CHECKED = 100
"""Number of problems, from the first, whose answers are judged. Our choice."""


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """What a check has found."""

    name: str
    problems: int
    samples: int
    """Samples per problem, k."""
    verifier: str
    prompt: Sequence[Message]
    """The prompt of the first problem."""
    lines: Sequence[str]
    """The scores of gold, empty and swapped answers."""
    findings: Sequence[str]
    """What is wrong, each with what to do; empty if the task passes."""


def check(file: str | Path) -> Report:
    """Checks a task file.

    Args:
        file: the YAML file.

    Raises:
        UserError: the file, its problems or its verifier cannot be read.
    """
    settings = catalogue.settings(str(file))
    metadata = settings["metadata"]
    problems, verifier = sources.load(metadata["problems"]), verifiers.load(metadata["verifier"])
    examples = avg_at_k.few_shot(metadata)
    prompt = avg_at_k.prompt_of(problems[0], metadata["template"], metadata["system"], examples, metadata["fewshot"] or 0)
    findings = [*_of_problems(problems, verifier), *_of_examples(problems, metadata, examples)]
    lines = []
    judged = [problem for problem in problems[:CHECKED] if "invalid_gold" not in problem.meta]
    for kind, scores, found in (_gold(judged, verifier), _empty(judged, verifier), _swapped(judged, verifier)):
        mean = f"mean score {sum(scores) / len(scores):.3f}" if scores else "no score"
        lines.append(f"{kind} answers: {mean} on {len(scores)} problems")
        findings += found
    name = metadata["verifier"] if isinstance(metadata["verifier"], str) else str(metadata["verifier"])
    return Report(settings["task"], len(problems), settings["repeats"], name, prompt, lines, findings)


def _of_problems(problems: Sequence[Problem], verifier: Verifier) -> list[str]:
    found = []
    indices, first = unusable(problems, verifier)
    if indices:
        found.append(
            f"{len(indices)} of {len(problems)} problems cannot be judged, the first is {first[0]}; correct or remove them"
        )
    counts = Counter(str(problem.prompt) for problem in problems)
    if repeated := [problem for problem in problems if counts[str(problem.prompt)] > 1]:
        found.append(
            f"{len(repeated)} problems have the same prompt as another one, the first is {repeated[0].id}; remove the copies"
        )
    return found


def _of_examples(problems: Sequence[Problem], metadata: dict[str, Any], examples: Sequence[avg_at_k.Example]) -> list[str]:
    prompts = {avg_at_k.prompt_of(problem, metadata["template"], None)[-1]["content"] for problem in problems}
    if count := sum(example[0]["content"] in prompts for example in examples):
        return [f"{count} few-shot examples are problems of the task; use examples that are not in the task"]
    return []


def _gold(problems: Sequence[Problem], verifier: Verifier) -> tuple[str, list[float], list[str]]:
    pairs = [(problem, response) for problem in problems if (response := gold_response(problem)) is not None]
    verdicts = [(problem, verifier(problem, response)) for problem, response in pairs]
    wrong = [
        (problem, verdict)
        for problem, verdict in verdicts
        if verdict.status != Status.SCORED or not is_right(verdict, verifier)
    ]
    advice = "correct the gold answer, or use another verifier"
    return "gold", _scores(verdicts), _finding("the gold answer of {} does not score 1 but {}", wrong, advice)


def _empty(problems: Sequence[Problem], verifier: Verifier) -> tuple[str, list[float], list[str]]:
    verdicts = [(problem, verifier(problem, "")) for problem in problems]
    wrong = [
        (problem, verdict)
        for problem, verdict in verdicts
        if (is_right(verdict, verifier) if isinstance(verifier, WeightedVerifier) else verdict.score)
    ]
    advice = "make the verifier reject an empty response"
    return "empty", _scores(verdicts), _finding("an empty response to {} does not score 0 but {}", wrong, advice)


def _swapped(problems: Sequence[Problem], verifier: Verifier) -> tuple[str, list[float], list[str]]:
    """Judges one response to each problem: the gold answer of the next problem whose gold answer is different."""
    verdicts = []
    for number, problem in enumerate(problems):
        others = (*problems[number + 1 :], *problems[:number])
        other = next((candidate for candidate in others if _differ(candidate.answer, problem.answer)), None)
        if other is not None and (response := gold_response(other)) is not None and response != gold_response(problem):
            verdicts.append((problem, verifier(problem, response)))
    wrong = [(problem, verdict) for problem, verdict in verdicts if is_right(verdict, verifier)]
    advice = "the verifier accepts incorrect answers; use a stricter one"
    return "swapped", _scores(verdicts), _finding("another problem's gold answer scores 1 on {} ({})", wrong, advice)


def _differ(first: object, second: object) -> bool:
    """True if two gold answers are different. The answers 1/2 and 0.5 are not: each is correct for both problems."""
    if first == second or not (isinstance(first, str | int | float) and isinstance(second, str | int | float)):
        return first != second
    return verifiers.verify(first, str(second)).score != 1


def _scores(verdicts: Sequence[tuple[Problem, Verdict]]) -> list[float]:
    return [verdict.score for _, verdict in verdicts if verdict.score is not None]


def _finding(form: str, wrong: Sequence[tuple[Problem, Verdict]], advice: str) -> list[str]:
    """Returns one finding about all problems with a wrong verdict, with the first as an example."""
    if not wrong:
        return []
    problem, verdict = wrong[0]
    detail = f"{verdict.score} ({verdict.status}, by {verdict.method}: {verdict.reason[:200]})"
    more = f"; and {len(wrong) - 1} more" if len(wrong) > 1 else ""
    return [f"{form.format(problem.id, detail)}{more}: {advice}"]
