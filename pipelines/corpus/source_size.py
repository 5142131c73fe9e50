"""The files and the size of a source of documents, from its URI, without reading it."""

import contextlib
import glob
import math
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl

from ... import disk
from ...core import UserError
from ...envs.problems.stored import files, tables


def file_uris(uri: str) -> list[str]:
    """Returns one URI per file if the source is a pattern of jsonl or parquet files, and otherwise the URI itself.

    Raises:
        UserError: no file matches the pattern, or the URI has an option that applies to one file only.
    """
    address, sign, query = uri.partition("?")
    scheme, _, pattern = address.partition(":")
    if scheme not in ("jsonl", "parquet") or not files.is_pattern(pattern):
        return [uri]
    paths = files.matching(pattern)
    if unknown := {"limit", "characters"} & _options(uri).keys():
        raise UserError(f"{uri}: option {min(unknown)} applies to a single file; name one file or remove the option")
    return [f"{scheme}:{match.resolve()}{sign}{query}" for match in paths]


def _options(uri: str) -> dict[str, str]:
    return dict(parse_qsl(uri.partition("?")[2], keep_blank_values=True))


def domain_of(uri: str) -> str | None:
    """Returns the domain of a source's documents, or None if each row may have its own."""
    own = {"text": "text", "problems": "problems", "python:code": "code", "python:documentation": "text"}
    address = uri.partition("?")[0]
    return _options(uri).get("domain") or own.get(address) or own.get(address.partition(":")[0])


def characters(uri: str) -> float | None:
    """Returns an upper bound of a source's characters, or None if it is unknown.

    It is also unknown if the files are missing or empty, or an option is not a number. The `documents` stage reports this.

    Raises:
        UserError: no file matches a pattern of jsonl or parquet files, or an option does not apply to a pattern.
    """
    options = _options(uri)
    with contextlib.suppress(ValueError):
        declared = [float(options[name]) for name in ("holds", "characters") if name in options]
        size = _bytes(uri)
        known = [*declared, *([] if size is None else [size])]
        return min(known) if known and all(number > 0 for number in known) else None
    return None


def _bytes(uri: str) -> float | None:
    """Returns the bytes of local files (parquet: uncompressed), an upper bound of their characters; else None.

    The size of the content of a compressed file is not known.
    """
    scheme = uri.partition(":")[0]
    if scheme not in ("text", "jsonl", "parquet"):
        return None
    parts = file_uris(uri)
    if scheme != "text" and any(part.partition("?")[0].endswith(files.COMPRESSED) for part in parts):
        return None
    return math.fsum(size for part in parts for size in _sizes(scheme, part))


def _sizes(scheme: str, uri: str) -> Iterator[float]:
    """Yields the sizes in bytes of the files that exist."""
    pattern = str(disk.expanded(uri.partition("?")[0].partition(":")[2]))
    for path in map(Path, glob.glob(pattern, recursive=True) if scheme == "text" else [pattern]):
        if scheme == "parquet":
            yield tables.size(path)
        else:
            with contextlib.suppress(OSError):
                yield path.stat().st_size if path.is_file() else 0
