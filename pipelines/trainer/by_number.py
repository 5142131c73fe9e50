"""Sequences whose items are made when they are asked for, so that the items need not fit in memory."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import TypeVar, overload

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
