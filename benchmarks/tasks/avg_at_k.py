"""What the tasks share: problems as lm-eval documents, verdicts on all k draws of one, aggregates over all documents."""

import dataclasses
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import datasets
from tenfold import verifiers
from tenfold.benchmarks import scores
from tenfold.core import Problem, Status
from tenfold.envs import problems as problem_sources
from tenfold.envs.text import pose

Document = dict[str, Any]
Rows = Sequence[Sequence[float | None]]


def dataset(problems: str, verifier: str = "math", template: str = "{prompt}", **metadata: Any) -> dict[str, Any]:
    """The documents of a task, from its `metadata`: a problem URI, a verifier's name and the wording of the prompt."""
    rows = []
    for problem in problem_sources.load(problems):
        text = pose(problem, template)[-1]["content"]
        # A problem travels as JSON: columns of a data set must be of one type each, and answers are not.
        rows.append({"problem": json.dumps(dataclasses.asdict(problem)), "text": text, "verifier": verifier})
    return {"test": datasets.Dataset.from_list(rows)}


def doc_to_text(document: Document) -> str:
    """The prompt."""
    return document["text"]


def doc_to_target(document: Document) -> str:
    """The gold answer, for lm-eval's own logs."""
    return str(json.loads(document["problem"])["answer"])


def process_results(document: Document, results: list[list[str]]) -> dict[str, list[float | None]]:
    """Judges the k responses in `results[0]`. Every metric gets all k scores; None is a draw without a score."""
    problem, verifier = Problem(**json.loads(document["problem"])), verifiers.load(document["verifier"])

    def score(response: str) -> float | None:
        verdict = verifier(problem, response)
        # A fault of ours is tried once more, then left out.
        return (verifier(problem, response) if verdict.status == Status.FAULT else verdict).score

    with ThreadPoolExecutor(max_workers=8) as threads:
        judged = list(threads.map(score, results[0]))
    return dict.fromkeys(("avg_at_k", "low_95", "high_95", "pass_at_k"), judged)


def mean(rows: Rows) -> float:
    """avg@k."""
    return scores.avg_at_k(rows).mean


def low(rows: Rows) -> float:
    """Lower end of its 95% interval."""
    return scores.avg_at_k(rows).low


def high(rows: Rows) -> float:
    """Upper end of its 95% interval."""
    return scores.avg_at_k(rows).high


def pass_at_k(rows: Rows) -> float:
    """Share of problems that at least one draw solves."""
    return scores.avg_at_k(rows).pass_at_k
