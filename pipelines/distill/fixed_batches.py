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
        for batch in self._batches(self.epoch).tolist():
            yield from range(batch * self.batch_size, (batch + 1) * self.batch_size)
        yield from range(self.examples // self.batch_size * self.batch_size, self.examples)

    def _batches(self, epoch: int) -> numpy.ndarray:
        """Returns the numbers of the complete batches in the order of a pass, (batches,)."""
        return numpy.random.default_rng([self.seed, epoch]).permutation(self.examples // self.batch_size)

    def first(self, steps: int) -> numpy.ndarray:
        """Returns the indices of the examples in the first batches, in ascending order, (examples,)."""
        batches = self._batches(0)
        if steps >= len(batches):
            return numpy.arange(self.examples)
        return (numpy.sort(batches[:steps])[:, None] * self.batch_size + numpy.arange(self.batch_size)).ravel()
