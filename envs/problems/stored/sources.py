"""Makes the problems of large files and tables: one pass over the rows, which prepares what reading a single row needs."""

import functools
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .... import digests
from ....core import Problem
from . import files, lines, prepared, tables
from .places import Passed
from .problems import BLOCK, IndexedProblems, Integers, Rows, Source
from .repeated_ids import Candidates
from .selection import Selection

if TYPE_CHECKING:
    import datasets

NUMBERS = "numbers.npy"
"""See `Source.numbers`."""
CHOSEN = "chosen.npy"
"""Indices of the selected rows."""


class Indexed(NamedTuple):
    """Problems, and the name of their first row for errors."""

    problems: IndexedProblems
    first: str


class Options(NamedTuple):
    """The options of a URI."""

    uri: str
    given: Mapping[str, str]
    """All options, for the conversion of rows."""
    skip: int
    limit: int | None
    shuffle: int | None
    load: Callable[[], Sequence[Problem]]
    """Loads the problems of the URI again, in another process."""
    selection: Selection | None = None
    """Which rows are used; None: all. `skip` and `limit` count the selected rows."""

    @property
    def stop(self) -> int | None:
        """Index after the last row; None for all rows."""
        return None if self.limit is None else self.skip + self.limit

    @property
    def passed(self) -> int | None:
        """Number of rows to pass over; None for all rows."""
        return None if self.selection else self.stop

    @property
    def columns(self) -> frozenset[str]:
        """The columns that decide whether a row is used."""
        return self.selection.columns if self.selection else frozenset()


def of_lines(parts: Sequence[files.File], options: Options) -> Indexed:
    """Returns the problems of files of JSON lines.

    Args:
        parts: the files.
        options: options of the URI.

    Raises:
        UserError: a line is not a JSON object. The message names the line.
    """
    states = [files.state(part.path) for part in parts]

    def rows(folder: Path) -> lines.Lines:
        return lines.Lines(parts, states, folder)

    def passed(folder: Path, candidates: Candidates) -> Iterable[Passed]:
        return lines.scan(parts, options.passed, folder)

    return _problems([part.stem for part in parts], [str(state) for state in states], options, passed, rows)


def of_parquet(parts: Sequence[files.File], options: Options) -> Indexed:
    """Returns the problems of parquet files.

    Args:
        parts, options: see `of_lines`.

    Raises:
        UserError: a file is damaged.
    """
    states = [str(files.state(part.path)) for part in parts]

    def rows(folder: Path) -> tables.Tables:
        return tables.Tables(parts, folder)

    def passed(folder: Path, candidates: Candidates) -> Iterable[Passed]:
        return tables.convert(parts, options.passed, folder, candidates.columns | options.columns)

    return _problems([part.stem for part in parts], states, options, passed, rows)


def of_hub(stem: str, data: "datasets.Dataset", options: Options) -> Indexed:
    """Returns the problems of a data set of the hub.

    Args:
        stem: start of the names of its rows.
        data: the data set.
        options: options of the URI.
    """
    found = tables.HubRows(options.uri, stem, data)

    def rows(folder: Path) -> tables.HubRows:
        return found

    def passed(folder: Path, candidates: Candidates) -> Iterable[Passed]:
        return found.passed(options.passed, candidates.columns | options.columns)

    return _problems([stem], [str(data._fingerprint)], options, passed, rows)


def _problems(
    stems: Sequence[str],
    states: Sequence[str],
    options: Options,
    passed: Callable[[Path, Candidates], Iterable[Passed]],
    rows: Callable[[Path], Rows],
) -> Indexed:
    """Returns the problems of rows.

    Args:
        stems: the stems of the rows' names.
        states: texts that differ after a change of the rows.
        options: options of the URI.
        passed: passes over all rows, and writes what `rows` needs into a folder.
        rows: opens the rows; the folder is the one that `passed` has written.
    """

    def source(folder: Path, numbers: Integers) -> Source:
        return Source(rows(folder), options.given, options.shuffle, numbers, digests.of(key), options.load)

    def write(folder: Path) -> None:
        candidates, chosen, position = Candidates(options.given, stems), array("q"), -1
        for index, row, stem, number in passed(folder, candidates):
            if options.selection and not options.selection.holds(row, f"{options.uri}, {stem}/{number}"):
                continue
            position = position + 1 if options.selection else index
            if options.skip <= position and (options.stop is None or position < options.stop):
                candidates.add(index, row, stem, number)
                if options.selection:
                    chosen.append(index)
        found, selected = source(folder, np.empty((2, 0), np.int64)), frozenset(chosen)

        @functools.lru_cache(4)
        def block(number: int) -> list[Mapping[str, object]]:
            return [*found.rows.read(number * BLOCK, min(len(found.rows.files), (number + 1) * BLOCK))]

        def id_of(index: int) -> str:
            return found.problem(index, block(index // BLOCK)[index % BLOCK]).id

        def named(name: str) -> int | None:
            index = found.rows.files.named(name)
            used = selected if options.selection else range(options.skip, _stop(found.rows, options))
            return index if index in used else None

        repeated = candidates.repeated(id_of, named)
        np.save(folder / NUMBERS, np.array([[*repeated], [*repeated.values()]], np.int64))
        if options.selection:
            np.save(folder / CHOSEN, np.array(chosen, np.int64))

    key = [options.uri, options.given, [*states]]
    folder = prepared.folder(key, write)
    opened = source(folder, np.load(folder / NUMBERS, mmap_mode="r"))
    chosen: range | Integers = range(options.skip, max(options.skip, _stop(opened.rows, options)))
    if options.selection:
        chosen = np.load(folder / CHOSEN)
    _, stem, number = opened.rows.files.place(int(chosen[0])) if len(chosen) else ("", "", 0)
    return Indexed(IndexedProblems(opened, chosen), f"{stem}/{number}")


def _stop(rows: Rows, options: Options) -> int:
    return len(rows.files) if options.stop is None else min(options.stop, len(rows.files))
