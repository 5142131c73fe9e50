"""Sequences whose items are made when they are asked for, so that the items need not fit in memory."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import TypeVar, overload

import numpy

T = TypeVar("T", covariant=True)


class ByNumber(Sequence[T]):
    """A sequence that makes an item from its number. A class of such items defines `item` and `__len__`."""

    @abstractmethod
    def item(self, number: int) -> T:
        """Returns an item.

        Args:
            number: at least 0 and less than the length.
        """

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> list[T]: ...

    def __getitem__(self, index: int | slice) -> T | list[T]:
        found = range(len(self))[index]
        return self.item(found) if isinstance(found, int) else [self.item(number) for number in found]


class At(ByNumber[T]):
    """The items of a sequence at given numbers."""

    def __init__(self, items: Sequence[T], numbers: numpy.ndarray) -> None:
        """Stores the sequence and the numbers, (items,)."""
        self.items, self.numbers = items, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def item(self, number: int) -> T:
        """See `ByNumber`."""
        return self.items[int(self.numbers[number])]
