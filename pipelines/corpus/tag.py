"""Tagging: every document gets a score from 0 to 9 on each of the dimensions of `rubrics.yaml`.

An annotator labels a sample (`annotate.py`), a small tagger learns its labels (`tagger.py`) and scores all documents in bulk.
What the tagger is worth is measured on documents held out (`predictability.py`).

    labels.jsonl            what the annotator said, a document a line, as it said it
    tagger/                 the tagger, for `tagger.load`
    report.json, .html      how predictable each dimension is, content against format, 0 to 9 against binary
    tags/*.parquet          id and a column a dimension, in the rows of the documents' shards
"""

import functools
import hashlib
import heapq
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow
from pydantic import Field

from ... import disk
from ...core import UserError, sample_seed
from ...policies import checkpoints
from ...policies.store import Store
from ..stage import Context, CostEstimate, Metrics, Stage
from . import shards
from .retrieval import embed
from .tagging import annotate, predictability, tagger
from .tagging.annotate import LabelRow
from .tagging.dimensions import dimensions

CALIBRATION = 0.15
"""Share of the labelled documents that the calibration is fitted on. Ours."""
LEAST = 40
"""Labelled documents without which no tagger is trained. Ours."""


class Tag(Stage):
    """Settings of a `tag` stage."""

    reads_policy: ClassVar[bool] = False
    may_change: ClassVar[frozenset[str]] = frozenset({"workers", "batch_size", "annotator_batch_size"})

    kind: Literal["tag"]
    documents: str = Field(description="folder of a stage that leaves documents, as in {stage:NAME}")
    annotator: str = Field(annotate.RULES, description="who labels: rules:, or the URI of a policy")
    embedder: str = Field(
        "hash:?dim=2048",
        description="URI of the embedding that the tagger stands on (`embed.py`); 2048 is ours, by measurement",
    )
    sample: int = Field(4_000, ge=LEAST, description="documents that the annotator labels")
    held_out: float = Field(0.25, ge=0.05, le=0.6, description="share of the labelled documents that the report is made on")
    max_tokens: int = Field(2_048, ge=1, description="new tokens of a policy's answer, its thinking included")
    annotator_batch_size: int = Field(64, ge=1, description="documents that the annotator is given at once")
    batch_size: int = Field(256, ge=1, description="documents that the tagger scores at once")
    workers: int | None = Field(None, ge=1, description="shards scored at a time; default: one a processor")

    def check(self) -> None:
        """The documents are there, and so are the annotator and the embedding."""
        shards.of(self.documents)
        if self.embedder.startswith("hash:"):
            embed.load(self.embedder)
        else:
            checkpoints.checkpoint(self.embedder)
        if self.annotator.startswith((annotate.RULES, "openai:", "scripted:")):
            annotate.load(self.annotator)
        else:
            checkpoints.checkpoint(self.annotator.rpartition("+")[2])

    def cost(self) -> CostEstimate:
        """Every answer as long as may be, and sampled as often."""
        samples = 0 if self.annotator == annotate.RULES else self.sample * annotate.ATTEMPTS
        return CostEstimate(samples, samples * self.max_tokens)

    def run(self, context: Context) -> Metrics:
        """Labels, trains, measures and scores; what is done of it is not done again."""
        paths = shards.of(self.documents)
        folder, record = context.folder / "tagger", context.folder / "report.json"
        if not folder.is_dir():
            trained, found = _trained(self, context, paths)
            disk.write(record, json.dumps(found, indent=1, allow_nan=False))
            disk.write(record.with_suffix(".html"), predictability.page(found))
            tagger.save(trained, folder)
        remedy = f"remove it and {folder}, and the tagger is trained again"
        found = disk.record(record, remedy)
        with disk.understood(record, remedy):
            rows = [(row["name"], bool(row["constant"]), row["rank_correlation"]) for row in found.pop("dimensions")]
        work = functools.partial(tag, folder=str(folder.resolve()), batch_size=self.batch_size)
        counted = shards.over(paths, work, context.folder / "tags", context, self.workers)
        documents, seconds = (sum(shard[name] for shard in counted) for name in ("documents", "seconds"))
        return {
            "documents": documents,
            "documents_per_second": documents / seconds if seconds else None,
            **found,
            "constant": [name for name, constant, _ in rows if constant],
            "dimensions": {name: correlation for name, _, correlation in rows},
        }

    def summary(self, metrics: Metrics) -> str:
        """How well the tagger predicts the annotator."""
        means = ", ".join(f"{kind} {mean:.2f}" for kind, mean in metrics["rank_correlation"].items() if mean is not None)
        return f"{metrics['documents']:,} documents; rank correlation with the annotator: {means}"


