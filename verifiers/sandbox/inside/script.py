"""A program run as `python main.py` runs it, from its streams to what happens when its process ends.

The child that runs a program is forked from a process that has begun long before. `settle` gives it what a fresh interpreter
has; `run` runs a program to the end of its process: threads are joined, `atexit` is obeyed, buffers are flushed.
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
"""What a program's file is called."""
STDIN = ".stdin"
"""What `/dev/stdin` is a link to, in the run's own folder."""
_OWN_FRAMES, _MOST_FRAMES = 2, 2**31 - 1
"""Frames of `run` beside those that call `take`; what Python takes for a limit."""
_UNWRITTEN = 120
"""Python's exit status where the last output cannot be written."""
_NAMES_OF_STDIN = ("/dev/stdin", "/dev/fd/0")


def settle() -> tuple[TextIO, TextIO, TextIO]:
    """Makes this interpreter like one that was started with a file: `sys.argv`, `exit`, `quit`. Once, before children are made.

    Returns:
        Its three streams, which read and write whatever the descriptors 0 to 2 are by then.
    """
    import _sitebuiltins

    sys.argv, sys.orig_argv = [FILE], ["python3", FILE]
    for name in ("exit", "quit"):
        setattr(builtins, name, _sitebuiltins.Quitter(name, "Ctrl-D (i.e. EOF)"))
    builtins.help = _sitebuiltins._Helper()
    atexit._clear()
    return _streams()


def _streams() -> tuple[TextIO, TextIO, TextIO]:
    """Those of Python with the locale C.UTF-8 and pipes for descriptors."""
    out, (end, pipe) = os.dup(1), os.pipe()
    os.dup2(pipe, 1)  # a stream remembers whether its descriptor can seek
    try:
        reads = os.fdopen(0, encoding="utf-8", errors="surrogateescape", newline="\n", closefd=False)
        writes = os.fdopen(1, "w", encoding="utf-8", errors="surrogateescape", newline="\n", closefd=False)
        tells = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", newline="\n", closefd=False)
    finally:
        os.dup2(out, 1)
        for descriptor in (out, end, pipe):
            os.close(descriptor)
    tells.reconfigure(line_buffering=True)
    for stream, name in ((reads, "<stdin>"), (writes, "<stdout>"), (tells, "<stderr>")):
        stream.buffer.raw.name = name  # type: ignore[attr-defined]
    return reads, writes, tells


def take(streams: tuple[TextIO, TextIO, TextIO]) -> None:
    """Makes these the streams of this process, and leaves a program the recursion depth that it has in a fresh interpreter."""
    sys.stdin, sys.stdout, sys.stderr = streams
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = streams  # type: ignore[misc, assignment]
    frame, depth = sys._getframe(), _OWN_FRAMES
    while frame := frame.f_back:  # type: ignore[assignment]
        depth += 1
    set_limit = sys.setrecursionlimit
    # In a fresh interpreter a program is the first frame.
    sys.setrecursionlimit = lambda limit: set_limit(min(limit + depth if limit > 0 else limit, _MOST_FRAMES))
    sys.setrecursionlimit(sys.getrecursionlimit())
    get_limit = sys.getrecursionlimit
    sys.getrecursionlimit = lambda: get_limit() - depth


def run(source: str, names: dict[str, Any], folder: str | None, said: Callable[[BaseException], str]) -> dict[str, Any]:
    """Runs a program and ends it as Python ends a process; the process itself lives on, unless the program has forked it.

    Args:
        source: Python.
        names: of the module `__main__`.
        folder: the run's own, where the program's file is written; None where it has none.
        said: puts an exception into words.

    Returns:
        Its exit status, and why that is not 0.
    """
    process, status, error = os.getpid(), 0, None
    try:
        _lay_out(source, names, folder)
        exec(compile(source, names["__file__"], "exec"), names)
    except SystemExit as left:
        status = _status(left)
        error = f"SystemExit: {left.code}"[:2000] if status else None
    except BaseException as raised:
        status, error = 1, said(raised)
        with contextlib.suppress(BaseException):
            trace = raised.__traceback__
            raised.with_traceback(trace.tb_next if trace else None)  # it begins with this function
            sys.excepthook(type(raised), raised, raised.__traceback__)
    if unwritten := _finish(names):
        status, error = unwritten, error or "it could not write out what it had printed"
    if os.getpid() != process:
        os._exit(status)
    return {"status": status, "error": error} if status else {"status": 0}


def _lay_out(source: str, names: dict[str, Any], folder: str | None) -> None:
    """The program's file, and `/dev/stdin` for programs that name it: there are no links to descriptors without /proc."""
    names["__file__"] = os.path.join(folder or os.getcwd(), FILE)
    if folder is None:
        return
    sys.path.insert(0, folder)
    with contextlib.suppress(OSError, UnicodeEncodeError):
        with open(names["__file__"], "w", encoding="utf-8", newline="") as file:
            file.write(source)
        if any(name in source for name in _NAMES_OF_STDIN):
            with open(os.path.join(folder, STDIN), "wb") as copy:
                while chunk := os.pread(0, 1 << 20, copy.tell()):
                    copy.write(chunk)


def _status(left: SystemExit) -> int:
    """The exit status that a SystemExit comes to; whatever is no number is printed, as Python does."""
    if left.code is None:
        return 0
    if isinstance(left.code, int):
        return left.code & 0xFF
    with contextlib.suppress(BaseException):
        print(left.code, file=sys.stderr)
    return 1


def _finish(names: dict[str, Any]) -> int:
    """What Python does before a process ends, in its order; the exit status where what was printed cannot be written out."""
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
    if threading.active_count() == 1:  # a thread that goes on would miss its names
        for hidden in (True, False):
            for name in list(names):
                if name != "__builtins__" and name.startswith("_") == hidden:
                    names[name] = None
        flush()
    return status


def flush() -> None:
    """Writes out what is in the buffers of the streams, those of the start among them."""
    for stream in dict.fromkeys((sys.stdout, sys.__stdout__, sys.stderr, sys.__stderr__)):
        with contextlib.suppress(BaseException):  # closed by the program, or no stream at all
            stream.flush()  # type: ignore[union-attr]
