"""What a run leaves on the disk and reads again: written whole or not at all, held by one process, named where it is broken.

Index:
    write            a text file, whole or not at all
    settle           all files of a folder are on the disk, not on their way to it
    understood       what goes wrong while a file is read is said of the file
    record, rows     a file of JSON; the lines of one
    held, held_file  keep other processes away from a folder, or from a file
"""

import contextlib
import contextvars
import datetime
import errno
import fcntl
import json
import logging
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, TypeVar, cast

from .core import UserError, without_surrogates

T = TypeVar("T")

Row = dict[str, Any]
_LOG = logging.getLogger("tenfold")
_WRONG = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError, EOFError)
"""What code raises that takes apart what it did not expect. Broken JSON, text and parquet are ValueErrors."""


def write(path: str | Path, text: str) -> None:
    """Writes a text file so that it is there whole or not at all. A lone surrogate becomes U+FFFD.

    Raises:
        OSError: the disk is full, or the place cannot be written to. What was there before is untouched.
    """
    whole = Path(os.path.realpath(path))  # a link stays a link
    half = whole.with_name(f"{whole.name}.partial")
    if whole.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    try:
        with named(path), half.open("w", encoding="utf-8") as file:
            file.write(without_surrogates(text))
            file.flush()
            os.fsync(file.fileno())
        half.replace(whole)
    except BaseException:
        with contextlib.suppress(OSError):
            half.unlink(missing_ok=True)
        raise
    _sync(whole.parent)


@contextlib.contextmanager
def named(path: str | Path) -> Iterator[None]:
    """Gives an OSError without the name of a file that of this one: a write to a full disk has none."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


def settle(folder: Path) -> None:
    """Sees everything in a folder to the disk, but for hidden files and checkpoints: a record of it may then be written."""
    for path, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != "checkpoints" and not name.startswith(".")]
        for name in files:
            with contextlib.suppress(PermissionError, FileNotFoundError):
                _sync(Path(path, name))
        _sync(Path(path))


def _sync(path: Path) -> None:
    if not (path.is_file() or path.is_dir()):
        return  # a socket or a pipe
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOTSUP):  # some file systems do not sync folders
            raise
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def understood(path: str | Path, remedy: str) -> Iterator[None]:
    """Says of a file what goes wrong while it is read and taken apart: it is cut, empty, or of another program.

    Args:
        path: the file.
        remedy: what its user can do.

    Raises:
        UserError: something went wrong.
    """
    try:
        yield
    except UserError:
        raise
    except json.JSONDecodeError as error:
        wrong = "is empty" if not error.doc.strip() else f"is cut short or no JSON (line {error.lineno}: {error.msg})"
        raise UserError(f"{path} {wrong}: {remedy}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no text in UTF-8 (byte {error.start}): {remedy}") from error
    except Exception as error:
        if not isinstance(error, _WRONG) and type(error).__name__ != "SafetensorError":
            raise
        said = without_surrogates(" ".join(str(error).split()))[:120]
        raise UserError(
            f"{path} does not hold what was written there ({type(error).__name__}{f': {said}' if said else ''}): {remedy}"
        ) from error


def record(path: Path, remedy: str) -> Row:
    """The JSON object of a file.

    Raises:
        UserError: the file is cut short, empty, or holds something else.
    """
    with understood(path, remedy):
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise TypeError(f"a JSON object was written, and there is a {type(found).__name__}")
        return found


def rows(path: Path, check: Callable[[Row], object] = bool) -> Iterator[tuple[int, Row]]:
    """The lines of a file of JSON objects, each with the place in bytes where it begins. A last line without an end is passed
    over: another process may be writing it.

    Args:
        path: of the file.
        check: given a row, raises what a row of another form makes it raise (KeyError, TypeError, ...).

    Yields:
        Whole rows; how many lines are broken is logged, in one line, at the end.
    """
    broken = place = 0
    with path.open("rb") as lines:
        for line in lines:
            if line.endswith(b"\n") and (row := row_of(line, check)) is not None:
                yield place, row
            elif line.endswith(b"\n") and line.strip():
                broken += 1
            place += len(line)
    if broken:
        _LOG.warning("%s: %s cannot be read and %s passed over", path, *_lines(broken))


def row_of(line: bytes, check: Callable[[Row], object]) -> Row | None:
    """A line's JSON object; None where it holds none, or one of another form."""
    try:
        found = json.loads(line)
        if not isinstance(found, dict):
            return None
        check(found)
    except _WRONG:
        return None
    return found


