"""Which tokens are seen when: a function of the seed and the position alone, so that nothing depends on who asks for it.

Training goes through phases. A phase gives each source its share of the sequences, and takes of each what comes next in its
passes over the source; within the phase all is shuffled. No order is ever written down: a keyed permutation tells which
sequence is the n-th, so that a run that goes on, or is spread over other processes, sees what it would have seen.

Passes go on where phases have sequences of different lengths. A source that several lengths are taken of is shuffled in pieces
of the longest; a phase of shorter ones cuts them, and takes whole pieces: its shares are exact to the piece. A source of which
all phases take one length is shuffled in sequences of that length, and its shares are exact to the sequence. In either case a
last piece that is too short is never seen.
"""

import bisect
import fnmatch
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy

from ...core import UserError
from ..corpus import tokens
from ..corpus.tokens import Sources

ROUNDS = 6
"""Of the Feistel network. Four make a pseudorandom permutation of good round functions (Luby and Rackoff, 1988)."""
BLOCK = 16_384
"""Sequences whose places are looked up together: numpy's calls cost more than what they do for a few."""
BLOCKS_KEPT = 8


def permuted(index: numpy.ndarray, size: int, key: int) -> numpy.ndarray:
    """Where a keyed permutation of 0..size-1 takes each index.

    A Feistel network over the smallest power of two that holds `size`, walked until it lands inside (Black and Rogaway, 2002).
    No table: a permutation of a trillion takes no memory.

    Args:
        index: whole numbers below `size`, of any shape.
        size: of the permuted range, below 2^62.
        key: which permutation.

    Returns:
        An array of int64 of the same shape.
    """
    bits = max(2, (size - 1).bit_length())
    low = numpy.uint64(bits // 2)
    masks = [numpy.uint64((1 << width) - 1) for width in (bits // 2, bits - bits // 2)]
    keys = numpy.random.SeedSequence(key).generate_state(ROUNDS, numpy.uint64)
    result = numpy.asarray(index, numpy.uint64).copy()
    outside: numpy.ndarray | slice = slice(None)
    while True:
        halves = [result[outside] & masks[0], result[outside] >> low]
        for number, round_key in enumerate(keys):
            one, other = number % 2, 1 - number % 2
            halves[one] = halves[one] ^ (_mixed(halves[other] ^ round_key) & masks[one])
        result[outside] = (halves[1] << low) | halves[0]
        outside = numpy.flatnonzero(result >= numpy.uint64(size))
        if not len(outside):
            return result.astype(numpy.int64)


def _mixed(value: numpy.ndarray) -> numpy.ndarray:
    """SplitMix64's finalizer (Steele, Lea and Flood, 2014); its products are meant to overflow, which arrays do silently."""
    value = (value ^ (value >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    return value ^ (value >> numpy.uint64(31))


class Phase(NamedTuple):
    """What is wanted of one phase."""

    name: str
    sequences: int
    """How many, of all sources."""
    length: int
    """Tokens in each."""
    mixture: Mapping[str, float]
    """Shares of sources, by patterns of their names ("high/*", or several: "high/*, medium/*"); the sources of one pattern
    divide its share by how many tokens they have."""


@dataclass(frozen=True)
class Part:
    """One source's part of a phase."""

    source: str
    sequences: int
    before: int
    """Pieces that the phases before have taken."""
    of: int
    """Pieces of the source."""
    piece: int
    """Tokens of a piece, one or several of the phase's sequences."""


Plan = list[list[Part]]
"""For each phase its parts, in the order of the sources' names."""


def plan(phases: Sequence[Phase], sources: Sources, caps: Mapping[str, float]) -> Plan:
    """How many sequences each phase takes of each source.

    Args:
        phases: in order.
        sources: what there is.
        caps: how often a source may be gone through in all, by patterns; the first that fits counts.

    Raises:
        UserError: shares that do not sum to 1, a pattern without a source, a source too small, or more tokens wanted than
            the cap allows.
    """
    shares = [_shares(phase, sources) for phase in phases]
    pieces = _pieces(phases, shares)
    taken = dict.fromkeys(sources.tokens, 0)
    planned: Plan = []
    for phase, of_phase in zip(phases, shares, strict=True):
        parts = []
        for source, count in _counts(phase, of_phase, pieces).items():
            piece = pieces[source]
            of = sources.tokens[source] // piece
            if count and not of:
                raise UserError(
                    f"{phase.name}: {source} has {sources.tokens[source]} tokens, less than one sequence of {piece}"
                )
            parts.append(Part(source, count, math.ceil(taken[source] / piece), of, piece))
            taken[source] += count * phase.length
        planned.append(parts)
    for source, wanted in taken.items():
        cap = next((most for pattern, most in caps.items() if _fits(source, pattern)), math.inf)
        if wanted > cap * sources.tokens[source]:
            raise UserError(
                f"{source}: {wanted:,} tokens are asked for; it has {sources.tokens[source]:,}, and with at most {cap:g} "
                f"repetitions gives {int(cap * sources.tokens[source]):,}: ask for less, or raise max_repetitions"
            )
    return planned


def _shares(phase: Phase, sources: Sources) -> dict[str, float]:
    """The share of each source that a phase takes of, in the order of their names."""
    if abs(sum(phase.mixture.values()) - 1) > 1e-6:
        raise UserError(f"{phase.name}: the shares of its mixture sum to {sum(phase.mixture.values()):g}, not to 1")
    shares = dict.fromkeys(sorted(sources.tokens), 0.0)
    for pattern, share in phase.mixture.items():
        fitting = [source for source in shares if _fits(source, pattern)]
        total = sum(sources.tokens[source] for source in fitting)
        if not total:
            raise UserError(f"{phase.name}: no source is like {pattern!r}; there are {', '.join(shares)}")
        for source in fitting:
            shares[source] += share * sources.tokens[source] / total
    return {source: share for source, share in shares.items() if share}


def _pieces(phases: Sequence[Phase], shares: Sequence[Mapping[str, float]]) -> dict[str, int]:
    """Tokens of the pieces in which each source is shuffled."""
    lengths: dict[str, set[int]] = {}
    for phase, of_phase in zip(phases, shares, strict=True):
        for source in of_phase:
            lengths.setdefault(source, set()).add(phase.length)
    longest = max(phase.length for phase in phases)
    return {source: longest if len(found) > 1 else min(found) for source, found in lengths.items()}


def _counts(phase: Phase, shares: Mapping[str, float], pieces: Mapping[str, int]) -> dict[str, int]:
    """Sequences of each source, which sum to the phase's."""
    in_pieces = {source: share for source, share in shares.items() if pieces[source] > phase.length}
    single = {source: share for source, share in shares.items() if source not in in_pieces}
    counts = dict.fromkeys(shares, 0)
    left = phase.sequences
    if in_pieces:
        cut = pieces[next(iter(in_pieces))] // phase.length  # all such pieces are of the longest sequences
        wanted = round(phase.sequences * sum(in_pieces.values()) / cut) if single else phase.sequences // cut
        for source, count in _apportioned(min(wanted, phase.sequences // cut), in_pieces).items():
            counts[source] = count * cut
        left -= sum(counts.values())
    for source, count in _apportioned(left, single or in_pieces).items():
        counts[source] += count
    return counts


def _apportioned(number: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Whole numbers in the proportion of the shares that sum to `number`: the largest remainders are rounded up."""
    whole = sum(shares.values())
    exact = {source: share / whole * number for source, share in shares.items()}
    counts = {source: int(count) for source, count in exact.items()}
    missing = number - sum(counts.values())
    for source in sorted(exact, key=lambda source: counts[source] - exact[source])[:missing]:
        counts[source] += 1
    return counts


def _fits(source: str, pattern: str) -> bool:
    return any(fnmatch.fnmatchcase(source, part.strip()) for part in pattern.split(","))


class Stream:
    """Rows of tokens by their number; every row is as long as the longest sequence, and holds several of a shorter phase."""

    def __init__(self, phases: Sequence[Phase], sources: Sources, planned: Plan, seed: int) -> None:
        self.phases, self.sources, self.planned, self.seed = phases, sources, planned, seed
        self.row_tokens = max(phase.length for phase in phases)
        self.starts = [0]
        """The first row of each phase, and at last how many rows there are."""
        self._mapped: dict[int, list[numpy.ndarray]] = {}
        self._blocks: dict[tuple[int, int], tuple[numpy.ndarray, numpy.ndarray]] = {}
        for phase in phases:
            self.starts.append(self.starts[-1] + phase.sequences * phase.length // self.row_tokens)

    def __len__(self) -> int:
        return self.starts[-1]

    def __getitem__(self, row: int) -> tuple[numpy.ndarray, int]:
        return self.__getitems__([row])[0]

    def __getitems__(self, rows: Sequence[int]) -> list[tuple[numpy.ndarray, int]]:
        """Each row's tokens, (row_tokens,) in int64, and how long the sequences in it are. What a DataLoader asks for."""
        wanted = numpy.asarray(rows)
        lengths = [self.phases[number].length for number in numpy.searchsorted(self.starts, wanted, side="right") - 1]
        return list(zip(self.read(wanted), lengths, strict=True))

    def read(self, wanted: numpy.ndarray) -> numpy.ndarray:
        """Rows of tokens, (rows, row_tokens), in int64."""
        out = numpy.empty((len(wanted), self.row_tokens), numpy.int64)
        if not len(wanted):
            return out
        first, last = (bisect.bisect_right(self.starts, int(row)) - 1 for row in (wanted.min(), wanted.max()))
        for number in range(first, last + 1):
            rows = numpy.arange(len(wanted))
            if first < last:
                rows = numpy.flatnonzero((wanted >= self.starts[number]) & (wanted < self.starts[number + 1]))
            if len(rows):
                self._read(number, wanted[rows] - self.starts[number], rows, out)
        return out

    def _read(self, number: int, wanted: numpy.ndarray, rows: numpy.ndarray, out: numpy.ndarray) -> None:
        """Fills some rows of `out` with those of one phase, counted from its first."""
        length, data = self.phases[number].length, self._data(number)
        in_row = self.row_tokens // length
        sequences, places = wanted, rows
        if in_row > 1:
            sequences, places = ((each[:, None] * in_row + numpy.arange(in_row)).ravel() for each in (wanted, rows))
        owners, items = self.located(number, sequences)
        slots = out.reshape(len(out) * in_row, length)
        for place, owner, start in zip(places.tolist(), owners.tolist(), (items * length).tolist(), strict=True):
            slots[place] = data[owner][start : start + length]

    def _data(self, number: int) -> list[numpy.ndarray]:
        """The tokens of a phase's sources, mapped when they are first wanted, in the process that wants them."""
        if number not in self._mapped:
            files = [tokens.file_of(self.sources.folder, part.source) for part in self.planned[number]]
            self._mapped[number] = [tokens.mapped(file, self.sources.dtype) for file in files]
        return self._mapped[number]

    def located(self, number: int, sequences: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Where sequences of a phase come from: the part, by its place in the plan, and the sequence's number in the source."""
        first, last = (int(sequence) // BLOCK for sequence in (sequences.min(), sequences.max()))
        if first == last:  # most batches, and cheaper
            all_owners, all_items = self._block(number, first)
            places = sequences - first * BLOCK
            return all_owners[places], all_items[places]
        owners, items = numpy.empty_like(sequences), numpy.empty_like(sequences)
        blocks, places = numpy.divmod(sequences, BLOCK)
        for block in set(blocks.tolist()):
            these = blocks == block
            all_owners, all_items = self._block(number, block)
            owners[these], items[these] = all_owners[places[these]], all_items[places[these]]
        return owners, items

    def _block(self, number: int, block: int) -> tuple[numpy.ndarray, numpy.ndarray]:
        """`located` for a whole block; the last few are kept."""
        if (number, block) not in self._blocks:
            while len(self._blocks) >= BLOCKS_KEPT:
                self._blocks.pop(next(iter(self._blocks)))
            first, last = block * BLOCK, min((block + 1) * BLOCK, self.phases[number].sequences)
            self._blocks[number, block] = self._locate(number, numpy.arange(first, last))
        return self._blocks[number, block]

    def _locate(self, number: int, sequences: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
        parts = self.planned[number]
        shuffled = permuted(sequences, self.phases[number].sequences, _key(self.seed, number, "phase"))
        ends = numpy.cumsum([part.sequences for part in parts])
        owners = numpy.searchsorted(ends, shuffled, side="right")
        items = numpy.empty_like(shuffled)
        for index, part in enumerate(parts):
            places = numpy.flatnonzero(owners == index)
            inside, cut = shuffled[places] - (ends[index] - part.sequences), part.piece // self.phases[number].length
            turns = part.before + inside // cut
            for repetition in numpy.unique(turns // part.of).tolist() if len(turns) else ():
                these = turns // part.of == repetition
                found = permuted(turns[these] % part.of, part.of, _key(self.seed, repetition, part.source))
                items[places[these]] = found * cut + inside[these] % cut
        return owners, items


def _key(seed: int, number: int, name: str) -> int:
    """A key of its own for each seed, number and name."""
    return int.from_bytes(f"{seed}/{number}/{name}".encode(), "big")
