"""What a machine lacks, as one line that says what to do: space, memory, the right to write, a folder where a file stands."""

import contextlib
import errno
import os
import re
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

from .core import UserError

AGAIN = "and run the same command again"
_WORDS = {
    errno.ENOSPC: f"no space left on the disk: free some {AGAIN}",
    errno.EDQUOT: f"the quota of the disk is used up: free some {AGAIN}",
    errno.EFBIG: f"the file may not grow so large: raise the limit (ulimit -f) {AGAIN}",
    errno.EROFS: "the file system can only be read: choose another folder",
    errno.EACCES: "permission denied: choose another folder, or see to it that this user may use it",
    errno.EPERM: "permission denied: choose another folder, or see to it that this user may use it",
    errno.EEXIST: "a file stands where a folder belongs: move it away, or choose another name",
    errno.ENOTDIR: "a file stands where a folder belongs: move it away, or choose another name",
    errno.EISDIR: "a folder stands where a file belongs: move it away, or choose another name",
    errno.ENOTEMPTY: "a folder stands where another one belongs: move it away, or choose another name",
    errno.ENOENT: "there is no such file or folder (any more)",
    errno.ENAMETOOLONG: "the name is too long: choose another one",
    errno.ELOOP: "its links lead in a circle: choose another name",
    errno.EMFILE: f"too many files are open: raise the limit (ulimit -n) {AGAIN}",
    errno.ENFILE: f"too many files are open on this machine: end other programs {AGAIN}",
    errno.EAGAIN: f"no more processes may be started: raise the limit (ulimit -u) {AGAIN}",
    errno.EIO: "the disk cannot be read or written: look at the kernel's log, or choose another one",
    errno.ESTALE: f"the network's file system has lost the file: mount it anew {AGAIN}",
}
_SYSTEM = re.compile(r"\((?:os error|errno) (\d+)\)|\[[Ee]rrno (\d+)\]")
"""How libraries that are not Python's own write down the system's error."""
_TORN = re.compile(r"inline_container|PytorchStreamWriter|\d+ requested and \d+ written|iostream error")
"""What torch and numpy say when a file could not be written to its end; they do not say why."""
_MEMORY = re.compile(
    r"allocate memory|out of memory|failed to map segment|cannot allocate|can't start new thread|bad_alloc|Unable to allocate",
    re.IGNORECASE,
)
SMALL_SPACE = 64_000_000
"""Bytes: of less than that, a checkpoint that could not be written found no room."""


def line(error: BaseException, place: str | Path | None = None) -> str | None:
    """One line on an error whose cause is the machine's state, and what to do; None for any other error.

    Args:
        error: as it was raised. The errors that it arose from are looked at, too.
        place: the folder that was written to, named where the error names no file.
    """
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        if said := _of_one(one, place):
            return said
        one = one.__cause__ or one.__context__
        if isinstance(one, UserError):
            return None
    return None


def _of_one(error: BaseException, place: str | Path | None) -> str | None:
    text = str(error)
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError | ImportError | OSError | SystemError) and _MEMORY.search(text)
    ):
        return memory()
    if isinstance(error, SystemError) and _address_space():  # what extensions raise that did not look
        return memory()
    number = _number(error, text)
    if number == errno.ENOMEM:
        return memory()
    if number in _WORDS:
        name = getattr(error, "filename", None)
        where = name if isinstance(name, str | bytes | os.PathLike) else place
        if where is None and number not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.EAGAIN):
            return None
        return f"{os.fsdecode(where)}: {_WORDS[number]}" if where else _WORDS[number]
    if isinstance(error, OSError | RuntimeError) and _TORN.search(text):
        return f"{place or 'a checkpoint'}: {_torn(place)}"
    return None


def _number(error: BaseException, text: str) -> int | None:
    """The system's error number; of a library's own class where its text has it."""
    if isinstance(error, OSError):
        connection = isinstance(error, ConnectionError | TimeoutError) or error.errno is None
        return None if connection else error.errno
    foreign = type(error) is Exception or type(error).__module__.partition(".")[0] in (
        "safetensors",
        "safetensors_rust",
        "pyarrow",
    )
    if foreign and (found := _SYSTEM.search(text)):
        return int(found[1] or found[2])
    return None


def _torn(place: str | Path | None) -> str:
    """Why a file could not be written to its end, as far as it can be found out."""
    with contextlib.suppress(OSError):
        if shutil.disk_usage(place or ".").free < SMALL_SPACE:
            return _WORDS[errno.ENOSPC]
    if resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY:
        return _WORDS[errno.EFBIG]
    return f"a file could not be written to its end: look at the space and the limits of this disk {AGAIN}"


def memory() -> str:
    """What to do where memory ended: at the limit of this process, or at the machine's."""
    if limit := _address_space():
        return f"no memory left within this process's limit of {limit >> 20:,} MiB: raise it (ulimit -v), or lower batch_size"
    return "no memory left: lower batch_size, micro_batch_size or max_tokens"


def _address_space() -> int | None:
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit


@contextlib.contextmanager
def said(place: str | Path) -> Iterator[None]:
    """Turns an error whose cause is the machine's state into a UserError that names the place.

    Raises:
        UserError: see above.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if words := line(error, place):
            raise UserError(words) from error
        raise
