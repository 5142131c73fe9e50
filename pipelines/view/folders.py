"""The folders that `tenfold view` shows, by id, and the rule that no file outside of them is read.

A request names a run by its id and a stage by its name. Both are looked up; a path never comes from a request. Names in a
recipe are not trusted either: a stage's name that is not the name of a folder is refused, and so is a link that leads out of
the run.
"""

import os
import re
import stat
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ... import disk
from ...core import UserError

RECIPE, RESULTS = "recipe.yaml", "*.result.json"
MAX_FOLDERS = 2_000
"""Largest number of runs that are listed. Our choice."""
MAX_STAGES = 1_000
MAX_RECIPE, MAX_FILE = 2 * 2**20, 256 * 2**20
"""Largest size in bytes of a recipe, and of another file that is read at once. A larger file is not read. Our choice."""
STAGE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
"""Names that `Stage.name` allows."""


class NotFoundError(Exception):
    """A request names something that does not exist. Its text is one line."""


@dataclass(frozen=True)
class Entry:
    """A run, or a folder of benchmark results."""

    id: str
    kind: Literal["run", "bench"]
    folder: Path
    shown: str
    """The folder as the user named it."""
    name: str
    """Name of the folder, with that of a sweep before it. Runs with the same name have more of their folders in it."""


class Folders:
    """The runs and benchmark folders below the folders that a user names. Ids stay while the server runs."""

    def __init__(self, named: Sequence[str | Path]):
        """Checks the named folders.

        Args:
            named: runs, folders of runs or sweeps, and folders of benchmark results.

        Raises:
            UserError: a folder does not exist.
        """
        self.named = [disk.expanded(name) for name in named]
        for folder in self.named:
            if not folder.is_dir():
                raise UserError(f"there is no folder {folder}; name a run, a folder of runs, or a folder of `tenfold bench`")
        self._ids: dict[Path, str] = {}
        self._entries: dict[str, Entry] = {}
        self._lock = threading.Lock()

    def entries(self) -> list[Entry]:
        """Looks for runs and returns all, in the order of their folders."""
        found: list[Entry] = []
        for root in self.named:
            for folder, kind in _find(root, 2):
                if len(found) >= MAX_FOLDERS:
                    break
                found.append(self._entry(folder, kind))
        with self._lock:
            self._entries = _told_apart({entry.id: entry for entry in found})
            return [*self._entries.values()]

    def _entry(self, folder: Path, kind: Literal["run", "bench"]) -> Entry:
        with self._lock:
            id = self._ids.setdefault(folder.resolve(), f"r{len(self._ids)}")
        return Entry(id, kind, folder.resolve(), str(folder), _name(folder.resolve()))

    def entry(self, id: str) -> Entry:
        """Returns the run with this id.

        Raises:
            NotFoundError: there is none.
        """
        with self._lock:
            found = self._entries.get(id)
        if found is None:
            raise NotFoundError("there is no run with this id; reload the list of runs")
        return found


def _find(folder: Path, levels: int) -> Iterator[tuple[Path, Literal["run", "bench"]]]:
    """Yields the runs and benchmark folders in a folder, which may be one itself."""
    try:
        if (folder / RECIPE).is_file():
            yield folder, "run"
            return
        if any(folder.glob(RESULTS)):
            yield folder, "bench"
            return
        below = sorted(path for path in folder.iterdir() if not path.name.startswith(".") and _is_folder(path))
    except OSError:  # a folder that this user may not read
        return
    if levels:
        for path in below[:MAX_FOLDERS]:
            if levels == 2 or path.resolve().is_relative_to(folder.resolve()):  # the user's own folder may have links
                yield from _find(path, levels - 1)


def _name(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}" if (folder.parent / "sweep.json").is_file() else folder.name


def _told_apart(entries: dict[str, Entry]) -> dict[str, Entry]:
    """Returns the runs with names that differ. All are paths of different folders, so this ends."""
    while True:
        counts = Counter(entry.name for entry in entries.values())
        if len(counts) == len(entries):
            return entries
        for id, entry in entries.items():
            longer = entry.folder.parts[-entry.name.count("/") - 2 :]
            if counts[entry.name] > 1 and len(longer) > entry.name.count("/") + 1:
                entries[id] = replace(entry, name="/".join(longer).replace("//", "/"))


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a link to a folder that this user may not enter, or to a name that is too long
        return False


def within(root: Path, path: Path) -> Path | None:
    """Returns the path if it is a regular file or a folder inside of `root`, else None. A link may not lead out of it."""
    try:
        real = path.resolve(strict=True)
        mode = os.stat(real).st_mode
    except (OSError, RuntimeError, ValueError):  # missing, a loop of links, a name with a null byte
        return None
    return path if real.is_relative_to(root) and (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) else None


def small_file(root: Path, path: Path, limit: int = MAX_FILE) -> Path | None:
    """Returns the path if it is a regular file inside of `root` of at most `limit` bytes, else None."""
    found = within(root, path)
    try:
        return found if found and found.is_file() and found.stat().st_size <= limit else None
    except OSError:
        return None


def stage_folder(entry: Entry, name: str) -> Path:
    """Returns the folder of a stage. The results of a benchmark folder are in the folder itself.

    Raises:
        UserError: the name or the folder leads out of the run.
    """
    if entry.kind == "bench":
        return entry.folder
    folder = entry.folder / name
    if not STAGE_NAME.fullmatch(name) or (folder.exists() and within(entry.folder, folder) is None):
        raise UserError(f"the stage {name[:80]!r} is not a folder of the run, so its files are not shown")
    return folder
