"""The words of a text, and hashes of runs of them, as arrays: what duplicates and contamination are looked for with."""

import re
from collections.abc import Sequence

import numpy
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Hashes = NDArray[numpy.uint64]

BASE = numpy.uint64(0x9E3779B97F4A7C1B)
"""Of the polynomial hash of a run. Ours: 2^64 over the golden ratio, moved to the next number that is 3 modulo 8, so that its
powers differ from each other by small powers of two at most, and words that change places change the hash."""

_ASCII = re.compile(r"[a-z0-9_]+|[-+*/^=<>%]+")
_ANY = re.compile(r"[^\W\u3040-\u30ff\u3400-\u9fff]+|[-+*/^=<>%\u2212\u00d7\u00f7]+|[\u3040-\u30ff\u3400-\u9fff]")


def words(text: str) -> list[str]:
    """Words in lower case, without punctuation.

    Signs of arithmetic are words, as sums would be alike without; those that touch are one. So is each character of Chinese and
    of Japanese.
    """
    return (_ASCII if text.isascii() else _ANY).findall(text.lower())


def hashes(found: Sequence[str]) -> Hashes:
    """A hash a word, the same in every process."""
    return numpy.fromiter(map(_known.__getitem__, found), numpy.uint64, len(found))


class _Known(dict[str, int]):
    """Hashes of words that were met before; forgotten when they are many. Over twice as fast as functools.lru_cache."""

    def __missing__(self, word: str) -> int:
        if len(self) >= 1 << 18:
            self.clear()
        self[word] = digest(word)
        return self[word]


_known = _Known()


def digest(text: str) -> int:
    """XXH3 of a text, 64 bits, the same in every process."""
    import xxhash

    return xxhash.xxh3_64_intdigest(text.encode())


def combined(rows: NDArray[numpy.unsignedinteger]) -> Hashes:
    """One hash for each row of hashes, over the last axis: a polynomial modulo 2^64, whose high bits are the good ones."""
    total = numpy.zeros(rows.shape[:-1], numpy.uint64)
    for column in range(rows.shape[-1]):
        total = total * BASE + rows[..., column]
    return total


def runs(hashed: Hashes, length: int) -> Hashes:
    """A hash for each run of so many words, by where it starts; none where there are fewer words."""
    starts = len(hashed) - length + 1
    if starts <= 0:
        return numpy.empty(0, numpy.uint64)
    total = hashed[:starts]
    for offset in range(1, length):  # as `combined` does, without the windows, which take a while to make
        total = total * BASE + hashed[offset : offset + starts]
    return total


def windows(hashed: Hashes, length: int) -> NDArray[numpy.uint64]:
    """The runs themselves, a row each, without a copy: `runs` is `combined` of these."""
    return sliding_window_view(hashed, length) if len(hashed) >= length else numpy.empty((0, length), numpy.uint64)
