"""How near documents are to seeds of known quality, by hybrid text and vector retrieval in Milvus (`milvus.py`).

Every document goes into a database with where it comes from, a vector and its words. Every seed is then looked up in it
twice, by its most telling words (BM25) and by its vector, and a document's similarity is the reciprocal rank fusion of all
those lists, each weighted by its seed's quality:

    similarity(document) = sum over seeds of weight x (1 / (60 + rank by words) + 1 / (60 + rank by vector))

with nothing for a list that it does not stand in. A seed that is a document itself finds itself, as it should: it is known to
be good. The scale says nothing beyond one run (it grows with the number of seeds); what counts is the order.
"""

import functools
import hashlib
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, TypedDict

import numpy as np
import pyarrow
import pyarrow.parquet
from pydantic import Field

from ... import disk
from ...core import UserError
from ...policies.store import Store
from ..stage import Context, Metrics, Stage
from . import documents as document_sources
from . import shards
from .retrieval import embed, milvus
from .retrieval import seeds as seed_lists
from .retrieval.seeds import Seed, Seeds

SIMILAR = "similar"
"""Folder of the similarities."""
SCHEMA = pyarrow.schema(
    [("id", pyarrow.string()), ("similarity", pyarrow.float32()), ("seeds", pyarrow.list_(pyarrow.string()))]
)
SEEDS_TOGETHER = 32
"""Seeds of one search. A constant: what a product of matrices rounds to depends on their shape. Ours."""
SHOWN = 10
"""Documents in the report, each with so many seeds at most."""


class Retrieve(Stage):
    """Settings of a `retrieve` stage."""

    reads_policy: ClassVar[bool] = False
    may_change: ClassVar[frozenset[str]] = frozenset({"workers"})

    kind: Literal["retrieve"]
    documents: str = Field(description="folder of a stage that leaves documents, as in {stage:NAME}")
    seeds: list[Seeds] = Field(min_length=1, description="what documents should be like")
    embedder: str = Field("hash:?dim=256", description="what turns texts into vectors (`embed.py`)")
    database: str | None = Field(
        None, description="a file NAME.db, or the address of a Milvus cluster; default: milvus.db in the stage's folder"
    )
    collection: str = Field(milvus.COLLECTION, pattern=r"^[A-Za-z_]\w*$", description="of the database")
    index: Literal["FLAT", "HNSW", "AUTOINDEX"] = Field("FLAT", description="how vectors are searched; FLAT is exact")
    text_bytes: int = Field(2_000, ge=1, le=milvus.MOST_BYTES, description="of a document whose words are indexed")
    words: int = Field(32, ge=1, description="most telling words of a seed, which are looked for")
    limit: int = Field(100, ge=1, le=milvus.MOST_FOUND, description="documents that a seed finds in each of its two lists")
    workers: int | None = Field(None, ge=1, description="shards at a time; default: one a processor")

    @property
    def sources(self) -> list[str]:
        """The URIs of the seeds, whose files a run keeps the hashes of."""
        return [seeds.uri.removeprefix("problems:") for seeds in self.seeds if seeds.uri]

    def check(self) -> None:
        """The documents and the seeds are there, and so is a cluster that is named."""
        shards.of(self.documents)
        for seeds in self.seeds:
            if seeds.uri and next(document_sources.read(seeds.uri), None) is None:
                raise UserError(f"{seeds.uri} holds no seed")
        if self.database:
            milvus.check(self.database)

    def run(self, context: Context) -> Metrics:
        """Leaves `similar`: for each document its similarity, 0 where no seed found it, and the seeds that did, best first."""
        found = shards.of(self.documents)
        sizes = [shards.size(shard) for shard in found]
        if not sum(sizes):
            raise UserError(f"{self.name}: there is no document in {self.documents}")
        seeds = seed_lists.of(self.seeds, found)
        database = self.database or str(context.folder / "milvus.db")
        with milvus.opened(database) as client:
            _fill(client, milvus.embedded(database), self, found, sum(sizes), context)
            hits = _look_up(client, self, seeds, found, sum(sizes), context)
        metrics = _write(hits, seeds, found, sizes, context)
        shutil.rmtree(context.folder / "prepared", ignore_errors=True)
        return {"documents": sum(sizes), "seeds": len(seeds), **metrics}

    def summary(self, metrics: Metrics) -> str:
        """How many documents were found."""
        return f"{metrics['found']:,} of {metrics['documents']:,} documents found by {metrics['seeds']:,} seeds"


