"""SwanLab. SWANLAB_MODE is online (the default), offline or local; the last two write to the run's folder."""

import io
import os
import secrets
from collections.abc import Mapping, Sequence

import swanlab

from .tracker import Cell, Run, Tracker, markdown


def open_tracker() -> Tracker:
    """Returns the tracker."""
    return SwanLab()


class SwanLab:
    """See `Tracker`."""

    def start(self, run: Run) -> str:
        """See `Tracker`. Output and git's state are not sent, because they are those of another process."""
        run.folder.mkdir(parents=True, exist_ok=True)
        settings = swanlab.Settings(
            interactive=False, terminal={"proxy_type": "none"}, probe={"git": False, "requirements": False}
        )
        swanlab.merge_settings(settings)
        self.run = swanlab.init(
            project=os.environ.get("SWANLAB_PROJECT") or run.project,
            name=run.name,
            id=run.id or secrets.token_hex(8),
            resume="allow",
            config=dict(run.config),
            log_dir=str(run.folder),
        )
        return str(self.run.id)

    def figures(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        """See `Tracker`."""
        swanlab.log({f"{stage}/{name}": value for name, value in values.items()}, step=step)

    def picture(self, stage: str, name: str, step: int, png: bytes) -> None:
        """See `Tracker`."""
        from PIL import Image

        swanlab.log({f"{stage}/{name}": swanlab.Image(Image.open(io.BytesIO(png)))}, step=step)

    def table(self, stage: str, name: str, step: int, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        """See `Tracker`."""
        swanlab.log({f"{stage}/{name}": swanlab.Text(markdown(columns, rows))}, step=step)

    def finish(self) -> None:
        """See `Tracker`."""
        swanlab.finish()
