"""The file that a URI of problems or of pairs names."""

import os
from pathlib import Path

from ... import digests


def digest(uri: str) -> str | None:
    """Returns the digest of the file that a URI names; None if it names no file, or several."""
    scheme, _, location = uri.partition("?")[0].partition(":")
    path = Path(os.path.expanduser(location))
    return digests.of_file(path) if scheme in ("jsonl", "parquet") and path.is_file() else None
