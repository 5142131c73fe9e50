"""The `tag` stage: scores every document from 0 to 9 on each dimension of `rubrics.yaml`.

An annotator labels a sample of the documents (`annotate.py`). A small tagger is trained on the labels (`tagger.py`) and scores
all documents in bulk. The tagger is measured on held-out documents (`predictability.py`), and compared with those of other
`tag` stages on the same documents (`agreement.py`).

    labels.jsonl            the annotator's labels: the settings in the first line, then one document per line
    tagger/                 the tagger, for `tagger.load`
    report.json, .html      predictability of each dimension: content and format, labels 0 to 9 and thresholded labels
    tags/*.parquet          id and one column per dimension, with one row for each document, in the order of its shard
"""

import functools
import hashlib
import heapq
import html
import json
import operator
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow
from pydantic import Field, model_validator

from ... import disk
from ...core import UserError, sample_seed
from ...policies.store import Store
from .. import figures
from ..launch import engines
from ..stage import Context, CostEstimate, Metrics, OtherPolicy, Stage
from . import shards
from .retrieval import embed
from .tagging import agreement, annotate, predictability, questions, tagger
from .tagging.annotate import LabelRow
from .tagging.dimensions import POSITIVE, dimensions
from .tagging.questions import Question

CALIBRATION = 0.15
"""Share of the labelled documents for the calibration. Our choice."""
MIN_LABELLED = 40
"""Minimum number of labelled documents to train a tagger. Our choice."""


