"""verl's data set, which returns the problems of each step in the order of `order.py`.

verl requests one row after another and does not pass the step. A step takes more rows if groups are replaced. Therefore the
data set reads the step from the trainer: when the step changes, the rows of the next step begin. verl's own position in the
data has no effect, and a run that is resumed from a checkpoint plays the same problems as an uninterrupted run.

With asynchronous rollouts, verl requests the rows of a later step during the current step. Then the data set counts the rows:
each batch is for the step after that of the batch before. Only replacements are for the current step.
"""

import functools
import itertools
from collections.abc import Iterator
from typing import Any, ClassVar

from verl.utils.dataset.rl_dataset import RLHFDataset

from . import order


class StepDataset(RLHFDataset):
    """See the module. A row's `extra_info` also has the step that trains on it, and the attempt."""

    trainer: ClassVar[Any] = None
    """verl's trainer. The replay buffer sets it (`replay.py`), because verl does not pass the trainer to its data set."""
    asynchronous: ClassVar[bool] = False
    """True if rows are requested before their step."""
    replacing: ClassVar[bool] = False
    """True while rows are requested that replace others of the current step."""
    restored: ClassVar[int] = 0
    """Number of rows of later steps that a checkpoint had (`asynchronous/in_flight.py`)."""

    requested: int | None = None
    """Number of rows of all steps that have been requested, without replacements; None before the first."""

    @functools.cached_property
    def remaining(self) -> dict[int, Iterator[order.Attempt]]:
        """The attempts of the current and of later steps that have not been requested, by step."""
        return {}

    def __getitem__(self, item: int) -> dict[str, Any]:
        """Returns the next row. `item`, verl's own position in the data, is ignored."""
        step = self._step()
        chosen = next(self._attempts(step))
        row: dict[str, Any] = super().__getitem__(chosen.problem)
        row["extra_info"] = {**row["extra_info"], "step": step, "attempt": chosen.number}
        return row

    def _step(self) -> int:
        """Returns the step that will train on the next row."""
        current = int(self.trainer.global_steps)
        if not self.asynchronous or self.replacing:
            return current
        if self.requested is None:
            self.requested = (current - 1) * int(self.config.train_batch_size) + self.restored
        self.requested += 1
        return (self.requested - 1) // int(self.config.train_batch_size) + 1

    def _attempts(self, step: int) -> Iterator[order.Attempt]:
        """Returns the attempts of a step that have not been requested."""
        if step not in self.remaining:
            size = int(self.config.train_batch_size)
            attempts = order.attempts(len(self), size, int(self.config.seed), step)
            # The first replacement of a step whose batch came from a checkpoint: the batch itself was requested before.
            self.remaining[step] = itertools.islice(attempts, size if self.replacing else 0, None)
            for earlier in [number for number in self.remaining if number < int(self.trainer.global_steps)]:
                del self.remaining[earlier]
        return self.remaining[step]
