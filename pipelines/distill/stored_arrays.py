"""Arrays that the training processes compute once, part by part, and store as memory-mapped files."""

import bisect
import errno
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy

from ... import disk

Item = TypeVar("Item")
Progress = Callable[[int, int], None]
"""Called with the number of finished items and the number of all items."""


def computed_once(
    folder: Path,
    kinds: Mapping[str, tuple[int, type]],
    items: Sequence[Item],
    offsets: Sequence[int] | numpy.ndarray,
    compute: Callable[[Sequence[Item]], Iterator[numpy.ndarray]],
    progress: Progress,
    batch_size: int,
) -> list[list[numpy.ndarray]]:
    """Returns the memory-mapped arrays of a folder, in parts. Each process computes one part.

    If a killed run has left the part unfinished, it is continued.

    Args:
        folder: a folder that all processes share.
        kinds: columns and type of each array, by name. A row of zeros in the last array is not computed yet.
        items: the items that the arrays describe, such as pairs of responses.
        offsets: first row of each item, and finally the number of rows.
        compute: yields the rows of a few items for each array.
        progress: called with the number of this process's finished items and the number of its items.
        batch_size: items that are computed at once. Only the last batch over all items may be incomplete.
    """
    from accelerate import PartialState

    state = PartialState()  # the state that the training has set up
    count = state.num_processes
    batches = math.ceil(len(items) / batch_size)
    bounds = [min(len(items), batches * process // count * batch_size) for process in range(count + 1)]
    first, last = bounds[state.process_index : state.process_index + 2]
    # The names have the bounds, because a resumed run with another batch size divides the items differently.
    parts = [f"{process}-of-{count}-from-{bounds[process]}-to-{bounds[process + 1]}" for process in range(count)]
    names = [[folder / f"{name}-{part}.npy" for part in parts] for name in kinds]
    own = [files[state.process_index] for files in names]
    if not all(file.is_file() for file in own):
        rows, partial = int(offsets[last] - offsets[first]), [file.with_suffix(".partial") for file in own]
        if not all(file.is_file() for file in partial):
            for file, (columns, dtype) in zip(partial, kinds.values(), strict=True):
                numpy.lib.format.open_memmap(file, "w+", dtype, (rows, columns))
                _reserve(file)
        arrays = [numpy.lib.format.open_memmap(file, "r+") for file in partial]
        # A new file is all zeros, and rows are filled in order. Therefore the first row of zeros is the first one to compute. A
        # computed row may be all zeros as well; it is computed again.
        filled = bisect.bisect_left(range(rows), True, key=lambda row: not arrays[-1][row].any())
        start = bisect.bisect_right(offsets, int(offsets[first]) + filled, first, last) - 1 if filled < rows else last
        for number in range(first + (start - first) // batch_size * batch_size, last, batch_size):
            batch = items[number : min(number + batch_size, last)]
            span = slice(offsets[number] - offsets[first], offsets[number + len(batch)] - offsets[first])
            for array, found in zip(arrays, compute(batch), strict=True):
                array[span] = found
            progress(number + len(batch) - first, last - first)
        for array in arrays:
            array.flush()
        for unfinished, finished in zip(partial, own, strict=True):
            unfinished.rename(finished)
    state.wait_for_everyone()
    return [[_loaded(file, columns) for file in files] for files, (columns, _) in zip(names, kinds.values(), strict=True)]


def _reserve(file: Path) -> None:
    """Reserves a file's disk space, because writing to mapped memory on a full disk ends the process without a message."""
    with disk.name_in_errors(file), file.open("r+b") as opened:
        try:
            os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                file.unlink()
                raise


def _loaded(file: Path, columns: int) -> numpy.ndarray:
    with disk.reading(file, "remove it; it is then computed again"):
        array = numpy.load(file, mmap_mode="r")
        if array.ndim != 2 or array.shape[1] != columns:
            raise ValueError(f"unexpected shape {array.shape}")
        return array
