"""`steps.jsonl`: the metrics of each GRPO step, one line for each step, written as the steps end.

A stage that resumes repeats the steps after its last checkpoint. Therefore the file is first written again, up to the
checkpoint's step.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from ... import disk
from ...disk import Row
from ..stage import STEPS
from . import metrics


def write(folder: Path, steps: Sequence[Row]) -> None:
    """Writes the file with these steps.

    Args:
        folder: the stage's folder.
        steps: metrics of the steps, in order.
    """
    disk.write(folder / STEPS, _lines(steps))


class StepFile:
    """Adds steps to the file while verl runs. Each call reads only new lines of verl's reports and of the episodes."""

    def __init__(self, folder: Path, checkpoint: int = 0):
        """Writes the steps up to the checkpoint.

        Args:
            folder: the stage's folder.
            checkpoint: step of the checkpoint from which the stage resumes; 0 if it starts.
        """
        write(folder, metrics.gather(folder, checkpoint))
        self.file = folder / STEPS
        self.reports = metrics.NewRows(folder / "metrics", metrics.check_report)
        self.episodes = metrics.NewRows(folder / "episodes", metrics.check_played)
        self.played: dict[int, dict[tuple[int, int, int], metrics.StepEpisode]] = {}
        """The episodes of the steps that have not ended, by step; then by problem, attempt and sample."""

        self.reports.read()
        self._add_episodes(checkpoint)  # the checkpoint may have samples of the next step

    def add_ended_steps(self) -> None:
        """Adds the steps that verl has reported since the last call."""
        reports = self.reports.read()  # before the episodes, which are all written when verl reports their step
        self._add_episodes(0)
        steps = []
        for report in reports:
            played = self.played.pop(report["step"], {})
            steps.append(metrics.step_metrics(report["step"], report["data"], [played[key] for key in sorted(played)]))
        if steps:
            with self.file.open("a", encoding="utf-8") as file:
                file.write(_lines(steps))

    def _add_episodes(self, after: int) -> None:
        """Reads the new episodes of the steps after a step."""
        for row in self.episodes.read():
            episode = cast(metrics.StepEpisode, row)
            if episode["step"] > after:
                self.played.setdefault(episode["step"], {})[*metrics.group(episode), episode["sample"]] = episode


def _lines(steps: Sequence[Row]) -> str:
    return "".join(json.dumps(step) + "\n" for step in steps)
