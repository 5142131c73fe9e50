"""Documents that are there twice: exactly, or nearly, which MinHash tells (Broder, 1997), by datasketch.

Two documents are near duplicates where the sets of their runs of SHINGLE words have a Jaccard similarity of at least a
threshold, as estimated by signatures of PERMUTATIONS minima. Signatures are cut into bands; documents that agree in a band are
compared (Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", chapter 3). What is known of documents is in columns of
their shard, so that a band at a time is in memory, 8 bytes a document, and the signatures, 512 bytes, only of those that share
a band with another.

Every document that is removed resembles one that stays: of a cluster of like documents the longest stays, with it go those that
resemble it, of the others the longest stays, and so on.
"""

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy
import pyarrow
import pyarrow.parquet
from numpy.typing import NDArray

from ..shards import table as table_of
from . import ngrams
from .ngrams import Hashes

EXACT, NEAR = "exact_duplicate", "near_duplicate"
"""Why a document is removed."""
SHINGLE = 5
"""Words in a run, as FineWeb takes them (Penedo et al., 2024, section 3.4). A document of fewer is one run."""
PERMUTATIONS = 128
"""Minima in a signature: datasketch's default. The estimate's standard error at 0.8 is 0.035."""
MISSED = 0.95
"""How much a duplicate that is missed weighs against a pair that is compared in vain, in the choice of bands. Ours: comparisons
cost little. At the threshold 0.8 there are 16 bands of 8, which show 95% of the pairs at 0.8 and 99% at 0.85."""
AT_ONCE = 2_048
"""Runs that are permuted at once: a megabyte, which stays in the processor's cache, however long the document is."""
ROUNDS = 64
"""How many documents of one band are compared with all the others in it; a pair that is not has its other bands."""
SHORT = 300
"""Words in a short document."""

Rows = NDArray[numpy.int64]


@functools.cache
def bands(threshold: float) -> tuple[int, int]:
    """How many bands there are, and of how many minima, for a threshold: what datasketch's LSH takes."""
    from datasketch import MinHashLSH

    lsh = MinHashLSH(threshold, PERMUTATIONS, weights=(1 - MISSED, MISSED))
    return lsh.b, lsh.r


def digest(text: str) -> int:
    """Equal for texts that differ in case and white space at most."""
    return ngrams.digest(" ".join(text.lower().split()))


def shingles(hashed: Hashes) -> NDArray[numpy.uint32]:
    """Hashes of the runs of SHINGLE words of a document, by the hashes of its words."""
    return (ngrams.runs(hashed, min(SHINGLE, len(hashed))) >> numpy.uint64(32)).astype(numpy.uint32)


def signature(hashed: Hashes) -> NDArray[numpy.uint32]:
    """PERMUTATIONS minima of a document, by the hashes of its words."""
    minima = _empty().copy()
    found = shingles(hashed)
    for start in range(0, len(found), AT_ONCE):
        minima.update_batch(found[start : start + AT_ONCE].tolist())
    return minima.hashvalues


@functools.cache
def _empty() -> Any:
    from datasketch import MinHash

    return MinHash(PERMUTATIONS, hashfunc=int)  # what it is given is hashed already


def own(words: Sequence[str]) -> int:
    """What a short problem is told by beside its wording: a hash of its numbers and signs.

    Worked problems of one template share most of their words. Those with other numbers are other problems. 0 for documents of
    more than SHORT words, which a template does not fill.
    """
    return ngrams.digest(" ".join(word for word in words if not word[0].isalpha())) if len(words) <= SHORT else 0


def columns(
    signatures: Sequence[NDArray[numpy.uint32] | None], owns: Sequence[int], threshold: float
) -> dict[str, pyarrow.Array]:
    """Columns of a shard by which near duplicates are found: the signature and a hash for each band.

    Args:
        signatures: of the documents; None for those that are out already.
        owns: a number a document; those with different ones are never taken for duplicates.
        threshold: of similarity.
    """
    number, size = bands(threshold)
    blank = numpy.zeros(PERMUTATIONS, numpy.uint32)
    minima = numpy.array([blank if one is None else one for one in signatures], numpy.uint32).reshape(-1, PERMUTATIONS)
    hashed = ngrams.combined(minima[:, : number * size].reshape(-1, number, size))
    hashed ^= numpy.array(owns, numpy.uint64)[:, None]
    rows = pyarrow.array([None if one is None else one.tobytes() for one in signatures], pyarrow.binary(4 * PERMUTATIONS))
    return {"signature": rows, **{f"band_{band}": pyarrow.array(hashed[:, band]) for band in range(number)}}


