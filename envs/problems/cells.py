"""What stands in a row's columns, as Python's own values: files, pandas and numpy write the same in different ways."""

import datetime
import decimal
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ...core import without_surrogates

_NOTHING = frozenset({"", "nan", "<na>", "nat"})
"""What a missing value looks like once it has been written as text. "None" is not among them: some questions have it as an
answer."""


def plain(value: Any) -> Any:
    """A value as JSON can hold it, whatever library it comes from. Lone surrogates become U+FFFD.

    NaN, and pandas' NA and NaT, become None; numpy's scalars and arrays Python's numbers and lists; a decimal that is whole an
    int, another one its text; dates ISO text; bytes UTF-8 text.
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
        return {plain(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(one) for one in value]
    if isinstance(value, decimal.Decimal):
        return None if value.is_nan() else int(value) if value == value.to_integral_value() else str(value)
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode("utf-8", "replace")
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if callable(as_python := getattr(value, "tolist", None)):  # numpy's scalars and arrays, pandas' series
        return plain(as_python())
    return value


def is_missing(value: Any) -> bool:
    """Whether a value, as `plain` gives it, says nothing: None, blanks, "nan", or a list of nothing else."""
    if isinstance(value, str):
        return value.strip().casefold() in _NOTHING
    if isinstance(value, Mapping):
        return not value
    return all(map(is_missing, value)) if isinstance(value, list | tuple) else value is None


def first_present(row: Mapping[str, Any], columns: Sequence[str]) -> str | None:
    """The first of these columns that says something; else the first that there is; None where there is none."""
    there = [name for name in columns if name in row]
    return next((name for name in there if not is_missing(row[name])), there[0] if there else None)
