"""Runs a program as `python main.py` would, from its streams to the end of its process.

The child that runs a program is forked from a process that started long before. `prepare_interpreter` gives it what a fresh
interpreter has. `run` runs a program to the end of its process: it joins threads, calls `atexit` handlers and flushes buffers.
"""

import atexit
import builtins
import contextlib
import os
import sys
import threading
from collections.abc import Callable
from typing import Any, TextIO

FILE = "main.py"
"""Name of the program's file."""
STDIN = ".stdin"
"""File in the run's own folder that `/dev/stdin` links to."""
_OWN_FRAMES, _MAX_FRAMES = 2, 2**31 - 1
"""Number of frames between the frame that calls `install_streams` and the program's first frame; the largest recursion limit
that Python accepts."""
_UNWRITTEN = 120
"""Python's exit status if it cannot write the last output."""
_STDIN_PATHS = ("/dev/stdin", "/dev/fd/0")


def prepare_interpreter() -> tuple[TextIO, TextIO, TextIO]:
    """Makes this interpreter like one that was started with a file (`sys.argv`, `exit`, `quit`). Called once, before any fork.

    Returns:
        Its stdin, stdout and stderr. They use whatever the descriptors 0 to 2 are when they are read or written.
    """
    import _sitebuiltins

    sys.argv, sys.orig_argv = [FILE], ["python3", FILE]
    for name in ("exit", "quit"):
        setattr(builtins, name, _sitebuiltins.Quitter(name, "Ctrl-D (i.e. EOF)"))
    builtins.help = _sitebuiltins._Helper()
    atexit._clear()
    return _streams()


def _streams() -> tuple[TextIO, TextIO, TextIO]:
    """Returns the streams that Python has with the locale C.UTF-8 and with pipes as descriptors."""
    out, (end, pipe) = os.dup(1), os.pipe()
    os.dup2(pipe, 1)  # because a stream stores whether its descriptor can seek
    try:
        stdin = os.fdopen(0, encoding="utf-8", errors="surrogateescape", newline="\n", closefd=False)
        stdout = os.fdopen(1, "w", encoding="utf-8", errors="surrogateescape", newline="\n", closefd=False)
        stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", newline="\n", closefd=False)
    finally:
        os.dup2(out, 1)
        for descriptor in (out, end, pipe):
            os.close(descriptor)
    stderr.reconfigure(line_buffering=True)
    for stream, name in ((stdin, "<stdin>"), (stdout, "<stdout>"), (stderr, "<stderr>")):
        stream.buffer.raw.name = name  # type: ignore[attr-defined]
    return stdin, stdout, stderr


def install_streams(streams: tuple[TextIO, TextIO, TextIO]) -> None:
    """Makes these the process's streams, and gives programs the recursion depth that they have in a fresh interpreter."""
    sys.stdin, sys.stdout, sys.stderr = streams
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = streams  # type: ignore[misc, assignment]
    frame, depth = sys._getframe(), _OWN_FRAMES
    while frame := frame.f_back:  # type: ignore[assignment]
        depth += 1
    set_limit = sys.setrecursionlimit
    # In a fresh interpreter the program's frame is the first one.
    sys.setrecursionlimit = lambda limit: set_limit(min(limit + depth if limit > 0 else limit, _MAX_FRAMES))
    sys.setrecursionlimit(sys.getrecursionlimit())
    get_limit = sys.getrecursionlimit
    sys.getrecursionlimit = lambda: get_limit() - depth


def run(source: str, names: dict[str, Any], folder: str | None, describe: Callable[[BaseException], str]) -> dict[str, Any]:
    """Runs a program and does what Python does at the end of a process. A fork of this process exits in this function.

    Args:
        source: Python.
        names: the namespace of the module `__main__`.
        folder: the run's own folder, where the program's file is written; None if it has none.
        describe: returns the text of an exception.

    Returns:
        The program's exit status, and the error if it is not 0.
    """
    process, status, error = os.getpid(), 0, None
    try:
        _write_files(source, names, folder)
        exec(compile(source, names["__file__"], "exec"), names)
    except SystemExit as exited:
        status = _status(exited)
        error = f"SystemExit: {exited.code}"[:2000] if status else None
    except BaseException as raised:
        status, error = 1, describe(raised)
        with contextlib.suppress(BaseException):
            trace = raised.__traceback__
            raised.with_traceback(trace.tb_next if trace else None)  # the first entry is this function
            sys.excepthook(type(raised), raised, raised.__traceback__)
    if unwritten := _finish(names):
        status, error = unwritten, error or "its last output could not be written"
    if os.getpid() != process:
        os._exit(status)
    return {"status": status, "error": error} if status else {"status": 0}


def _write_files(source: str, names: dict[str, Any], folder: str | None) -> None:
    """Writes the program's file, and a copy of standard input if the program names `/dev/stdin`.

    The copy is needed because without /proc there are no links to descriptors.
    """
    names["__file__"] = os.path.join(folder or os.getcwd(), FILE)
    if folder is None:
        return
    sys.path.insert(0, folder)
    with contextlib.suppress(OSError, UnicodeEncodeError):
        with open(names["__file__"], "w", encoding="utf-8", newline="") as file:
            file.write(source)
        if any(path in source for path in _STDIN_PATHS):
            with open(os.path.join(folder, STDIN), "wb") as copy:
                while chunk := os.pread(0, 1 << 20, copy.tell()):
                    copy.write(chunk)


def _status(exited: SystemExit) -> int:
    """Returns the exit status of a SystemExit. A code that is not a number is printed, as Python does."""
    if exited.code is None:
        return 0
    if isinstance(exited.code, int):
        return exited.code & 0xFF
    with contextlib.suppress(BaseException):
        print(exited.code, file=sys.stderr)
    return 1


def _finish(names: dict[str, Any]) -> int:
    """Does what Python does at the end of a process, in its order. Returns `_UNWRITTEN` if output cannot be written, else 0."""
    with contextlib.suppress(BaseException):
        threading._shutdown()  # type: ignore[attr-defined]
    with contextlib.suppress(BaseException):
        atexit._run_exitfuncs()
    status = 0
    try:
        if sys.stdout is not None and not getattr(sys.stdout, "closed", False):
            sys.stdout.flush()
    except BaseException:
        status = _UNWRITTEN
    flush()
    if threading.active_count() == 1:  # a thread that is still running may need the names
        for hidden in (True, False):
            for name in list(names):
                if name != "__builtins__" and name.startswith("_") == hidden:
                    names[name] = None
        flush()
    return status


def flush() -> None:
    """Flushes the streams, including the original ones."""
    for stream in dict.fromkeys((sys.stdout, sys.__stdout__, sys.stderr, sys.__stderr__)):
        with contextlib.suppress(BaseException):  # the program may have closed or replaced the stream
            stream.flush()  # type: ignore[union-attr]
