"""Trackio: in the run's folder, unless TRACKIO_DIR, TRACKIO_SPACE_ID or TRACKIO_SERVER_URL names another place."""

import io
import os
from collections.abc import Mapping, Sequence

from .tracker import STEP, Cell, Run, Tracker


def open_tracker() -> Tracker:
    """Returns the tracker."""
    return Trackio()


class Trackio:
    """See `Tracker`. A run's id is its name, because Trackio continues runs by name."""

    def start(self, run: Run) -> str:
        """See `Tracker`. The folder must be set before the library is imported."""
        os.environ.setdefault("TRACKIO_DIR", str(run.folder.resolve()))
        import trackio

        self.library = trackio
        settings = {"auto_log_cpu": False, "embed": False, "config": dict(run.config)}
        resume = "allow" if run.id else "never"
        self.run = trackio.init(run.project, name=run.id or run.name, resume=resume, **settings)
        return str(self.run.name)

    def figures(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        """See `Tracker`."""
        self._log(stage, step, values)

    def picture(self, stage: str, name: str, step: int, png: bytes) -> None:
        """See `Tracker`."""
        from PIL import Image

        self._log(stage, step, {name: self.library.Image(Image.open(io.BytesIO(png)))})

    def table(self, stage: str, name: str, step: int, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        """See `Tracker`."""
        self._log(stage, step, {name: self.library.Table(columns=list(columns), data=[list(row) for row in rows])})

    def finish(self) -> None:
        """See `Tracker`."""
        self.library.finish()

    def _log(self, stage: str, step: int, values: Mapping[str, object]) -> None:
        self.library.log({f"{stage}/{STEP}": step} | {f"{stage}/{name}": value for name, value in values.items()}, step=step)
