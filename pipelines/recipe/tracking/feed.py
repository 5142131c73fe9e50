"""Feeds one tracker with what is new in a run's folder, until the run has ended.

After an error the tracker is started again and receives the rest. So an unreachable server delays figures and loses none.
"""

import os
import threading
import time
import traceback
from pathlib import Path

from ....terminal import plain
from ....texts import without_secrets
from . import state, tracker
from .follow import Follower, config_of

POLL_SECONDS, SAVE_SECONDS = 2.0, 2.0
"""Seconds between two looks at the files, and between two writes of the state. Our choice."""
WAIT_SECONDS, LONGEST_WAIT = 10.0, 300.0
"""Seconds to wait after the first error and at most; each error doubles them. Our choice."""
_SECRET = ("KEY", "TOKEN", "PASSWORD", "SECRET")
"""Ends of the names of environment variables that have keys."""


def feed(folder: Path, name: str, ended: threading.Event) -> str:
    """Feeds a tracker until it has all of an ended run.

    Args:
        folder: the run's folder.
        name: name of the tracker.
        ended: set when the run has ended.

    Returns:
        The error because of which the tracker lacks a part of the run; empty if it has all.
    """
    wait = WAIT_SECONDS
    while True:
        last = ended.is_set()
        try:
            _feed(folder, name, ended)
            return ""
        except Exception as error:  # the library of a tracker may raise anything
            print(_shown(traceback.format_exc()), flush=True)
            text = _shown(" ".join(f"{type(error).__name__}: {error}".split()))[:300]
            print(f"{name}: {text}", flush=True)
            if last or isinstance(error, ImportError):
                return text
        ended.wait(wait)
        wait = min(2 * wait, LONGEST_WAIT)


def _shown(text: str) -> str:
    """Returns a text for the log and the terminal: without control characters, and without keys of the environment."""
    for name, value in os.environ.items():
        if name.endswith(_SECRET) and len(value) > 7:
            text = text.replace(value, "***")
    return plain(without_secrets(text))


def _feed(folder: Path, name: str, ended: threading.Event) -> None:
    """Starts a tracker and sends what is new, until the run has ended.

    Raises:
        Exception: any error of the tracker, after the state is written.
    """
    while (config := config_of(folder)) is None:
        if ended.wait(POLL_SECONDS):
            return  # no stage has begun: there is nothing to send
    known = state.load(folder, name)
    project = str(config["recipe"]["name"])  # type: ignore[index]
    run = tracker.Run(project, folder.resolve().name, folder / tracker.FOLDER / name, config, known.id, known.sent)
    used = tracker.load(name)
    known.id = used.start(run)
    state.save(folder, name, known)
    follower, saved = Follower(folder, known.marks), time.monotonic()
    try:
        while True:
            last, before = ended.is_set(), known.sent  # before the files are read
            for item in follower.new():
                item.send(used)
                known.sent += 1
                if time.monotonic() > saved + SAVE_SECONDS:
                    state.save(folder, name, known)
                    saved = time.monotonic()
            if known.sent > before:
                state.save(folder, name, known)
            if last:
                break
            ended.wait(POLL_SECONDS)
    finally:
        state.save(folder, name, known)
        used.finish()
