"""verl's data set, which returns the problems of each step in the order of `order.py`.

verl requests one row after another and does not pass the step. A step takes more rows if groups are replaced. Therefore the
data set reads the step from the trainer: when the step changes, the rows of the next step begin. verl's own position in the
data has no effect, and a run that is resumed from a checkpoint plays the same problems as an uninterrupted run.
"""

from collections.abc import Iterator
from typing import Any, ClassVar

from verl.utils.dataset.rl_dataset import RLHFDataset

from . import order


class StepDataset(RLHFDataset):
    """See the module. A row's `extra_info` also has the attempt."""

    trainer: ClassVar[Any] = None
    """verl's trainer. The replay buffer sets it (`replay.py`), because verl does not pass the trainer to its data set."""

    step: int | None = None
    remaining: Iterator[order.Attempt]

    def __getitem__(self, item: int) -> dict[str, Any]:
        """Returns the next row of the trainer's step. `item`, verl's own position in the data, is ignored."""
        if self.step != self.trainer.global_steps:
            self.step = int(self.trainer.global_steps)
            self.remaining = order.attempts(len(self), int(self.config.train_batch_size), int(self.config.seed), self.step)
        chosen = next(self.remaining)
        row: dict[str, Any] = super().__getitem__(chosen.problem)
        row["extra_info"] = {**row["extra_info"], "attempt": chosen.number}
        return row
