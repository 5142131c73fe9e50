"""Milvus: inserts documents and searches them by words (Milvus' BM25 function) and by vectors.

A database is a folder (NAME.db: Milvus Lite, embedded) or the address of a cluster (http://HOST:PORT, https://...). Both have
the same interface. A cluster's token comes from the environment variable MILVUS_TOKEN. It is sent only to the hosts that the
user allows (`policies/server/keys.py`) and is never written to a file.

Limits of an embedded database: only one process at a time can open its folder, and its server is a thread of that process. All
data are in memory while the folder is open: about 30 KB per document of 1,000 bytes after a search, hence a few 100,000
documents. Its BM25 counts words within each segment of the collection, so ranks would depend on the segmentation. The size
limits are therefore raised so that the collection stays one segment. Inserted rows survive a kill.
"""

import contextlib
import itertools
import json
import logging
import operator
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .... import disk
from ....core import UserError
from ....policies.server import keys

if TYPE_CHECKING:
    from pymilvus import MilvusClient

COLLECTION = "documents"
"""Default name of the collection."""
MAX_TEXT_BYTES = 65_535
"""Maximal bytes of a text in Milvus. Source: Milvus' limit of a VARCHAR field."""
MAX_RESULTS = 16_384
"""Maximal number of documents that Milvus returns for a query. Source: Milvus' limit."""
NAME_BYTES = 1_024
"""Maximal bytes stored of an id, a source and a domain. Our choice."""
EMBEDDED_BYTES = 1 << 31
"""Maximal size of an embedded collection of one segment. Our choice: a text column of one segment has at most 2 GiB."""
BATCH = 500
"""Rows per insert. Our choice: at most 36 MB, and a server accepts 64 MB."""
CONNECT_SECONDS = 20.0
"""Time limit of the connection. Our choice."""
CALL_SECONDS = 300.0
"""Time limit of a call. Our choice: an embedded server indexes all of its documents in one call."""
MAX_MILLISECONDS = (1 << 31) - 1
"""Largest possible interval between two keep-alive pings. It turns the pings off."""
TOKEN = "MILVUS_TOKEN"
"""Environment variable of a cluster's token (`policies/server/keys.py`)."""
DESCRIPTION = "tenfold.description"
"""Name of the collection's property that contains its `Description` as JSON."""
RANK_CONSTANT = 60
"""k of reciprocal rank fusion. Source: Cormack, Clarke and Büttcher (2009)."""

Row = dict[str, Any]
"""A row of the collection by field."""
Description = dict[str, str | int]
"""What a collection contains and how it was made."""
Ranks = list[int]
"""Numbers of documents, best first."""


def check(database: str) -> None:
    """Checks the name of a database, and connects to it if it is a cluster.

    Raises:
        UserError: the name is invalid, or the cluster cannot be reached.
    """
    if not is_embedded(database):
        with connect(database):
            pass


@contextlib.contextmanager
def connect(database: str) -> "Iterator[MilvusClient]":
    """Yields a client, and turns Milvus' errors into a `UserError` of one line.

    Raises:
        UserError: the database cannot be opened or reached, or a call fails.
    """
    local = is_embedded(database)
    if local:
        database = str(disk.expanded(database))
        Path(database).absolute().parent.mkdir(parents=True, exist_ok=True)
        for name in ("MEMTABLE_MEMORY", "WAL_SIZE"):  # the library reads them when it is imported
            os.environ.setdefault(f"MILVUS_LITE_{name}_LIMIT_BYTES", str(EMBEDDED_BYTES))
    import grpc
    import pymilvus

    for logger in ("pymilvus", "milvus_lite", "grpc"):  # because they also log the errors that they raise
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    client, token = None, "" if local else _token(database)
    try:
        # The thread of an embedded server cannot answer pings during a long call. After too many pings the server closes
        # the connection.
        options: dict[str, Any] = {"grpc_options": {"grpc.keepalive_time_ms": MAX_MILLISECONDS}} if local else {}
        client = pymilvus.MilvusClient(database, token=token, timeout=CONNECT_SECONDS, **options)
        yield client
    except (pymilvus.MilvusException, grpc.RpcError) as error:
        message = str(getattr(error, "message", "") or error).splitlines()[0][:200]
        if client is None:
            hint = "is it open in another process?" if local else "check that the server runs and that MILVUS_TOKEN is correct"
        else:
            hint = "run the stage again, which resumes from here"
        raise UserError(f"Milvus at {database}: {message}; {hint}") from None
    finally:
        if client is not None:
            client.close()
        if local:
            from milvus_lite.server_manager import server_manager_instance

            server_manager_instance.release_server(database)  # otherwise it stays in memory until the process ends


