"""One-line messages for exceptions that are no `UserError`.

`explain` describes errors of the machine: no disk space, no memory, no permission, a wrong kind of file. `described` describes
any exception of the user's code, such as an environment, a verifier or a function that yields problems:

    KeyError: 'units' (lab/environments.py:31, in reset)

The place is the last line of the traceback that is in the user's code. An exception that a library raises is described by the
line of the user's code that called the library.
"""

import contextlib
import errno
import functools
import os
import re
import resource
import shutil
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from . import digests
from .core import UserError

RETRY = "and run the same command again"
_MESSAGES = {
    errno.ENOSPC: f"no space left on the disk: delete files {RETRY}",
    errno.EDQUOT: f"the disk quota is used up: delete files {RETRY}",
    errno.EFBIG: f"the file is larger than the limit: raise the limit (ulimit -f) {RETRY}",
    errno.EROFS: "the file system is read-only: choose another folder",
    errno.EACCES: "permission denied: choose another folder, or give this user access to it",
    errno.EPERM: "permission denied: choose another folder, or give this user access to it",
    errno.EEXIST: "a file exists where a folder is needed: move it, or choose another name",
    errno.ENOTDIR: "a file exists where a folder is needed: move it, or choose another name",
    errno.EISDIR: "a folder exists where a file is needed: move it, or choose another name",
    errno.ENOTEMPTY: "a folder that is not empty is in the way: move it, or choose another name",
    errno.ENOENT: "there is no such file or folder (any more)",
    errno.ENAMETOOLONG: "the name is too long: choose another one",
    errno.ELOOP: "its links form a loop: choose another name",
    errno.EMFILE: f"too many files are open: raise the limit (ulimit -n) {RETRY}",
    errno.ENFILE: f"too many files are open on this machine: close other programs {RETRY}",
    errno.EAGAIN: f"the limit of processes is reached: raise the limit (ulimit -u) {RETRY}",
    errno.EIO: "the disk cannot be read or written: check the kernel log, or choose another disk",
    errno.ESTALE: f"the network file system lost the file: mount it again {RETRY}",
}
_SYSTEM = re.compile(r"\((?:os error|errno) (\d+)\)|\[[Ee]rrno (\d+)\]")
"""The error number in messages of libraries outside Python."""
_PARTIAL_WRITE = re.compile(r"inline_container|PytorchStreamWriter|\d+ requested and \d+ written|iostream error")
"""Messages of torch and numpy after a partial write. They do not name the cause."""
_MEMORY = re.compile(
    r"allocate memory|out of memory|failed to map segment|cannot allocate|can't start new thread|bad_alloc|Unable to allocate",
    re.IGNORECASE,
)
SMALL_SPACE = 64_000_000
"""Bytes of free space below which a failed write counts as a full disk. Our choice."""

MAX_CHARACTERS = 300
"""Characters of an exception's message that are shown. Our choice."""
_HOSTS = frozenset({"tenfold", "gymnasium"})
"""Packages that call the user's code."""
_GROUPS = ("gymnasium.envs", "tenfold.stages")
"""Groups of entry points by which an installed package adds environments or kinds of stages. Its code counts as the user's."""

Place = tuple[str, int, str]
"""File, number of the line, and name of the function; the name is empty for an error of syntax."""


def explain(error: BaseException, folder: str | Path | None = None) -> str | None:
    """Returns a one-line message, with a remedy, for an error caused by the machine's state; None for any other error.

    Args:
        error: the error that was raised. The chain of its `__cause__` and `__context__` is checked, too.
        folder: the folder that was written to, for errors without a file name.
    """
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        if message := _explain_one(current, folder):
            return message
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
        if isinstance(current, UserError):
            return None
    return None


def _explain_one(error: BaseException, folder: str | Path | None) -> str | None:
    text = str(error)
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError | ImportError | OSError | SystemError) and _MEMORY.search(text)
    ):
        return memory_advice()
    if isinstance(error, SystemError) and _address_space():  # raised by extensions that do not check an allocation
        return memory_advice()
    number = _number(error, text)
    if number == errno.ENOMEM:
        return memory_advice()
    if number in _MESSAGES:
        name = getattr(error, "filename", None)
        where = name if isinstance(name, str | bytes | os.PathLike) else folder
        if where is None and number not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.EAGAIN):
            return None
        return f"{os.fsdecode(where)}: {_MESSAGES[number]}" if where else _MESSAGES[number]
    if isinstance(error, OSError | RuntimeError) and _PARTIAL_WRITE.search(text):
        return f"{folder or 'a checkpoint'}: {_partial_write(folder)}"
    return None


