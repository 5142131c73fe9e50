"""The tables of an index (`index.py`), in SQLite."""

import contextlib
import hashlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from ...policies.models.cached import cache

VERSION = 1
"""Version of the tables. An index of another version is made again."""
SECONDS = 10.0
"""Longest time of an answer. Our choice."""
TABLES = """
CREATE TABLE files (id INTEGER PRIMARY KEY, path TEXT UNIQUE, samples TEXT, source INT, inode INT, size INT, changed INT,
    offset INT, lines INT, broken INT, digest TEXT);
CREATE TABLE names (id INTEGER PRIMARY KEY, name TEXT UNIQUE);
CREATE TABLE rows (number INTEGER PRIMARY KEY, file INT, offset INT, length INT, place INT, text_offset INT, text_length INT,
    source INT, step INT, problem INT, sample INT, attempt INT, score REAL, status INT, finish INT, tokens INT, turns INT);
CREATE UNIQUE INDEX rows_key ON rows (step, problem, attempt, source, sample);
CREATE TABLE texts (number INTEGER PRIMARY KEY, start TEXT, method TEXT, reason TEXT);
CREATE VIRTUAL TABLE words USING fts5 (text, content='', columnsize=0, tokenize='unicode61 remove_diacritics 2');
INSERT INTO words (words, rank) VALUES ('hashsize', 16777216);
CREATE TABLE groups (step INT, problem INT, attempt INT, source INT, samples INT, scored INT, total REAL, squares REAL,
    low REAL, high REAL, PRIMARY KEY (step, problem, attempt, source)) WITHOUT ROWID;
CREATE TABLE problems (problem INT, source INT, problem_id TEXT, prompt TEXT, samples INT, rate REAL,
    PRIMARY KEY (problem, source)) WITHOUT ROWID;
CREATE TABLE samples (file INT, request TEXT, sample INT, offset INT, length INT, PRIMARY KEY (file, request, sample))
    WITHOUT ROWID;
CREATE TABLE state (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
"""
"""`rows` has numbers only, so that a search through all of them reads little. `names` are those of sources, statuses and finish
reasons. `samples` says where the responses of a benchmark are."""
INDEXES = """
CREATE INDEX IF NOT EXISTS rows_score ON rows (score);
CREATE INDEX IF NOT EXISTS rows_tokens ON rows (tokens);
CREATE INDEX IF NOT EXISTS rows_status ON rows (status, finish);
CREATE INDEX IF NOT EXISTS rows_finish ON rows (finish);
CREATE INDEX IF NOT EXISTS rows_problem ON rows (problem);
CREATE INDEX IF NOT EXISTS groups_problem ON groups (problem, source, step, scored, total, samples);
CREATE INDEX IF NOT EXISTS problems_rate ON problems (rate);
"""
"""Made when all rows of a new index have been added, which takes less time than with each row."""
_NAMES = "words state samples problems groups texts rows names files".split()


def path_of(folder: Path) -> Path:
    """Returns the file of the index of a stage's folder, in the cache."""
    return cache() / "view" / f"{hashlib.sha256(str(folder).encode(errors='surrogateescape')).hexdigest()[:32]}.sqlite"


def writer(path: Path) -> sqlite3.Connection:
    """Opens or creates an index. A damaged one, or one of another version, is made again."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    for attempt in range(2):
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute("PRAGMA wal_autocheckpoint = 8192")  # pages: 32 MiB
            db.execute("PRAGMA cache_size = -65536")
            db.execute("PRAGMA temp_store = FILE")
            if db.execute("PRAGMA user_version").fetchone()[0] != VERSION:
                clear(db)
            return db
        except sqlite3.DatabaseError as error:
            db.close()
            if attempt or isinstance(error, sqlite3.OperationalError):
                raise
            remove(path)
    raise AssertionError("unreachable")


def remove(path: Path) -> None:
    """Removes an index."""
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def clear(db: sqlite3.Connection) -> None:
    """Makes the tables anew, within the caller's transaction if there is one."""
    within = db.in_transaction
    if not within:
        db.execute("BEGIN IMMEDIATE")
    for name in _NAMES:
        db.execute(f"DROP TABLE IF EXISTS {name}")
    for statement in filter(str.strip, TABLES.split(";")):
        db.execute(statement)
    db.execute(f"PRAGMA user_version = {VERSION}")
    if not within:
        db.execute("COMMIT")


@contextlib.contextmanager
def reader(path: Path) -> Iterator[sqlite3.Connection | None]:
    """Opens an index for one answer; yields None if there is none yet. A statement ends with an error after `SECONDS`."""
    try:
        db = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, isolation_level=None, timeout=5)
    except sqlite3.OperationalError:
        yield None
        return
    try:
        db.row_factory = sqlite3.Row
        end = time.monotonic() + SECONDS
        db.set_progress_handler(lambda: int(time.monotonic() > end), 50_000)
        db.execute("PRAGMA cache_size = -32768")
        db.execute("PRAGMA mmap_size = 1073741824")
        db.execute("BEGIN")  # all statements see the same rows
        if db.execute("PRAGMA user_version").fetchone()[0] != VERSION:
            yield None
            return
        yield db
    finally:
        db.close()
