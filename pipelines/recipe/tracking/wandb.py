"""Weights & Biases. WANDB_PROJECT names another project than the recipe's name, WANDB_BASE_URL a server."""

import io
import os
import secrets
from collections.abc import Mapping, Sequence

import wandb

from .tracker import STEP, Cell, Run, Tracker


def open_tracker() -> Tracker:
    """Returns the tracker."""
    return WeightsAndBiases()


class WeightsAndBiases:
    """See `Tracker`. Each stage has its own steps, as the figure STAGE/step."""

    def start(self, run: Run) -> str:
        """See `Tracker`. Output, code and git's state are not sent, because they are those of another process."""
        run.folder.mkdir(parents=True, exist_ok=True)
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or run.project,
            name=run.name,
            id=run.id or secrets.token_hex(4),
            resume="allow" if run.id else None,
            dir=str(run.folder),
            config=dict(run.config),
            settings=wandb.Settings(console="off", disable_git=True, disable_code=True, silent=True),
        )
        self.stages: set[str] = set()
        self.sent = max(run.sent, self.run.step)
        return str(self.run.id)

    def figures(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        """See `Tracker`."""
        self._log(stage, step, dict(values))

    def picture(self, stage: str, name: str, step: int, png: bytes) -> None:
        """See `Tracker`."""
        from PIL import Image

        self._log(stage, step, {name: wandb.Image(Image.open(io.BytesIO(png)))})

    def table(self, stage: str, name: str, step: int, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        """See `Tracker`."""
        table = wandb.Table(columns=list(columns), data=[list(row) for row in rows], allow_mixed_types=True)
        self._log(stage, step, {name: table})

    def finish(self) -> None:
        """See `Tracker`."""
        self.run.finish()

    def _log(self, stage: str, step: int, values: Mapping[str, object]) -> None:
        if stage not in self.stages:
            self.run.define_metric(f"{stage}/*", step_metric=f"{stage}/{STEP}")
            self.stages.add(stage)
        self.run.log({f"{stage}/{STEP}": step} | {f"{stage}/{name}": value for name, value in values.items()}, step=self.sent)
        self.sent += 1
