"""Scores of LiveBench's task tablereformat: a table in another format, read by pandas."""

import contextlib
import functools
import json
import math
import re
from collections.abc import Callable, Sequence
from io import StringIO

import pandas as pd
from pandas.api.types import is_numeric_dtype

from .marks import solutions

CHANGED = 2
"""The version of the task since 2025-04-25."""
SEPARATORS = {"csv": ",", "tsv": "\t"}
TOLERANCE = 1e-6
"""Largest difference of two equal numbers."""
_JSON = {1: ("index", "records", "lines", "table", "values"), CHANGED: ("table", "index", "records")}
"""Layouts of JSON in the order in which they are tried, by version."""

Reader = Callable[[str], pd.DataFrame]


class InvalidGold(ValueError):
    """The gold table cannot be read."""


def tablereformat(gold: str, format: str, version: int, text: str) -> float:
    """Scores whether a table has the rows and columns of the gold table, in any order of the columns.

    Args:
        gold: the gold table.
        format: the format of both tables: json, jsonl, html, csv, markdown or tsv.
        version: 1, or `CHANGED`.
        text: the response.

    Raises:
        InvalidGold: the gold table cannot be read.
    """
    read = functools.partial(_read, format, version)
    try:
        wanted = read(gold)
    except Exception as error:  # pandas raises many kinds of errors
        raise InvalidGold(f"the gold table cannot be read as {format}: {type(error).__name__}") from error
    answer = re.sub(r"^\s*(Here|Input)\b.*?\b(format|table)\s*[:)]\s*", "", _answer(text), flags=re.IGNORECASE).strip()
    columns = [str(name) for name in wanted.columns]
    try:
        table: pd.DataFrame | None = read(answer)
    except Exception:
        table = _within(answer, format, columns)
    if table is None or _same(table, wanted):
        return float(table is not None)
    if format in ("csv", "jsonl"):  # there may be text before the table
        table = _within(answer, format, [name.strip() for name in columns])
        return float(table is not None and _same(table, wanted))
    return 0.0


def _read(format: str, version: int, text: str) -> pd.DataFrame:
    if format == "json":
        return _read_json(_JSON[version], text)
    if format == "jsonl":
        return pd.read_json(StringIO(text), orient="records", lines=True)
    if format == "html":
        return pd.concat(pd.read_html(StringIO(text)), axis=0)
    if format in SEPARATORS:
        return pd.read_csv(StringIO(text), sep=SEPARATORS[format])
    if version != CHANGED:
        return pd.read_table(StringIO(text), sep="|", header=0, index_col=1, skipinitialspace=True)
    header, *others = text.strip().split("\n")
    rows = "\n".join([header, *others[1:]])  # without the line between the header and the rows
    found = pd.read_table(StringIO(rows), sep="|", header=0, skipinitialspace=True).iloc[:, 1:-1]
    for name in found.columns:
        if found[name].dtype == "object":
            found[name] = found[name].astype(str).str.strip()
    return found


def _read_json(layouts: Sequence[str], text: str) -> pd.DataFrame:
    for layout in layouts[:-1]:
        with contextlib.suppress(Exception):
            return _read_layout(layout, text)
    return _read_layout(layouts[-1], text)


def _read_layout(layout: str, text: str) -> pd.DataFrame:
    if layout == "lines":
        return pd.read_json(StringIO(text), orient="records", lines=True)
    return pd.read_json(StringIO(text), orient=layout)


def _answer(text: str) -> str:
    """Returns the last block of JSON or HTML between tags, or in the text; else all of it without fences."""
    if tags := solutions(text, lines=True):
        text = tags[-1].strip()
    for language in ("json", "html"):
        if blocks := re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL):
            return str(blocks[-1]).strip()
    return re.sub(r"^```.*\n", "", text).replace("&amp;", "&").replace("```", "").strip()


def _within(text: str, format: str, columns: Sequence[str]) -> pd.DataFrame | None:
    """Returns the table within a text: from the line that is the header on, as far as it can be read; or all lines that are
    JSON objects with the columns. None if there is none."""
    lines = text.strip().split("\n")
    if format == "jsonl":
        rows = []
        for line in lines:
            if len(line) > 1 and line[0] == "{" and line[-1] == "}" and all(name in line for name in columns):
                with contextlib.suppress(ValueError, RecursionError):
                    rows.append(json.loads(line))
        return pd.DataFrame(rows) if rows else None
    if format not in SEPARATORS:
        return None
    header = SEPARATORS[format].join(columns).strip()
    start = next((number for number, line in enumerate(lines) if line.strip() == header), len(lines))
    for end in range(len(lines), start, -1):
        with contextlib.suppress(Exception):
            return pd.read_csv(StringIO("\n".join(lines[start:end])), sep=SEPARATORS[format])
    return None


def _same(table: pd.DataFrame, wanted: pd.DataFrame) -> bool:
    """True if two tables are equal. A table that cannot be compared, for example with numbers as names, equals none."""
    try:
        return _are_equal(_named(table), _named(wanted))
    except Exception:  # pandas raises many kinds of errors
        return False


def _are_equal(table: pd.DataFrame, wanted: pd.DataFrame) -> bool:
    if len(table) != len(wanted) or sorted(table.columns) != sorted(wanted.columns):
        return False
    for number in range(len(table)):
        row, wanted_row = table.iloc[number], wanted.iloc[number]
        if not all(_same_value(row[name], wanted_row[name]) for name in table.columns):
            return False
    return True


def _named(table: pd.DataFrame) -> pd.DataFrame:
    """Returns a table without white space around the names of its columns, and without the column "index"."""
    table = table.set_axis([name.strip() for name in table.columns], axis=1)
    return table.drop(columns=["index"]) if "index" in table.columns else table


def _same_value(value: object, wanted: object) -> bool:
    value, wanted = (cell.strip() if isinstance(cell, str) else cell for cell in (value, wanted))
    if not (_is_number(value) and _is_number(wanted)):
        return bool(value == wanted)
    try:
        numbers = float(value), float(wanted)  # type: ignore[arg-type]
    except (TypeError, ValueError):  # a text that is the name of a type, such as "int64"
        return str(value).strip() == str(wanted).strip()
    return all(map(math.isnan, numbers)) or abs(numbers[0] - numbers[1]) < TOLERANCE


def _is_number(cell: object) -> bool:
    return isinstance(cell, float) or bool(is_numeric_dtype(cell))
