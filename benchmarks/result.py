"""Options and results of benchmark tasks, and the files of a result."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import pydantic

from .. import disk
from ..core import Message, UserError
from ..policies.store import PartRow
from .stats import scores


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """Score of a policy on a task, with everything that it depends on."""

    task: str
    """The task and its k, as in aime24_avg8."""
    score: scores.Score
    settings: dict[str, Any]
    """Everything that the score depends on."""
    hash: str
    """Digest of the settings without the policy and the location of the problems. It includes the judge and the versions of all
    packages that decide verdicts. Scores with equal hashes are comparable."""
    truncated: float
    """Share of samples that were truncated at the length limit."""
    tokens: float
    """Mean number of tokens per sample."""
    figures: dict[str, float] = dataclasses.field(default_factory=dict)
    """Further metrics by name, 0..1, such as maj@k or a judged benchmark's own metrics."""
    refused: int = 0
    """Samples whose prompt a server refused, for example by its content filter. They have no score and are counted in
    `score.without_score`."""

    def as_dict(self) -> dict[str, Any]:
        """Returns the result as JSON data."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """Options of a benchmark run. None stands for the task's own setting."""

    seed: int = 0
    """Base seed of the samples."""
    limit: int | None = None
    """Number of problems, the first ones; None: all."""
    problems: str | None = None
    """Problem URI instead of the task's own."""
    data: str | None = None
    """Folder with the tasks' files instead of the hub."""
    samples: int | None = None
    """Samples per problem, k."""
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    """Longest sample, in tokens."""
    judge: str | None = None
    """URI of the judge for Arena-Hard, WritingBench and MultiChallenge."""
    baseline: str | None = None
    """JSONL files of a baseline's answers for Arena-Hard, comma-separated. A line has uid and answer, or it is one of the
    benchmark's own model answers."""

    def __post_init__(self) -> None:
        for name, minimum in (("samples", 1), ("limit", 1), ("max_tokens", 1), ("temperature", 0)):
            value = getattr(self, name)
            if value is not None and value < minimum:
                raise UserError(f"{name}: expected {minimum} or more, got {value}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise UserError(f"top_p: expected a number above 0 and at most 1, got {self.top_p}")
        if self.data is not None and not Path(self.data).is_dir():
            raise UserError(f"data: there is no folder {self.data}")


class ScoredSample(TypedDict):
    """The verdict on a sample, as stored in a result's file."""

    status: str
    score: float | None
    method: str
    reason: str
    judge_messages: Sequence[str]
    parts: NotRequired[Sequence[PartRow]]
    """Omitted if the verdict has no parts."""
    tokens: int
    finish_reason: str


class ScoredProblem(TypedDict):
    """A problem with the verdicts on its samples, as stored in a result's file."""

    problem: str
    """Problem id."""
    prompt: Sequence[Message]
    gold: object
    """Gold answer."""
    meta: Mapping[str, Any]
    request: str
    """Name of the problem's samples in the store; see `PolicyLM.request`."""
    samples: list[ScoredSample]


def results(folder: str | Path) -> list[Result]:
    """Returns the results in a folder, sorted by task.

    Raises:
        UserError: the folder contains no result, or a file is truncated, empty or from another program.
    """
    found = []
    for path in sorted(Path(folder).glob("*.result.json")):
        remedy = "remove it and run its benchmark again; the samples are stored"
        with disk.reading(path, remedy):
            found.append(pydantic.TypeAdapter(Result).validate_python(disk.read_object(path, remedy)))
    if not found:
        raise UserError(f"{folder} contains no result; name a folder that `tenfold bench` has written")
    return found


def scored(folder: str | Path, task: str) -> list[ScoredProblem]:
    """Returns the problems of a task's result with the verdicts on their samples.

    Raises:
        UserError: the file is damaged.
    """
    path = Path(folder) / f"{task}.scores.jsonl"
    remedy = f"`tenfold bench rescore {folder}` judges the stored samples again"
    found: list[ScoredProblem] = []
    with disk.reading(path, remedy):
        for line in path.read_bytes().splitlines() if path.is_file() else ():
            row = json.loads(line)
            disk.check_types(row, prompt=list, samples=list, request=str)
            for sample in row["samples"]:
                disk.check_types(sample, score=(int, float, type(None)))
            found.append(row)
    return found


def score_of(rows: Sequence[ScoredProblem]) -> scores.Score:
    """Returns the score over all problems.

    Raises:
        UserError: no sample has a score. The message quotes the first reason.
    """
    try:
        return scores.avg_at_k([[sample["score"] for sample in row["samples"]] for row in rows])
    except UserError as error:
        first = next((sample["reason"] for row in rows for sample in row["samples"] if sample["score"] is None), "")
        raise UserError(f"{error}; first reason: {first[:200]}") from None


def save(folder: Path, result: Result, rows: Sequence[ScoredProblem]) -> None:
    """Writes a result's files. The result comes last, so that a folder with a result is complete.

    Args:
        folder: folder of the results.
        result: the result, for TASK.result.json.
        rows: its problems and verdicts, for TASK.scores.jsonl.
    """
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    disk.write(folder / f"{result.task}.scores.jsonl", lines)
    disk.write(folder / f"{result.task}.result.json", json.dumps(result.as_dict(), indent=1))


def settings_hash(value: object) -> str:
    """Returns a digest of JSON data, 12 hexadecimal digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:12]