def _fill(client: Any, local: bool, settings: Retrieve, found: list[Path], total: int, context: Context) -> None:
    """Sees to it that all documents are in the database. What was prepared or inserted before a kill is not done again."""
    dim = embed.load(settings.embedder)(["a"]).shape[1]
    described = {"documents": _digest(found), "embedder": settings.embedder, "text_bytes": settings.text_bytes}
    milvus.create(client, settings.collection, dim, settings.index, described | {"index": settings.index})
    start = milvus.count(client, settings.collection)
    rows: Iterable[dict[str, Any]] = ()  # where all are in, a kill may have come before they were written out
    if start < total:
        prepared = context.folder / "prepared"
        work = functools.partial(_prepared, embedder=settings.embedder, text_bytes=settings.text_bytes)
        shards.over(found, work, prepared, context, settings.workers)
        rows = _rows([prepared / shard.name for shard in found], start)
    milvus.insert(client, settings.collection, rows, start, local, lambda done: context.progress(done, total, inserted=done))


def _digest(found: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for shard in found:
        for id in shards.table(shard, columns=["id"])["id"].to_pylist():
            digest.update(f"{id}\n".encode())
    return digest.hexdigest()


def _prepared(table: pyarrow.Table, embedder: str, text_bytes: int) -> tuple[pyarrow.Table, dict[str, Any]]:
    """What the database is told of a shard: texts and names cut to length, and vectors."""
    vectors = embed.load(embedder)(table["text"].to_pylist())
    most = {"id": milvus.NAME_BYTES, "text": text_bytes, "source": milvus.NAME_BYTES, "domain": milvus.NAME_BYTES}
    columns = {name: [milvus.cut(text or "", size) for text in table[name].to_pylist()] for name, size in most.items()}
    flat = pyarrow.array(vectors.astype(np.float32).ravel())
    columns["vector"] = pyarrow.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
    return pyarrow.table(columns), {}


def _rows(prepared: Sequence[Path], start: int) -> Iterator[dict[str, Any]]:
    """What goes into the database, from document number `start` on; the number is the key."""
    number = 0
    for shard in prepared:
        with shards.understood(shard), pyarrow.parquet.ParquetFile(shard) as file:
            if number + file.metadata.num_rows <= start:
                number += file.metadata.num_rows
                continue
            for batch in file.iter_batches(milvus.BATCH):
                vectors = batch["vector"].flatten().to_numpy().reshape(batch.num_rows, -1)
                for row, vector in zip(batch.drop_columns(["vector"]).to_pylist(), vectors, strict=True):
                    if number >= start:
                        yield {"row": number, "vector": vector, **row}
                    number += 1


class Hits(TypedDict):
    """What a seed found, by words and by its vector: numbers of documents, best first."""

    number: int
    """Of the seed."""
    seed: str
    words: list[int]
    vector: list[int]


def _look_up(
    client: Any, settings: Retrieve, seeds: list[Seed], found: Sequence[Path], total: int, context: Context
) -> list[Hits]:
    """What each seed found, by words and by its vector: numbers of documents, best first. Kept in `hits.jsonl`."""
    digest = hashlib.sha256(repr([(seed.id, seed.text) for seed in seeds]).encode()).hexdigest()
    made_with = {"seeds": digest, "limit": settings.limit, "words": settings.words}
    store: Store[Hits] = Store(
        context.folder / "hits.jsonl", made_with, lambda row: disk.check_types(row, number=int, words=list, vector=list)
    )
    rows = {row["number"]: row for row in store.rows}
    waiting = [number for number in range(len(seeds)) if number not in rows]
    embedded = embed.load(settings.embedder)
    counts, sample = seed_lists.frequencies(
        found, {word for number in waiting for word in seed_lists.words(seeds[number].text)}, settings.text_bytes, total
    )
    for start in range(0, len(waiting), SEEDS_TOGETHER):
        numbers = waiting[start : start + SEEDS_TOGETHER]
        batch = [seeds[number] for number in numbers]
        queries = [seed_lists.telling(seed.text, counts, sample, settings.words) for seed in batch]
        lists = zip(
            numbers,
            milvus.by_words(client, settings.collection, queries, settings.limit),
            milvus.by_vectors(client, settings.collection, embedded([seed.text for seed in batch]), settings.limit),
            strict=True,
        )
        new: list[Hits] = [
            {"number": number, "seed": seeds[number].id, "words": by_words, "vector": by_vector}
            for number, by_words, by_vector in lists
        ]
        store.append(new)
        rows |= {row["number"]: row for row in new}
        context.progress(len(rows), len(seeds), looked_up=len(rows))
    return [rows[number] for number in range(len(seeds))]


def _write(
    hits: Iterable[Hits], seeds: Sequence[Seed], found: Sequence[Path], sizes: Sequence[int], context: Context
) -> Metrics:
    """Writes what was found by document, in shards as the documents are."""
    total = sum(sizes)
    parts = [
        (row, number, seed.weight * score)
        for number, (seed, hit) in enumerate(zip(seeds, hits, strict=True))
        for row, score in milvus.fused([hit["words"], hit["vector"]]).items()
    ]
    row, seed_number, score = (np.array(column) for column in zip(*parts, strict=True)) if parts else np.zeros((3, 0))
    order = np.lexsort((seed_number, -score, row))
    row, seed_number, score = row[order].astype(np.int64), seed_number[order].astype(np.int64), score[order]
    similarity = np.bincount(row, score, total).astype(np.float32)
    ends = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=total))])
    best = np.argsort(-similarity, kind="stable")[:SHOWN]
    shown: dict[int, dict[str, Any]] = {}
    (context.folder / SIMILAR).mkdir(exist_ok=True)
    for shard, first, size in zip(found, np.cumsum([0, *sizes]), sizes, strict=False):
        own = slice(first, first + size)
        names = [[seeds[i].id for i in seed_number[ends[n] : ends[n + 1]]] for n in range(first, first + size)]
        documents = shards.table(shard, columns=["id", "text", "source"])
        table = pyarrow.table(
            [documents["id"], similarity[own], pyarrow.array(names, SCHEMA.field("seeds").type)], schema=SCHEMA
        )
        shards.write(context.folder / SIMILAR / shard.name, table, {"found": int(np.count_nonzero(similarity[own]))})
        for n in (n for n in best if first <= n < first + size and similarity[n] > 0):
            (document,) = documents.slice(n - first, 1).to_pylist()
            near = {"similarity": float(similarity[n]), "seeds": names[n - first][:SHOWN]}
            shown[n] = document | {"text": document["text"][:200]} | near
    return {"found": int(np.count_nonzero(similarity)), "nearest": [shown[n] for n in best if n in shown]}


