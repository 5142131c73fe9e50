"""An order of training in which every batch holds the same examples, each time that it comes.

What was taken of a model beforehand, batch by batch, is then comparable with what it says in training to the last bit.
"""

from collections.abc import Iterator

import numpy
from torch.utils.data import Sampler


class FixedBatches(Sampler[int]):
    """Numbers of examples, batch after batch: the batches are shuffled in every pass, what they hold is not.

    A last batch that is not whole comes last in every pass.
    """

    def __init__(self, examples: int, batch_size: int, seed: int) -> None:
        """Args: how many examples there are, how many a batch has, and the seed of the batches' order."""
        self.examples, self.batch_size, self.seed, self.epoch = examples, batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Says which pass comes next; the Trainer does, also where a run goes on."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.examples

    def __iter__(self) -> Iterator[int]:
        whole = self.examples // self.batch_size
        for batch in numpy.random.default_rng([self.seed, self.epoch]).permutation(whole).tolist():
            yield from range(batch * self.batch_size, (batch + 1) * self.batch_size)
        yield from range(whole * self.batch_size, self.examples)
