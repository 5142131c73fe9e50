"""What is known of documents becomes a score from 0 to 1, and the score a grade: high, medium or low quality.

    score = weighted mean of the tags, each divided by 9, and of the similarity's rank (the share of documents that are less
            similar to the seeds); a tag that a document lacks does not count, and a document without any has 0

Grades are cut within each domain, so that no domain is all high and none all low; or at fixed scores (`by: score`). What of
each is seen how often in training is up to the mixture (`mix.py`, `pretrain.py`).

The whole corpus is never in memory: a first pass over the shards keeps a few numbers a document, a second writes.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import pyarrow
import pyarrow.compute
import pyarrow.parquet
from pydantic import Field, model_validator

from ...core import UserError
from .. import figures
from ..stage import Context, Metrics, Stage
from . import shards
from .retrieve import SIMILAR
from .tagging.dimensions import dimensions

TAGS = "tags"
"""Folder of the tags."""
BEST_TAG = 9
WEIGHTS = {"content": 1.0, "format": 0.5, "similarity": 2.0}
"""Ours: content labels are the more predictable ones (the recipe's report); similarity stands for a few of them."""
GRADES = ("low", "medium", "high")
EXAMPLES = 5
"""Documents of each grade in the report, drawn by a hash of their ids."""


class Select(Stage):
    """Settings of a `select` stage."""

    reads_policy: ClassVar[bool] = False

    kind: Literal["select"]
    documents: str = Field(description="folder of a stage that leaves documents, as in {stage:NAME}")
    tags: str | None = Field(None, description="folder of a `tag` stage on the same documents")
    similar: str | None = Field(None, description="folder of a `retrieve` stage on the same documents")
    weights: dict[str, float] = Field(
        {}, description=f"of dimensions by name, of all that are content or format, and of similarity; defaults: {WEIGHTS}"
    )
    by: Literal["share", "score"] = Field("share", description="how grades are cut: by share of each domain, or at scores")
    high: float = Field(0.3, ge=0, le=1, description="share of a domain's characters that is high, or the least score that is")
    medium: float = Field(0.4, ge=0, le=1, description="likewise, of what is medium")

    @model_validator(mode="after")
    def _possible(self) -> "Select":
        if not (self.tags or self.similar):
            raise ValueError("documents are selected by tags, similar or both: name a stage's folder")
        if self.by == "share" and self.high + self.medium > 1:
            raise ValueError(f"the shares high and medium sum to {self.high + self.medium:g}, more than 1")
        if self.by == "score" and self.high < self.medium:
            raise ValueError("what is high begins at a lower score than what is medium")
        known = {*WEIGHTS, *(dimension.name for dimension in dimensions())}
        if unknown := self.weights.keys() - known:
            raise ValueError(f"weights: there is no dimension {min(unknown)!r}; there are {', '.join(sorted(known))}")
        if min(self.weights.values(), default=0) < 0:
            raise ValueError("weights are not negative")
        return self

    def check(self) -> None:
        """The documents are there, and so is what is known of them."""
        self.files(shards.of(self.documents))

    def files(self, found: Sequence[Path]) -> list[tuple[Path | None, Path | None]]:
        """The shards of tags and similarities for each shard of documents.

        Raises:
            UserError: one is not there.
        """
        folders = [(self.tags, TAGS), (self.similar, SIMILAR)]
        rows = [[Path(folder) / name / shard.name if folder else None for folder, name in folders] for shard in found]
        for path in (path for row in rows for path in row if path and not path.is_file()):
            raise UserError(f"{path} is not there: {path.parent.parent.name} must have worked on the documents of this stage")
        return [(tags, similar) for tags, similar in rows]

    def run(self, context: Context) -> Metrics:
        """Leaves the documents with two more columns: quality (high, medium or low) and score."""
        found = shards.of(self.documents)
        known = _read(self, found)
        if not len(known.score):
            raise UserError(f"{self.name}: there is no document in {self.documents}")
        grade = graded(self, known)
        out = context.folder / shards.DOCUMENTS
        out.mkdir(exist_ok=True)
        starts = np.cumsum([0, *known.sizes])
        for number, (shard, start, end) in enumerate(zip(found, starts, starts[1:], strict=False), start=1):
            if not shards.is_whole(out / shard.name):
                table = shards.table(shard)
                quality = pyarrow.array(np.array(GRADES)[grade[start:end]], pyarrow.string())
                shards.write(out / shard.name, _with(table, quality=quality, score=pyarrow.array(known.score[start:end])))
            context.progress(number, len(found))
        return {
            "documents": len(grade),
            "grades": _counted(known, grade),
            "thresholds": _thresholds(known, grade),
            "examples": _examples(known, grade, [out / shard.name for shard in found], starts),
        }

    def summary(self, metrics: Metrics) -> str:
        """Documents of each grade, domain by domain."""

        def graded(counted: Metrics) -> str:
            return "/".join(f"{counted[grade]['documents']:,}" for grade in GRADES)

        grades = ", ".join(f"{domain} {graded(counted)}" for domain, counted in metrics["grades"].items())
        return f"{metrics['documents']:,} documents, {'/'.join(GRADES)}: {grades}"

    def tables(self, metrics: Metrics) -> str:
        """A row a domain and grade, and examples of each grade."""
        rows = [
            (domain, grade, count["documents"], count["characters"])
            for domain, grades in metrics["grades"].items()
            for grade, count in grades.items()
        ]
        examples = [(grade, figures.examples(shown)) for grade, shown in metrics["examples"].items()]
        return figures.table(("domain", "grade", "documents", "characters"), rows) + figures.table(
            ("grade", "examples"), examples
        )


class Known(NamedTuple):
    """A number for each document, in order."""

    score: np.ndarray
    """float32: the weighted mean, 0 to 1."""
    domain: np.ndarray
    """int32, into `domains`."""
    characters: np.ndarray
    tie: np.ndarray
    """uint64: a hash of the id, which decides between equal scores."""
    domains: list[str]
    sizes: list[int]
    """Documents in each shard."""


def _with(table: pyarrow.Table, **columns: pyarrow.Array) -> pyarrow.Table:
    for name, column in columns.items():
        table = table.drop_columns([name]) if name in table.column_names else table
        table = table.append_column(name, column)
    return table


def _read(settings: Select, found: Sequence[Path]) -> Known:
    """The first pass: scores, domains and lengths."""
    weight = settings.weights.get("similarity", WEIGHTS["similarity"])
    sums, weights, similarities, domain, characters, ties = [], [], [], [], [], []
    domains: dict[str, int] = {}
    for shard, (tags, similar) in zip(found, settings.files(found), strict=True):
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
    return Known(score, np.concatenate(domain), np.concatenate(characters), np.concatenate(ties), list(domains), sizes)


def _tagged(path: Path, ids: pyarrow.ChunkedArray, weights: dict[str, float]) -> np.ndarray:
    """The weighted sum of a shard's tags, rescaled to 0..1, and the sum of their weights; shape (2, documents)."""
    table = _joined(path, ids)
    kinds = {dimension.name: dimension.kind for dimension in dimensions()}
    sums = np.zeros((2, table.num_rows))
    for name in (name for name in table.column_names if name in kinds):
        weight = weights.get(name, weights.get(kinds[name], WEIGHTS[kinds[name]]))
        tag = table[name].cast(pyarrow.float64()).to_numpy()  # null becomes NaN
        sums += weight * np.stack([np.nan_to_num(tag) / BEST_TAG, ~np.isnan(tag)])
    if not any(name in kinds for name in table.column_names):
        raise UserError(f"{path} has a column for no dimension of rubrics.yaml")
    return sums


def _joined(path: Path, ids: pyarrow.ChunkedArray) -> pyarrow.Table:
    """A shard that lies beside the documents'.

    Raises:
        UserError: its rows are others.
    """
    table = shards.table(path)
    if table["id"].to_pylist() != ids.to_pylist():
        raise UserError(f"{path} is about other documents, or in another order: run its stage on the documents of this one")
    return table


def _hash(id: str) -> int:
    return int.from_bytes(hashlib.blake2b(id.encode(), digest_size=8).digest(), "big")


def graded(settings: Select, known: Known) -> np.ndarray:
    """The grade of each document: its place in `GRADES`.

    By share, a document has the grade in which the middle of it lies when those of its domain are laid end to end, the best
    first. Equal scores are in the order of a hash of the ids, whatever the order of the shards.
    """
    if settings.by == "score":
        return (known.score >= settings.high).astype(np.int8) + (known.score >= settings.medium)
    grade = np.zeros(len(known.score), np.int8)
    order = np.lexsort((known.tie, -known.score, known.domain))
    ends = np.cumsum(np.bincount(known.domain, minlength=len(known.domains)))
    for own in np.split(order, ends[:-1]):
        length = np.maximum(known.characters[own], 1)
        middle = (np.cumsum(length) - length / 2) / length.sum()
        grade[own] = (middle <= settings.high).astype(np.int8) + (middle <= settings.high + settings.medium)
    return grade


def _counted(known: Known, grade: np.ndarray) -> dict[str, Any]:
    """Documents and characters by domain and grade."""
    counted: dict[str, Any] = {}
    for number, domain in enumerate(known.domains):
        own = known.domain == number
        counted[domain] = {
            name: {
                "documents": int(np.count_nonzero(own & (grade == place))),
                "characters": int(known.characters[own & (grade == place)].sum()),
            }
            for place, name in reversed([*enumerate(GRADES)])
        }
    return counted


def _thresholds(known: Known, grade: np.ndarray) -> dict[str, Any]:
    """The least score of each grade but the lowest, by domain; None where no document has the grade."""
    least: dict[str, Any] = {}
    for number, domain in enumerate(known.domains):
        scores = {name: known.score[(known.domain == number) & (grade == place)] for place, name in enumerate(GRADES)}
        least[domain] = {name: float(own.min()) if len(own) else None for name, own in scores.items() if name != "low"}
    return least


def _examples(known: Known, grade: np.ndarray, written: Sequence[Path], starts: np.ndarray) -> dict[str, Any]:
    """Some documents of each grade, to judge by."""
    examples: dict[str, Any] = {}
    for place, name in reversed([*enumerate(GRADES)]):
        own = np.flatnonzero(grade == place)
        examples[name] = [
            _row(written[shard], int(row - starts[shard]))
            for row in own[np.argsort(known.tie[own], kind="stable")[:EXAMPLES]]
            for shard in [int(np.searchsorted(starts, row, "right")) - 1]
        ]
    return examples


def _row(shard: Path, number: int) -> dict[str, Any]:
    columns = ["id", "source", "domain", "score", "text"]
    (row,) = shards.table(shard, columns=columns).slice(number, 1).to_pylist()
    return row | {"text": (row["text"] or "")[:200]}