def _number(error: BaseException, text: str) -> int | None:
    """Returns the system's error number. For an error of a library outside Python, it is read from the message."""
    if isinstance(error, OSError):
        if isinstance(error, ConnectionError | TimeoutError) or "without blocking" in text:  # the latter: a full pipe
            return None
        return error.errno
    foreign = type(error) is Exception or type(error).__module__.partition(".")[0] in (
        "safetensors",
        "safetensors_rust",
        "pyarrow",
    )
    if foreign and (found := _SYSTEM.search(text)):
        return int(found[1] or found[2])
    return None


def _partial_write(folder: str | Path | None) -> str:
    """Returns a message on the likely cause of a partial write."""
    with contextlib.suppress(OSError):
        if shutil.disk_usage(folder or ".").free < SMALL_SPACE:
            return _MESSAGES[errno.ENOSPC]
    if resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY:
        return _MESSAGES[errno.EFBIG]
    return f"a file was written only in part: check the free space and the limits of this disk {RETRY}"


def memory_advice() -> str:
    """Returns the message for a lack of memory, which names the limit of this process if it has one."""
    if limit := _address_space():
        return f"no memory left within this process's limit of {limit >> 20:,} MiB: raise it (ulimit -v), or lower batch_size"
    return "no memory left: lower batch_size, micro_batch_size or max_tokens"


def _address_space() -> int | None:
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit


@contextlib.contextmanager
def as_user_errors(folder: str | Path) -> Iterator[None]:
    """Turns an error caused by the machine's state into a UserError that names the folder.

    Raises:
        UserError: see `explain`.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if message := explain(error, folder):
            raise UserError(message) from error
        raise


def place(error: BaseException, *, or_library: bool = False) -> Place | None:
    """Returns the last place in the user's code that an exception was raised in; None if it passed no such code.

    Args:
        error: the exception, after it was raised.
        or_library: without the user's code, return the last place outside this package and Gymnasium.
    """
    if isinstance(error, SyntaxError) and error.filename and digests.is_users(Path(error.filename)):
        return error.filename, error.lineno or 0, ""
    outside = [(frame, line) for frame, line in traceback.walk_tb(error.__traceback__) if _package(frame) not in _HOSTS]
    users = [(frame, line) for frame, line in outside if _is_users(frame)]
    found = users or (outside if or_library else [])
    if not found:
        return None
    frame, line = found[-1]
    return frame.f_code.co_filename, line, frame.f_code.co_name


def described(error: BaseException, *, or_library: bool = False) -> str:
    """Returns an exception as one line: its type, its message, and the place in the user's code if there is one.

    Args:
        error: the exception, after it was raised.
        or_library: see `place`.
    """
    return message(error) + shown(place(error, or_library=or_library))


def message(error: BaseException) -> str:
    """Returns an exception's type and message in one line."""
    try:
        text = str(error.msg if isinstance(error, SyntaxError) else error)
    except Exception:  # the exception's own `__str__` raises
        text = "(its text cannot be read)"
    words = " ".join(f"{type(error).__name__}: {text}".split()).removesuffix(":")
    return words if len(words) <= MAX_CHARACTERS else f"{words[:MAX_CHARACTERS]}…"


def shown(at: Place | None) -> str:
    """Returns a place in brackets, after a space: " (FILE:LINE, in FUNCTION)"; empty for None."""
    if at is None:
        return ""
    name, line, function = at
    path = Path(name)
    if path.is_relative_to(here := os.getcwd()):
        path = path.relative_to(here)
    return f" ({path}:{line}" + (f", in {function})" if function and function != "<module>" else ")")


def _is_users(frame: FrameType) -> bool:
    name = frame.f_code.co_filename
    return _package(frame) in _plugins() or (not name.startswith("<") and digests.is_users(Path(name)))


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


@functools.cache
def _plugins() -> frozenset[str]:
    """Returns the packages that are installed as plug-ins."""
    import importlib.metadata  # slow to import

    def packages() -> Iterator[str]:
        for group in _GROUPS:
            yield from (point.module.partition(".")[0] for point in importlib.metadata.entry_points(group=group))

    return frozenset(packages()) - _HOSTS
