"""Finds the repeated ids of a large source without converting all of its rows to problems.

A repeated id gets the number that `rows.with_distinct_ids` would give it.

The id of a problem depends on the format of its row, but it is always the row's name or the value of one of a few columns. One
pass collects hashes of these values. Only rows with a value that another row has, too, are then converted to problems. Thus
distinct ids take 16 bytes for each row, and only during the pass.
"""

import heapq
import re
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from .. import cells
from .. import rows as row_formats

_PREFIX = re.compile("(?:mbpp/)+")
"""Text that a format adds before the value of a column (`code.py`)."""


class Candidates:
    """Hashes of the possible ids of rows."""

    def __init__(self, options: Mapping[str, str], stems: Collection[str]):
        """Creates an empty collection.

        Args:
            options: options of the URI.
            stems: the stems of the rows' names.
        """
        self.columns = frozenset({options["id"]}) if "id" in options else row_formats.ID_COLUMNS
        """The columns with possible ids."""
        self._stems = frozenset(stems)
        self._hashes, self._rows = array("q"), array("q")
        self._named = array("q")
        """Rows that have the name of another row as a possible id."""

    def add(self, index: int, row: Mapping[str, Any], stem: str, number: int) -> None:
        """Adds a row.

        Args:
            index: index of the row.
            row: values by column; other columns than `columns` are not needed.
            stem: stem of the row's name.
            number: number of the row in its file.
        """
        if self.columns.isdisjoint(row):
            return
        values = [cells.plain(value) for column, value in row.items() if column in self.columns]
        for text in {_without_prefix(str(value)) for value in values if not cells.is_missing(value)}:
            self._hashes.append(hash(text))
            self._rows.append(index)
            if "/" in text and text.rpartition("/")[0] in self._stems and text != f"{stem}/{number}":
                self._named.append(index)

    def repeated(self, id_of: Callable[[int], str], named: Callable[[str], int | None]) -> dict[int, int]:
        """Returns the number that each repeated id gets, by row. The ids are those of `rows.with_distinct_ids`.

        Args:
            id_of: returns the id of a row's problem.
            named: returns the row with a name, if there is one.
        """
        hashes = np.sort(np.frombuffer(self._hashes, np.int64))
        shared = hashes[1:][hashes[1:] == hashes[:-1]]
        if not len(shared) and not self._named:
            return {}
        order = np.argsort(np.frombuffer(self._hashes, np.int64), kind="stable")
        rows = np.frombuffer(self._rows, np.int64)
        unclear = {*rows[np.isin(np.frombuffer(self._hashes, np.int64), shared)].tolist(), *self._named}

        def others(id: str) -> set[int]:
            """Returns the rows that are not in `unclear` and have this id."""
            text = _without_prefix(id)
            at = int(np.searchsorted(hashes, hash(text)))
            found = {int(rows[order[at]])} if at < len(hashes) and hashes[at] == hash(text) else set()
            found |= {row for row in [named(text)] if row is not None}
            return {row for row in found - unclear if id_of(row) == id}

        waiting, used, repeats, numbers = sorted(unclear), set[str](), Counter[str](), dict[int, int]()
        while waiting:
            row = heapq.heappop(waiting)
            id = distinct = id_of(row)
            while distinct in used or any(other < row for other in others(distinct)):
                repeats[id] += 1
                numbers[row] = repeats[id] + 1
                distinct = f"{id}#{numbers[row]}"
            used.add(distinct)
            for later in others(distinct):
                unclear.add(later)
                heapq.heappush(waiting, later)
        return numbers


def _without_prefix(text: str) -> str:
    match = _PREFIX.match(text)
    return text[match.end() :] if match else text
