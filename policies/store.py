"""An append-only file of JSON lines that survives being killed.

The first line holds the settings that made the rest; a store is only ever continued under equal settings. A line that a
kill cut short is dropped when the file is opened again.
"""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..core import UserError, without_surrogates


class Store:
    """Rows on disk, in the order they came."""

    def __init__(self, path: str | Path, settings: dict[str, Any]):
        """Opens the file, or starts it.

        Raises:
            UserError: the file was made under other settings (the message names one that differs), or is no plain file.
        """
        self.path = Path(path)
        if self.path.exists() and not self.path.is_file():
            raise UserError(f"{self.path} is no plain file")
        settings = json.loads(json.dumps(settings))
        if not self.path.exists():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.append([{"settings": settings}])
        rows = list(_whole_lines(self.path))
        if not rows:
            self.append([{"settings": settings}])
            rows = [{"settings": settings}]
        for name, then, now in _differences(rows[0].get("settings", {}), settings):
            raise UserError(
                f"{self.path} was made with {name}={then!r}, not {now!r}; name another file, or remove this one to start again"
            )
        self.rows: list[dict[str, Any]] = rows[1:]

    def append(self, rows: Iterable[dict[str, Any]]) -> None:
        """Writes the rows and sees them to the disk; a lone surrogate becomes U+FFFD."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(without_surrogates("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)))
            file.flush()
            os.fsync(file.fileno())


def _differences(then: dict[str, Any], now: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Settings that differ, with both values; of a setting that is a mapping only the first entry that differs."""
    for name in sorted(then.keys() | now.keys()):
        before, after = then.get(name), now.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            for key, one, other in _differences(before, after):
                yield name, {key: one}, {key: other}
                break
        elif before != after:
            yield name, before, after


def _whole_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of the file; what follows the last whole line is cut off."""
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)
    for number, line in enumerate(content[:whole].splitlines(), start=1):
        try:
            yield json.loads(line)
        except ValueError:
            raise UserError(f"{path}, line {number}: not JSON; the file has been changed by hand") from None
