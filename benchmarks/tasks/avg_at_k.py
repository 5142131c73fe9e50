"""What the tasks share: problems as lm-eval documents, verdicts on all k samples of one, aggregates over all documents."""

import dataclasses
import functools
import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import datasets

from tenfold import verifiers
from tenfold.benchmarks.stats import scores
from tenfold.core import Problem, Status, UserError, Verdict
from tenfold.envs.problems import sources as problem_sources
from tenfold.envs.text import prompt_messages

Document = dict[str, Any]
Samples = Sequence[Sequence[dict[str, Any]]]
"""A row a problem, a verdict's fields a sample."""

THREADS = 8
"""Samples of a problem that are judged at once."""


def dataset(**metadata: Any) -> dict[str, Any]:
    """The documents of a task, from its `metadata`: where its problems are, a verifier's name and the wording of the prompt."""
    verifier, template = (metadata.get(name, given) for name, given in DEFAULTS.items())
    rows = []
    for problem in problem_sources.load(source(metadata)):
        # A problem and its prompt travel as JSON: columns of a data set must be of one type each, and answers are not.
        posed = json.dumps(prompt_messages(problem, template, metadata.get("system")))
        rows.append({"problem": json.dumps(dataclasses.asdict(problem)), "text": posed, "verifier": verifier})
    return {"test": datasets.Dataset.from_list(rows)}


DEFAULTS = {"verifier": "math", "template": "{prompt}"}


def source(metadata: dict[str, Any]) -> str:
    """The URI of a task's problems: its file in the folder `data` where one is given, else its published name.

    Raises:
        UserError: the folder has no such file, and the problems are not in a package either.
    """
    folder, file = metadata.get("data"), metadata.get("file")
    name, mark, options = (file or "").partition("?")
    if not folder:
        if "problems" not in metadata:
            raise UserError(f"{name} is published by {metadata['published']}: download it and name its folder with --data")
        return metadata["problems"]
    if file and (Path(folder) / name).is_file():
        return f"{'parquet' if name.endswith('.parquet') else 'jsonl'}:{Path(folder) / name}{mark}{options}"
    if metadata.get("problems", "hf:").startswith("hf:"):
        where = metadata.get("problems", metadata.get("published"))
        raise UserError(f"there is no {name or 'such file'} in {folder}: the problems of {where} are expected there")
    return metadata["problems"]


def doc_to_text(document: Document) -> str:
    """The prompt, a conversation as JSON."""
    return document["text"]


def doc_to_target(document: Document) -> str:
    """The gold answer, for lm-eval's own logs."""
    return str(json.loads(document["problem"])["answer"])


def all_samples(responses: Iterable[list[str]], documents: Any) -> list[list[str]]:
    """Every sample of every document; lm-eval's default would keep the first."""
    return list(responses)


def process_results(document: Document, results: list[list[str]]) -> dict[str, list[dict[str, Any]]]:
    """Judges the k responses in `results[0]`. Every metric gets the verdicts of all k."""
    problem, verifier = Problem(**json.loads(document["problem"])), verifiers.load(document["verifier"])

    def judge(response: str) -> Verdict:
        verdict = verifier(problem, response)
        # A fault of ours is tried once more, then left out.
        return verifier(problem, response) if verdict.status == Status.FAULT else verdict

    judged = [dataclasses.asdict(verdict) for verdict in _threads().map(judge, results[0])]
    return dict.fromkeys(("avg_at_k", "low_95", "high_95", "pass_at_k"), judged)


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=THREADS)


def unjudged(document: Document, results: list[list[str]]) -> dict[str, list[dict[str, Any]]]:
    """The k responses wait for their judge (`benchmarks/judged/`)."""
    waits = Verdict(Status.UNDECIDED, None, "judge", "not judged yet")
    return {"avg_at_k": [dataclasses.asdict(waits) for _ in results[0]]}


def not_yet(samples: Samples) -> float:
    """There is no score before the judge has spoken."""
    return float("nan")


def score(samples: Samples) -> scores.Score:
    """What the verdicts on all samples of all problems come to."""
    return scores.avg_at_k([[sample["score"] for sample in row] for row in samples])


def mean(samples: Samples) -> float:
    """avg@k."""
    return score(samples).mean


def low(samples: Samples) -> float:
    """Lower end of its 95% interval."""
    return score(samples).low


def high(samples: Samples) -> float:
    """Upper end of its 95% interval."""
    return score(samples).high


def pass_at_k(samples: Samples) -> float:
    """Share of problems that at least one sample solves."""
    return score(samples).pass_at_k
