"""Verifier of SQL queries: the result must be that of the gold query, on several databases.

`problem.answer` is

    {"schema": "CREATE TABLE ...", "databases": [{"table": [[1, "a"], ...]}, ...], "query": "SELECT ...", "ordered": false}

The prompt shows the first database. The others have other rows, so that a query with the answer written into it scores 0 unless
all databases have the same result. Rows are compared in order if `ordered`, else as a multiset. Names of columns do not count;
numbers are compared to 9 digits. If the gold query fails, no response can be judged.

A query runs in a worker process (`pool.py`) on an in-memory SQLite database that allows nothing but reading, with limits on
time, rows and memory.
"""

import contextlib
import sqlite3
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ...core import Problem, Status, Verdict
from .. import pool
from ..verifier import as_verifier
from .marked import block_answer

MAX_QUERY = 5_000
"""Largest number of characters of a query. Our choice."""
QUERY_SECONDS = 0.5
"""Processor time of a query on one database. Our choice."""
CPU_SECONDS = 5.0
"""Processor time of all queries of one verdict. Our choice."""
MEMORY = 256 << 20
"""Memory of one verdict, in bytes. Our choice."""
MAX_ROWS = 10_000
"""Largest number of rows of a result. Our choice."""
MAX_VALUE = 1_000_000
"""Largest size of one value, in bytes. Our choice."""
_STEPS = 1_000
"""The time is checked after this many instructions of SQLite's virtual machine."""
_ALLOWED = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE})
_REFUSED_FUNCTIONS = frozenset({"load_extension", "readfile", "writefile", "edit", "fts3_tokenizer", "random", "randomblob"})


def invalid_gold(problem: Problem) -> str | None:
    """Returns why no response to the problem can be judged, or None."""
    answer = problem.answer
    if (
        not isinstance(answer, Mapping)
        or not all(isinstance(answer.get(name), str) and answer[name] for name in ("schema", "query"))
        or not isinstance(answer.get("databases"), Sequence)
        or not answer["databases"]
        or not all(isinstance(tables, Mapping) for tables in answer["databases"])
    ):
        return "the gold answer is not {schema: ..., databases: [...], query: ...}"
    return None


@as_verifier(invalid_gold=invalid_gold)
def verify(problem: Problem, response: str) -> Verdict:
    """Scores 1 if the response's query has the gold query's result on every database, else 0."""
    answer = problem.answer
    if (reason := invalid_gold(problem)) is not None or not isinstance(answer, Mapping):
        return Verdict(Status.UNDECIDED, None, "sql", str(reason))
    query = block_answer(response)
    if not 0 < len(query) <= MAX_QUERY:
        return Verdict(Status.SCORED, 0.0, "extract", f"the query has {len(query)} characters")
    try:
        error = pool.shared(f"{__name__}:first_difference", CPU_SECONDS, MEMORY).call(dict(answer), query)
    except (pool.TimeLimit, pool.MemoryLimit) as late:
        return Verdict(Status.TIMEOUT, 0.0, "sql", str(late))
    except pool.WorkerFault as fault:
        return Verdict(Status.FAULT, None, "sql", str(fault))
    if error.startswith(_GOLD):
        return Verdict(Status.UNDECIDED, None, "sql", error)
    if error == _LATE:
        return Verdict(Status.TIMEOUT, 0.0, "sql", error)
    return Verdict(Status.SCORED, float(not error), "sql", error or "the result of the gold query")


_GOLD = "the gold query: "
"""Start of the reason why the gold query has no result."""
_LATE = f"the query takes more than {QUERY_SECONDS:g} s"


