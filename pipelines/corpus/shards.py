"""Shards: parquet files of documents, and functions that process each shard on its own, several in parallel with Ray Data.

A document is a row with id (stable across runs), text, source (where it was found) and domain (text, code, math, ...). A stage
writes further columns into shards of the same names in another folder, with the same ids in the same order.

Each shard is written atomically, and the counts of its stage are in the metadata of the file. A killed stage therefore resumes
from the complete shards. Each process holds at most one shard in memory.
"""

import contextlib
import functools
import json
import logging
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import pyarrow
import pyarrow.parquet

from ... import disk, faults
from ...core import UserError
from ..launch.nodes import ray_python
from ..stage import Context

_LOG = logging.getLogger("tenfold")
DOCUMENTS = "documents"
"""Name of the folder of documents within a stage's folder."""
SCHEMA = pyarrow.schema([(name, pyarrow.string()) for name in ("id", "text", "source", "domain")])
SHARD_CHARACTERS = 16_000_000
"""Approximate number of characters of text in a shard. Our choice."""

Item = dict[str, str]
"""A unit of work as strings by name, because it is sent to other processes."""
Counts = Mapping[str, Any]
"""The counts of one shard, as JSON values. Each stage has its own."""
Work = Callable[[pyarrow.Table], tuple[pyarrow.Table, Counts]]
"""A function from a shard's table to the new table and its counts."""


class Document(TypedDict):
    """A row of a shard."""

    id: str
    text: str
    source: str
    domain: str


def list_shards(folder: str | Path) -> list[Path]:
    """Returns the shards of documents in a stage's folder, in order.

    Raises:
        UserError: the folder has no shards of documents.
    """
    paths = sorted((Path(folder) / DOCUMENTS).glob("*.parquet"))
    if not paths:
        raise UserError(
            f"{folder} contains no documents: use the folder of a stage that writes documents, as in {{stage:NAME}}"
        )
    return paths


