"""Reads a file of JSON lines while another process appends to it or replaces it."""

import os
from collections.abc import Iterator
from pathlib import Path

from .... import disk

CHUNK = 1 << 24
"""Bytes that are read at once. Our choice."""


class NewLines:
    """The complete lines that were added to a file since the last call."""

    def __init__(self, path: Path):
        """Starts at the beginning of the file, which need not exist yet."""
        self.path, self.offset, self.file = path, 0, -1

    def read(self) -> Iterator[bytes]:
        """Yields the new lines. After a file is replaced, as when a training resumes, it yields all lines."""
        try:
            with self.path.open("rb") as file:
                state = os.fstat(file.fileno())
                if state.st_ino != self.file or state.st_size < self.offset:
                    self.file, self.offset = state.st_ino, 0
                file.seek(self.offset)
                while lines := file.readlines(CHUNK):
                    for line in lines:
                        if not line.endswith(b"\n"):
                            return
                        self.offset += len(line)
                        yield line
        except FileNotFoundError:
            return

    def rows(self) -> Iterator[disk.Row]:
        """Yields the new lines that are JSON objects."""
        for line in self.read():
            if (row := disk.parse_row(line, bool)) is not None:
                yield row