def first_difference(answer: Mapping[str, Any], query: str) -> str:
    """Returns how the query's result differs from the gold query's, or "". Runs in a worker."""
    ordered = bool(answer.get("ordered"))
    for number, tables in enumerate(answer["databases"], start=1):
        with contextlib.closing(sqlite3.connect(":memory:")) as connection:
            try:
                _fill(connection, answer["schema"], tables)
                gold = _run(connection, answer["query"])
            except (sqlite3.Error, sqlite3.Warning, TypeError, ValueError, AttributeError, LookupError, OverflowError) as error:
                gold = f"{type(error).__name__}: {str(error)[:200]}"
            if isinstance(gold, str):
                return f"{_GOLD}{gold}"
            found = _run(connection, query)
        if isinstance(found, str):
            return found
        if _comparable(found, ordered) != _comparable(gold, ordered):
            return f"another result than the gold query's on database {number} ({len(found)} rows, expected {len(gold)})"
    return ""


def gold_results(answer: Mapping[str, Any]) -> list[list[list[str]]]:
    """Returns the result of the gold query on each database, in the form in which results are compared.

    Args:
        answer: the gold answer of a problem that the caller made. Time and number of rows are not limited.

    Raises:
        sqlite3.Error: the gold query fails.
    """
    found = []
    for tables in answer["databases"]:
        with contextlib.closing(sqlite3.connect(":memory:")) as connection:
            _fill(connection, answer["schema"], tables)
            found.append(_comparable(connection.execute(answer["query"]).fetchall(), bool(answer.get("ordered"))))
    return found


def _fill(connection: sqlite3.Connection, schema: str, tables: Mapping[str, Sequence[Sequence[object]]]) -> None:
    """Creates a database's tables with their rows, after which the connection can only read."""
    connection.set_authorizer(_authorize_setup)  # problems may come from another person's file
    connection.executescript(schema)
    for table, rows in tables.items():
        if rows:
            connection.executemany(f'INSERT INTO "{table}" VALUES ({", ".join("?" * len(rows[0]))})', rows)
    connection.commit()
    _restrict(connection)


def _restrict(connection: sqlite3.Connection) -> None:
    """Allows a connection nothing but reading, with limits on sizes."""
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE)
    connection.setlimit(sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 100)
    connection.setlimit(sqlite3.SQLITE_LIMIT_COMPOUND_SELECT, 20)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.set_authorizer(_authorize)


def _run(connection: sqlite3.Connection, query: str) -> list[tuple[object, ...]] | str:
    """Returns the rows of a query under the limits, or the reason why there are none."""
    end = time.thread_time() + QUERY_SECONDS
    connection.set_progress_handler(lambda: time.thread_time() > end, _STEPS)
    try:
        cursor = connection.execute(query)
        rows = cursor.fetchmany(MAX_ROWS + 1)
    except (sqlite3.Error, sqlite3.Warning, OverflowError, ValueError) as error:
        return _LATE if time.thread_time() > end else f"SQLite: {' '.join(str(error).split())[:200]}"
    if cursor.description is None:
        return "the text contains no query"
    return rows if len(rows) <= MAX_ROWS else f"more than {MAX_ROWS:,} rows"


def _authorize_setup(action: int, first: str | None, second: str | None, *rest: str | None) -> int:
    if action in (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH, sqlite3.SQLITE_PRAGMA, sqlite3.SQLITE_CREATE_VTABLE):
        return sqlite3.SQLITE_DENY
    return _authorize(sqlite3.SQLITE_FUNCTION, first, second) if action == sqlite3.SQLITE_FUNCTION else sqlite3.SQLITE_OK


def _authorize(action: int, first: str | None, second: str | None, *rest: str | None) -> int:
    if action == sqlite3.SQLITE_FUNCTION and str(second).lower() in _REFUSED_FUNCTIONS:
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY


def _comparable(rows: Sequence[Sequence[object]], ordered: bool) -> list[list[str]]:
    """Returns rows as texts that are equal if the values are."""
    # -0.0 + 0 is 0.0, which is written like 0.
    texts = [[f"{value + 0:.9g}" if isinstance(value, int | float) else repr(value) for value in row] for row in rows]
    return texts if ordered else sorted(texts)
