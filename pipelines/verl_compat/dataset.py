"""verl's data set, which hands out the problems of a step in the order of `order.py`.

verl asks a data set for one row after another. It does not say for which step, and a step takes more rows where groups are
replaced in it. So the data set looks at the trainer's step: when it changes, the rows of the next step begin. The place in the
data that verl remembers does not matter, and a run that goes on from a checkpoint plays the same problems as one that was not
killed.
"""

from collections.abc import Iterator
from typing import Any, ClassVar

from verl.utils.dataset.rl_dataset import RLHFDataset

from . import order


class StepDataset(RLHFDataset):
    """See the module. A row's `extra_info` tells the attempt as well."""

    trainer: ClassVar[Any] = None
    """verl's. It makes its replay buffer before its data set, and hands itself to that one only (`replay.py`)."""

    step: int | None = None
    turns: Iterator[order.Turn]

    def __getitem__(self, item: int) -> dict[str, Any]:
        """The next row of the trainer's step; `item`, verl's own place in the data, is not looked at."""
        if self.step != self.trainer.global_steps:
            self.step = int(self.trainer.global_steps)
            self.turns = order.turns(len(self), int(self.config.train_batch_size), int(self.config.seed), self.step)
        turn = next(self.turns)
        row: dict[str, Any] = super().__getitem__(turn.problem)
        row["extra_info"] = {**row["extra_info"], "attempt": turn.attempt}
        return row
