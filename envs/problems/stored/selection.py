"""The selection of a source: `from`, `to` and `release` choose rows by dates, and `without` rows with an empty column."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from ....core import UserError
from .. import cells
from ..live_bench.rows import RELEASED

DATE = "contest_date"
"""The column with the date, as in LiveCodeBench's rows."""
REMOVED = "livebench_removal_date"
"""Column of LiveBench's rows with the date of removal. It is empty for a question that has not been removed."""
FORMAT = "%Y-%m-%d"


class Selection(NamedTuple):
    """Which rows of a source are used."""

    first: datetime | None = None
    """The first moment of the date window; None: no limit. As in LiveCodeBench's own code, a day begins at 0:00."""
    last: datetime | None = None
    """The last moment of the date window; None: no limit."""
    release: datetime | None = None
    """A release of LiveBench: its questions were released by then, and not removed by then; None: all rows."""
    without: str | None = None
    """The column that must be empty (null, NaN, blank), for example `image`; None: no such column."""

    @property
    def columns(self) -> frozenset[str]:
        """The columns that decide whether a row is used."""
        dates = {DATE} if self.first or self.last else {RELEASED, REMOVED} if self.release else set()
        return frozenset(dates | ({self.without} if self.without else set()))

    def holds(self, row: object, where: str) -> bool:
        """True if a row is used.

        Args:
            row: values by column.
            where: name of the row, for errors.

        Raises:
            UserError: the row has no date, or no column `without`.
        """
        values = row if isinstance(row, Mapping) else {}
        return self._is_in_window(values, where) and self._is_in_release(values, where) and self._is_without(values, where)

    def _is_in_window(self, values: Mapping[object, object], where: str) -> bool:
        if not (self.first or self.last):
            return True
        found = _date_of(values.get(DATE), DATE, "from= and to= need", where)
        return (self.first is None or self.first <= found) and (self.last is None or found <= self.last)

    def _is_in_release(self, values: Mapping[object, object], where: str) -> bool:
        if self.release is None:
            return True
        if _date_of(values.get(RELEASED), RELEASED, "release= needs", where) > self.release:
            return False
        removed = cells.plain(values.get(REMOVED))
        return cells.is_missing(removed) or _date_of(removed, REMOVED, "release= needs", where) > self.release

    def _is_without(self, values: Mapping[object, object], where: str) -> bool:
        if self.without is None:
            return True
        if self.without not in values:
            raise UserError(
                f"{where}: without={self.without} needs a column with this name; correct the name, or omit without="
            )
        return cells.is_missing(cells.plain(values[self.without]))


def selection(uri: str, options: Mapping[str, str]) -> Selection | None:
    """Returns the selection of a URI; None if all rows are used.

    Args:
        uri: the URI, for errors.
        options: options of the URI.

    Raises:
        UserError: an option is not a date, the window ends before it begins, there are a window and a release, or `without` is
            empty.
    """
    if not options.keys() & {"from", "to", "release", "without"}:
        return None
    first, last, release = (_date(uri, name, options.get(name)) for name in ("from", "to", "release"))
    if release and (first or last):
        raise UserError(f"{uri}: from= and to= do not go with release=; omit one of them")
    if first and last and last < first:
        raise UserError(f"{uri}: to={options['to']} is before from={options['from']}")
    if options.get("without") == "":
        raise UserError(f"{uri}: without: expected the name of a column, such as image")
    return Selection(first, last, release, options.get("without"))


def _date(uri: str, name: str, text: str | None) -> datetime | None:
    try:
        return None if text is None else datetime.strptime(text, FORMAT)
    except ValueError:
        raise UserError(f"{uri}: {name}: expected a date such as 2024-08-01, got {text!r:.100}") from None


def _date_of(date: object, column: str, need: str, where: str) -> datetime:
    found = cells.date_of(date)
    if found is None:
        raise UserError(f"{where}: {need} a date in the column {column}, got {date!r:.100}")
    return found
