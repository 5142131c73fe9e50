"""Files of a run: atomic writes, locks, and one-line errors for broken files.

Index:
    write                 writes a text file atomically
    sync_folder           flushes all files of a folder to the disk
    name_in_errors        adds the file's name to an error of the system
    step_folders          lists the checkpoints of a stage
    checkpoint_folders    lists their folders in Hugging Face format
    reading               turns errors while a file is read into one line that names the file
    read_object           reads a file with one JSON object
    yaml_value, read_yaml read a YAML text, and a YAML file of the user
    read_rows, parse_row  read a file of JSON lines, and one line
    check_types           checks the types of a row's values
    warn_lost_rows        logs the number of broken lines
    storable              removes lone surrogates from nested data
    locked, locked_file   lock a folder or a file against other processes
"""

import contextlib
import contextvars
import datetime
import errno
import fcntl
import json
import logging
import os
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, TypeVar, cast

from .core import UserError
from .texts import without_surrogates

T = TypeVar("T")

Row = dict[str, Any]
_LOG = logging.getLogger("tenfold")
_FORM_ERRORS = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError, EOFError)
"""Errors of code that reads data in an unexpected form. Errors about broken JSON, text and parquet are ValueErrors."""


def expanded(path: str | Path) -> Path:
    """Returns a path with the home folder in place of a leading ~ or ~NAME.

    Raises:
        UserError: there is no such user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        user = Path(path).parts[0]
        raise UserError(f"{path}: this machine has no home folder {user}; write ./{user} for a file of that name") from None


def write(path: str | Path, text: str) -> None:
    """Writes a text file atomically. Lone surrogates become U+FFFD.

    Raises:
        OSError: the disk is full, or the folder is not writable. An existing file is unchanged.
    """
    target = Path(os.path.realpath(path))  # a link stays a link
    partial = target.with_name(f"{target.name}.partial")
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    try:
        with name_in_errors(path), partial.open("w", encoding="utf-8") as file:
            file.write(without_surrogates(text))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    _sync(target.parent)


@contextlib.contextmanager
def name_in_errors(path: str | Path) -> Iterator[None]:
    """Adds the file's name to an OSError without one, such as that of a write to a full disk."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


def sync_folder(folder: Path) -> None:
    """Flushes all files of a folder to the disk, except those in hidden folders and in folders named `checkpoints`."""
    for path, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != "checkpoints" and not name.startswith(".")]
        for name in files:
            with contextlib.suppress(PermissionError, FileNotFoundError):
                _sync(Path(path, name))
        _sync(Path(path))


def _sync(path: Path) -> None:
    if not (path.is_file() or path.is_dir()):
        return  # sockets and pipes cannot be flushed
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOTSUP):  # some file systems cannot flush folders
            raise
    finally:
        os.close(descriptor)


def step_folders(stage: str | Path) -> dict[int, Path]:
    """Returns the checkpoints in a stage's folder, by step: those of transformers' Trainer and those of verl."""
    paths = (path for path in (Path(stage) / "checkpoints").glob("*") if path.is_dir())
    return {int(found[1]): path for path in paths if (found := _STEP.fullmatch(path.name))}


def checkpoint_folders(stage: str | Path) -> dict[int, Path]:
    """Returns the folders in Hugging Face format of a stage's checkpoints, by step."""
    found = step_folders(stage)
    return {step: verl if (verl := path / "actor" / "huggingface").is_dir() else path for step, path in found.items()}


_STEP = re.compile(r"(?:checkpoint-|global_step_)(\d+)")


@contextlib.contextmanager
def reading(path: str | Path, remedy: str) -> Iterator[None]:
    """Turns an error while a file is read into a UserError that names the file.

    Args:
        path: the file.
        remedy: what the user can do.

    Raises:
        UserError: the file is truncated, empty or has another form.
    """
    try:
        yield
    except UserError:
        raise
    except json.JSONDecodeError as error:
        defect = "is empty" if not error.doc.strip() else f"is truncated or not JSON (line {error.lineno}: {error.msg})"
        raise UserError(f"{path} {defect}: {remedy}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (byte {error.start}): {remedy}") from error
    except Exception as error:
        if not isinstance(error, _FORM_ERRORS) and type(error).__name__ != "SafetensorError":
            raise
        cause = without_surrogates(" ".join(str(error).split()))[:120]
        raise UserError(
            f"{path} has an unexpected form ({type(error).__name__}{f': {cause}' if cause else ''}): {remedy}"
        ) from error


def read_object(path: Path, remedy: str) -> Row:
    """Returns the JSON object of a file.

    Raises:
        UserError: the file is truncated, empty, or not a JSON object; the message ends with `remedy`.
    """
    with reading(path, remedy):
        value = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(value, dict):
            raise TypeError(f"expected a JSON object, got a {type(value).__name__}")
        return value


def yaml_value(text: str) -> Any:
    """Returns the content of a YAML text.

    Raises:
        ValueError: it is not YAML, or has an impossible value, such as the date 2020-13-45; the message is one line.
    """
    import yaml  # here, because verifiers do not need it

    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, *_FORM_ERRORS) as error:  # the latter from YAML's constructors
        raise ValueError(" ".join(str(error).split())[:200]) from None


def read_yaml(path: Path) -> Any:
    """Returns the content of a YAML file.

    Raises:
        UserError: the file is not YAML.
    """
    try:
        return yaml_value(path.read_text(encoding="utf-8"))
    except ValueError as error:  # also bytes that are not UTF-8
        raise UserError(f"{path} is not YAML: {error}") from None


