"""The files that a location names: one file, or all files that match a pattern; and their content, decompressed.

    data/train.jsonl            one file
    data/*.jsonl                all files of a folder, sorted by name
    data/**/part-*.jsonl.gz     those of all folders below it, too

Files whose names end in `.gz` and `.zst` are decompressed while they are read. `.zst` needs pyarrow. The name of an existing
file is not read as a pattern.
"""

import contextlib
import glob
import gzip
import io
import os
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import IO, NamedTuple, cast

from ....core import UserError

COMPRESSED = (".gz", ".zst")
EXPANSION = 8
"""Assumed ratio of the size of a text to its compressed size. Our choice: gzip and zstd reach 3 to 10 on rows of problems."""

State = tuple[Path, int, int]
"""Path, time of the last change (nanoseconds) and size (bytes) of a file. They tell whether the file was changed."""


class File(NamedTuple):
    """A file with rows."""

    path: Path
    uri: str
    """Names the file in problems and in errors."""
    stem: str
    """Start of the ids of rows without an id. Different for each file of a pattern."""


def is_pattern(location: str) -> bool:
    """True if a location is a pattern: it has a character of patterns (* ? [) and is not the name of a file."""
    return glob.has_magic(location) and not Path(os.path.expanduser(location)).is_file()


def matching(location: str) -> list[Path]:
    """Returns the file of a location, or the files that match its pattern, sorted by name.

    Raises:
        UserError: there is no such file.
    """
    path = Path(os.path.expanduser(location))
    if not is_pattern(location):
        if path.is_file():
            return [path]
        raise UserError(f"there is no file {path}")
    paths = [match for match in map(Path, sorted(glob.glob(str(path), recursive=True))) if match.is_file()]
    if not paths:
        raise UserError(f"{path}: no file matches this pattern")
    return paths


def named(uri: str) -> list[File]:
    """Returns the files of a URI. The stems of a pattern's files are the parts of their paths that the pattern matches.

    Raises:
        UserError: there is no such file.
    """
    scheme, _, location = uri.partition("?")[0].partition(":")
    paths = matching(location)
    if not is_pattern(location):
        return [File(paths[0], uri, _stem(paths[0]))]
    parts = Path(os.path.expanduser(location)).parts
    fixed = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    rest = [PurePath(*path.parts[fixed:]) for path in paths]
    stems = [str(path.with_name(_stem(path))) for path in rest]
    if len({*stems}) < len(stems):  # such as a.jsonl and a.jsonl.gz
        stems = [*map(str, rest)]
    return [File(path, f"{scheme}:{path}", stem) for path, stem in zip(paths, stems, strict=True)]


def _stem(path: PurePath) -> str:
    """Returns the name of a file without its ending: "train" for train.jsonl and for train.jsonl.gz."""
    return PurePath(path.stem).stem if path.suffix in COMPRESSED else path.stem


def state(path: Path) -> State:
    """Returns the state of a file."""
    status = path.stat()
    return path.resolve(), status.st_mtime_ns, status.st_size


def is_compressed(path: Path) -> bool:
    """True if a file is decompressed while it is read."""
    return path.suffix in COMPRESSED


def size(path: Path) -> int:
    """Returns the number of bytes of a file's content; an estimate if it is compressed."""
    return path.stat().st_size * (EXPANSION if is_compressed(path) else 1)


@contextlib.contextmanager
def content(path: Path) -> Iterator[IO[bytes]]:
    """Opens a file and yields its content, decompressed.

    Raises:
        UserError: the compressed data is damaged.
    """
    if path.suffix == ".gz":
        with readable(path, ".gz", (EOFError, zlib.error, OSError)), gzip.open(path) as file:
            yield cast(IO[bytes], file)
    elif path.suffix == ".zst":
        import pyarrow

        with (
            readable(path, ".zst", (OSError,)),
            pyarrow.CompressedInputStream(pyarrow.OSFile(str(path)), "zstd") as stream,
            io.BufferedReader(stream) as buffer,
        ):
            yield cast(IO[bytes], buffer)
    else:
        with path.open("rb") as file:
            yield file


@contextlib.contextmanager
def readable(path: Path, kind: str, errors: tuple[type[Exception], ...]) -> Iterator[None]:
    """Turns an error about a file's data into a UserError.

    Args:
        path: the file.
        kind: what the file should be, for the message.
        errors: types of errors about damaged data. An OSError with an error number is the file system's, and is raised.

    Raises:
        UserError: the data is damaged.
    """
    try:
        yield
    except errors as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise UserError(f"{path} is not a {kind} file, or is damaged: {str(error).partition(chr(10))[0]}") from None