class Tag(Stage):
    """Settings of a `tag` stage."""

    reads_policy: ClassVar[bool] = False
    may_change: ClassVar[frozenset[str]] = frozenset({"workers", "batch_size", "annotator_batch_size"})

    kind: Literal["tag"]
    documents: str = Field(description="folder of a stage that writes documents, as in {stage:NAME}")
    annotator: str = Field(annotate.RULES, description="source of the labels: rules:, or the URI of a policy")
    embedder: str = Field(
        "hash:?dim=2048",
        description="URI of the tagger's embedding model (`retrieval/embed.py`); 2048 is our choice, by measurement",
    )
    sample: int = Field(4_000, ge=MIN_LABELLED, description="number of documents that the annotator labels")
    excerpt: int = Field(
        questions.MAX_EXCERPT,
        ge=100,
        description="characters of a document that a policy is shown, two thirds of them from its beginning",
        exclude_if=questions.MAX_EXCERPT.__eq__,
    )
    scale: questions.Scale = Field(
        "graded",
        description="labels: graded from 0 to 9, or binary: 0 or 1, stored as 0 and 9; rules: rounds its graded labels",
        exclude_if="graded".__eq__,
    )
    answer: questions.Answer = Field(
        "json",
        description="how a policy answers: json, a written object with all scores; or choice, the probabilities of the scores "
        "of one dimension after another, for which the annotator must be a checkpoint",
        exclude_if="json".__eq__,
    )
    compare: list[str] = Field(
        [],
        description="folders of other tag stages on the same documents; the report names the agreement by folder",
        exclude_if=operator.not_,
    )
    held_out: float = Field(0.25, ge=0.05, le=0.6, description="share of the labelled documents held out for the report")
    max_tokens: int = Field(2_048, ge=1, description="maximum number of new tokens of a policy's answer, its thinking included")
    annotator_batch_size: int = Field(64, ge=1, description="documents per call of the annotator")
    batch_size: int = Field(256, ge=1, description="documents per call of the tagger")
    workers: int | None = Field(None, ge=1, description="shards scored in parallel; default: one per processor")

    @model_validator(mode="after")
    def _can_choose(self) -> "Tag":
        if self.answer == "choice" and not annotate.can_choose(self.annotator):
            raise ValueError(f"annotator: {annotate.NO_CHOICE.format(uri=self.annotator)}")
        return self

    def check(self) -> None:
        """Checks that the documents, the annotator and the embedding model exist."""
        shards.list_shards(self.documents)
        embed.check(self.embedder)
        if self.annotator.startswith(annotate.RULES):
            annotate.load(self.annotator)
        else:
            engines.check_policy(self.annotator)
        names = [agreement.load(folder, dimensions()).name for folder in self.compare]
        if twice := [name for name in names if names.count(name) > 1]:
            raise UserError(
                f"{self.name}: compare has several folders with the name {twice[0]}, which names their stage in the report; "
                "rename one of them"
            )

    @property
    def question(self) -> Question:
        """How a policy is asked."""
        return Question(self.excerpt, self.scale, self.answer)

    def identity(self) -> dict[str, str]:
        """Returns the digests of the embedding model's files."""
        return {f"embedder {name}": digest for name, digest in embed.files(self.embedder).items()}

    def cost(self) -> CostEstimate:
        """Returns the cost if every document needs all attempts and every answer has the maximum length.

        A choice is a sample of one token for each dimension.
        """
        each, length = (annotate.ATTEMPTS, self.max_tokens) if self.answer == "json" else (len(dimensions()), 1)
        samples = 0 if self.annotator == annotate.RULES else self.sample * each
        tokens = samples * length
        others = (OtherPolicy(self.annotator, samples, tokens),) if samples else ()
        return CostEstimate(
            samples,
            tokens,
            samples_per_copy=self.annotator_batch_size,
            others=others,
            written_bytes=None,  # depends on the number of documents
            unknown=embed.unknown(self.embedder),
        )

    def run(self, context: Context) -> Metrics:
        """Labels, trains, measures and scores. A killed stage resumes from its files."""
        paths = shards.list_shards(self.documents)
        folder, record = context.folder / "tagger", context.folder / "report.json"
        if not folder.is_dir():
            trained, result = _train(self, context, paths)
            disk.write(record, json.dumps(result, indent=1, allow_nan=False))
            disk.write(record.with_suffix(".html"), predictability.page(result))
            tagger.save(trained, folder)
        remedy = f"remove it and {folder}, and run the stage again to train the tagger again"
        result = disk.read_object(record, remedy)
        with disk.reading(record, remedy):
            rows = [(row["name"], bool(row["constant"]), row["rank_correlation"]) for row in result.pop("dimensions")]
            for name in (agreement.HELD_OUT, agreement.DIGESTS):
                result.pop(name, None)
        work = functools.partial(tag_shard, folder=str(folder.resolve()), batch_size=self.batch_size)
        counted = shards.map_shards(paths, work, context.folder / "tags", context, self.workers)
        documents, seconds = (sum(shard[name] for shard in counted) for name in ("documents", "seconds"))
        return {
            "documents": documents,
            "documents_per_process_second": documents / seconds if seconds else None,
            **result,
            "constant": [name for name, constant, _ in rows if constant],
            "dimensions": {name: correlation for name, _, correlation in rows},
        }

    def summary(self, metrics: Metrics) -> str:
        """Returns the mean rank correlations of the tagger with the annotator, and of the labels with those of other stages."""
        parts = [f"rank correlation with the annotator: {_means_text(metrics['rank_correlation'])}"]
        parts += [
            f"labels with {name}: {_means_text(found['means']['labels'])}"
            for name, found in metrics.get("agreement", {}).items()
        ]
        if missing := metrics.get("without_valid_score"):
            parts.append(
                f"without a valid score: {sum(missing.values()) / len(missing):.1%} of the answers, mean over the dimensions"
            )
        return "; ".join([f"{metrics['documents']:,} documents", *parts])

    def by_dimension(self, metrics: Metrics) -> tuple[list[str], list[list[str]]]:
        """Returns the head and the rows of a table: a row per dimension, and the means.

        The columns have the rank correlation of the tagger with the annotator's labels on held-out documents; the share of
        answers without a valid score; and for each stage that this one is compared with the rank correlations of the labels,
        of this tagger with the other labels, and of the other tagger with these labels.
        """
        compared, missing = metrics.get("agreement", {}), metrics.get("without_valid_score", {})
        head = ["dimension", "kind", "tagger, labels", *(["no valid score"] if missing else [])]
        for name in compared:
            head += [f"labels, labels of {name}", f"tagger, labels of {name}", f"tagger of {name}, labels"]
        found = [{row["name"]: row for row in other["dimensions"]} for other in compared.values()]
        keys = ("labels", "own_tagger_other_labels", "other_tagger_own_labels")
        rows = []
        for dimension in dimensions():
            values = [metrics["dimensions"].get(dimension.name)]
            values += [other[dimension.name][key] for other in found for key in keys]
            own, *others = map(predictability.as_text, values)
            share = [f"{missing.get(dimension.name, 0):.1%}"] if missing else []
            rows.append([dimension.name, dimension.kind, own, *share, *others])
        for kind, mean in metrics["rank_correlation"].items():
            own, *others = map(
                predictability.as_text, [mean, *(other["means"][key][kind] for other in compared.values() for key in keys)]
            )
            share = [""] if missing else []
            rows.append([f"mean of {kind}", "" if kind == "all" else kind, own, *share, *others])
        return head, rows

    def tables(self, metrics: Metrics) -> str:
        """Returns sentences on the report, and the table of `by_dimension`."""
        said = "".join(f"<p>{html.escape(line)}" for line in predictability.lines(metrics))
        return said + figures.table(*self.by_dimension(metrics))


