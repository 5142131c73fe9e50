"""How a task is run, and what a policy reached on it: options, the result, and where it is kept."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import pydantic

from .. import disk
from ..core import Message, UserError
from .stats import scores


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """What a policy reached on a task, and how."""

    task: str
    """The task and its k, as in aime24_avg8."""
    score: scores.Score
    settings: dict[str, Any]
    """Everything that the score depends on."""
    hash: str
    """Of the settings without the policy and where the problems lie: equal hashes, comparable scores. Whoever judges is among
    the settings, and so are the versions of what decides verdicts."""
    truncated: float
    """Share of samples that were cut at the length limit."""
    tokens: float
    """Mean tokens of a sample."""
    figures: dict[str, float] = dataclasses.field(default_factory=dict)
    """A judged benchmark's own figures, by name, 0..1."""
    refused: int = 0
    """Samples that a server refused for good, say for its content filter. They have no score, and are among `score.faults`."""

    def as_dict(self) -> dict[str, Any]:
        """The result as JSON has it."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """How tasks are run; None leaves it to the task."""

    seed: int = 0
    limit: int | None = None
    """Only so many problems, the first ones."""
    problems: str | None = None
    """Problem URI instead of the task's own."""
    data: str | None = None
    """Folder with the tasks' files, instead of the hub."""
    samples: int | None = None
    """Samples a problem, k."""
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    judge: str | None = None
    """URI of the policy that judges Arena-Hard, WritingBench and MultiChallenge."""
    baseline: str | None = None
    """JSON lines of a baseline's answers for Arena-Hard: uid and answer, or the benchmark's own files of model answers."""

    def __post_init__(self) -> None:
        for name, least in (("samples", 1), ("limit", 1), ("max_tokens", 1), ("temperature", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise UserError(f"{name} is {least} or more, not {value}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise UserError(f"top_p lies above 0 and is 1 at most, not {self.top_p}")
        if self.data is not None and not Path(self.data).is_dir():
            raise UserError(f"there is no folder {self.data}")


class ScoredSample(TypedDict):
    """The verdict on a sample, as a result's file has it."""

    status: str
    score: float | None
    method: str
    reason: str
    trail: Sequence[str]
    tokens: int
    finish_reason: str


class ScoredProblem(TypedDict):
    """A problem with the verdicts on its samples, as a result's file has it."""

    problem: str
    """Its id."""
    prompt: Sequence[Message]
    gold: object
    meta: Mapping[str, Any]
    request: str
    """The name under which its samples are stored."""
    samples: list[ScoredSample]


def results(folder: str | Path) -> list[Result]:
    """The results that a folder holds, by their names.

    Raises:
        UserError: it holds none, or one that is cut, empty or of another program.
    """
    found = []
    for path in sorted(Path(folder).glob("*.result.json")):
        remedy = "remove it, and run its benchmark again: the samples are stored"
        with disk.reading(path, remedy):
            found.append(pydantic.TypeAdapter(Result).validate_python(disk.read_object(path, remedy)))
    if not found:
        raise UserError(f"{folder} holds no result: a folder that `tenfold bench` wrote to is expected")
    return found


def scored(folder: str | Path, task: str) -> list[ScoredProblem]:
    """The verdicts on every problem's samples that a result was made of.

    Raises:
        UserError: the file is broken.
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
    """The score of the problems' samples.

    Args:
        rows: a problem each, with its `samples` as verdicts.

    Raises:
        UserError: no sample has a score; it names the first reason.
    """
    try:
        return scores.avg_at_k([[sample["score"] for sample in row["samples"]] for row in rows])
    except UserError as error:
        first = next((sample["reason"] for row in rows for sample in row["samples"] if sample["score"] is None), "")
        raise UserError(f"{error}; the first: {first[:200]}") from None


def keep(folder: Path, result: Result, rows: Sequence[ScoredProblem]) -> None:
    """The verdicts first, the result last: a folder with a result is whole."""
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    disk.write(folder / f"{result.task}.scores.jsonl", lines)
    disk.write(folder / f"{result.task}.result.json", json.dumps(result.as_dict(), indent=1))


def settings_hash(given: object) -> str:
    """A short name of whatever JSON can hold."""
    return hashlib.sha256(json.dumps(given, sort_keys=True, default=str).encode()).hexdigest()[:12]
