"""The files that a URI of problems or of pairs names."""

import os
from pathlib import Path

from .... import digests
from ....core import UserError
from ....envs.problems.stored import files, tables


def digest(uri: str) -> str | None:
    """Returns the digest of the file that a URI names; None if it names no file, or several."""
    scheme, _, location = uri.partition("?")[0].partition(":")
    path = Path(os.path.expanduser(location))
    return digests.of_file(path) if scheme in ("jsonl", "parquet") and path.is_file() else None


def size(uri: str) -> int:
    """Returns the number of bytes of the rows of a URI's files, before compression; 0 if it names no existing file."""
    scheme, _, location = uri.partition("?")[0].partition(":")
    if scheme not in ("jsonl", "parquet"):
        return 0
    of_one = files.size if scheme == "jsonl" else tables.size
    try:
        return sum(map(of_one, files.matching(location)))
    except UserError:  # reading the URI raises the error
        return 0
