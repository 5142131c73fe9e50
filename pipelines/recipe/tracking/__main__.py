"""The process that feeds the trackers of a run. `process.py` starts it:

python -m tenfold.pipelines.recipe.tracking FOLDER SECONDS TRACKER ...

FOLDER is the run's folder, SECONDS the time limit after the end of the run.

A byte or the end of standard input says that the run has ended, and so does the end of the parent. Each tracker has a thread,
so one that hangs does not delay the others.
"""

import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from .... import disk
from ....core import UserError
from . import state
from .feed import POLL_SECONDS, feed


def main(folder: Path, names: Sequence[str], limit: float) -> dict[str, str]:
    """Feeds trackers until the run has ended and at most `limit` seconds more.

    Returns:
        The trackers that lack a part of the run, with the reason.
    """
    parent = os.getppid()
    ended, missing = threading.Event(), dict.fromkeys(names, "not finished in time")

    def follow(name: str) -> None:
        missing[name] = feed(folder, name, ended)

    def run_goes_on() -> bool:
        return os.getppid() == parent and not select.select([sys.stdin], [], [], POLL_SECONDS)[0]

    with _locked(folder, limit):
        threads = [threading.Thread(target=follow, args=[name], daemon=True) for name in names]
        for thread in threads:
            thread.start()
        while run_goes_on() and any(thread.is_alive() for thread in threads):
            pass
        ended.set()
        deadline = time.monotonic() + limit
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
    return {name: reason for name, reason in missing.items() if reason}


@contextlib.contextmanager
def _locked(folder: Path, limit: float) -> Iterator[None]:
    """Locks the trackers' state. The process of a run that was killed may hold it until it has sent the rest.

    Raises:
        UserError: another process holds the lock for longer than `limit` seconds.
    """
    deadline = time.monotonic() + limit
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(disk.locked_file(folder / state.NAME))
                break
            except UserError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(POLL_SECONDS)
        yield


if __name__ == "__main__":
    os.nice(10)  # the run goes first
    run = os.getppid()
    trackers = sys.argv[3:]
    try:
        lacking = main(Path(sys.argv[1]), trackers, float(sys.argv[2]))
    except UserError as error:
        lacking = dict.fromkeys(trackers, str(error))
    for tracker, cause in lacking.items():
        print(f"missing: {tracker}: {cause}", flush=True)
    if os.getppid() != run and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)  # the run was killed, so nobody else ends the processes that a library has started
    os._exit(1 if lacking else 0)  # a thread that hangs, or a library's own at the exit, does not keep the process
