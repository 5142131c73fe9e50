"""Rows of large tables: parquet files and data sets of the Hugging Face hub.

A parquet file can only be read by groups of rows, which often have a million rows. Therefore one pass writes it as an Arrow
file into the prepared folder (`prepared.py`), uncompressed. Arrow files are memory-mapped, and a row is read by its position.
The hub's data sets are memory-mapped Arrow files already.
"""

import bisect
import functools
import hashlib
import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import files
from .places import Files, Passed

if TYPE_CHECKING:
    import datasets
    import pyarrow

Row = Mapping[str, Any]
BATCH = 1_000
"""Rows that are converted at a time. Our choice."""
OPEN_FILES = 64
"""Number of Arrow files that a process keeps memory-mapped."""


def batches(path: Path) -> Iterator["pyarrow.RecordBatch"]:
    """Yields the rows of a parquet file as batches of at most `BATCH` rows.

    Raises:
        UserError: the file is not a parquet file, or is damaged.
    """
    import pyarrow as arrow
    import pyarrow.parquet

    with (
        files.readable(path, "parquet", (arrow.ArrowException, OSError)),
        files.content(path) as content,
        pyarrow.parquet.ParquetFile(_seekable(path, content)) as file,
    ):
        yield from file.iter_batches(BATCH)


def _seekable(path: Path, content: Any) -> Any:
    """Returns a parquet file that can be read from any position, because its footer is at the end.

    A compressed file is decompressed into memory.
    """
    import pyarrow

    return pyarrow.BufferReader(content.read()) if files.is_compressed(path) else path


def rows(path: Path) -> Iterator[Row]:
    """Yields the rows of a parquet file; see `batches`."""
    for batch in batches(path):
        yield from batch.to_pylist()


def size(path: Path) -> int:
    """Returns the number of bytes of a parquet file's content before its own compression; 0 if the file cannot be read."""
    import pyarrow as arrow
    import pyarrow.parquet

    if files.is_compressed(path):
        return files.size(path)
    try:
        metadata = pyarrow.parquet.read_metadata(path)
    except (arrow.ArrowException, OSError):
        return 0  # reading it raises the error
    return sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))


def convert(parts: Sequence[files.File], stop: int | None, folder: Path, columns: Collection[str]) -> Iterator[Passed]:
    """Yields some columns of parquet files, and writes the files that `Tables` reads.

    The iterator must be read to its end; the files are complete only then.

    Args:
        parts: the files.
        stop: number of rows to read; None: all.
        folder: an empty folder.
        columns: the columns to yield. A file without any of them yields nothing.

    Raises:
        UserError: see `batches`.
    """
    import pyarrow

    counts, total = [], 0
    for index, (path, _, stem) in enumerate(parts):
        writer: Any = None
        lengths: list[int] = []
        try:
            for read in batches(path) if stop is None or total < stop else ():
                batch = _without_dictionaries(read if stop is None else read.slice(0, stop - total))
                if writer is None:
                    writer = pyarrow.ipc.new_file(str(folder / f"{index}.arrow"), batch.schema)
                writer.write_batch(batch)
                names = [name for name in batch.schema.names if name in columns]
                for number, row in enumerate(batch.select(names).to_pylist() if names else (), sum(lengths)):
                    yield total - sum(lengths) + number, row, stem, number
                lengths.append(len(batch))
                total += len(batch)
                if total == stop:
                    break
        finally:
            if writer is not None:
                writer.close()
        np.save(folder / f"{index}.npy", np.cumsum([0, *lengths]))
        counts.append(sum(lengths))
    np.save(folder / "counts.npy", np.array(counts, np.int64))


def _without_dictionaries(batch: "pyarrow.RecordBatch") -> "pyarrow.RecordBatch":
    """Returns a batch whose columns have no dictionaries, because an Arrow file has one dictionary for all of its batches."""
    import pyarrow

    types = [type.value_type if pyarrow.types.is_dictionary(type) else type for type in batch.schema.types]
    if types == batch.schema.types:
        return batch
    return batch.cast(pyarrow.schema(list(zip(batch.schema.names, types, strict=True))))


@functools.lru_cache(OPEN_FILES)
def _open(path: str) -> tuple["pyarrow.RecordBatchFileReader", list[int]]:
    """Returns a memory-mapped Arrow file, and the index of the first row of each of its batches."""
    import pyarrow

    return pyarrow.ipc.open_file(pyarrow.memory_map(path)), np.load(Path(path).with_suffix(".npy")).tolist()


class Tables:
    """The rows of parquet files."""

    def __init__(self, parts: Sequence[files.File], folder: Path):
        """Opens the files, which `convert` has written into a folder."""
        self.files = Files(parts, np.load(folder / "counts.npy").tolist())
        self._folder = folder

    def read(self, start: int, stop: int) -> Iterator[Row]:
        """Yields the rows from `start` to before `stop`."""
        for file, first, last in self.files.runs(start, stop):
            reader, starts = _open(str(self._folder / f"{file}.arrow"))
            while first < last:
                number = bisect.bisect_right(starts, first) - 1
                begin, end = starts[number], min(last, starts[number + 1])
                yield from reader.get_batch(number).slice(first - begin, end - first).to_pylist()
                first = end

    def digest(self) -> str:
        """Returns the digest of the files' contents."""
        return self.files.digest()


class HubRows:
    """The rows of a data set of the hub."""

    def __init__(self, uri: str, name: str, data: "datasets.Dataset"):
        """Stores the data set, its URI and its name, with which the names of its rows start."""
        self.files = Files([files.File(Path(name), uri, name)], [len(data)])
        self._data = data

    def passed(self, stop: int | None, columns: Collection[str]) -> Iterator[Passed]:
        """Yields some columns of the rows.

        Args:
            stop: number of rows to read; None: all.
            columns: the columns to yield. Nothing is yielded if there is none of them.
        """
        names = [name for name in self._data.column_names if name in columns]
        rows = itertools.islice(self._data.select_columns(names), stop) if names else ()
        for number, row in enumerate(rows):
            yield number, row, next(iter(self.files.stems)), number

    def read(self, start: int, stop: int) -> Iterator[Row]:
        """Yields the rows from `start` to before `stop`."""
        columns = self._data[start:stop]
        for values in zip(*columns.values(), strict=True):
            yield dict(zip(columns, values, strict=True))

    def digest(self) -> str:
        """Returns the digest of the content of all rows."""
        import pyarrow

        digest = hashlib.sha256()
        for table in self._data.with_format("arrow").iter(BATCH):  # batches of equal lengths, whatever the files' own are
            plain = table.combine_chunks().replace_schema_metadata(None)
            sink = pyarrow.BufferOutputStream()
            with pyarrow.ipc.new_stream(sink, plain.schema) as writer:
                writer.write_table(plain)
            digest.update(sink.getvalue())
        return digest.hexdigest()
