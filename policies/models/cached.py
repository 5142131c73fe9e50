"""The cache of checkpoints that are created from other files: $TENFOLD_CACHE (default ~/.cache/tenfold)."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from ... import disk


def cache() -> Path:
    """Returns the folder of the cache."""
    return disk.expanded(os.environ.get("TENFOLD_CACHE") or "~/.cache/tenfold")


def cached(name: str, make: Callable[[Path], None]) -> Path:
    """Returns the cached folder with that name. A new one is created under a temporary name, so that it appears atomically."""
    folder = cache() / name
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=name, dir=folder.parent))
        new = temporary / "new"  # unlike the temporary folder, it gets the usual permissions
        try:
            new.mkdir()
            make(new)
            new.rename(folder)
        except OSError:
            if not folder.is_dir():  # another process may have created it
                raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return folder