def rows(shards: Iterable[Path], columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """Yields the rows of shards one by one, with at most 2,048 in memory at a time."""
    for shard in shards:
        with read_errors(shard), pyarrow.parquet.ParquetFile(shard) as file:
            for batch in file.iter_batches(2048, columns=columns):
                yield from batch.to_pylist()


def counts(shard: Path) -> dict[str, Any]:
    """Returns the counts that were stored with a shard.

    Raises:
        UserError: the shard is truncated, empty, or no parquet file.
    """
    with read_errors(shard):
        return json.loads((pyarrow.parquet.read_schema(shard).metadata or {}).get(b"counts", b"{}"))


def read_errors(shard: Path) -> contextlib.AbstractContextManager[None]:
    """Turns errors while a shard is read into a `UserError` that names the shard and the remedy."""
    folder = shard.parent.parent if shard.parent.name == DOCUMENTS else shard.parent
    return disk.reading(shard, f"remove {folder} and run its stage again")


def table(shard: Path, columns: Sequence[str] | None = None) -> pyarrow.Table:
    """Returns all rows of a shard.

    Raises:
        UserError: the shard cannot be read.
    """
    with read_errors(shard):
        return pyarrow.parquet.read_table(shard, columns=columns)


def size(shard: Path) -> int:
    """Returns the number of rows of a shard.

    Raises:
        UserError: the shard cannot be read.
    """
    with read_errors(shard):
        return int(pyarrow.parquet.read_metadata(shard).num_rows)


def is_complete(shard: Path) -> bool:
    """True if a shard exists and can be read. A truncated shard is logged and counts as missing."""
    if not shard.is_file():
        return False
    try:
        counts(shard)
    except UserError:
        _LOG.warning("%s cannot be read and is written again", shard)
        return False
    return True


def write(shard: Path, table: pyarrow.Table, counted: Counts | None = None) -> None:
    """Writes a shard atomically.

    Args:
        shard: path of the file.
        table: its rows.
        counted: counts to store in the file's metadata.
    """
    partial = shard.with_suffix(".partial")
    table = table.replace_schema_metadata({"counts": json.dumps(dict(counted or {}))})
    try:
        with disk.name_in_errors(partial):
            pyarrow.parquet.write_table(table, partial, compression="zstd", row_group_size=2048)
        partial.replace(shard)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def map_shards(
    shards: Sequence[Path], work: Work, out: Path, context: Context, workers: int | None = None
) -> list[dict[str, Any]]:
    """Applies a function to each shard and writes the results under the same names in another folder.

    Args:
        shards: input shards; those that `out` already contains are skipped.
        work: takes a shard's table and returns a new table and its counts. It is pickled: use a module's function or a partial
            of one.
        out: output folder.
        context: the stage's context, for its progress and its Ray cluster.
        workers: shards processed in parallel on a local Ray; default: one per processor. With 1, Ray is not started.

    Returns:
        The counts of each shard, in order.
    """
    out.mkdir(parents=True, exist_ok=True)
    waiting = [shard for shard in shards if not is_complete(out / shard.name)]
    context.progress(len(shards) - len(waiting), len(shards))
    process = functools.partial(_process_shard, work=work, out=str(out.resolve()))
    items = [{"shard": str(shard.resolve())} for shard in waiting]
    for number, _ in enumerate(map_items(items, process, context, workers), start=1):
        context.progress(len(shards) - len(waiting) + number, len(shards))
    return [counts(out / shard.name) for shard in shards]


def map_items(
    items: Sequence[Item], work: Callable[[Item], Item], context: Context, workers: int | None = None
) -> Iterator[Item]:
    """Applies a function to items, in parallel with Ray Data if there are several, and yields the results.

    Args:
        items: strings by name.
        work: takes an item and returns one. It is pickled, see `map_shards`. It raises a `UserError` for a user's mistake.
        context: see `map_shards`.
        workers: see `map_shards`.

    Raises:
        UserError: `work` raised a `UserError`.
    """
    workers = workers or len(os.sched_getaffinity(0))
    in_process = len(items) < 2 or (workers == 1 and not context.cluster.address)
    work = functools.partial(_with_error, work=work)
    for item in map(work, items) if in_process else _map_with_ray(items, work, context, workers):
        if error := item.get("error"):
            raise UserError(error)
        yield item


def _process_shard(item: Item, work: Work, out: str) -> Item:
    """Applies `work` to one shard and writes the result."""
    shard = Path(item["shard"])
    result, counted = work(table(shard))
    write(Path(out) / shard.name, result, counted)
    return item


def _with_error(item: Item, work: Callable[[Item], Item]) -> Item:
    """Applies `work` to an item. A `UserError` becomes the key "error", because Ray would wrap the exception in its own."""
    try:
        with faults.as_user_errors(item.get("shard", item.get("uri", ""))):
            return work(item)
    except UserError as error:
        return item | {"error": str(error)}


def _map_with_ray(items: Sequence[Item], work: Callable[[Item], Item], context: Context, workers: int) -> Iterator[Item]:
    """Yields the results of Ray Data as they are completed. Ray keeps running until the stage ends."""
    import ray

    if not ray.is_initialized():
        handler = signal.getsignal(signal.SIGTERM)  # because ray.init replaces it
        address = context.cluster.address or "local"  # without an address Ray would join any Ray that runs on this machine
        # Prestarted workers would lack the runtime environment and stay idle.
        local = {"num_cpus": workers, "include_dashboard": False, "_system_config": {"prestart_worker_first_driver": False}}
        options = {} if context.cluster.address else local
        variables = {"OMP_NUM_THREADS": "1"}
        runtime = {"env_vars": variables} | ({} if context.cluster.address else ray_python())
        ray.init(address, log_to_driver=False, logging_level="error", runtime_env=runtime, **options)
        signal.signal(signal.SIGTERM, handler)
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    yield from ray.data.from_items([*items], override_num_blocks=len(items)).map(work).iter_rows()
