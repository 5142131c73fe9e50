"""A sampler whose batches contain the same examples in every pass.

Values that a model has computed batch by batch before the training then equal those of the training bit for bit.
"""

from collections.abc import Iterator

import numpy
from torch.utils.data import Sampler


class FixedBatches(Sampler[int]):
    """Yields the indices of examples. Every pass shuffles the order of the batches, not their examples.

    An incomplete last batch comes last in every pass.
    """

    def __init__(self, examples: int, batch_size: int, seed: int) -> None:
        """Creates the sampler.

        Args:
            examples: number of examples.
            batch_size: examples per batch.
            seed: seed of the order of the batches.
        """
        self.examples, self.batch_size, self.seed, self.epoch = examples, batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Sets the number of the next pass. The Trainer calls it, also when a run resumes."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.examples

    def __iter__(self) -> Iterator[int]:
        complete = self.examples // self.batch_size
        for batch in numpy.random.default_rng([self.seed, self.epoch]).permutation(complete).tolist():
            yield from range(batch * self.batch_size, (batch + 1) * self.batch_size)
        yield from range(complete * self.batch_size, self.examples)
