"""Where the rows of several files are, if they are counted as one sequence."""

import bisect
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .... import digests
from .files import File

Passed = tuple[int, Mapping[str, Any], str, int]
"""A row in a pass over all rows: its index, the row, the stem of its name, and its number in its file, from 0."""


class Place(NamedTuple):
    """Where a row is."""

    uri: str
    stem: str
    """Start of the row's name. The name, `STEM/NUMBER`, is the id of a row without an id."""
    number: int
    """Number of the row in its file, from 0."""


class Files:
    """The files of a source, with their numbers of rows."""

    def __init__(self, parts: Sequence[File], counts: Sequence[int]):
        """Takes the files and the number of rows of each."""
        self.parts, self.counts = parts, counts
        self.starts = [0, *itertools.accumulate(counts)]
        """Index of the first row of each file, and the number of all rows."""
        self.stems = {part.stem: number for number, part in enumerate(parts)}
        """The file of each stem."""

    def __len__(self) -> int:
        """Returns the number of rows."""
        return self.starts[-1]

    def place(self, index: int) -> Place:
        """Returns where a row is."""
        file = bisect.bisect_right(self.starts, index) - 1
        return Place(self.parts[file].uri, self.parts[file].stem, index - self.starts[file])

    def named(self, name: str) -> int | None:
        """Returns the index of the row with a name, if there is one."""
        stem, _, number = name.rpartition("/")
        file = self.stems.get(stem)
        if file is None or not (number.isascii() and number.isdigit()) or len(number) > 18 or number != str(int(number)):
            return None
        return self.starts[file] + int(number) if int(number) < self.counts[file] else None

    def digest(self) -> str:
        """Returns the digest of the files' contents."""
        return digests.of([[part.stem, digests.of_file(part.path)] for part in self.parts])

    def runs(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """Yields the rows from `start` to before `stop` as ranges of files: the file, the first row, the last row plus 1."""
        file = bisect.bisect_right(self.starts, start) - 1
        while start < stop:
            last = min(stop, self.starts[file + 1])
            if start < last:
                yield file, start - self.starts[file], last - self.starts[file]
            start, file = last, file + 1
