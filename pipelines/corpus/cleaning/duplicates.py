"""Finds exact duplicates by hash, and near duplicates by MinHash (Broder, 1997) with datasketch.

Two documents are near duplicates if the sets of their runs of SHINGLE_WORDS words have a Jaccard similarity of at least a
threshold. Signatures of PERMUTATIONS minima estimate the similarity. Signatures are divided into bands, and documents that are
equal in a band are compared (Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", chapter 3). Bands and signatures are
columns of the shards. Memory contains one band (8 bytes per document) and the signatures (512 bytes each) of the documents that
are equal to another document in a band.

Each removed document is similar to one that is kept. In a cluster of similar documents the longest is kept and those similar to
it are removed; this repeats with the remaining documents.
"""

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy
import pyarrow
import pyarrow.parquet
from numpy.typing import NDArray

from ..shards import table as table_of
from . import ngrams
from .ngrams import Hashes

if TYPE_CHECKING:
    from datasketch import MinHash

EXACT, NEAR = "exact_duplicate", "near_duplicate"
"""Names of the reasons for which a document is removed."""
SHINGLE_WORDS = 5
"""Words in a run. Source: FineWeb (Penedo et al., 2024, section 3.4). A shorter document is one run."""
PERMUTATIONS = 128
"""Minima in a signature. Source: datasketch's default. The standard error of the estimate is 0.035 at similarity 0.8."""
MISS_WEIGHT = 0.95
"""Weight of false negatives when datasketch chooses the bands; false positives have the weight 1 - MISS_WEIGHT. Our choice:
comparisons are cheap. At threshold 0.8 this gives 16 bands of 8 minima, which find 95% of the pairs at 0.8 and 99% at 0.85."""
RUNS_PER_UPDATE = 2_048
"""Runs hashed in one call: one megabyte, which fits into the processor's cache. Our choice."""
MAX_ROUNDS = 64
"""In each group of documents with equal band values, at most this many are compared with the rest of the group. Further pairs
may be found in another band. Our choice."""
SHORT_WORDS = 300
"""Maximum number of words of a short document, see `number_hash`. Our choice."""

Rows = NDArray[numpy.int64]
"""Numbers of rows or positions."""


@functools.cache
def bands(threshold: float) -> tuple[int, int]:
    """Returns the number of bands and the minima per band that datasketch's LSH chooses for a threshold.

    If only equal signatures reach the threshold, there is one band of all minima. datasketch does not accept a single band.
    """
    from datasketch import MinHashLSH

    if threshold > 1 - 1 / PERMUTATIONS:
        return 1, PERMUTATIONS
    lsh = MinHashLSH(threshold, PERMUTATIONS, weights=(1 - MISS_WEIGHT, MISS_WEIGHT))
    return lsh.b, lsh.r


def text_hash(text: str) -> int:
    """Returns a hash that is equal for texts that differ only in case and white space."""
    return ngrams.digest(" ".join(text.casefold().split()))


def shingles(hashed: Hashes) -> NDArray[numpy.uint32]:
    """Returns hashes of a document's runs of SHINGLE_WORDS words, from the hashes of its words."""
    return (ngrams.run_hashes(hashed, min(SHINGLE_WORDS, len(hashed))) >> numpy.uint64(32)).astype(numpy.uint32)


def signature(hashed: Hashes) -> NDArray[numpy.uint32]:
    """Returns the PERMUTATIONS minima of a document, from the hashes of its words."""
    minima = _empty_signature().copy()
    runs = shingles(hashed)
    for start in range(0, len(runs), RUNS_PER_UPDATE):
        minima.update_batch(runs[start : start + RUNS_PER_UPDATE].tolist())
    return minima.hashvalues


@functools.cache
def _empty_signature() -> "MinHash":
    from datasketch import MinHash

    return MinHash(PERMUTATIONS, hashfunc=int)  # the identity, because runs are hashes already


def number_hash(words: Sequence[str]) -> int:
    """Returns a hash of a short document's numbers and signs, or 0 for a document of more than SHORT_WORDS words.

    Worked problems of one template share most of their words, but problems with different numbers are different. In a longer
    document the template is a small part.
    """
    return ngrams.digest(" ".join(word for word in words if not word[0].isalpha())) if len(words) <= SHORT_WORDS else 0


def signature_columns(
    signatures: Sequence[NDArray[numpy.uint32] | None], number_hashes: Sequence[int], threshold: float
) -> dict[str, pyarrow.Array]:
    """Returns the columns of a shard by which near duplicates are found: the signature, and a hash per band.

    Args:
        signatures: one per document; None for documents that are already removed.
        number_hashes: one per document; documents with different values are never near duplicates.
        threshold: minimum Jaccard similarity.
    """
    number, size = bands(threshold)
    blank = numpy.zeros(PERMUTATIONS, numpy.uint32)
    minima = numpy.array([blank if row is None else row for row in signatures], numpy.uint32).reshape(-1, PERMUTATIONS)
    hashed = ngrams.combine(minima[:, : number * size].reshape(-1, number, size))
    hashed ^= numpy.array(number_hashes, numpy.uint64)[:, None]
    rows = pyarrow.array([None if row is None else row.tobytes() for row in signatures], pyarrow.binary(4 * PERMUTATIONS))
    return {"signature": rows, **{f"band_{band}": pyarrow.array(hashed[:, band]) for band in range(number)}}


