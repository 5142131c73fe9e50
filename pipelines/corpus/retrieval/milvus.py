"""Documents in Milvus, found by their words (BM25, Milvus' own function) and by their vectors.

A database is a file (NAME.db: Milvus Lite, embedded) or the address of a cluster (http://HOST:PORT, https://...), which is
spoken to in the same way; a cluster's token is read from the environment variable MILVUS_TOKEN, goes to the hosts that its
user allows (`policies/server/keys.py`), and is written nowhere.

What an embedded database can hold: it is a folder that one process at a time opens, with a server in a thread of it, and
everything is in memory while it is open (some 30 KB a document of 1,000 bytes once it was searched: a few 100,000
documents). Its BM25 counts words within a part of the collection (a "segment") and not over all of it, so that ranks would
depend on how it is parted: it is given room to keep the whole in one. What was inserted survives a kill.
"""

import contextlib
import itertools
import json
import logging
import operator
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ....core import UserError
from ....policies.server import keys

COLLECTION = "documents"
MOST_BYTES = 65_535
"""Bytes that Milvus keeps of a text at most (its VARCHAR)."""
MOST_FOUND = 16_384
"""Documents that Milvus gives for a query at most."""
NAME_BYTES = 1_024
"""Bytes that are kept of an id, a source and a domain. Ours."""
EMBEDDED_BYTES = 1 << 31
"""Size up to which an embedded collection stays one segment. Ours: a column of text in one segment holds 2 GiB at most."""
BATCH = 500
"""Rows of one insert. Ours: 36 MB at most, where a server takes 64."""
CONNECT_SECONDS = 20.0
"""How long a server may take to answer at first. Ours."""
SECONDS = 300.0
"""How long a call may take: an embedded server indexes all of its documents in one. Ours."""
NEVER = (1 << 31) - 1
"""Milliseconds between two pings."""
TOKEN = "MILVUS_TOKEN"
"""The variable of a cluster's token, which goes where the user says (`policies/server/keys.py`)."""
DESCRIPTION = "tenfold.description"
"""Property of a collection: what it holds and how it was made."""
RANK_CONSTANT = 60
"""k of reciprocal rank fusion (Cormack, Clarke and Büttcher, 2009)."""

Row = dict[str, Any]
Ranks = list[int]
"""Numbers of documents, best first."""


def check(database: str) -> None:
    """Looks whether a database may be called that; a cluster is asked whether it is there.

    Raises:
        UserError: it may not, or it is not.
    """
    if not embedded(database):
        with opened(database):
            pass


@contextlib.contextmanager
def opened(database: str) -> Iterator[Any]:
    """A `pymilvus.MilvusClient`; whatever Milvus has to say against what is done with it ends in one line.

    Raises:
        UserError: it cannot be reached or opened, or refuses something.
    """
    local = embedded(database)
    if local:
        Path(database).absolute().parent.mkdir(parents=True, exist_ok=True)
        for name in ("MEMTABLE_MEMORY", "WAL_SIZE"):  # read when the library is imported
            os.environ.setdefault(f"MILVUS_LITE_{name}_LIMIT_BYTES", str(EMBEDDED_BYTES))
    import grpc
    import pymilvus

    for logger in ("pymilvus", "milvus_lite", "grpc"):  # they log what they raise as well
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    client, token = None, "" if local else _token(database)
    try:
        # An embedded server is this process's own: a long call leaves it no time to answer pings, and it hangs up on too many.
        options = {"grpc_options": {"grpc.keepalive_time_ms": NEVER}} if local else {}
        client = pymilvus.MilvusClient(database, token=token, timeout=CONNECT_SECONDS, **options)
        yield client
    except (pymilvus.MilvusException, grpc.RpcError) as error:
        said = str(getattr(error, "message", "") or error).splitlines()[0][:200]
        if client is None:
            reason = "is it open in another process?" if local else "is the server up, and MILVUS_TOKEN right?"
        else:
            reason = "the stage goes on from here once it answers"
        raise UserError(f"Milvus at {database}: {said}; {reason}") from None
    finally:
        if client is not None:
            client.close()
        if local:
            from milvus_lite.server_manager import server_manager_instance

            server_manager_instance.release_server(database)  # or it would stay in memory until the process ends


def _token(database: str) -> str:
    """The cluster's token, where there is one.

    Raises:
        UserError: its user has not said that it may go there.
    """
    return (keys.key(TOKEN, keys.server_of(database)) or "") if os.environ.get(TOKEN) else ""


def embedded(database: str) -> bool:
    """Whether a database is a file of this machine.

    Raises:
        UserError: it is neither that nor an address.
    """
    if "@" in database:
        raise UserError("database: no names or passwords in the address; put the token in the variable MILVUS_TOKEN")
    keys.refuse_keys_in(database)
    if database.startswith(("http://", "https://")):
        return False
    if not database.endswith(".db") or "://" in database or Path(database).is_file():
        raise UserError(f"database: a file NAME.db of this version of Milvus Lite or http(s)://HOST:PORT, not {database!r}")
    return True


