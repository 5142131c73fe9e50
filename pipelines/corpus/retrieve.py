"""The `retrieve` stage: similarity of documents to seeds of known quality, by hybrid text and vector search in Milvus.

All documents are inserted into a database with id, text, source, domain and a vector. Each seed is searched twice: by its most
distinctive words (BM25) and by its vector. A document's similarity is the reciprocal rank fusion of all result lists, with
the weights of the seeds:

    similarity(document) = sum over seeds of weight x (1 / (60 + rank by words) + 1 / (60 + rank by vector))

A list without the document contributes 0. A seed that is one of the documents finds itself; this is intended, because its
quality is known. Similarities of different runs cannot be compared, because they grow with the number of seeds; only the order
matters.
"""

import functools
import hashlib
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, TypedDict

import numpy as np
import pyarrow
import pyarrow.parquet
from pydantic import Field

from ... import digests, disk
from ...core import UserError
from ...policies.store import Store
from ..stage import Context, CostEstimate, Metrics, Stage
from . import documents as document_sources
from . import shards
from .retrieval import embed, milvus
from .retrieval import seeds as seed_lists
from .retrieval.seeds import Seed, Seeds
from .source_size import file_uris

if TYPE_CHECKING:
    from pymilvus import MilvusClient

SIMILAR = "similar"
"""Name of the folder of similarities within a `retrieve` stage's folder."""
SCHEMA = pyarrow.schema(
    [("id", pyarrow.string()), ("similarity", pyarrow.float32()), ("seeds", pyarrow.list_(pyarrow.string()))]
)
SEEDS_PER_SEARCH = 32
"""Seeds per search call. It is a constant because rounding in matrix products depends on their shape. Our choice."""
REPORTED = 10
"""Documents in the report, and maximum number of seeds listed for each. Our choice."""


class Retrieve(Stage):
    """Settings of a `retrieve` stage."""

    reads_policy: ClassVar[bool] = False
    may_change: ClassVar[frozenset[str]] = frozenset({"workers"})

    kind: Literal["retrieve"]
    documents: str = Field(description="folder of a stage that writes documents, as in {stage:NAME}")
    seeds: list[Seeds] = Field(min_length=1, description="texts of known quality that documents are compared with")
    embedder: str = Field("hash:?dim=256", description="URI of the embedding model (`retrieval/embed.py`)")
    database: str | None = Field(
        None, description="a folder NAME.db or the address of a Milvus cluster; default: milvus.db in the stage's folder"
    )
    collection: str = Field(milvus.COLLECTION, pattern=r"^[A-Za-z_]\w*$", description="name of the database collection")
    index: Literal["FLAT", "HNSW", "AUTOINDEX"] = Field("FLAT", description="type of the vector index; FLAT is exact")
    text_bytes: int = Field(
        2_000,
        ge=1,
        le=milvus.MAX_TEXT_BYTES,
        description="bytes of each document, from its beginning, that are indexed by words",
    )
    words: int = Field(32, ge=1, description="number of most distinctive words of a seed in its query")
    limit: int = Field(100, ge=1, le=milvus.MAX_RESULTS, description="documents in each of a seed's two result lists")
    workers: int | None = Field(None, ge=1, description="shards processed in parallel; default: one per processor")

    def identity(self) -> dict[str, str]:
        """Returns the digests of the embedding model's files."""
        return {f"embedder {name}": digest for name, digest in embed.files(self.embedder).items()}

    def cost(self) -> CostEstimate:
        """Returns what is unknown: vectors and disk space depend on the number of documents."""
        return CostEstimate(written_bytes=None, unknown=embed.unknown(self.embedder))

    def check(self) -> None:
        """Checks that the documents, the seeds and the embedding model exist, and that a named cluster can be reached."""
        shards.list_shards(self.documents)
        embed.check(self.embedder)
        for seeds in self.seeds:
            parts = file_uris(seeds.uri) if seeds.uri else ()
            if seeds.uri and all(next(document_sources.read(part), None) is None for part in parts):
                raise UserError(f"seeds: {seeds.uri} contains no document; use a source of documents")
        if self.database:
            milvus.check(self.database)

    def run(self, context: Context) -> Metrics:
        """Writes `similar`: for each document its similarity (0 if no seed found it) and the seeds that found it."""
        paths = shards.list_shards(self.documents)
        sizes = [shards.size(shard) for shard in paths]
        if not sum(sizes):
            raise UserError(f"{self.name}: no document in {self.documents}; use a stage that wrote some")
        seeds = seed_lists.load(self.seeds, paths)
        database = self.database or str(context.folder / "milvus.db")
        with milvus.connect(database) as client:
            _fill(client, milvus.is_embedded(database), self, paths, sum(sizes), context)
            hits = _search_seeds(client, self, seeds, paths, sum(sizes), context)
        metrics = _write(hits, seeds, paths, sizes, context)
        shutil.rmtree(context.folder / "prepared", ignore_errors=True)
        return {"documents": sum(sizes), "seeds": len(seeds), **metrics}

    def summary(self, metrics: Metrics) -> str:
        """Returns how many documents the seeds found."""
        return f"{metrics['found']:,} of {metrics['documents']:,} documents found by {metrics['seeds']:,} seeds"


