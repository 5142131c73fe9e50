"""A temporary folder with files that are prepared once and shared by a process and the processes that it starts.

The first process that prepares something creates the folder and names it in an environment variable, which its child processes
inherit. It removes the folder when it ends. The folder is in the system's folder for temporary files; `TMPDIR` chooses another
one, which must have space for the decompressed content of large files.
"""

import atexit
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from .... import digests

VARIABLE = "TENFOLD_PREPARED"
"""Environment variable with the folder's path."""


def folder(key: object, write: Callable[[Path], None]) -> Path:
    """Returns the folder with the prepared files of a key. If other processes want it too, one of them prepares it.

    Args:
        key: everything that determines the files, as data.
        write: writes the files into an empty folder.
    """
    target = _root() / digests.of(key)[:32]
    if target.is_dir():
        return target
    with open(f"{target}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # also released if the process is killed
        partial = Path(f"{target}.partial")
        try:
            if not target.is_dir():
                shutil.rmtree(partial, ignore_errors=True)
                partial.mkdir()
                write(partial)
                partial.rename(target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            fcntl.flock(lock, fcntl.LOCK_UN)  # a process that was forked meanwhile has the open file, too
    return target


def _root() -> Path:
    """Returns the folder, which is created if no process has done so."""
    named = os.environ.get(VARIABLE, "")
    if not named or not os.path.isdir(named):
        named = os.environ[VARIABLE] = tempfile.mkdtemp(prefix="tenfold-prepared-")
        atexit.register(_remove, named, os.getpid())
    return Path(named)


def _remove(path: str, owner: int) -> None:
    if os.getpid() == owner:  # a forked process has its parent's exit functions
        shutil.rmtree(path, ignore_errors=True)
