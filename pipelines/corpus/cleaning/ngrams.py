"""Words of a text, and hashes of words and of runs of words, as arrays. Used to find duplicates and contamination."""

import re
from collections.abc import Sequence

import numpy
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Hashes = NDArray[numpy.uint64]
"""64-bit hashes, shape (words,) or (runs,)."""

BASE = numpy.uint64(0x9E3779B97F4A7C1B)
"""Base of the polynomial hash of a run. Our choice: 2^64 over the golden ratio, rounded up to the next number that is 3 modulo
8. The difference of two of its powers is then divisible only by small powers of two, so two swapped words change the hash."""

_ASCII = re.compile(r"[a-z0-9_]+|[-+*/^=<>%]+")
_ANY = re.compile(r"[^\W\u3040-\u30ff\u3400-\u9fff]+|[-+*/^=<>%\u2212\u00d7\u00f7]+|[\u3040-\u30ff\u3400-\u9fff]")


def words(text: str) -> list[str]:
    """Returns the words in lower case, without punctuation.

    Arithmetic signs are words, because sums would otherwise be equal; adjacent signs form one word. Each Chinese or Japanese
    character is a word.
    """

    return (_ASCII if text.isascii() else _ANY).findall(text.lower())


def word_hashes(found: Sequence[str]) -> Hashes:
    """Returns a hash per word, the same in every process."""
    return numpy.fromiter(map(_cache.__getitem__, found), numpy.uint64, len(found))


class _HashCache(dict[str, int]):
    """Hashes of words, cleared at 2^18 words. It is more than twice as fast as functools.lru_cache."""

    def __missing__(self, word: str) -> int:
        if len(self) >= 1 << 18:
            self.clear()
        self[word] = digest(word)
        return self[word]


_cache = _HashCache()


def digest(text: str) -> int:
    """Returns the 64-bit XXH3 of a text, the same in every process."""
    import xxhash

    return xxhash.xxh3_64_intdigest(text.encode())


def combine(rows: NDArray[numpy.unsignedinteger]) -> Hashes:
    """Returns one hash per row of hashes, over the last axis: a polynomial modulo 2^64, whose high bits are well mixed."""
    total = numpy.zeros(rows.shape[:-1], numpy.uint64)
    for column in range(rows.shape[-1]):
        total = total * BASE + rows[..., column]
    return total


def run_hashes(hashed: Hashes, length: int) -> Hashes:
    """Returns the hash of each run of `length` words, in the order of the text; empty if there are fewer words."""
    starts = len(hashed) - length + 1
    if starts <= 0:
        return numpy.empty(0, numpy.uint64)
    total = hashed[:starts]
    for offset in range(1, length):  # the same result as `combine(windows(...))`, but faster
        total = total * BASE + hashed[offset : offset + starts]
    return total


def windows(hashed: Hashes, length: int) -> NDArray[numpy.uint64]:
    """Returns the runs as a view, one per row: `run_hashes(...)` equals `combine(windows(...))`."""
    return sliding_window_view(hashed, length) if len(hashed) >= length else numpy.empty((0, length), numpy.uint64)