def _fill(client: "MilvusClient", embedded: bool, settings: Retrieve, paths: list[Path], total: int, context: Context) -> None:
    """Inserts all documents into the database, except those that an earlier run inserted. Prepared shards are used again."""
    dim = embed.load(settings.embedder)(["a"]).shape[1]
    described: milvus.Description = {
        "documents": _digest(paths),
        "embedder": settings.embedder,
        "embedder_files": digests.of(embed.files(settings.embedder)),
        "text_bytes": settings.text_bytes,
        "index": settings.index,
    }
    milvus.create(client, settings.collection, dim, settings.index, described)
    start = milvus.count(client, settings.collection)
    rows: Iterable[milvus.Row] = ()  # if all rows are inserted, only the flush may be missing
    if start < total:
        prepared = context.folder / "prepared"
        work = functools.partial(_prepare_shard, embedder=settings.embedder, text_bytes=settings.text_bytes)
        shards.map_shards(paths, work, prepared, context, settings.workers)
        rows = _rows([prepared / shard.name for shard in paths], start)
    milvus.insert(client, settings.collection, rows, start, embedded, lambda done: context.progress(done, total, inserted=done))


def _digest(paths: Sequence[Path]) -> str:
    """Returns the SHA-256 of the documents in order."""
    digest = hashlib.sha256()
    for row in shards.rows(paths, shards.SCHEMA.names):
        digest.update(repr(row).encode())
    return digest.hexdigest()


def _prepare_shard(table: pyarrow.Table, embedder: str, text_bytes: int) -> tuple[pyarrow.Table, shards.Counts]:
    """Returns the database rows of a shard: its strings truncated to their maximum sizes, and a vector per document."""
    vectors = embed.load(embedder)(table["text"].to_pylist())
    sizes = {"id": milvus.NAME_BYTES, "text": text_bytes, "source": milvus.NAME_BYTES, "domain": milvus.NAME_BYTES}
    columns = {name: [milvus.truncate(text or "", size) for text in table[name].to_pylist()] for name, size in sizes.items()}
    flat = pyarrow.array(vectors.astype(np.float32).ravel())
    columns["vector"] = pyarrow.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
    return pyarrow.table(columns), {}


def _rows(prepared: Sequence[Path], start: int) -> Iterator[milvus.Row]:
    """Yields the database rows from document number `start` on. The document's number is the primary key."""
    number = 0
    for shard in prepared:
        with shards.read_errors(shard), pyarrow.parquet.ParquetFile(shard) as file:
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
    """The search results of one seed. Both lists have numbers of documents, best first."""

    number: int
    """Number of the seed."""
    seed: str
    """Id of the seed."""
    words: list[int]
    """Found by words (BM25)."""
    vector: list[int]
    """Found by vector (cosine)."""