def read_rows(path: Path, check: Callable[[Row], object] = bool) -> Iterator[tuple[int, Row]]:
    """Reads a file of JSON objects, one on each line.

    A last line without a newline is skipped, because another process may be writing it.

    Args:
        path: the file.
        check: raises for a row of another form (KeyError, TypeError, ...).

    Yields:
        The offset of each valid line in bytes, and its object. The number of broken lines is logged at the end.
    """
    broken = offset = 0
    with path.open("rb") as lines:
        for line in lines:
            if line.endswith(b"\n") and (row := parse_row(line, check)) is not None:
                yield offset, row
            elif line.endswith(b"\n") and line.strip():
                broken += 1
            offset += len(line)
    if broken:
        _LOG.warning("%s: %s cannot be read and %s skipped", path, *_lines(broken))


def parse_row(line: bytes, check: Callable[[Row], object]) -> Row | None:
    """Returns the JSON object of a line, or None if the line has none or `check` raises."""
    try:
        row = json.loads(line)
        if not isinstance(row, dict):
            return None
        check(row)
    except _FORM_ERRORS:
        return None
    return row


def check_types(row: Row, **types: type | tuple[type, ...]) -> None:
    """Checks that a row has values of the given types.

    Raises:
        KeyError, TypeError: a value is missing or has another type.
    """
    for name, expected in types.items():
        if not isinstance(row[name], expected):
            raise TypeError(f"{name} is {row[name]!r:.40}")


def warn_lost_rows(path: Path, broken: int) -> None:
    """Logs the number of broken lines in a store. The caller produces the lost rows again."""
    if broken:
        _LOG.warning("%s: %s cannot be read and %s skipped; the lost rows are produced again", path, *_lines(broken))


def _lines(count: int) -> tuple[str, str]:
    return ("1 line", "is") if count == 1 else (f"{count} lines", "are")


_LOCKED: contextvars.ContextVar[frozenset[str]] = contextvars.ContextVar("locked", default=frozenset())
"""Lock files that this thread holds."""


@contextlib.contextmanager
def locked(folder: str | Path) -> Iterator[None]:
    """Locks a folder for the duration of the block, and creates it if necessary. The same thread may lock it twice.

    The kernel holds the lock, on a file `.lock`: a process that is killed releases it.

    Raises:
        UserError: another process or thread holds the lock (the message names it), or the folder is not writable.
    """
    with _hold(Path(folder), ".lock", folder):
        yield


@contextlib.contextmanager
def locked_file(path: str | Path) -> Iterator[None]:
    """Locks a file, which need not exist yet, as `locked` does a folder. The lock is `.NAME.lock` in the same folder.

    Raises:
        UserError: see `locked`; or the path is not a regular file.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise UserError(f"{path} is not a regular file")
    with _hold(path.parent, f".{path.name}.lock", path):
        yield


@contextlib.contextmanager
def _hold(folder: Path, name: str, target: str | Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot create the folder {folder}: {_cause(error)}: choose another --out") from None
    lock = os.path.join(os.path.realpath(folder), name)
    if lock in _LOCKED.get():
        yield
        return
    with _open_lock(lock, target) as file:
        with contextlib.suppress(OSError):  # on a full disk the lock file stays empty
            file.truncate(0)
            now = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
            file.write(f"process {os.getpid()} on {socket.gethostname()} since {now}\n")
            file.flush()
        token = _LOCKED.set(_LOCKED.get() | {lock})
        try:
            yield
        finally:
            _LOCKED.reset(token)
            with contextlib.suppress(OSError):
                os.unlink(lock)


def _open_lock(lock: str, target: str | Path) -> IO[str]:
    """Takes a lock and returns its open file."""
    attempts = 0
    while True:
        try:
            file = os.fdopen(
                os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), "r+", encoding="utf-8", errors="replace"
            )
        except OSError as error:
            raise UserError(f"cannot write to {os.path.dirname(lock)}: {_cause(error)}: choose another --out") from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            named = _holder(file.read(200))
            file.close()
            if (attempts := attempts + 1) < 4:
                time.sleep(0.01)  # `holder` of another process takes the lock for a moment
                continue
            raise UserError(f"another process uses {target} ({named}): wait for it, or choose another --out") from None
        except OSError as error:  # some network file systems have no locks
            _LOG.warning("%s cannot be locked (%s): make sure that no other process writes there", target, error.strerror)
            return file
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), os.stat(lock)):
                return file
        file.close()  # the previous holder removed it after this process opened it


def holder(folder: str | Path) -> str | None:
    """Returns which process holds the lock of a folder, as the lock file says; empty: none does; None: it cannot be told."""
    try:
        with (Path(folder) / ".lock").open(encoding="utf-8", errors="replace") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return _holder(file.read(200))
            except OSError:  # some network file systems have no locks
                return None
    except FileNotFoundError:
        return ""
    except OSError:
        return None
    return ""


def _holder(text: str) -> str:
    """Returns the first line of a lock file if it is printable: any user may have written it."""
    line = text.partition("\n")[0]
    return line if line.isprintable() and line else "its id is unknown"


def _cause(error: OSError) -> str:
    if isinstance(error, FileExistsError | NotADirectoryError):
        return "a file has that name"
    return error.strerror or str(error)


def storable(value: T) -> T:
    """Returns nested lists, tuples and mappings with `without_surrogates` applied to every text and every key."""
    return cast(T, _storable(value))


def _storable(value: object) -> object:
    if isinstance(value, str):
        return without_surrogates(value)
    if isinstance(value, Mapping):
        return {_storable(key): _storable(item) for key, item in value.items()}
    if isinstance(value, list) and type(value) is list:
        return [*map(_storable, value)]
    return tuple(map(_storable, value)) if isinstance(value, tuple) and type(value) is tuple else value
