"""Documents lie in shards, a folder of parquet files, and are worked on shard by shard: as Ray Data where there are several.

A document is a row: id (stable across runs), text, source (where it was found) and domain (text, code, math, ...). What a
stage knows of a document beyond that it writes as further columns, by the same ids in the same order.

A shard that was worked on is a file of the same name in another folder, written in one move, with what was counted beside
its rows: a killed stage goes on from the shards that are there, and no more than a shard a processor is ever in memory.
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
"""Folder of a stage that leaves documents."""
SCHEMA = pyarrow.schema([(name, pyarrow.string()) for name in ("id", "text", "source", "domain")])
SHARD_BYTES = 16_000_000
"""Text in a shard, about."""

Item = dict[str, str]
"""What is worked on, as texts by name: it travels to other processes."""
Counts = Mapping[str, Any]
Work = Callable[[pyarrow.Table], tuple[pyarrow.Table, Counts]]


class Document(TypedDict):
    """A row of a shard."""

    id: str
    text: str
    source: str
    domain: str


def of(folder: str | Path) -> list[Path]:
    """The shards that a stage left, in order.

    Raises:
        UserError: there are none.
    """
    found = sorted((Path(folder) / DOCUMENTS).glob("*.parquet"))
    if not found:
        raise UserError(f"{folder} holds no documents: name the folder of a stage that leaves some, as in {{stage:NAME}}")
    return found


def rows(shards: Iterable[Path], columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """The rows of shards one by one, a few thousand in memory at a time."""
    for shard in shards:
        with understood(shard), pyarrow.parquet.ParquetFile(shard) as file:
            for batch in file.iter_batches(2048, columns=columns):
                yield from batch.to_pylist()


def counts(shard: Path) -> dict[str, Any]:
    """What was counted when the shard was written.

    Raises:
        UserError: the shard is cut, empty, or of another program.
    """
    with understood(shard):
        return json.loads((pyarrow.parquet.read_schema(shard).metadata or {}).get(b"counts", b"{}"))


def understood(shard: Path) -> contextlib.AbstractContextManager[None]:
    """Says of a shard what goes wrong while it is read."""
    folder = shard.parent.parent if shard.parent.name == DOCUMENTS else shard.parent
    return disk.reading(shard, f"remove {folder}, and its stage is run again")


def table(shard: Path, columns: Sequence[str] | None = None) -> pyarrow.Table:
    """All rows of a shard.

    Raises:
        UserError: the shard cannot be read.
    """
    with understood(shard):
        return pyarrow.parquet.read_table(shard, columns=columns)


def size(shard: Path) -> int:
    """Rows of a shard.

    Raises:
        UserError: the shard cannot be read.
    """
    with understood(shard):
        return int(pyarrow.parquet.read_metadata(shard).num_rows)


def is_whole(shard: Path) -> bool:
    """Whether a shard was written to its end; one that is cut is worked on again."""
    if not shard.is_file():
        return False
    try:
        counts(shard)
    except UserError:
        _LOG.warning("%s is broken and made again", shard)
        return False
    return True


def write(shard: Path, table: pyarrow.Table, counted: Counts | None = None) -> None:
    """Writes a shard so that it is there whole or not at all."""
    half = shard.with_suffix(".partial")
    table = table.replace_schema_metadata({"counts": json.dumps(dict(counted or {}))})
    try:
        with disk.name_in_errors(half):
            pyarrow.parquet.write_table(table, half, compression="zstd", row_group_size=2048)
        half.replace(shard)
    except BaseException:
        with contextlib.suppress(OSError):
            half.unlink(missing_ok=True)
        raise


def over(shards: Sequence[Path], work: Work, out: Path, context: Context, workers: int | None = None) -> list[dict[str, Any]]:
    """Works on each shard and writes what comes of it under the same name in another folder.

    Args:
        shards: to work on; those that are in `out` already are passed over.
        work: takes a shard's table and gives one, and what it counted. It travels to other processes: a function of a
            module, or a partial of one.
        out: folder.
        context: of the stage, for its progress and its Ray cluster.
        workers: shards at a time on a Ray of our own; default: one a processor. With 1, no Ray is started.

    Returns:
        What was counted in each shard, in order.
    """
    out.mkdir(parents=True, exist_ok=True)
    waiting = [shard for shard in shards if not is_whole(out / shard.name)]
    context.progress(len(shards) - len(waiting), len(shards))
    one = functools.partial(_one, work=work, out=str(out.resolve()))
    items = [{"shard": str(shard.resolve())} for shard in waiting]
    for number, _ in enumerate(each(items, one, context, workers), start=1):
        context.progress(len(shards) - len(waiting) + number, len(shards))
    return [counts(out / shard.name) for shard in shards]


def each(items: Sequence[Item], work: Callable[[Item], Item], context: Context, workers: int | None = None) -> Iterator[Item]:
    """Works on items, several at a time as Ray Data where there are several, and yields what comes of each.

    Args:
        items: of texts by name.
        work: takes an item and gives one. It travels as that of `over` does.
        context, workers: see `over`.

    Raises:
        UserError: an item came back with the text of one as its "trouble".
    """
    workers = workers or len(os.sched_getaffinity(0))
    alone = len(items) < 2 or (workers == 1 and not context.cluster.address)
    work = functools.partial(_told, work=work)
    for item in map(work, items) if alone else _with_ray(items, work, context, workers):
        if trouble := item.get("trouble"):
            raise UserError(trouble)
        yield item


def _one(item: Item, work: Work, out: str) -> Item:
    """Works on one shard."""
    shard = Path(item["shard"])
    made, counted = work(table(shard))
    write(Path(out) / shard.name, made, counted)
    return item


def _told(item: Item, work: Callable[[Item], Item]) -> Item:
    """Works on an item. What a user can mend comes back as a line: Ray would wrap an error in its own."""
    try:
        with faults.as_user_errors(item.get("shard", item.get("uri", ""))):
            return work(item)
    except UserError as error:
        return item | {"trouble": str(error)}


def _with_ray(items: Sequence[Item], work: Callable[[Item], Item], context: Context, workers: int) -> Iterator[Item]:
    """The items as they are done, by Ray Data. Ray stays for the rest of the stage."""
    import ray

    if not ray.is_initialized():
        before = signal.getsignal(signal.SIGTERM)  # which Ray takes for itself
        at = context.cluster.address or "local"  # without an address Ray would join whichever Ray runs on this machine
        # Workers that were started ahead of time would lack the runtime environment, and stay idle.
        alone = {"num_cpus": workers, "include_dashboard": False, "_system_config": {"prestart_worker_first_driver": False}}
        ours = {} if context.cluster.address else alone
        variables = {"OMP_NUM_THREADS": "1"}
        runtime = {"env_vars": variables} | ({} if context.cluster.address else ray_python())
        ray.init(at, log_to_driver=False, logging_level="error", runtime_env=runtime, **ours)
        signal.signal(signal.SIGTERM, before)
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    yield from ray.data.from_items([*items], override_num_blocks=len(items)).map(work).iter_rows()
