"""`IndexedProblems`: problems of a large source, as a sequence that reads a row when its problem is asked for."""

import dataclasses
import functools
import operator
import threading
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from typing import Any, Protocol, overload

import numpy as np
from cachetools import LRUCache

from .... import digests
from ....core import Problem, UserError
from .. import rows as row_formats
from .places import Files

Integers = np.ndarray[Any, np.dtype[np.int64]]
REMEMBERED = 64
"""Number of recent problems that a sequence keeps. Our choice: about as many as are played at once."""
BLOCK = 256
"""Number of rows that an iteration reads at a time. Our choice."""
SPREAD = 8
"""An iteration over chosen rows reads all rows from the first to the last chosen row of a block, in one pass. If these are more
than `SPREAD` times as many rows as are chosen, each chosen row is read alone. Our choice.
"""


class Rows(Protocol):
    """Rows that are read by their position."""

    files: Files

    def read(self, start: int, stop: int) -> Iterator[Mapping[str, Any]]:
        """Yields the rows from `start` to before `stop`."""
        ...

    def digest(self) -> str:
        """Returns the digest of the content of all rows."""
        ...


@dataclasses.dataclass(frozen=True)
class Source:
    """The rows of a URI, and how they become problems."""

    rows: Rows
    options: Mapping[str, str]
    """Options of the URI; see `sources.py`."""
    shuffle: int | None
    """Seed of the order of multiple-choice options."""
    numbers: Integers
    """Rows whose ids are repeated, in order, and the numbers that their ids get. Shape (2, repeated ids)."""
    version: str
    """Digest of everything that decides the problems; another one after the files were changed."""
    load: Callable[[], Sequence[Problem]]
    """Loads the problems of the URI again, in another process."""

    def problem(self, index: int, row: Mapping[str, Any]) -> Problem:
        """Returns the problem of a row, without the number of a repeated id.

        Args:
            index: index of the row.
            row: values by column.

        Raises:
            UserError: the row cannot be read; see `rows.problem_of`.
        """
        uri, stem, number = self.rows.files.place(index)
        return row_formats.problem_of(row, uri, f"{stem}/{number}", number + 1, self.options, self.shuffle)

    def problems(self, start: int, stop: int, wanted: Container[int] | None = None) -> Iterator[Problem]:
        """Yields the problems of a range of rows.

        Args:
            start: index of the first row.
            stop: index after the last row.
            wanted: indices of the rows to convert; None: all.

        Raises:
            UserError: see `problem`.
        """
        at, last = np.searchsorted(self.numbers[0], (start, stop)).tolist()
        repeated: dict[int, int] = dict(zip(*self.numbers[:, at:last].tolist(), strict=True))
        for index, row in enumerate(self.rows.read(start, stop), start):
            if wanted is not None and index not in wanted:
                continue
            problem = self.problem(index, row)
            number = repeated.get(index)
            yield problem if number is None else dataclasses.replace(problem, id=f"{problem.id}#{number}")


class IndexedProblems(Sequence[Problem]):
    """Problems that are read and converted when they are asked for.

    An iteration holds a few hundred rows. A slice is another such sequence. Reading a problem raises a `UserError` if its row
    has no known format. Several threads and processes may read. A pickled sequence contains the URI, not the problems.
    """

    def __init__(self, source: Source, chosen: range | Integers):
        """Takes some rows of a source.

        Args:
            source: the source.
            chosen: indices of the rows.
        """
        self._source, self._chosen = source, chosen
        self._recent: LRUCache[int, Problem] = LRUCache(REMEMBERED)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Returns the number of problems."""
        return len(self._chosen)

    @overload
    def __getitem__(self, index: int) -> Problem: ...
    @overload
    def __getitem__(self, index: slice) -> "IndexedProblems": ...
    def __getitem__(self, index: int | slice) -> "Problem | IndexedProblems":
        """Returns a problem, or a sequence of them, which is not read yet."""
        if isinstance(index, slice):
            return IndexedProblems(self._source, self._chosen[index])
        row = int(self._chosen[operator.index(index)])
        with self._lock:
            problem = self._recent.get(row)
        if problem is None:
            (problem,) = self._source.problems(row, row + 1)
            with self._lock:
                self._recent[row] = problem
        return problem

    def __iter__(self) -> Iterator[Problem]:
        """Yields the problems."""
        for start in range(0, len(self), BLOCK):
            block = [int(row) for row in self._chosen[start : start + BLOCK]]
            first, last = min(block), max(block) + 1
            if last - first > SPREAD * len(block):
                yield from (self[start + place] for place in range(len(block)))
            elif block == [*range(first, last)]:
                yield from self._source.problems(first, last)
            else:
                wanted = sorted({*block})
                read = dict(zip(wanted, self._source.problems(first, last, {*wanted}), strict=True))
                yield from (read[row] for row in block)

    def __eq__(self, other: object) -> bool:
        """True if another sequence has equal problems."""
        if not isinstance(other, Sequence) or len(self) != len(other):
            return False
        return all(mine == its for mine, its in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # like a list

    def __reduce__(self) -> tuple[Callable[..., Sequence[Problem]], tuple[object, ...]]:
        """Pickles the URI and the chosen rows."""
        return _restored, (self._source.load, self._source.version, self._chosen)

    @property
    def version(self) -> str:
        """A text that is different for other problems, and after the files were changed. Cheap, unlike `digest`."""
        return f"{self._source.version} {self._positions()}"

    def at(self, indices: Integers) -> "IndexedProblems":
        """Returns the problems with these indices."""
        chosen = self._chosen
        rows = np.arange(chosen.start, chosen.stop, chosen.step) if isinstance(chosen, range) else chosen
        return IndexedProblems(self._source, rows[indices])

    def digest(self) -> str:
        """Returns a digest of everything that decides the problems: the content of their files, and the options."""
        return digests.of([self._source.rows.digest(), self._source.options, self._source.shuffle, self._positions()])

    def _positions(self) -> str:
        """Returns the chosen rows as a short text."""
        chosen = self._chosen
        return str(chosen) if isinstance(chosen, range) else digests.of(chosen.tobytes())


def _restored(load: Callable[[], Sequence[Problem]], version: str, chosen: range | Integers) -> Sequence[Problem]:
    """Returns a pickled sequence.

    Raises:
        UserError: the files were changed since it was pickled.
    """
    problems = load()
    if not isinstance(problems, IndexedProblems) or problems._source.version != version:
        uri = load.args[0] if isinstance(load, functools.partial) else "a source of problems"
        raise UserError(f"{uri} was changed while it was used: start again")
    return IndexedProblems(problems._source, chosen)
