"""The date window of a source: the options `from` and `to`, which choose rows by the date of their contest."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from ....core import UserError

COLUMN = "contest_date"
"""The column with the date, as in LiveCodeBench's rows."""
FORMAT = "%Y-%m-%d"


class Window(NamedTuple):
    """The first and the last moment of the window; None: no limit. As in LiveCodeBench's own code, a day begins at 0:00."""

    first: datetime | None
    last: datetime | None

    def holds(self, row: object, where: str) -> bool:
        """True if the date of a row is in the window.

        Args:
            row: values by column.
            where: name of the row, for errors.

        Raises:
            UserError: the row has no date.
        """
        date = row.get(COLUMN) if isinstance(row, Mapping) else None
        try:
            found = (date if isinstance(date, datetime) else datetime.fromisoformat(str(date))).replace(tzinfo=None)
        except ValueError:
            raise UserError(f"{where}: from= and to= need a date in the column {COLUMN}, got {date!r:.100}") from None
        return (self.first is None or self.first <= found) and (self.last is None or found <= self.last)


def window(uri: str, options: Mapping[str, str]) -> Window | None:
    """Returns the window of a URI; None if it has none.

    Args:
        uri: the URI, for errors.
        options: options of the URI.

    Raises:
        UserError: an option is not a date, or the window ends before it begins.
    """
    if not options.keys() & {"from", "to"}:
        return None
    first, last = (_date(uri, name, options.get(name)) for name in ("from", "to"))
    if first and last and last < first:
        raise UserError(f"{uri}: to={options['to']} is before from={options['from']}")
    return Window(first, last)


def _date(uri: str, name: str, text: str | None) -> datetime | None:
    try:
        return None if text is None else datetime.strptime(text, FORMAT)
    except ValueError:
        raise UserError(f"{uri}: {name}: expected a date such as 2024-08-01, got {text!r:.100}") from None
