"""The `select` stage: combines tags and similarity into a score from 0 to 1. The score decides the grade: high, medium or low.

    score = weighted mean of the tags, each divided by 9, and of the similarity's rank (the share of documents that are less
            similar to the seeds); a missing tag is left out of the mean, and a document without tags and similarity has score 0

By default the grades are shares of each domain, so that each domain has documents of all grades. With `grade_by: score`, fixed
scores separate them. The mixtures of `pretrain` decide how often documents of each grade are seen in training.

The corpus is never in memory as a whole. A first pass over the shards reads a few numbers per document, and a second pass
writes.
"""

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple, TypedDict

import numpy as np
import pyarrow
import pyarrow.compute
import pyarrow.parquet
from pydantic import Field, model_validator

from ...core import UserError
from .. import figures
from ..stage import Context, CostEstimate, Metrics, Stage
from . import shards
from .retrieve import SIMILAR
from .tagging.dimensions import MAX_LABEL, dimensions

TAGS = "tags"
"""Name of the folder of tags within a `tag` stage's folder."""
WEIGHTS = {"content": 1.0, "format": 0.5, "similarity": 2.0}
"""Default weights. Our choice: content tags weigh more than format tags because they are more predictable (the Nanbeige4-3B
report); similarity counts as much as two content tags."""
GRADES = ("low", "medium", "high")
EXAMPLES = 5
"""Documents of each grade in the report, chosen by a hash of their ids."""


class Select(Stage):
    """Settings of a `select` stage."""

    reads_policy: ClassVar[bool] = False

    kind: Literal["select"]
    documents: str = Field(description="folder of a stage that writes documents, as in {stage:NAME}")
    tags: str | None = Field(None, description="folder of a `tag` stage on the same documents")
    similar: str | None = Field(None, description="folder of a `retrieve` stage on the same documents")
    weights: dict[str, float] = Field(
        {}, description=f"weights by name of a dimension, by kind (content, format), and of similarity; defaults: {WEIGHTS}"
    )
    grade_by: Literal["share", "score"] = Field(
        "share", description="share: grades are shares of each domain's characters; score: fixed scores separate grades"
    )
    high: float = Field(0.3, ge=0, le=1, description="share of grade high, or its minimum score")
    medium: float = Field(0.4, ge=0, le=1, description="share of grade medium, or its minimum score")

    @model_validator(mode="after")
    def _possible(self) -> "Select":
        if not (self.tags or self.similar):
            raise ValueError("tags, similar: name the folder of at least one stage")
        if self.grade_by == "share" and self.high + self.medium > 1:
            raise ValueError(f"high, medium: the shares sum to {self.high + self.medium:g}, more than 1; lower one of them")
        if self.grade_by == "score" and self.high < self.medium:
            raise ValueError(f"high={self.high:g} must be at least medium={self.medium:g} with grade_by: score")
        names = {*WEIGHTS, *(dimension.name for dimension in dimensions())}
        if unknown := self.weights.keys() - names:
            raise ValueError(f"weights: unknown dimension {min(unknown)!r}; use {', '.join(sorted(names))}")
        if not all(0 <= weight < math.inf for weight in self.weights.values()):
            raise ValueError("weights: expected finite numbers of at least 0")
        return self

    def check(self) -> None:
        """Checks that the shards of documents, tags and similarities exist."""
        self.column_files(shards.list_shards(self.documents))

    def column_files(self, paths: Sequence[Path]) -> list[tuple[Path | None, Path | None]]:
        """Returns the shards of tags and of similarities for each shard of documents; None if the setting is not used.

        Raises:
            UserError: a shard does not exist.
        """
        folders = [(self.tags, TAGS), (self.similar, SIMILAR)]
        rows = [[Path(folder) / name / shard.name if folder else None for folder, name in folders] for shard in paths]
        for path in (path for row in rows for path in row if path and not path.is_file()):
            raise UserError(f"no file {path}: {path.parent.parent.name} must use the same documents as this stage")
        return [(tags, similar) for tags, similar in rows]

    def cost(self) -> CostEstimate:
        """Returns the bytes to write: those of the documents."""
        return CostEstimate(written_bytes=1, copies_of=self.documents)

    def run(self, context: Context) -> Metrics:
        """Writes the documents with two more columns: grade (high, medium or low) and score."""
        paths = shards.list_shards(self.documents)
        scores = _read(self, paths)
        if not len(scores.score):
            raise UserError(f"{self.name}: no document in {self.documents}; use a stage that wrote some")
        grade = grades_of(self, scores)
        out = context.folder / shards.DOCUMENTS
        out.mkdir(exist_ok=True)
        starts = np.cumsum([0, *scores.sizes])
        for number, (shard, start, end) in enumerate(zip(paths, starts, starts[1:], strict=False), start=1):
            if not shards.is_complete(out / shard.name):
                table = shards.table(shard)
                names = pyarrow.array(np.array(GRADES)[grade[start:end]], pyarrow.string())
                shards.write(out / shard.name, _with(table, grade=names, score=pyarrow.array(scores.score[start:end])))
            context.progress(number, len(paths))
        return {
            "documents": len(grade),
            "grades": _counted(scores, grade),
            "thresholds": _thresholds(scores, grade),
            "examples": _examples(scores, grade, [out / shard.name for shard in paths], starts),
        }

    def summary(self, metrics: Metrics) -> str:
        """Returns the number of documents of each grade, by domain."""

        def numbers(counted: Metrics) -> str:
            return "/".join(f"{counted[grade]['documents']:,}" for grade in GRADES)

        grades = ", ".join(f"{domain} {numbers(counted)}" for domain, counted in metrics["grades"].items())
        return f"{metrics['documents']:,} documents, {'/'.join(GRADES)}: {grades}"

    def tables(self, metrics: Metrics) -> str:
        """Returns a table with a row per domain and grade, and one with examples of each grade."""
        rows = [
            (domain, grade, count["documents"], count["characters"])
            for domain, grades in metrics["grades"].items()
            for grade, count in grades.items()
        ]
        examples = [(grade, figures.examples_text(rows)) for grade, rows in metrics["examples"].items()]
        return figures.table(("domain", "grade", "documents", "characters"), rows) + figures.table(
            ("grade", "examples"), examples
        )


