"""A random order of examples that takes 8 bytes per example.

It is the order of accelerate's `SeedableRandomSampler`. That sampler makes a list of all numbers: 40 bytes per example in each
process.
"""

from collections.abc import Iterator

import torch
from torch.utils.data import DataLoader, Sampler

CHUNK = 4096
"""Numbers that are converted at a time."""


class Shuffled(Sampler[int]):
    """Yields the numbers of all examples, in an order of its own for every pass."""

    def __init__(self, examples: int, seed: int) -> None:
        """Creates the sampler.

        Args:
            examples: number of examples.
            seed: seed of the orders.
        """
        self.examples, self.seed, self.epoch = examples, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Sets the number of the next pass. The Trainer calls it, also when a run resumes."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.examples

    def __iter__(self) -> Iterator[int]:
        order = torch.randperm(self.examples, generator=torch.Generator().manual_seed(self.seed + self.epoch))
        for part in order.split(CHUNK):
            yield from part.tolist()
        self.epoch += 1


def trainer_class(seed: int) -> type:
    """Returns a Trainer class whose orders of examples are those of `Shuffled`.

    Args:
        seed: seed of the orders; the argument `data_seed` of the Trainer.
    """
    from transformers import Trainer

    class ShuffledTrainer(Trainer):
        def get_train_dataloader(self) -> DataLoader[object]:
            loader = super().get_train_dataloader()
            loader.set_sampler(Shuffled(len(self.train_dataset), seed))
            return loader

    return ShuffledTrainer