def _means_text(means: Mapping[str, float | None]) -> str:
    return ", ".join(f"{kind} {mean:.2f}" for kind, mean in means.items() if mean is not None) or "not defined"


def tag_shard(table: pyarrow.Table, folder: str, batch_size: int = 256) -> tuple[pyarrow.Table, shards.Counts]:
    """Returns a shard's tags: the ids, and a float32 column per dimension.

    Args:
        table: a shard of documents.
        folder: folder of the tagger.
        batch_size: documents per call of the tagger.
    """
    start, trained = time.perf_counter(), tagger.load(folder)
    columns: list[np.ndarray] = [np.zeros((0, len(trained.names)), np.float32)]
    for batch in table.select(["text"]).to_batches(max_chunksize=batch_size):
        columns.append(tagger.score(trained, [text or "" for text in batch.column(0).to_pylist()], batch_size))
    scores = np.concatenate(columns)
    tags = {name: pyarrow.array(scores[:, column]) for column, name in enumerate(trained.names)}
    counted = {"documents": len(scores), "seconds": time.perf_counter() - start}
    return pyarrow.table({"id": table.column("id"), **tags}), counted


def _train(settings: Tag, context: Context, paths: Sequence[Path]) -> tuple[tagger.Tagger, dict[str, Any]]:
    """Returns the tagger and its report."""
    texts = _texts(paths, set(sample_ids(paths, settings.sample, context.seed)))
    others = [agreement.load(folder, dimensions()) for folder in settings.compare]
    for other in others:
        agreement.check_documents(other, texts)
    store = _label(settings, context, texts)
    names = [dimension.name for dimension in dimensions()]
    labels = {row["id"]: [row["labels"][name] for name in names] for row in store.rows if row["labels"]}
    if len(labels) < MIN_LABELLED:
        raise UserError(
            f"{settings.name}: {settings.annotator} labelled {len(labels)} of {len(texts)} documents, and a tagger needs "
            f"{MIN_LABELLED}; raise sample or use another annotator"
        )
    ids = sorted(labels, key=lambda name: (_split_key(context.seed, texts[name]), name))
    held_out, training_start = (round(len(ids) * share) for share in (settings.held_out, settings.held_out + CALIBRATION))
    features = tagger.features([texts[name] for name in ids], tagger.embedding(settings.embedder), settings.batch_size)
    scored = np.array([labels[name] for name in ids])
    calibration = slice(held_out, training_start)
    trained = tagger.train(
        settings.embedder, names, features[training_start:], scored[training_start:], features[calibration], scored[calibration]
    )
    held_out_scores = tagger.raw_scores(trained, features[:held_out])
    thresholded_tagger = tagger.Tagger("", (), *tagger.fit(features[training_start:], scored[training_start:] >= POSITIVE), ())
    thresholded = tagger.raw_scores(thresholded_tagger, features[:held_out])
    result = predictability.report(
        dimensions(),
        scored[training_start:],
        scored[:held_out],
        tagger.calibrate(trained, held_out_scores),
        held_out_scores,
        thresholded,
    )
    about = {
        "annotator": settings.annotator,
        "labels_by_rules": settings.annotator == annotate.RULES,
        "embedder": settings.embedder,
        "scale": settings.scale,
        "labelled": len(labels),
        "unlabelled": len(texts) - len(labels),
        **_without_valid_score(store.rows),
        "held_out": held_out,
        agreement.HELD_OUT: ids[:held_out],
        agreement.DIGESTS: {id: agreement.digest(texts[id]) for id in ids},
    }
    own = agreement.Labelled(settings.name, labels, frozenset(ids[:held_out]), trained)
    compared = {other.name: agreement.agreement(own, other, texts, dimensions()) for other in others}
    return trained, about | result | ({"agreement": compared} if compared else {})