def exact_duplicates(hashes: Hashes) -> Rows:
    """Returns for each document the position of the first one with the same hash, which may be itself."""
    _, first, inverse = numpy.unique(hashes, return_index=True, return_inverse=True)
    return first[inverse]


def near_duplicates(shards: Sequence[Path], rows: Rows, threshold: float) -> tuple[Rows, NDArray[numpy.float64]]:
    """Finds near duplicates.

    Args:
        shards: shards with `signature_columns`.
        rows: numbers, over all shards, of the documents that are not removed yet, in order of preference.
        threshold: minimum Jaccard similarity.

    Returns:
        For each of `rows` the position in `rows` of the document that is kept instead (itself if it is kept), and the estimated
        similarity of the two.
    """
    number, _ = bands(threshold)
    kept, similarity = numpy.arange(len(rows)), numpy.ones(len(rows))
    crowded = numpy.zeros(len(rows), bool)
    for band in range(number):
        members, _ = _groups(read_column(shards, f"band_{band}")[rows])
        crowded[members] = True
    crowd = numpy.flatnonzero(crowded)
    if not len(crowd):
        return kept, similarity
    signatures = _signatures(shards, rows[crowd])
    cluster = numpy.arange(len(crowd))
    for band in range(number):
        members, groups = _groups(read_column(shards, f"band_{band}")[rows[crowd]])
        pairs = [pair[:2] for pair in _compare(members, groups, signatures, threshold, MAX_ROUNDS)]
        cluster = _join_clusters(cluster, pairs)
    members, groups = _groups(cluster)
    for center, member, value in _compare(members, groups, signatures, threshold):
        kept[crowd[member]], similarity[crowd[member]] = crowd[center], value
    return kept, similarity


def read_column(shards: Sequence[Path], column: str) -> NDArray[numpy.generic]:
    """Returns a numeric column of all shards as one array."""
    return numpy.concatenate([table_of(shard, columns=[column])[column].to_numpy() for shard in shards])


def _signatures(shards: Sequence[Path], rows: Rows) -> NDArray[numpy.uint32]:
    """Returns the signatures of some rows, in the order of `rows`."""
    signatures = numpy.empty((len(rows), PERMUTATIONS), numpy.uint32)
    start = 0
    for shard in shards:
        column = table_of(shard, columns=["signature"])["signature"]
        positions = numpy.flatnonzero((rows >= start) & (rows < start + len(column)))
        values = column.take(rows[positions] - start).to_pylist()
        signatures[positions] = numpy.frombuffer(b"".join(values), numpy.uint32).reshape(-1, PERMUTATIONS)
        start += len(column)
    return signatures


def _groups(values: NDArray[numpy.generic]) -> tuple[Rows, NDArray[numpy.generic]]:
    """Returns the positions of values that occur more than once, sorted by value and position, and these values."""
    order = numpy.argsort(values, kind="stable")
    equal = values[order[1:]] == values[order[:-1]]
    shared = numpy.concatenate([equal, [False]]) | numpy.concatenate([[False], equal])
    members = order[shared[: len(order)]]
    return members, values[members]


def _compare(
    members: Rows,
    groups: NDArray[numpy.generic],
    signatures: NDArray[numpy.uint32],
    threshold: float,
    rounds: int | None = None,
) -> Iterator[tuple[Rows, Rows, NDArray[numpy.float64]]]:
    """Compares the first member of each group with the others, removes it and those similar to it, and repeats.

    Yields:
        First members, the members similar to them, and the similarities.
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


def _join_clusters(cluster: Rows, pairs: Sequence[tuple[Rows, Rows]]) -> Rows:
    """Returns the cluster of each document after the clusters of each pair are joined."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not pairs:
        return cluster
    left, right = (cluster[numpy.concatenate(side)] for side in zip(*pairs, strict=True))
    size = int(cluster.max()) + 1
    graph = coo_array((numpy.ones(len(left), bool), (left, right)), (size, size))
    return connected_components(graph, directed=False)[1][cluster]


def jaccard(first: str, second: str) -> float:
    """Returns the exact Jaccard similarity of two texts."""
    left, right = (set(shingles(ngrams.word_hashes(ngrams.words(text))).tolist()) for text in (first, second))
    return len(left & right) / len(left | right) if left | right else 1.0