class Scores(NamedTuple):
    """Scores and further values of all documents, in order. Each array has shape (documents,)."""

    score: np.ndarray
    """float32: the weighted mean, 0 to 1."""
    domain: np.ndarray
    """int32: position in `domains`."""
    characters: np.ndarray
    """int64: length of the text."""
    tie: np.ndarray
    """uint64: hash of the id, which breaks ties between equal scores."""
    domains: list[str]
    sizes: list[int]
    """Number of documents in each shard."""


class Count(TypedDict):
    """Documents of one grade in one domain."""

    documents: int
    characters: int


def _with(table: pyarrow.Table, **columns: pyarrow.Array) -> pyarrow.Table:
    """Returns a table with these columns replaced or appended."""
    for name, column in columns.items():
        table = table.drop_columns([name]) if name in table.column_names else table
        table = table.append_column(name, column)
    return table


def _read(settings: Select, paths: Sequence[Path]) -> Scores:
    """Returns the scores, domains and lengths of all documents (the first pass)."""
    weight = settings.weights.get("similarity", WEIGHTS["similarity"])
    sums, weights, similarities, domain, characters, ties = [], [], [], [], [], []
    domains: dict[str, int] = {}
    for shard, (tags, similar) in zip(paths, settings.column_files(paths), strict=True):
        table = shards.table(shard, columns=["id", "text", "domain"])
        parts = _tagged(tags, table["id"], settings.weights) if tags else np.zeros((2, table.num_rows))
        sums.append(parts[0].astype(np.float32))
        weights.append(parts[1].astype(np.float32))
        if similar:
            similarities.append(_joined(similar, table["id"])["similarity"].to_numpy().astype(np.float32))
        names = [name or "" for name in table["domain"].to_pylist()]
        domain.append(np.array([domains.setdefault(name, len(domains)) for name in names], np.int32))
        characters.append(pyarrow.compute.utf8_length(table["text"]).fill_null(0).to_numpy().astype(np.int64))
        ties.append(np.array([_hash(id) for id in table["id"].to_pylist()], np.uint64))
    total, weighed = np.concatenate(sums), np.concatenate(weights)
    if settings.similar:
        similarity = np.concatenate(similarities)
        rank = np.searchsorted(np.sort(similarity), similarity, "left") / max(1, len(similarity) - 1)
        total, weighed = total + np.float32(weight) * rank.astype(np.float32), weighed + np.float32(weight)
    score = np.divide(total, weighed, out=np.zeros_like(total), where=weighed > 0)
    sizes = [len(part) for part in sums]
    return Scores(score, np.concatenate(domain), np.concatenate(characters), np.concatenate(ties), list(domains), sizes)