def _without_valid_score(rows: Sequence[LabelRow]) -> dict[str, Any]:
    """Returns the number of answers in JSON, and the share of them without a valid score, by dimension; nothing for none."""
    if not (answers := sum(row.get("answers", 0) for row in rows)):
        return {}
    missing: Counter[str] = Counter()
    for row in rows:
        missing.update(row.get("without_valid_score", {}))
    return {"answers": answers, "without_valid_score": {name.name: missing[name.name] / answers for name in dimensions()}}


def sample_ids(paths: Sequence[Path], count: int, seed: int) -> list[str]:
    """Returns the ids of a random sample of documents. The distribution of the documents over shards does not matter.

    Args:
        paths: shards of the documents.
        count: size of the sample.
        seed: the stage's seed.
    """
    ids = (row["id"] for row in shards.rows(paths, ["id"]))
    return [name for _, name in heapq.nsmallest(count, ((sample_seed(seed, name, 0), name) for name in ids))]


def _texts(paths: Sequence[Path], chosen: set[str]) -> dict[str, str]:
    found = {row["id"]: row["text"] or "" for row in shards.rows(paths, ["id", "text"]) if row["id"] in chosen}
    return dict(sorted(found.items()))


def _split_key(seed: int, text: str) -> int:
    """Returns a text's position in the split.

    Equal texts have equal keys, so only equal texts at a boundary can be in two parts.
    """
    return sample_seed(seed, hashlib.sha256(text.encode("utf-8", "replace")).hexdigest(), 1)


def _label(settings: Tag, context: Context, texts: dict[str, str]) -> Store[LabelRow]:
    """Returns the store of labels of the sample, after the missing labels are added."""
    rubrics = hashlib.sha256(json.dumps([dimension.model_dump() for dimension in dimensions()]).encode()).hexdigest()
    store_settings = {
        "annotator": settings.annotator,
        "max_tokens": settings.max_tokens,
        "seed": context.seed,
        "rubrics": rubrics,
        # Stores of earlier versions lack these settings.
        **settings.model_dump(include={"excerpt", "scale", "answer"}),
    }
    names = [dimension.name for dimension in dimensions()]

    def check(row: dict[str, Any]) -> None:
        disk.check_types(row, id=str, labels=(dict, type(None)))
        disk.check_types(row["labels"] or {}, **dict.fromkeys(names if row["labels"] else (), (int, float)))

    store: Store[LabelRow] = Store(context.folder / "labels.jsonl", store_settings, check)
    if len(store.rows) < len(texts):
        size = settings.annotator_batch_size
        context.waits("for the annotator to load")
        annotator = annotate.load(
            settings.annotator, settings.max_tokens, context.seed, context.cluster, size, settings.question
        )
        # vLLM and several copies take all documents, so that a long answer does not hold up others.
        takes_all = context.cluster.copies > 1 or context.cluster.uses_vllm() or settings.annotator.startswith("vllm+")
        at_once = max(1, len(texts)) if takes_all else size
        annotate.label(texts, annotator, store, at_once, context.progress)
    return store
