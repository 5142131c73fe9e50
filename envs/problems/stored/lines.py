"""Rows of large files of JSON lines: one pass finds where each row begins; a row is then read by its position.

A compressed file cannot be read from the middle. The pass therefore writes its decompressed content into the prepared folder
(`prepared.py`). It is not kept in memory, because each process would need its own copy.
"""

import contextlib
import itertools
import json
import os
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ....core import UserError
from . import files
from .places import Files, Passed

Row = Mapping[str, Any]
OFFSETS, COUNTS = "offsets.npy", "counts.npy"
"""Byte at which each row begins in its file; number of rows and of bytes of each file."""


def parse(line: bytes, path: Path, number: int) -> Row | None:
    """Returns the row of a line; None for a blank line and for the header of a store, which is its first line.

    Args:
        line: the line.
        path: the file, for errors.
        number: number of the line, from 1.

    Raises:
        UserError: the line is not a JSON object in UTF-8.
    """
    if line.isspace():
        return None
    try:
        text = line.decode()
        row = json.loads(text[1:] if text[0] == "\ufeff" else text)
    except (ValueError, RecursionError) as error:  # includes bytes that are not UTF-8
        raise UserError(f"{path}, line {number}: not JSON ({error})") from None
    if not isinstance(row, dict):
        raise UserError(f"{path}, line {number}: expected a JSON object, got {type(row).__name__}")
    if number == 1 and row.keys() == {"settings"}:
        return None
    return row


def rows(path: Path) -> Iterator[Row]:
    """Yields the rows of a file, which may be compressed; see `parse`."""
    with files.content(path) as lines:
        for number, line in enumerate(lines, start=1):
            if (row := parse(line, path, number)) is not None:
                yield row


def scan(parts: Sequence[files.File], stop: int | None, folder: Path) -> Iterator[Passed]:
    """Yields the rows of files, and writes into a folder the files that `Lines` reads.

    The iterator must be read to its end; the files are complete only then.

    Args:
        parts: the files.
        stop: number of rows to read; None: all.
        folder: an empty folder.

    Raises:
        UserError: see `parse`.
    """
    offsets, counts = array("q"), []
    for index, (path, _, stem) in enumerate(parts):
        before, position = len(offsets), 0
        with contextlib.ExitStack() as stack:
            lines = stack.enter_context(files.content(path))
            copy = stack.enter_context(_copy(folder, index).open("wb")) if files.is_compressed(path) else None
            for number, line in enumerate(lines, start=1):
                if len(offsets) == stop:
                    break
                if copy:
                    copy.write(line)
                if (row := parse(line, path, number)) is not None:
                    yield len(offsets), row, stem, len(offsets) - before
                    offsets.append(position)
                position += len(line)
        counts.append((len(offsets) - before, position))
    np.save(folder / OFFSETS, np.frombuffer(offsets, np.int64))
    np.save(folder / COUNTS, np.array(counts, np.int64))


def _copy(folder: Path, index: int) -> Path:
    """Returns the decompressed copy of a file."""
    return folder / f"{index}.jsonl"


class Lines:
    """The rows of files of JSON lines. Its memory does not grow with the number of rows: the offsets are memory-mapped."""

    def __init__(self, parts: Sequence[files.File], states: Sequence[files.State], folder: Path):
        """Opens the files.

        Args:
            parts: the files.
            states: their states when they were scanned.
            folder: the folder that `scan` has written.
        """
        self._offsets = np.load(folder / OFFSETS, mmap_mode="r")
        counts = np.load(folder / COUNTS)
        self._sizes = counts[:, 1].tolist()
        self.files = Files(parts, counts[:, 0].tolist())
        self._states, self._folder = states, folder

    def read(self, start: int, stop: int) -> Iterator[Row]:
        """Yields the rows from `start` to before `stop`.

        Raises:
            UserError: a file was changed since it was scanned.
        """
        for file, first, last in self.files.runs(start, stop):
            path = self.files.parts[file].path
            offset = self.files.starts[file]
            begins = self._offsets[offset + first : offset + last + 1].tolist()
            if last == self.files.counts[file]:
                begins = [*begins[: last - first], self._sizes[file]]
            is_copy = files.is_compressed(path)
            with (_copy(self._folder, file) if is_copy else path).open("rb") as lines:
                status = os.fstat(lines.fileno())
                if not is_copy and (status.st_mtime_ns, status.st_size) != self._states[file][1:]:
                    raise UserError(f"{path} was changed while it was used: start again")
                lines.seek(begins[0])
                content = lines.read(begins[-1] - begins[0])
            for begin, end in itertools.pairwise(begins):
                line = content[begin - begins[0] : end - begins[0]].partition(b"\n")[0]  # blank lines may follow
                if (row := parse(line, path, 0)) is not None:
                    yield row

    def digest(self) -> str:
        """Returns the digest of the files' contents."""
        return self.files.digest()