def has(row: Row, **kinds: type | tuple[type, ...]) -> None:
    """Checks that a row has values of these kinds.

    Raises:
        KeyError, TypeError: it has not.
    """
    for name, kind in kinds.items():
        if not isinstance(row[name], kind):
            raise TypeError(f"{name} is {row[name]!r:.40}")


def sampled_again(path: Path, broken: int) -> None:
    """Logs how many lines of a store are lost; whoever reads the store makes anew what they held."""
    if broken:
        _LOG.warning("%s: %s cannot be read and %s passed over; what was there is made again", path, *_lines(broken))


def _lines(count: int) -> tuple[str, str]:
    return ("1 line", "is") if count == 1 else (f"{count} lines", "are")


_HELD: contextvars.ContextVar[frozenset[str]] = contextvars.ContextVar("held", default=frozenset())
"""What this thread holds."""


@contextlib.contextmanager
def held(folder: str | Path) -> Iterator[None]:
    """Holds a folder until it is left; it is made if need be. The same thread may hold it twice.

    The lock is the kernel's, on a file `.lock`: whoever is killed lets go of it.

    Raises:
        UserError: another process or thread holds it; the line names it. Or nothing can be written there.
    """
    with _held(Path(folder), ".lock", folder):
        yield


@contextlib.contextmanager
def held_file(path: str | Path) -> Iterator[None]:
    """Holds a file, which need not be there yet, as `held` does a folder; the lock is `.NAME.lock` beside it.

    Raises:
        UserError: see `held`; or it is no plain file.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise UserError(f"{path} is no plain file")
    with _held(path.parent, f".{path.name}.lock", path):
        yield


@contextlib.contextmanager
def _held(folder: Path, name: str, what: str | Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {folder}: {_why(error)}: choose another --out") from None
    lock = os.path.join(os.path.realpath(folder), name)
    if lock in _HELD.get():
        yield
        return
    with _locked(lock, what) as file:
        with contextlib.suppress(OSError):  # on a full disk nobody can be told who holds it
            file.truncate(0)
            now = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
            file.write(f"process {os.getpid()} on {socket.gethostname()} since {now}\n")
            file.flush()
        before = _HELD.set(_HELD.get() | {lock})
        try:
            yield
        finally:
            _HELD.reset(before)
            with contextlib.suppress(OSError):
                os.unlink(lock)


def _locked(lock: str, what: str | Path) -> IO[str]:
    """The open file of a lock that is this process's now."""
    while True:
        try:
            file = os.fdopen(
                os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), "r+", encoding="utf-8", errors="replace"
            )
        except OSError as error:
            raise UserError(f"cannot write in {os.path.dirname(lock)}: {_why(error)}: choose another --out") from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(file.read(200))
            file.close()
            raise UserError(f"another process runs in {what} ({holder}): wait for it, or choose another --out") from None
        except OSError as error:  # some network file systems have no locks
            _LOG.warning("%s cannot be locked (%s): see to it that no other process writes there", what, error.strerror)
            return file
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), os.stat(lock)):
                return file
        file.close()  # whoever held it has removed it since it was opened


def _holder(text: str) -> str:
    """Who holds a lock, as it has written; printable, for anybody may have written there."""
    line = text.partition("\n")[0]
    return line if line.isprintable() and line else "it has not said which"


def _why(error: OSError) -> str:
    if isinstance(error, FileExistsError | NotADirectoryError):
        return "a file stands there"
    return error.strerror or str(error)


def storable(value: T) -> T:
    """Data of lists, tuples and mappings, with `without_surrogates` applied to every text in it, keys too."""
    return cast(T, _storable(value))


def _storable(value: object) -> object:
    if isinstance(value, str):
        return without_surrogates(value)
    if isinstance(value, Mapping):
        return {_storable(key): _storable(item) for key, item in value.items()}
    if isinstance(value, list) and type(value) is list:
        return [*map(_storable, value)]
    return tuple(map(_storable, value)) if isinstance(value, tuple) and type(value) is tuple else value
