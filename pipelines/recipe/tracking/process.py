"""Starts the process that feeds the trackers of a run, and ends it with the run. It never stops a run, nor slows it down."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from .... import disk, faults
from ....core import UserError
from . import prepared, state
from .follow import recipe_of
from .tracker import FOLDER

LOG = "trackers.log"
"""File in a run's folder with the output of the trackers."""
FINISH_SECONDS = 60.0
LONGEST_SECONDS = 86_400.0
"""Time limits for what is left to send: after the end of a run, and of `tenfold track`. Our choice."""
INTERRUPTED_SECONDS = 10.0
"""Time limit after Ctrl-C. The resumed run sends what is left then. Our choice."""
MARGIN = 10.0
"""Further seconds in which the process ends itself. Our choice."""
QUIET = {
    "CUDA_VISIBLE_DEVICES": "",
    "DO_NOT_TRACK": "true",
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "OMP_NUM_THREADS": "1",
    "WANDB_ERROR_REPORTING": "false",
}
"""Environment variables of the process: no GPU, no second thread, and no reports of the libraries to their makers."""


@contextlib.contextmanager
def following(folder: Path, trackers: Sequence[str], show: Callable[[str], None]) -> Iterator[None]:
    """Feeds trackers during the block, in a process of its own.

    At the end the process has `FINISH_SECONDS` for the rest, after Ctrl-C `INTERRUPTED_SECONDS`.

    Args:
        folder: the run's folder.
        trackers: names; nothing happens without any.
        show: called with a line if a tracker lacks a part of the run.
    """
    if not trackers:
        yield
        return
    log = folder / LOG
    try:
        start = log.stat().st_size if log.is_file() else 0
        child = _start(folder, trackers, FINISH_SECONDS)
    except OSError as error:  # for example, the disk is full, or there are too many processes
        show(f"trackers: not started: {error}; {_advice(folder, trackers)}")
        yield
        return
    limit = FINISH_SECONDS + MARGIN
    try:
        yield
    except KeyboardInterrupt:
        limit = INTERRUPTED_SECONDS
        raise
    finally:
        if missing := _end(child, trackers, limit, log, start):
            show(f"trackers: {_reasons(missing)} (log: {log}); {_advice(folder, [*missing])}")


def send(folder: Path, trackers: Sequence[str]) -> list[str]:
    """Sends a run that has ended to trackers: what they do not have yet.

    Args:
        folder: the run's folder.
        trackers: names.

    Returns:
        A line for each tracker that says which of its runs it is.

    Raises:
        UserError: the folder is not a run's, the run goes on, or a tracker lacks a part of the run.
    """
    recipe = recipe_of(folder)
    if holder := disk.holder(folder):
        raise UserError(
            f"the run {folder} goes on ({holder}): wait for it, or stop it and resume it with --set trackers=[NAME]"
        )
    not_prepared = prepared.write_all(folder, [*recipe["stages"]])
    log = folder / LOG
    with faults.as_user_errors(folder):
        start = log.stat().st_size if log.is_file() else 0
        child = _start(folder, trackers, LONGEST_SECONDS)
    if missing := _end(child, trackers, LONGEST_SECONDS + MARGIN, log, start):
        raise UserError(f"{_reasons(missing)} (log: {log})")
    known = {name: state.load(folder, name) for name in trackers}
    own = {name: folder / FOLDER / name for name in trackers}
    lines = [
        f"{name}: run {each.id}, {each.sent} items" + (f", files in {own[name]}" if own[name].is_dir() else "")
        if each.id
        else f"{name}: nothing to send: no stage has begun"
        for name, each in known.items()
    ]
    return [*lines, *([f"without some figures or benchmarks: {not_prepared}"] if not_prepared else [])]


def _start(folder: Path, trackers: Sequence[str], seconds: float) -> subprocess.Popen[bytes]:
    """Starts the process.

    Raises:
        OSError: for example, the log cannot be written.
    """
    with (folder / LOG).open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", str(__package__), str(folder), str(seconds), *trackers],
            env=os.environ | QUIET | {"PYTHONUNBUFFERED": "1", "PYTHONSAFEPATH": "1"},
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C ends the run, and the process sends the rest
        )


def _end(child: subprocess.Popen[bytes], trackers: Sequence[str], seconds: float, log: Path, start: int) -> dict[str, str]:
    """Says that the run has ended, waits, and kills the process after the time limit.

    Args:
        child: the process.
        trackers: names.
        seconds: time limit.
        log: file with the output of the process.
        start: offset at which the output begins, in bytes.

    Returns:
        The trackers that lack a part of the run, with the reason.
    """
    assert child.stdin is not None
    try:
        with contextlib.suppress(OSError):
            child.stdin.write(b"\n")  # not only the end of the file, because forked processes may hold the pipe open
            child.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(seconds)
        status = child.poll()
    finally:  # also after a second Ctrl-C
        with contextlib.suppress(OSError):
            os.killpg(child.pid, signal.SIGKILL)  # also processes that a library has started
        child.wait()
    ended = "not finished in time" if status is None else f"the process ended with status {status}"
    return {} if status == 0 else _missing(log, start) or dict.fromkeys(trackers, ended)


def _missing(log: Path, start: int) -> dict[str, str]:
    """Returns the trackers that lack a part of the run, with the reason, from the output of the process."""
    try:
        with log.open("rb") as file:
            file.seek(start)
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return {}
    parts = [line.split(": ", 2) for line in lines if line.startswith("missing: ")]
    return {name: reason for _, name, reason in filter(lambda part: len(part) == 3, parts)}


def _reasons(missing: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {reason}" for name, reason in missing.items())


def _advice(folder: Path, trackers: Sequence[str]) -> str:
    return f"send the rest with: tenfold track {folder} --to {','.join(trackers)}"
