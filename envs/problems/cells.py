"""Conversion of cell values of a table to plain Python values, because files, pandas and numpy represent them differently."""

import contextlib
import datetime
import decimal
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ...texts import without_surrogates

_MISSING = frozenset({"", "nan", "<na>", "nat"})
"""Texts that stand for a missing value. "None" is not one of them, because it is the answer of some problems."""
_LONGEST = max(map(len, _MISSING))
_SECONDS = (1_000_000_000, 10_000_000_000)
"""Numbers of seconds since 1970 that count as a date: those of 2001 to 2286. A smaller number such as 20241125 is ISO text."""
_UNITS = (1, 1_000, 1_000_000, 1_000_000_000)
"""Units of a time in one second. pandas writes milliseconds into JSON; numpy gives nanoseconds."""


def plain(value: Any) -> Any:
    """Returns a cell value as JSON data. Lone surrogates become U+FFFD.

    NaN and pandas' NA and NaT become None. Numpy scalars and arrays become Python numbers and lists. Sets become sorted
    lists. A decimal becomes an int if it is an integer, else text. Dates become ISO text, bytes UTF-8 text.
    """
    if isinstance(value, str):
        return str(without_surrogates(value))
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return None if math.isnan(value) else float(value)
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((plain(item) for item in value), key=repr)  # the order of a set differs between processes
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, decimal.Decimal):
        is_integer = value.is_finite() and value == value.to_integral_value()
        return None if value.is_nan() else int(value) if is_integer else str(value)
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode("utf-8", "replace")
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if callable(as_python := getattr(value, "tolist", None)):  # numpy scalars and arrays, pandas series
        return plain(as_python())
    return value


def is_missing(value: object) -> bool:
    """True if a plain value is missing: None, blank, "nan", "<NA>", "NaT", an empty mapping, or a list of missing values."""
    if value is None:
        return True
    if isinstance(value, str):
        text = value.strip()
        return len(text) <= _LONGEST and text.casefold() in _MISSING  # the case of a long text takes long to fold
    if isinstance(value, Mapping):
        return not value
    return isinstance(value, list | tuple) and all(map(is_missing, value))


def date_of(value: object) -> datetime.datetime | None:
    """Returns a cell value as a date without a time zone; None if it is missing or no date.

    Args:
        value: a date, ISO text, or the seconds, milliseconds, microseconds or nanoseconds since 1970 in UTC. A time zone of a
            date or a text is ignored.
    """
    value = plain(value)
    if is_missing(value) or isinstance(value, bool):
        return None
    text = str(value).strip()
    with contextlib.suppress(ValueError):
        number = float(text)
        for unit in _UNITS:
            if _SECONDS[0] <= number / unit < _SECONDS[1]:
                return datetime.datetime.fromtimestamp(number / unit, datetime.UTC).replace(tzinfo=None)
        text = f"{number:.0f}" if number.is_integer() else text
    with contextlib.suppress(ValueError):
        return datetime.datetime.fromisoformat(text).replace(tzinfo=None)
    return None


def first_present(row: Mapping[str, object], columns: Sequence[str]) -> str | None:
    """Returns the first of the columns with a value, else the first that exists, else None."""
    existing = [name for name in columns if name in row]
    return next((name for name in existing if not is_missing(row[name])), existing[0] if existing else None)
