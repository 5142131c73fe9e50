"""A temporary folder with files that are prepared once and shared by a process and the processes that it starts.

The first process that prepares something creates the folder and names it in an environment variable, which its child processes
inherit. It removes the folder when it ends. If it is killed, the next process that creates such a folder removes it: the owner
holds a lock on a file in the folder, and the kernel releases the lock. The folder is in the system's folder for temporary
files; `TMPDIR` chooses another one, which must have space for the decompressed content of large files.
"""

import atexit
import contextlib
import fcntl
import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

from .... import digests

VARIABLE = "TENFOLD_PREPARED"
"""Environment variable with the folder's path."""
PREFIX = "tenfold-prepared-"
"""Start of the folder's name."""
OWNER = "owner.lock"
"""File in the folder that its owner has locked."""
_MAKING = threading.Lock()
_owned: list[IO[str]] = []
"""The open file with the lock. A process that is forked from the owner has it, too."""


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
    with _MAKING:
        named = os.environ.get(VARIABLE, "")
        if not named or not os.path.isdir(named):
            _remove_abandoned(Path(tempfile.gettempdir()))
            named = os.environ[VARIABLE] = tempfile.mkdtemp(prefix=PREFIX)
            atexit.register(_remove, named, os.getpid())
            # The file gets the name `OWNER` only after it is locked, so that no process finds it unlocked.
            lock = open(f"{named}/partial", "w")  # noqa: SIM115
            fcntl.flock(lock, fcntl.LOCK_EX)
            os.rename(lock.name, f"{named}/{OWNER}")
            _owned[:] = [lock]
    return Path(named)


def _remove_abandoned(folder: Path) -> None:
    """Removes the folders of this user's processes that were killed."""
    for lock in folder.glob(f"{PREFIX}*/{OWNER}"):
        with contextlib.suppress(OSError), lock.open("r+") as file:  # another process has the lock, or is removing the folder
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.parent, ignore_errors=True)


def _remove(path: str, owner: int) -> None:
    if os.getpid() == owner:  # a forked process has its parent's exit functions
        shutil.rmtree(path, ignore_errors=True)