def search(
    database: str, query: str, embedder: str = "hash:?dim=256", limit: int = 10, collection: str = milvus.COLLECTION
) -> list[dict[str, Any]]:
    """Looks up a text in a database that a `retrieve` stage has filled.

    Args:
        database: a file or an address.
        query: any text; all its words are looked for.
        embedder: the one that the database was filled with.
        limit: documents.
        collection: of the database.

    Returns:
        Documents, best first: id, source, domain, text as far as it is kept, score (reciprocal rank fusion), and the ranks
        by words and by vector, None where it is not among the first 10 x limit.

    Raises:
        UserError: there is no such database, or it was filled with another embedder.
    """
    if milvus.embedded(database) and not Path(database).is_dir():
        raise UserError(f"there is no database {database}")
    with milvus.opened(database) as client:
        if not client.has_collection(collection, timeout=milvus.SECONDS):
            raise UserError(f"{database} has no collection {collection!r}")
        made_with = milvus.description(client, collection).get("embedder", embedder)
        if made_with != embedder:
            raise UserError(f"{database} was filled with embedder={made_with}, not {embedder}")
        client.load_collection(collection, timeout=milvus.SECONDS)
        depth = min(10 * limit, milvus.MOST_FOUND)
        (by_words,) = milvus.by_words(client, collection, [query], depth)
        (by_vector,) = milvus.by_vectors(client, collection, embed.load(embedder)([query]), depth)
        scores = milvus.fused([by_words, by_vector])
        best = sorted(scores, key=lambda row: (-scores[row], row))[:limit]
        fields = ["id", "source", "domain", "text"]
        kept = client.get(collection, ids=best, output_fields=["row", *fields], timeout=milvus.SECONDS) if best else []
    by_row = {document["row"]: document for document in kept}
    ranks = [{row: rank for rank, row in enumerate(ranked, start=1)} for ranked in (by_words, by_vector)]
    return [
        {name: by_row[row][name] for name in fields}
        | {"score": scores[row], "words": ranks[0].get(row), "vector": ranks[1].get(row)}
        for row in best
    ]