def tag(table: pyarrow.Table, folder: str, batch_size: int = 256) -> tuple[pyarrow.Table, dict[str, Any]]:
    """A shard's tags: its ids, and a column of float32 a dimension.

    Args:
        table: a shard of documents.
        folder: of the tagger.
        batch_size: documents scored at once.
    """
    begun, trained = time.perf_counter(), _loaded(folder)
    columns: list[np.ndarray] = [np.zeros((0, len(trained.names)), np.float32)]
    for batch in table.select(["text"]).to_batches(max_chunksize=batch_size):
        columns.append(tagger.score(trained, [text or "" for text in batch.column(0).to_pylist()], batch_size))
    scores = np.concatenate(columns)
    tags = {name: pyarrow.array(scores[:, column]) for column, name in enumerate(trained.names)}
    counted = {"documents": len(scores), "seconds": time.perf_counter() - begun}
    return pyarrow.table({"id": table.column("id"), **tags}), counted


@functools.lru_cache(maxsize=1)
def _loaded(folder: str) -> tagger.Tagger:
    return tagger.load(folder)


def _trained(settings: Tag, context: Context, paths: Sequence[Path]) -> tuple[tagger.Tagger, dict[str, Any]]:
    """The tagger, and the report on it."""
    texts = _texts(paths, set(sampled(paths, settings.sample, context.seed)))
    store = _labelled(settings, context, texts)
    names = [dimension.name for dimension in dimensions()]
    labels = {row["id"]: [row["labels"][name] for name in names] for row in store.rows if row["labels"]}
    if len(labels) < LEAST:
        raise UserError(
            f"{settings.name}: {settings.annotator} labelled {len(labels)} of {len(texts)} documents; a tagger wants {LEAST}: "
            "ask more documents or another annotator"
        )
    ids = sorted(labels, key=lambda name: (_sample(context.seed, texts[name]), name))
    held_out, apart = (round(len(ids) * share) for share in (settings.held_out, settings.held_out + CALIBRATION))
    seen = tagger.features([texts[name] for name in ids], tagger.embedding(settings.embedder), settings.batch_size)
    scored = np.array([labels[name] for name in ids])
    trained = tagger.train(settings.embedder, names, seen[apart:], scored[apart:], seen[held_out:apart], scored[held_out:apart])
    graded = tagger.raw(trained, seen[:held_out])
    binary = tagger.raw(
        tagger.Tagger("", (), *tagger.fit(seen[apart:], scored[apart:] >= predictability.GOOD), ()), seen[:held_out]
    )
    found = predictability.report(
        dimensions(), scored[apart:], scored[:held_out], tagger.calibrated(trained, graded), graded, binary
    )
    about = {
        "annotator": settings.annotator,
        "stand_in": settings.annotator == annotate.RULES,
        "embedder": settings.embedder,
        "labelled": len(labels),
        "unlabelled": len(texts) - len(labels),
        "held_out": held_out,
    }
    return trained, about | found


def sampled(paths: Sequence[Path], count: int, seed: int) -> list[str]:
    """Ids of a sample of the documents: those with the smallest hashes, however the documents lie in shards."""
    ids = (row["id"] for row in shards.rows(paths, ["id"]))
    return [name for _, name in heapq.nsmallest(count, ((sample_seed(seed, name, 0), name) for name in ids))]


def _texts(paths: Sequence[Path], chosen: set[str]) -> dict[str, str]:
    found = {row["id"]: row["text"] or "" for row in shards.rows(paths, ["id", "text"]) if row["id"] in chosen}
    return dict(sorted(found.items()))


def _sample(seed: int, text: str) -> int:
    """Places a text in the split: equal texts lie together, so that none is learned and held out."""
    return sample_seed(seed, hashlib.sha256(text.encode("utf-8", "replace")).hexdigest(), 1)


def _labelled(settings: Tag, context: Context, texts: dict[str, str]) -> Store[LabelRow]:
    rubrics = hashlib.sha256(json.dumps([dimension.model_dump() for dimension in dimensions()]).encode()).hexdigest()
    made_with = {"annotator": settings.annotator, "max_tokens": settings.max_tokens, "seed": context.seed, "rubrics": rubrics}
    names = [dimension.name for dimension in dimensions()]

    def check(row: dict[str, Any]) -> None:
        disk.has(row, id=str, labels=(dict, type(None)))
        disk.has(row["labels"] or {}, **dict.fromkeys(names if row["labels"] else (), (int, float)))

    store: Store[LabelRow] = Store(context.folder / "labels.jsonl", made_with, check)
    if len(store.rows) < len(texts):
        annotator = annotate.load(settings.annotator, settings.max_tokens, context.seed)
        annotate.label(texts, annotator, store, settings.annotator_batch_size, context.progress)
    return store