def _token(database: str) -> str:
    """Returns the cluster's token, or "" without one.

    Raises:
        UserError: the user does not allow sending the token to this host.
    """
    return (keys.key(TOKEN, keys.server_of(database)) or "") if os.environ.get(TOKEN) else ""


def is_embedded(database: str) -> bool:
    """True if a database is a folder on this machine, False if it is the address of a cluster.

    Raises:
        UserError: it is neither.
    """
    is_path = database.endswith(".db") and "://" not in database
    if "@" in database and not is_path:
        raise UserError("database: the address must not contain names or passwords; put the token in the variable MILVUS_TOKEN")
    keys.reject_keys_in(database)
    if database.startswith(("http://", "https://")) and 0 < keys.server_of(database).port < 1 << 16:
        return False
    if not is_path or disk.expanded(database).is_file():
        raise UserError(
            f"database: expected a folder NAME.db of this version of Milvus Lite or http(s)://HOST:PORT, got {database!r}"
        )
    return True


def create(client: "MilvusClient", collection: str, dim: int, index: str, described: Description) -> None:
    """Creates a collection, or loads the existing one if its description is the same.

    Args:
        client: see `connect`.
        collection: name of the collection.
        dim: dimensions of the vectors.
        index: type of the vector index: FLAT, HNSW or AUTOINDEX.
        described: what the collection contains and how it was made.

    Raises:
        UserError: the existing collection has another description.
    """
    import pymilvus

    if client.has_collection(collection, timeout=CALL_SECONDS):
        if description(client, collection) != described:
            raise UserError(
                f"the collection {collection!r} contains other documents, or the same with other settings: "
                "set collection to another name, or drop the existing one"
            )
        client.load_collection(collection, timeout=CALL_SECONDS)
        return
    kinds, schema = pymilvus.DataType, client.create_schema()
    schema.add_field("row", kinds.INT64, is_primary=True)
    for name in ("id", "source", "domain"):
        schema.add_field(name, kinds.VARCHAR, max_length=NAME_BYTES)
    schema.add_field("text", kinds.VARCHAR, max_length=MAX_TEXT_BYTES, enable_analyzer=True)
    schema.add_field("vector", kinds.FLOAT_VECTOR, dim=dim)
    schema.add_field("words", kinds.SPARSE_FLOAT_VECTOR)
    schema.add_function(pymilvus.Function("bm25", pymilvus.FunctionType.BM25, ["text"], ["words"]))
    indices = client.prepare_index_params()
    params = {"M": 16, "efConstruction": 200} if index == "HNSW" else {}
    indices.add_index("vector", index_type=index, metric_type="IP", params=params)  # the cosine, because vectors have norm 1
    indices.add_index("words", index_type="SPARSE_INVERTED_INDEX", metric_type="BM25")
    client.create_collection(
        collection,
        schema=schema,
        index_params=indices,
        consistency_level="Strong",  # searches and counts include all inserted rows
        properties={DESCRIPTION: json.dumps(described, sort_keys=True)},  # because Milvus Lite drops a schema's description
        timeout=CALL_SECONDS,
    )


def description(client: "MilvusClient", collection: str) -> Description:
    """Returns the stored description of a collection; empty if tenfold did not create the collection."""
    found = client.describe_collection(collection, timeout=CALL_SECONDS).get("properties") or {}
    return json.loads(found.get(DESCRIPTION, "{}"))


