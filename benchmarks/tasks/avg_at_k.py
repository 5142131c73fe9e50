"""Functions that the task files name: documents from problems, verdicts on all k samples, aggregates over all documents."""

import dataclasses
import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypedDict

import datasets

from tenfold import verifiers
from tenfold.benchmarks.stats import scores
from tenfold.core import Problem, Status, UserError, Verdict
from tenfold.envs.problems import sources as problem_sources
from tenfold.envs.text import prompt_messages
from tenfold.policies.store import VerdictRow, verdict_to_json


class Document(TypedDict):
    """A document of lm-eval. Problem and prompt are JSON, because a column needs one type and answers have several."""

    problem: str
    """The `Problem` as JSON."""
    text: str
    """The prompt as JSON: a conversation."""
    verifier: str


VerdictFields = VerdictRow
"""The fields of a `Verdict`."""
Samples = Sequence[Sequence[VerdictFields]]
"""One row per problem, one verdict per sample."""

THREADS = 8
"""Samples of a problem that are judged at once. Our choice."""


def dataset(**metadata: Any) -> dict[str, datasets.Dataset]:
    """Returns the documents of a task from its `metadata`: source of the problems, verifier and prompt template."""
    verifier, template = (metadata.get(name, default) for name, default in DEFAULTS.items())
    rows: list[Document] = []
    for problem in problem_sources.load(source(metadata)):
        prompt = json.dumps(prompt_messages(problem, template, metadata.get("system")))
        rows.append({"problem": json.dumps(dataclasses.asdict(problem)), "text": prompt, "verifier": verifier})
    return {"test": datasets.Dataset.from_list(rows)}


DEFAULTS = {"verifier": "math", "template": "{prompt}"}


def source(metadata: Mapping[str, Any]) -> str:
    """Returns the URI of a task's problems: its file in the folder `data` if that is set, else `problems` of its metadata.

    Raises:
        UserError: neither `data` nor `problems` is set, or the folder lacks the file of a task whose problems would be
            downloaded.
    """
    folder, file = metadata.get("data"), metadata.get("file")
    name, mark, options = (file or "").partition("?")
    uri: str | None = metadata.get("problems")
    if not folder:
        if uri is None:
            raise UserError(f"{name} is published by {metadata['published']}; download it and name its folder with --data")
        return uri
    if file and (Path(folder) / name).is_file():
        return f"{'parquet' if name.endswith('.parquet') else 'jsonl'}:{Path(folder) / name}{mark}{options}"
    if uri is None or uri.startswith("hf:"):
        published = uri or metadata.get("published")
        raise UserError(f"there is no {name or 'such file'} in {folder}; put the problems of {published} there")
    return uri


def doc_to_text(document: Document) -> str:
    """Returns the prompt: a conversation as JSON."""
    return document["text"]


def doc_to_target(document: Document) -> str:
    """Returns the gold answer, for lm-eval's own logs."""
    return str(json.loads(document["problem"])["answer"])


def all_samples(responses: Iterable[list[str]], documents: object) -> list[list[str]]:
    """Returns every sample of every document. lm-eval's default filter would take the first."""
    return list(responses)


def process_results(document: Document, results: list[list[str]]) -> dict[str, list[VerdictFields]]:
    """Judges the k responses in `results[0]`. Every metric gets the verdicts of all k."""
    problem, verifier = Problem(**json.loads(document["problem"])), verifiers.load(document["verifier"])

    def judge(response: str) -> Verdict:
        verdict = verifier(problem, response)
        # A second attempt after a fault. A sample with two faults has no score.
        return verifier(problem, response) if verdict.status == Status.FAULT else verdict

    judged = [verdict_to_json(verdict) for verdict in _threads().map(judge, results[0])]
    return dict.fromkeys(("avg_at_k", "low_95", "high_95", "pass_at_k"), judged)


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=THREADS)


def unjudged(document: Document, results: list[list[str]]) -> dict[str, list[VerdictFields]]:
    """Returns undecided verdicts for the k responses, which a model judges later (`benchmarks/judged/`)."""
    undecided = Verdict(Status.UNDECIDED, None, "judge", "not judged yet")
    return {"avg_at_k": [verdict_to_json(undecided) for _ in results[0]]}


def no_score(samples: Samples) -> float:
    """Returns NaN, because there is no score before a model has judged the samples."""
    return float("nan")


def score(samples: Samples) -> scores.Score:
    """Returns the score over all samples of all problems."""
    return scores.avg_at_k([[sample["score"] for sample in row] for row in samples])


def mean(samples: Samples) -> float:
    """Returns avg@k."""
    return score(samples).mean


def low(samples: Samples) -> float:
    """Returns the lower end of the 95% interval over new problems."""
    return score(samples).low


def high(samples: Samples) -> float:
    """Returns the upper end of the 95% interval over new problems."""
    return score(samples).high


def pass_at_k(samples: Samples) -> float:
    """Returns the share of problems that at least one sample solves."""
    return score(samples).pass_at_k