def _tagged(path: Path, ids: pyarrow.ChunkedArray, weights: dict[str, float]) -> np.ndarray:
    """Returns the weighted sum of each document's tags, rescaled to 0..1, and the sum of their weights: (2, documents)."""
    table = _joined(path, ids)
    kinds = {dimension.name: dimension.kind for dimension in dimensions()}
    sums = np.zeros((2, table.num_rows))
    for name in (name for name in table.column_names if name in kinds):
        weight = weights.get(name, weights.get(kinds[name], WEIGHTS[kinds[name]]))
        tag = table[name].cast(pyarrow.float64()).to_numpy()  # null becomes NaN
        sums += weight * np.stack([np.nan_to_num(tag) / MAX_LABEL, ~np.isnan(tag)])
    if not any(name in kinds for name in table.column_names):
        raise UserError(f"{path} has no column of a dimension in rubrics.yaml; run its tag stage again")
    return sums


def _joined(path: Path, ids: pyarrow.ChunkedArray) -> pyarrow.Table:
    """Returns a shard of another stage with the same documents.

    Raises:
        UserError: its ids differ from `ids`.
    """
    table = shards.table(path)
    if table["id"].to_pylist() != ids.to_pylist():
        raise UserError(f"{path} has other documents, or another order: run its stage on the documents of this stage")
    return table


def _hash(id: str) -> int:
    return int.from_bytes(hashlib.blake2b(id.encode(), digest_size=8).digest(), "big")


def grades_of(settings: Select, scores: Scores) -> np.ndarray:
    """Returns the grade of each document as its position in `GRADES`, int8, shape (documents,).

    With `grade_by: share`, the documents of a domain are ordered by score, best first, and the cumulative share of characters
    at the middle of a document decides its grade. A hash of the id breaks ties, so the order of the shards does not matter.
    """
    if settings.grade_by == "score":
        return (scores.score >= settings.high).astype(np.int8) + (scores.score >= settings.medium)
    grade = np.zeros(len(scores.score), np.int8)
    order = np.lexsort((scores.tie, -scores.score, scores.domain))
    ends = np.cumsum(np.bincount(scores.domain, minlength=len(scores.domains)))
    for own in np.split(order, ends[:-1]):
        length = np.maximum(scores.characters[own], 1)
        middle = (np.cumsum(length) - length / 2) / length.sum()
        grade[own] = (middle <= settings.high).astype(np.int8) + (middle <= settings.high + settings.medium)
    return grade


def _counted(scores: Scores, grade: np.ndarray) -> dict[str, dict[str, Count]]:
    """Returns the numbers of documents and characters by domain and grade."""
    counted: dict[str, dict[str, Count]] = {}
    for number, domain in enumerate(scores.domains):
        own = scores.domain == number
        counted[domain] = {
            name: {
                "documents": int(np.count_nonzero(own & (grade == position))),
                "characters": int(scores.characters[own & (grade == position)].sum()),
            }
            for position, name in reversed([*enumerate(GRADES)])
        }
    return counted


def _thresholds(scores: Scores, grade: np.ndarray) -> dict[str, dict[str, float | None]]:
    """Returns the minimum score of the grades high and medium by domain; None if no document has the grade."""
    minima: dict[str, dict[str, float | None]] = {}
    for number, domain in enumerate(scores.domains):
        own = {name: scores.score[(scores.domain == number) & (grade == position)] for position, name in enumerate(GRADES)}
        minima[domain] = {name: float(part.min()) if len(part) else None for name, part in own.items() if name != "low"}
    return minima


def _examples(
    scores: Scores, grade: np.ndarray, written: Sequence[Path], starts: np.ndarray
) -> dict[str, list[dict[str, object]]]:
    """Returns some documents of each grade for the report."""
    examples: dict[str, list[dict[str, object]]] = {}
    for position, name in reversed([*enumerate(GRADES)]):
        own = np.flatnonzero(grade == position)
        examples[name] = [
            _row(written[shard], int(row - starts[shard]))
            for row in own[np.argsort(scores.tie[own], kind="stable")[:EXAMPLES]]
            for shard in [int(np.searchsorted(starts, row, "right")) - 1]
        ]
    return examples


def _row(shard: Path, number: int) -> dict[str, object]:
    """Returns one row of a shard, with the beginning of its text."""
    columns = ["id", "source", "domain", "score", "text"]
    (row,) = shards.table(shard, columns=columns).slice(number, 1).to_pylist()
    return row | {"text": (row["text"] or "")[:200]}