def count(client: "MilvusClient", collection: str) -> int:
    """Returns the number of documents in a collection."""
    return int(client.query(collection, filter="", output_fields=["count(*)"], timeout=CALL_SECONDS)[0]["count(*)"])


def insert(
    client: "MilvusClient", collection: str, rows: Iterable[Row], start: int, empties: bool, progress: Callable[[int], None]
) -> None:
    """Inserts rows in order, so that the collection always contains the first rows without gaps.

    Args:
        client: see `connect`.
        collection: name of the collection.
        rows: the rows from number `start` on, with a value for every field except `words`.
        start: number of rows that are already inserted.
        empties: whether the collection is dropped if an exception stops the insert (Ctrl-C, not a kill). An embedded database
            writes its rows out in that case, and later rows would form a second segment.
        progress: called with the number of inserted rows.
    """
    done = start
    try:
        for batch in _batches(rows):
            # The first batch replaces rows: a server may apply an insert of a killed run after `start` was counted.
            put = client.upsert if done == start > 0 else client.insert
            put(collection, batch, timeout=CALL_SECONDS)
            done += len(batch)
            progress(done)
        client.flush(collection, timeout=CALL_SECONDS)
    except BaseException:
        if empties:
            client.drop_collection(collection)
        raise


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    for row in rows:
        batch.append(row)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def search_words(client: "MilvusClient", collection: str, queries: Sequence[str], limit: int) -> list[Ranks]:
    """Returns the documents with the highest BM25 for each query.

    Args:
        client: see `connect`.
        collection: name of the collection.
        queries: texts. A query without a word finds no document.
        limit: maximum number of documents per query.
    """
    numbers = [number for number, query in enumerate(queries) if any(map(str.isalnum, query))]
    found = _search(client, collection, "words", [queries[number] for number in numbers], limit, {}) if numbers else []
    lists = dict(zip(numbers, found, strict=True))
    return [lists.get(number, []) for number in range(len(queries))]


def search_vectors(client: "MilvusClient", collection: str, queries: np.ndarray, limit: int) -> list[Ranks]:
    """Returns the documents with the highest cosine for each query.

    Args:
        client: see `connect`.
        collection: name of the collection.
        queries: vectors of norm 1, shape (queries, dim).
        limit: maximum number of documents per query.
    """
    return _search(client, collection, "vector", list(queries), limit, {"ef": max(64, limit)})


def _search(
    client: "MilvusClient", collection: str, field: str, data: list[str] | list[np.ndarray], limit: int, params: dict[str, int]
) -> list[Ranks]:
    found = client.search(
        collection,
        data=data,
        anns_field=field,
        limit=limit,
        output_fields=["row"],
        search_params={"metric_type": "BM25" if field == "words" else "IP", "params": params},
        timeout=CALL_SECONDS * max(1, len(data) // 8),
    )
    return [_ranked(hits) for hits in found]


def _ranked(hits: Iterable[dict[str, Any]]) -> Ranks:
    """Returns the documents in the server's order; documents with equal scores are ordered by number.

    They are not sorted by score, because Milvus Lite negates the scores of BM25.
    """
    ties = itertools.groupby(hits, key=operator.itemgetter("distance"))
    return [row for _, tied in ties for row in sorted(hit["row"] for hit in tied)]


def fuse(lists: Sequence[Ranks]) -> dict[int, float]:
    """Returns the reciprocal rank fusion: for each document the sum of 1 / (60 + rank) over the lists that contain it."""
    scores: dict[int, float] = {}
    for ranks in lists:
        for rank, row in enumerate(ranks, start=1):
            scores[row] = scores.get(row, 0.0) + 1 / (RANK_CONSTANT + rank)
    return scores


def truncate(text: str, size: int) -> str:
    """Returns the longest beginning of a text with at most `size` bytes in UTF-8."""
    return text[:size].encode()[:size].decode(errors="ignore")