def exact(digests: Hashes) -> Rows:
    """For each document the first one with the same digest, which may be itself."""
    _, first, inverse = numpy.unique(digests, return_index=True, return_inverse=True)
    return first[inverse]


def near(shards: Sequence[Path], rows: Rows, threshold: float) -> tuple[Rows, NDArray[numpy.float64]]:
    """Finds near duplicates.

    Args:
        shards: that hold `columns`.
        rows: which of their rows, counted through, are documents that are still in; the ones to keep before the others.
        threshold: of similarity.

    Returns:
        For each of `rows` the position in it of the document that stays in its place, itself where it stays, and the estimated
        similarity to that one.
    """
    number, _ = bands(threshold)
    kept, similarity = numpy.arange(len(rows)), numpy.ones(len(rows))
    crowded = numpy.zeros(len(rows), bool)
    for band in range(number):
        members, _ = _grouped(read(shards, f"band_{band}")[rows])
        crowded[members] = True
    crowd = numpy.flatnonzero(crowded)
    if not len(crowd):
        return kept, similarity
    signatures = _signatures(shards, rows[crowd])
    cluster = numpy.arange(len(crowd))
    for band in range(number):
        members, groups = _grouped(read(shards, f"band_{band}")[rows[crowd]])
        pairs = [pair[:2] for pair in _stars(members, groups, signatures, threshold, ROUNDS)]
        cluster = _joined(cluster, pairs)
    members, groups = _grouped(cluster)
    for center, member, value in _stars(members, groups, signatures, threshold):
        kept[crowd[member]], similarity[crowd[member]] = crowd[center], value
    return kept, similarity


def read(shards: Sequence[Path], column: str) -> NDArray[Any]:
    """A column of numbers of all shards."""
    return numpy.concatenate([table_of(shard, columns=[column])[column].to_numpy() for shard in shards])


def _signatures(shards: Sequence[Path], rows: Rows) -> NDArray[numpy.uint32]:
    """Signatures of some rows, in their order."""
    found = numpy.empty((len(rows), PERMUTATIONS), numpy.uint32)
    start = 0
    for shard in shards:
        column = table_of(shard, columns=["signature"])["signature"]
        here = numpy.flatnonzero((rows >= start) & (rows < start + len(column)))
        wanted = column.take(rows[here] - start).to_pylist()
        found[here] = numpy.frombuffer(b"".join(wanted), numpy.uint32).reshape(-1, PERMUTATIONS)
        start += len(column)
    return found


def _grouped(values: NDArray[Any]) -> tuple[Rows, NDArray[Any]]:
    """The positions of values that are there more than once, equal ones side by side and in order, and their values."""
    order = numpy.argsort(values, kind="stable")
    equal = values[order[1:]] == values[order[:-1]]
    shared = numpy.concatenate([equal, [False]]) | numpy.concatenate([[False], equal])
    members = order[shared[: len(order)]]
    return members, values[members]


def _stars(
    members: Rows, groups: NDArray[Any], signatures: NDArray[numpy.uint32], threshold: float, rounds: int | None = None
) -> Iterator[tuple[Rows, Rows, NDArray[numpy.float64]]]:
    """Compares each group's first member with its others, sets those apart that resemble it, and goes on with the rest.

    Yields:
        Centres, the members that resemble them, and how much.
    """
    done = 0
    while len(members) and done != rounds:
        first = numpy.flatnonzero(numpy.concatenate([[True], groups[1:] != groups[:-1]]))
        centers = numpy.repeat(members[first], numpy.diff(numpy.append(first, len(members))))
        others = members != centers
        members, groups, centers = members[others], groups[others], centers[others]
        similarity = numpy.empty(len(members))
        for start in range(0, len(members), 65_536):
            part = slice(start, start + 65_536)
            similarity[part] = (signatures[members[part]] == signatures[centers[part]]).mean(axis=1)
        alike = similarity >= threshold
        yield centers[alike], members[alike], similarity[alike]
        members, groups = members[~alike], groups[~alike]
        done += 1


def _joined(cluster: Rows, pairs: Sequence[tuple[Rows, Rows]]) -> Rows:
    """Clusters after pairs were joined."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not pairs:
        return cluster
    one, other = (cluster[numpy.concatenate(side)] for side in zip(*pairs, strict=True))
    size = int(cluster.max()) + 1
    graph = coo_array((numpy.ones(len(one), bool), (one, other)), (size, size))
    return connected_components(graph, directed=False)[1][cluster]


def jaccard(one: str, other: str) -> float:
    """The true similarity of two texts."""
    left, right = (set(shingles(ngrams.hashes(ngrams.words(text))).tolist()) for text in (one, other))
    return len(left & right) / len(left | right) if left | right else 1.0