def _search_seeds(
    client: "MilvusClient", settings: Retrieve, seeds: list[Seed], paths: Sequence[Path], total: int, context: Context
) -> list[Hits]:
    """Searches the documents for each seed. Results are stored in `hits.jsonl`, so that a killed stage resumes."""
    digest = hashlib.sha256(repr([(seed.id, seed.text) for seed in seeds]).encode()).hexdigest()
    store_settings = {"seeds": digest, "limit": settings.limit, "words": settings.words}
    store: Store[Hits] = Store(
        context.folder / "hits.jsonl", store_settings, lambda row: disk.check_types(row, number=int, words=list, vector=list)
    )
    rows = {row["number"]: row for row in store.rows}
    waiting = [number for number in range(len(seeds)) if number not in rows]
    embedder = embed.load(settings.embedder)
    counts, sample_size = seed_lists.document_frequencies(
        paths, {word for number in waiting for word in seed_lists.words(seeds[number].text)}, settings.text_bytes, total
    )
    for start in range(0, len(waiting), SEEDS_PER_SEARCH):
        numbers = waiting[start : start + SEEDS_PER_SEARCH]
        batch = [seeds[number] for number in numbers]
        queries = [seed_lists.distinctive_words(seed.text, counts, sample_size, settings.words) for seed in batch]
        lists = zip(
            numbers,
            milvus.search_words(client, settings.collection, queries, settings.limit),
            milvus.search_vectors(client, settings.collection, embedder([seed.text for seed in batch]), settings.limit),
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
    hits: Iterable[Hits], seeds: Sequence[Seed], paths: Sequence[Path], sizes: Sequence[int], context: Context
) -> Metrics:
    """Writes each document's similarity and seeds, in shards with the names of the documents' shards."""
    total = sum(sizes)
    parts = [
        (row, number, seed.weight * score)
        for number, (seed, hit) in enumerate(zip(seeds, hits, strict=True))
        for row, score in milvus.fuse([hit["words"], hit["vector"]]).items()
    ]
    row, seed_number, score = (np.array(column) for column in zip(*parts, strict=True)) if parts else np.zeros((3, 0))
    order = np.lexsort((seed_number, -score, row))
    row, seed_number, score = row[order].astype(np.int64), seed_number[order].astype(np.int64), score[order]
    similarity = np.bincount(row, score, total).astype(np.float32)
    ends = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=total))])
    best = np.argsort(-similarity, kind="stable")[:REPORTED]
    nearest: dict[int, dict[str, object]] = {}
    (context.folder / SIMILAR).mkdir(exist_ok=True)
    for shard, first, size in zip(paths, np.cumsum([0, *sizes]), sizes, strict=False):
        own = slice(first, first + size)
        names = [[seeds[i].id for i in seed_number[ends[n] : ends[n + 1]]] for n in range(first, first + size)]
        documents = shards.table(shard, columns=["id", "text", "source"])
        table = pyarrow.table(
            [documents["id"], similarity[own], pyarrow.array(names, SCHEMA.field("seeds").type)], schema=SCHEMA
        )
        shards.write(context.folder / SIMILAR / shard.name, table, {"found": int(np.count_nonzero(similarity[own]))})
        for n in (n for n in best if first <= n < first + size and similarity[n] > 0):
            (document,) = documents.slice(n - first, 1).to_pylist()
            near = {"similarity": float(similarity[n]), "seeds": names[n - first][:REPORTED]}
            nearest[n] = document | {"text": document["text"][:200]} | near
    return {"found": int(np.count_nonzero(similarity)), "nearest": [nearest[n] for n in best if n in nearest]}


class SearchResult(TypedDict):
    """A document that `search` found."""

    id: str
    source: str
    domain: str
    text: str
    """Beginning of the text, as far as the database stores it."""
    score: float
    """Reciprocal rank fusion of the two ranks."""
    words: int | None
    """Rank by words, from 1; None if it is not among the first 10 x limit."""
    vector: int | None
    """Rank by vector, likewise."""


def search(
    database: str, query: str, embedder: str = "hash:?dim=256", limit: int = 10, collection: str = milvus.COLLECTION
) -> list[SearchResult]:
    """Searches a database that a `retrieve` stage has filled.

    Args:
        database: a folder NAME.db or the address of a cluster.
        query: any text; all its words are used.
        embedder: URI of the embedding model that the database was filled with.
        limit: maximum number of documents.
        collection: name of the database collection.

    Returns:
        Documents, best first.

    Raises:
        UserError: the database does not exist, it was filled with another embedding model, or `limit` is below 1.
    """
    if limit < 1:
        raise UserError(f"limit: expected at least 1, got {limit}")
    if milvus.is_embedded(database) and not disk.expanded(database).is_dir():
        raise UserError(f"no database {database}: run a retrieve stage first")
    with milvus.connect(database) as client:
        if not client.has_collection(collection, timeout=milvus.CALL_SECONDS):
            raise UserError(f"{database} has no collection {collection!r}")
        store_settings = milvus.description(client, collection).get("embedder", embedder)
        if store_settings != embedder:
            raise UserError(f"{database} was filled with embedder={store_settings}, not {embedder}; use {store_settings}")
        client.load_collection(collection, timeout=milvus.CALL_SECONDS)
        depth = min(10 * limit, milvus.MAX_RESULTS)
        (by_words,) = milvus.search_words(client, collection, [query], depth)
        (by_vector,) = milvus.search_vectors(client, collection, embed.load(embedder)([query]), depth)
        scores = milvus.fuse([by_words, by_vector])
        best = sorted(scores, key=lambda row: (-scores[row], row))[:limit]
        fields = ["row", "id", "source", "domain", "text"]
        kept = client.get(collection, ids=best, output_fields=fields, timeout=milvus.CALL_SECONDS) if best else []
    by_row = {document["row"]: document for document in kept}
    ranks = [{row: rank for rank, row in enumerate(ranked, start=1)} for ranked in (by_words, by_vector)]
    return [
        SearchResult(
            id=by_row[row]["id"],
            source=by_row[row]["source"],
            domain=by_row[row]["domain"],
            text=by_row[row]["text"],
            score=scores[row],
            words=ranks[0].get(row),
            vector=ranks[1].get(row),
        )
        for row in best
    ]
