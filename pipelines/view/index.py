"""The index of a stage's episodes: an SQLite file in the cache that grows with the stored episodes.

`Index.extend` reads what has been added to the files since the last call, a batch at a time, in one transaction. A file that
has become shorter, was replaced, or has other content at the start or the end of what was read, is noticed, and the index is
made again. An episode that is stored twice, as after a resume, counts once: the later one.
"""

import hashlib
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ...texts import without_surrogates
from . import schema, stores
from .stores import Indexed, Response, Source

BATCH_LINES, BATCH_BYTES = 4_000, 32 * 2**20
"""A transaction ends after so many lines, or so many bytes. Our choice."""
PIECE = 4096
"""Bytes at the start and at the end of what was read of a file whose digest is compared. Our choice."""
ROWS = f"INSERT OR REPLACE INTO rows VALUES ({', '.join('?' * 17)})"
TOUCHED = "INSERT OR REPLACE INTO groups {} WHERE step = ? AND problem = ? AND attempt = ? AND source = ? GROUP BY step"
GROUPED = """SELECT step, problem, attempt, source, count(*), count(score), total(score), total(score * score), min(score),
max(score) FROM rows"""
RATES = """UPDATE problems SET (samples, rate) = (SELECT sum(samples), sum(total) / nullif(sum(scored), 0) FROM groups
WHERE groups.problem = problems.problem AND groups.source = problems.source)"""

Group = tuple[int, int, int, int]
"""Step, problem, attempt and source."""


class _File(NamedTuple):
    """A file as the index knows it."""

    id: int
    path: str
    samples: str
    source: int
    inode: int
    size: int
    changed: int
    offset: int
    lines: int
    broken: int
    digest: str


class _Batch:
    """Rows that one transaction adds."""

    def __init__(self) -> None:
        self.rows: list[tuple[object, ...]] = []
        self.texts: list[tuple[int, str, str, str]] = []
        self.words: list[tuple[int, str]] = []
        self.problems: list[tuple[int, int, str, str]] = []
        self.groups: set[Group] = set()


