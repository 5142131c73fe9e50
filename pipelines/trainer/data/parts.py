"""Prepares data part by part, in several processes if there are many parts, and cuts files of lines into parts.

Each process reads only its own parts, so that its memory does not depend on the size of the data. A killed preparation
continues with the missing shards, and a damaged shard is written again.
"""

import importlib
import io
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

from .... import faults
from ....core import UserError
from ....verifiers.pool import Pool, WorkerFault
from . import shards

PARALLEL = 4
"""Number of parts from which on several processes prepare them. A process takes seconds to start. Our choice."""
BYTES = 16 << 20
"""Bytes of a part of a file. Our choice: preparing them takes about a second."""
CPU_SECONDS, MEMORY = 36_000.0, 1 << 40
"""Limits of a part, in seconds and bytes. They are far above what a part with a slow verifier takes. Our choice."""

Progress = Callable[[int, int], None]
"""Called with the total size of the finished parts, and with that of all parts."""


class Part(NamedTuple):
    """A part of the data, by the numbers of its items or by the bytes of its lines."""

    start: int
    stop: int
    """The next part begins here."""
    shards: Sequence[str]
    """Paths of the shards that are written for the part."""


Prepare = Callable[[Sequence[Any], Part], None]
"""Writes the shards of a part. The first argument tells the data and the settings; it is JSON data. Raises `UserError`."""


def prepare(
    name: str, function: Prepare, source: Sequence[Any], parts: Sequence[Part], progress: Progress
) -> list[Sequence[str]]:
    """Writes the shards that are missing or damaged.

    Args:
        name: name of the data, for errors.
        function: writes the shards of a part. A function of a module, so that other processes find it.
        source: first argument of the function.
        parts: all parts.
        progress: see `Progress`.

    Returns:
        The shards of each part, in order.

    Raises:
        UserError: raised by the function, or a process ended.
    """
    for folder in {Path(shard).parent for part in parts for shard in part.shards}:
        folder.mkdir(parents=True, exist_ok=True)
    waiting = [part for part in parts if not all(shards.is_whole(Path(shard)) for shard in part.shards)]
    left, total = (sum(part.stop - part.start for part in some) for some in (waiting, parts))
    for part in _each(name, function, source, waiting):
        left -= part.stop - part.start
        progress(total - left, total)
    return [part.shards for part in parts]


def _each(name: str, function: Prepare, source: Sequence[Any], parts: Sequence[Part]) -> Iterator[Part]:
    """Yields each part when it is finished."""
    workers = min(len(os.sched_getaffinity(0)), len(parts))
    if len(parts) < PARALLEL or workers == 1:
        for part in parts:
            function(source, part)
            yield part
        return
    pool = Pool(f"{__name__}:call", workers, CPU_SECONDS, MEMORY)
    threads = ThreadPoolExecutor(workers)
    target = f"{function.__module__}:{function.__qualname__}"
    try:
        futures = {threads.submit(pool.call, target, name, source, part): part for part in parts}
        for future in as_completed(futures):
            try:
                error = future.result()
            except WorkerFault as fault:
                error = f"{name}: a process that prepares it has ended ({fault}); run again"
            if error:
                raise UserError(error)
            yield futures[future]
    finally:
        threads.shutdown(cancel_futures=True)
        pool.close()


def call(target: str, name: str, source: Sequence[Any], part: Sequence[Any]) -> str:
    """Calls a function in a process of its own.

    Args:
        target: the function, as MODULE:NAME.
        name: name of the data, for errors.
        source: first argument of the function.
        part: the fields of a `Part`.

    Returns:
        The message of a `UserError`, else an empty text.
    """
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # because the pool already uses all processors
    module, _, function = target.partition(":")
    try:
        with faults.as_user_errors(name):
            getattr(importlib.import_module(module), function)(source, Part(*part))
    except UserError as error:
        return str(error)
    return ""


def of_lines(path: Path) -> list[tuple[int, int]]:
    """Returns the first byte of each part of a file, and that of the next part. A part has whole lines."""
    bounds, size = [0], path.stat().st_size
    with path.open("rb") as file:
        while bounds[-1] < size:
            file.seek(min(size, bounds[-1] + BYTES))
            file.readline()
            bounds.append(file.tell())
    return [*itertools.pairwise(bounds)]


def lines(path: Path, part: Part) -> Iterator[bytes]:
    """Returns the lines of a part of a file."""
    with path.open("rb") as file:
        file.seek(part.start)
        return io.BytesIO(file.read(part.stop - part.start))