def create(client: Any, collection: str, dim: int, index: str, described: dict[str, Any]) -> None:
    """Makes a collection, or looks whether the one that is there was made for the same documents.

    Args:
        client: see `opened`.
        collection: its name.
        dim: of the vectors.
        index: how vectors are searched: FLAT, HNSW or AUTOINDEX.
        described: what the collection holds and how it was made.

    Raises:
        UserError: the one that is there is another.
    """
    import pymilvus

    if client.has_collection(collection, timeout=SECONDS):
        if description(client, collection) != described:
            raise UserError(
                f"the collection {collection!r} holds other documents, or holds them in another way: "
                "name another (collection:), or drop that one"
            )
        client.load_collection(collection, timeout=SECONDS)
        return
    kinds, schema = pymilvus.DataType, client.create_schema()
    schema.add_field("row", kinds.INT64, is_primary=True)
    for name in ("id", "source", "domain"):
        schema.add_field(name, kinds.VARCHAR, max_length=NAME_BYTES)
    schema.add_field("text", kinds.VARCHAR, max_length=MOST_BYTES, enable_analyzer=True)
    schema.add_field("vector", kinds.FLOAT_VECTOR, dim=dim)
    schema.add_field("words", kinds.SPARSE_FLOAT_VECTOR)
    schema.add_function(pymilvus.Function("bm25", pymilvus.FunctionType.BM25, ["text"], ["words"]))
    indices = client.prepare_index_params()
    params = {"M": 16, "efConstruction": 200} if index == "HNSW" else {}
    indices.add_index("vector", index_type=index, metric_type="IP", params=params)  # of unit vectors: the cosine
    indices.add_index("words", index_type="SPARSE_INVERTED_INDEX", metric_type="BM25")
    client.create_collection(
        collection,
        schema=schema,
        index_params=indices,
        consistency_level="Strong",  # a search and a count see all that was inserted
        properties={DESCRIPTION: json.dumps(described, sort_keys=True)},  # an embedded database keeps no schema's description
        timeout=SECONDS,
    )


def description(client: Any, collection: str) -> dict[str, Any]:
    """What a collection was described with when it was made; empty for one that others made."""
    found = client.describe_collection(collection, timeout=SECONDS).get("properties") or {}
    return json.loads(found.get(DESCRIPTION, "{}"))


def count(client: Any, collection: str) -> int:
    """Documents in a collection."""
    return int(client.query(collection, filter="", output_fields=["count(*)"], timeout=SECONDS)[0]["count(*)"])


def insert(
    client: Any, collection: str, rows: Iterable[Row], start: int, empties: bool, progress: Callable[[int], None]
) -> None:
    """Inserts rows from number `start` on, in order, so that what is in is always the first so many.

    Args:
        client: see `opened`.
        collection: its name.
        rows: with a value for every field but `words`.
        start: how many are in already.
        empties: whether the collection is dropped where the insert is broken off in good order (Ctrl-C, not a kill): an
            embedded database then writes out what it has, and the rest would be another segment.
        progress: called with how many are in.
    """
    done = start
    try:
        for batch in _batches(rows):
            # A killed insert may still reach a server after what is in was counted: the first batch replaces.
            put = client.upsert if done == start > 0 else client.insert
            put(collection, batch, timeout=SECONDS)
            done += len(batch)
            progress(done)
        client.flush(collection, timeout=SECONDS)
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


def by_words(client: Any, collection: str, queries: Sequence[str], limit: int) -> list[Ranks]:
    """The documents of the highest BM25 for each query; none for a query without a word."""
    asked = [number for number, query in enumerate(queries) if any(map(str.isalnum, query))]
    found = _search(client, collection, "words", [queries[number] for number in asked], limit, {}) if asked else []
    lists = dict(zip(asked, found, strict=True))
    return [lists.get(number, []) for number in range(len(queries))]


def by_vectors(client: Any, collection: str, queries: np.ndarray, limit: int) -> list[Ranks]:
    """The documents of the highest cosine with each query, a row of shape (queries, dim)."""
    return _search(client, collection, "vector", list(queries), limit, {"ef": max(64, limit)})


def _search(client: Any, collection: str, field: str, data: list[Any], limit: int, params: dict[str, Any]) -> list[Ranks]:
    found = client.search(
        collection,
        data=data,
        anns_field=field,
        limit=limit,
        output_fields=["row"],
        search_params={"metric_type": "BM25" if field == "words" else "IP", "params": params},
        timeout=SECONDS * max(1, len(data) // 8),
    )
    return [_ranked(hits) for hits in found]


def _ranked(hits: Iterable[dict[str, Any]]) -> Ranks:
    """Equally good documents by their numbers. The order is the server's: Milvus Lite reports BM25 with its sign turned."""
    ties = itertools.groupby(hits, key=operator.itemgetter("distance"))
    return [row for _, tied in ties for row in sorted(hit["row"] for hit in tied)]


def fused(lists: Sequence[Ranks]) -> dict[int, float]:
    """Reciprocal rank fusion: a document has the sum of 1 / (60 + its rank) over the lists that it stands in."""
    scores: dict[int, float] = {}
    for ranks in lists:
        for rank, row in enumerate(ranks, start=1):
            scores[row] = scores.get(row, 0.0) + 1 / (RANK_CONSTANT + rank)
    return scores


def cut(text: str, size: int) -> str:
    """The beginning of a text that so many bytes of UTF-8 hold."""
    return text[:size].encode()[:size].decode(errors="ignore")