class Index:
    """Extends the index of one folder. One thread uses it."""

    def __init__(self, root: Path, folder: Path):
        """Names the index; it is opened with the first call of `extend`.

        Args:
            root: folder of the run; files outside of it are not read.
            folder: folder of the stage.
        """
        self.root, self.folder, self.path = root, folder, schema.path_of(folder)
        self.progress = 0.0
        """Share of the bytes that are indexed, 0..1."""
        self.error = ""
        self._db: sqlite3.Connection | None = None
        self._opened_place: tuple[int, int] | None = None
        self._names: dict[str, int] = {}

    def close(self) -> None:
        """Closes the file."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def extend(self) -> bool:
        """Adds a batch of episodes.

        Returns:
            True if all complete lines of the files are indexed.
        """
        try:
            done = self._extend()
            self.error = ""
            return done
        except sqlite3.DatabaseError as error:
            self.close()
            if type(error) is sqlite3.DatabaseError:  # damaged; other kinds of errors would come again
                schema.remove(self.path)
                return False
            self.error = f"the index {self.path} cannot be written: {error}"  # a full disk, or another process writes for long
            return True
        except OSError as error:
            self.close()
            self.error = f"the index cannot be made: {error.strerror}: {error.filename}"
            return True
        except Exception as error:  # the other indexes go on
            self.close()
            self.error = f"the index cannot be made ({type(error).__name__}: {str(error)[:200]})"
            return True

    def _extend(self) -> bool:
        db = self._opened()
        sources = stores.sources(self.root, self.folder)
        db.execute("BEGIN IMMEDIATE")
        try:
            self._names = {}  # another process may have made the index again
            if any(self._was_rewritten(file, sources) for file in self._files(db)):
                schema.clear(db)
            done = all(self._read(db, source) for source in sources)
            self._finish(db, done)
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        files = self._files(db)
        total = sum(_size(source.path) for source in sources)
        self.progress = 1.0 if done or not total else min(1.0, sum(file.offset for file in files) / total)
        return done

    def _opened(self) -> sqlite3.Connection:
        """Returns the open index. If its file was removed or replaced meanwhile, that file's name is opened again."""
        if self._db is not None and self._place() != self._opened_place:
            self.close()
        if self._db is None:
            self._db = schema.writer(self.path)
            self._opened_place = self._place()
        return self._db

    def _place(self) -> tuple[int, int] | None:
        """Returns which file has the name of the index; None if none has it."""
        try:
            found = self.path.stat()
            return found.st_dev, found.st_ino
        except FileNotFoundError:
            return None

    def _files(self, db: sqlite3.Connection) -> list[_File]:
        return [_File(*row) for row in db.execute("SELECT * FROM files")]

    def _was_rewritten(self, file: _File, sources: Sequence[Source]) -> bool:
        """True if what was read of a file is no longer its content, as far as its size, time, inode and ends tell."""
        path = self.folder / file.path
        samples = next((_name_of(source.samples) for source in sources if source.path == path), None)
        if samples is None or samples != file.samples:
            return True
        try:
            found = path.stat()
            if (found.st_size, found.st_mtime_ns, found.st_ino) == (file.size, file.changed, file.inode):
                return False
            if found.st_ino != file.inode or found.st_size < file.offset:
                return True
            if found.st_size == file.size == file.offset:  # written in place
                return True
            return _digest(path, file.offset) != file.digest
        except OSError:
            return True

    def _read(self, db: sqlite3.Connection, source: Source) -> bool:
        """Adds a batch of a file's lines; returns True if there are no more."""
        path = str(source.path.relative_to(self.folder))
        row = db.execute("SELECT * FROM files WHERE path = ?", (path,)).fetchone()
        number = db.execute("SELECT count(*) FROM files").fetchone()[0]
        stat = source.path.stat()
        file = (
            _File(*row)
            if row
            else _File(number, path, _name_of(source.samples), self._name(db, source.name), stat.st_ino, 0, 0, 0, 0, 0, "")
        )
        if stat.st_size == file.size and stat.st_mtime_ns == file.changed:
            return True
        if source.samples and not self._find_samples(db, file.id, source.samples):
            return False
        next_number = db.execute("SELECT coalesce(max(number), 0) + 1 FROM texts").fetchone()[0]
        batch, offset, count, broken = _Batch(), file.offset, 0, 0
        done = True
        with source.path.open("rb") as lines:
            for line in stores.lines(lines, file.offset):
                found = self._indexed(db, source, file, line.text, file.lines + count)
                broken += not found and _is_row(line)
                for entry, response in found:
                    self._add(db, batch, next_number, file, line, entry, response)
                    next_number += 1
                offset, count = line.offset + line.length, count + 1
                if count >= BATCH_LINES or offset - file.offset >= BATCH_BYTES:
                    done = False
                    break
        self._write(db, batch)
        size, changed = (stat.st_size, stat.st_mtime_ns) if done else (file.size, file.changed)
        digest = _digest(source.path, offset)
        file = file._replace(
            size=size, changed=changed, offset=offset, lines=file.lines + count, broken=file.broken + broken, digest=digest
        )
        db.execute(f"INSERT OR REPLACE INTO files VALUES ({', '.join('?' * 11)})", file)
        return done

    def _indexed(
        self, db: sqlite3.Connection, source: Source, file: _File, text: bytes, line: int
    ) -> list[tuple[Indexed, Response | None]]:
        """Returns what the index keeps of a line."""
        row = stores.parse(text)
        if row is None:
            return []
        if source.form == "episodes":
            entry = stores.episode(row)
            return [(entry, None)] if entry else []
        responses = self._responses(db, file.id, source.samples, row)
        entries = stores.scored(row, file.id * stores.TASK_SPAN + line, responses)
        return [(entry, responses[entry.place] if entry.place < len(responses) else None) for entry in entries]

    def _find_samples(self, db: sqlite3.Connection, file: int, samples: Path) -> bool:
        """Records where the responses of a benchmark are, a batch at a time; returns True if all are recorded."""
        name = f"samples {file}"
        first = offset = self._state(db, name)
        found: list[tuple[object, ...]] = []
        done = True
        with samples.open("rb") as lines:
            for line in stores.lines(lines, first):
                row = stores.parse(line.text)
                if key := stores.sample_key(row) if row else None:
                    found.append((file, *key, line.offset, line.length))
                offset = line.offset + line.length
                if len(found) >= BATCH_LINES or offset - first >= BATCH_BYTES:
                    done = False
                    break
        db.executemany("INSERT OR REPLACE INTO samples VALUES (?, ?, ?, ?, ?)", found)
        self._set(db, name, offset)
        return done

    def _responses(self, db: sqlite3.Connection, file: int, samples: Path | None, row: dict[str, object]) -> list[Response]:
        """Returns the responses to a problem of a benchmark, by sample."""
        request, verdicts = row.get("request"), row.get("samples")
        if not (samples and isinstance(request, str) and isinstance(verdicts, list)):
            return []
        keys = [without_surrogates(key) for key in (request, str(row.get("problem")))]
        found = [Response([], -1, 0)] * len(verdicts)
        with samples.open("rb") as lines:
            for key in keys[: 1 if keys[0] == keys[1] else 2]:
                places = db.execute("SELECT sample, offset, length FROM samples WHERE file = ? AND request = ?", (file, key))
                for sample, offset, length in places:
                    if 0 <= sample < len(found) and found[sample].offset < 0:
                        lines.seek(offset)
                        stored = stores.parse(lines.read(min(length, stores.MAX_LINE)))
                        found[sample] = Response(stores.response_turns(stored) if stored else [], offset, length)
        return found

    def _add(
        self,
        db: sqlite3.Connection,
        batch: _Batch,
        number: int,
        file: _File,
        line: stores.Line,
        entry: Indexed,
        response: Response | None,
    ) -> None:
        where = (file.id, line.offset, line.length, entry.place)
        text = (response.offset, response.length) if response else (-1, 0)
        names = (self._name(db, entry.status), self._name(db, entry.finish))
        key = (file.source, entry.step, entry.problem, entry.sample, entry.attempt)
        batch.rows.append((number, *where, *text, *key, entry.score, *names, entry.tokens, entry.turns))
        batch.texts.append((number, entry.start, entry.method, entry.reason))
        batch.words.append((number, entry.text))
        batch.problems.append((entry.problem, file.source, entry.problem_id, entry.prompt))
        batch.groups.add((entry.step, entry.problem, entry.attempt, file.source))

    def _write(self, db: sqlite3.Connection, batch: _Batch) -> None:
        db.executemany(ROWS, batch.rows)
        db.executemany("INSERT INTO texts VALUES (?, ?, ?, ?)", batch.texts)
        db.executemany("INSERT INTO words (rowid, text) VALUES (?, ?)", batch.words)
        db.executemany("INSERT OR IGNORE INTO problems VALUES (?, ?, ?, ?, 0, NULL)", batch.problems)
        if self._state(db, "complete"):
            db.executemany(TOUCHED.format(GROUPED), batch.groups)
            problems = {(problem, source) for _, problem, _, source in batch.groups}
            db.executemany(f"{RATES} WHERE problem = ? AND source = ?", problems)
            if problems:
                self._set(db, "estimated", 0)

    def _finish(self, db: sqlite3.Connection, done: bool) -> None:
        """Counts groups and problems. While a new index is filled, this happens each time that its rows have doubled."""
        if not self._state(db, "complete"):
            self._count(db, done)
        table = stores.table_of_estimates(self.root, self.folder)
        if done and table and self._state(db, "estimated") != table.stat().st_mtime_ns:
            db.executemany("UPDATE problems SET rate = ? WHERE problem = ?", stores.estimates(table))
            self._set(db, "estimated", table.stat().st_mtime_ns)

    def _count(self, db: sqlite3.Connection, done: bool) -> None:
        rows = db.execute("SELECT coalesce(max(number), 0) FROM texts").fetchone()[0]
        if done or rows >= 2 * self._state(db, "counted"):
            db.execute("DELETE FROM groups")
            db.execute(f"INSERT INTO groups {GROUPED} GROUP BY step, problem, attempt, source")
            db.execute("CREATE INDEX IF NOT EXISTS groups_problem ON groups (problem, source, step, scored, total, samples)")
            db.execute(RATES)
            self._set(db, "counted", max(rows, BATCH_LINES))
        if done:
            for statement in filter(str.strip, schema.INDEXES.split(";")):
                db.execute(statement)
            db.execute("PRAGMA analysis_limit = 1000")
            db.execute("ANALYZE")
            self._set(db, "complete", 1)

    def _state(self, db: sqlite3.Connection, name: str) -> int:
        row = db.execute("SELECT value FROM state WHERE name = ?", (name,)).fetchone()
        return int(row[0]) if row else 0

    def _set(self, db: sqlite3.Connection, name: str, value: int) -> None:
        db.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (name, value))

    def _name(self, db: sqlite3.Connection, name: str) -> int:
        """Returns the id of a name."""
        if name not in self._names:
            db.execute("INSERT OR IGNORE INTO names (name) VALUES (?)", (name,))
            self._names[name] = db.execute("SELECT id FROM names WHERE name = ?", (name,)).fetchone()[0]
        return self._names[name]


def _name_of(samples: Path | None) -> str:
    return samples.name if samples else ""


def _is_row(line: stores.Line) -> bool:
    """True if a line should have a row: it is neither empty nor the settings of a store."""
    return line.length > len(line.text) or (bool(line.text.strip()) and not line.text.startswith(b'{"settings"'))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _digest(path: Path, offset: int) -> str:
    """Returns a digest of the start and the end of a file's first `offset` bytes."""
    with path.open("rb") as file:
        start = file.read(min(PIECE, offset))
        file.seek(max(0, offset - PIECE), os.SEEK_SET)
        return hashlib.sha256(start + file.read(min(PIECE, offset))).hexdigest()
