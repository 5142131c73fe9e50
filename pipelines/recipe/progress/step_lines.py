"""Lines in the terminal for the steps of a training, as its `steps.jsonl` grows."""

from collections.abc import Iterator
from pathlib import Path

from .... import disk
from ...stage import STEPS, Stage


class StepLines:
    """Yields lines on the steps that have ended since the last call."""

    def __init__(self, stage: Stage, folder: Path, examples: int = 0):
        """Skips the steps of an earlier process.

        Args:
            stage: the stage.
            folder: its folder.
            examples: number of the best and of the worst samples of each step to show.
        """
        self.stage, self.folder, self.count = stage, folder, examples
        self.examples = stage.examples(folder)
        self.offset = self._size()

    def new(self) -> Iterator[str]:
        """Yields the lines of the steps that were added since the last call. A file that is shorter was written again."""
        if (size := self._size()) <= self.offset:
            self.offset = size
            return
        with (self.folder / STEPS).open("rb") as file:
            file.seek(self.offset)
            text = file.read()
        complete = text.rfind(b"\n") + 1
        self.offset += complete
        for line in text[:complete].splitlines():
            row = disk.parse_row(line, _check)
            if row is not None and (shown := self.stage.step_line(row)):
                yield shown
                if self.count:
                    yield from self.examples(row["step"], self.count)

    def _size(self) -> int:
        path = self.folder / STEPS
        return path.stat().st_size if path.is_file() else 0


def _check(row: disk.Row) -> None:
    disk.check_types(row, step=int)
