"""Two threads in the background: one extends the indexes of the runs that are looked at, one notices changes of files."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ..recipe.progress import log
from ..stage import RECORD, SETTINGS, STEPS
from .folders import RECIPE, Entry, within
from .index import Index

_LOG = logging.getLogger("tenfold")
SECONDS = 1.0
"""Time between two looks at the files."""
MAX_INDEXES = 100
"""Largest number of stages whose indexes are extended. The ones that were asked for longest ago are left out. Our choice."""
MAX_LISTENERS = 32

Change = tuple[str, str | None]
"""Id of a run, and the name of a stage; None: the run itself."""
State = dict[str | None, tuple[object, ...]]
"""Times and sizes of the files of a run that change while it goes on, by stage; those of the run itself under None."""


class Indexer:
    """Extends the indexes of the stages that were asked for, in turn, a batch each."""

    def __init__(self) -> None:
        """Starts with no index and no thread."""
        self._indexes: dict[Path, Index] = {}
        self._changed = threading.Condition()
        self._done: set[Path] = set()
        self._stop = False
        self._thread: threading.Thread | None = None

    def ask(self, root: Path, folder: Path, wait: float = 0.0) -> Index:
        """Returns the index of a stage, which is extended from now on.

        Args:
            root: folder of the run.
            folder: folder of the stage.
            wait: longest time in seconds to wait until all episodes are indexed for the first time.
        """
        with self._changed:
            index = self._indexes.pop(folder, None) or Index(root, folder)
            self._indexes[folder] = index
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="tenfold view index", daemon=True)
                self._thread.start()
            if index.progress < 1:  # else it is at most a second old
                self._done.discard(folder)
                self._changed.notify_all()
                self._changed.wait_for(lambda: folder in self._done or self._stop, wait)
        return index

    def progress(self, folders: Sequence[Path]) -> tuple[float, str]:
        """Returns the mean progress of some indexes, 0..1, and the first error."""
        with self._changed:
            found = [self._indexes[folder] for folder in folders if folder in self._indexes]
        if not found:
            return 1.0, ""
        return sum(index.progress for index in found) / len(found), next((index.error for index in found if index.error), "")

    def close(self) -> None:
        """Ends the thread."""
        with self._changed:
            self._stop = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop:
            with self._changed:
                for folder in [*self._indexes][:-MAX_INDEXES]:
                    self._indexes.pop(folder).close()
                turn = [(folder, index) for folder, index in self._indexes.items()]
            busy = False
            for folder, index in reversed(turn):  # the one that was asked for last comes first
                if self._stop:
                    break
                done = index.extend()
                busy = busy or not done
                with self._changed:
                    if done:
                        self._done.add(folder)
                    self._changed.notify_all()
            if not busy:
                with self._changed:
                    if all(folder in self._done for folder in self._indexes):
                        self._changed.wait(SECONDS)
        for _, index in self._indexes.items():
            index.close()


def state_of(entry: Entry, names: Sequence[str]) -> State:
    """Returns the state of a run's files."""
    own = [entry.folder / name for name in (RECIPE, log.NAME, ".lock")]
    found: State = {None: tuple(map(_stamp, own))}
    for name in names:
        folder = entry.folder if entry.kind == "bench" else entry.folder / name
        if within(entry.folder, folder) is None:
            found[name] = ()
            continue
        paths = [folder / file for file in (RECORD, SETTINGS, STEPS)]
        if entry.kind == "bench":
            paths = [folder / f"{name}.result.json"]
        found[name] = (*map(_stamp, paths), *(_stamp(path) for path in _stores(folder)))
    return found


def _stores(folder: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        yield from sorted((folder / "episodes").glob("*.jsonl"))
        yield from sorted(folder.glob("*.jsonl"))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
        return found.st_mtime_ns, found.st_size, found.st_ino
    except OSError:
        return None


class Watcher:
    """Compares the state of runs with that of a second ago, while anybody listens."""

    def __init__(self, states: Callable[[], dict[str, State]]):
        """Starts with no thread.

        Args:
            states: returns the state of each run, by its id.
        """
        self._states = states
        self._lock = threading.Lock()
        self._listeners: dict[int, list[Change]] = {}
        self._next = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def listen(self) -> int | None:
        """Returns the number of a new listener; None if there are too many."""
        with self._lock:
            if len(self._listeners) >= MAX_LISTENERS or self._stop.is_set():
                return None
            self._next += 1
            self._listeners[self._next] = []
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="tenfold view watch", daemon=True)
                self._thread.start()
            return self._next

    def leave(self, listener: int) -> None:
        """Removes a listener."""
        with self._lock:
            self._listeners.pop(listener, None)

    def changes(self, listener: int) -> list[Change] | None:
        """Returns the changes since the last call, each once; None if the server ends."""
        with self._lock:
            if self._stop.is_set() or listener not in self._listeners:
                return None
            found, self._listeners[listener] = self._listeners[listener], []
        return [*dict.fromkeys(found)]

    def close(self) -> None:
        """Ends the thread and all listeners."""
        self._stop.set()

    def _watch(self) -> None:
        before: dict[str, State] | None = None
        while not self._stop.is_set():
            started = time.monotonic()
            with self._lock:
                if not self._listeners:
                    self._thread = None
                    return
            try:
                states = self._states()
            except Exception as error:  # the page is not told of changes until it can be read again
                _LOG.warning("the runs cannot be looked at: %s", error)
                states = before or {}
            if before is not None:
                changed = [
                    (id, stage)
                    for id in {**before, **states}
                    for stage in {**states.get(id, {}), **before.get(id, {})}
                    if states.get(id, {}).get(stage) != before.get(id, {}).get(stage)
                ]
                with self._lock:
                    for waiting in self._listeners.values():
                        waiting += changed
            before = states
            self._stop.wait(max(SECONDS, time.monotonic() - started))  # at most half of the time on a slow disk
