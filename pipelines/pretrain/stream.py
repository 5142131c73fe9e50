"""The order of the training data, as a function of the seed and the position only.

Training has phases. Each phase takes its share of sequences from each source, continues the pass over the source where the
previous phase stopped, and shuffles its sequences. The order is not stored: a keyed permutation returns the n-th sequence. A
run that is resumed, or that uses another number of processes, therefore uses the same data.

Sequence lengths may differ between phases. A source that is used with several lengths is shuffled in pieces of the longest
length; a phase with shorter sequences divides the pieces and uses whole pieces, so its shares are exact up to a piece. A source
that is used with one length is shuffled in sequences, and its shares are exact up to a sequence. Tokens at the end of a source
that do not fill a piece are never used.
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
"""Rounds of the Feistel network. Four rounds make a strong pseudorandom permutation (Luby and Rackoff, 1988). Our choice."""
BLOCK = 16_384
"""Sequences that are located in one call, because numpy's calls are expensive for few sequences. Our choice."""
BLOCKS_KEPT = 8
"""Located blocks in the cache. Our choice."""


def permute(index: numpy.ndarray, size: int, key: int) -> numpy.ndarray:
    """Returns the images of indices under a keyed pseudorandom permutation of 0..size-1.

    It is a Feistel network over the smallest power of two that is at least `size` and 4, repeated until the result is below
    `size` (cycle walking: Black and Rogaway, 2002). It needs no table, hence no memory for large sizes.

    Args:
        index: integers below `size`, of any shape.
        size: size of the permuted range, below 2^62.
        key: selects the permutation.

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
            target, source = number % 2, 1 - number % 2
            halves[target] = halves[target] ^ (_mix(halves[source] ^ round_key) & masks[target])
        result[outside] = (halves[1] << low) | halves[0]
        outside = numpy.flatnonzero(result >= numpy.uint64(size))
        if not len(outside):
            return result.astype(numpy.int64)


def _mix(value: numpy.ndarray) -> numpy.ndarray:
    """Applies SplitMix64's finalizer (Steele, Lea and Flood, 2014). Its products overflow by design."""
    value = (value ^ (value >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    return value ^ (value >> numpy.uint64(31))


class Phase(NamedTuple):
    """A phase of the data stream."""

    name: str
    sequences: int
    """Total number of sequences from all sources."""
    length: int
    """Tokens per sequence."""
    mixture: Mapping[str, float]
    """Shares by pattern of the sources' names ("high/*", or several: "high/*, medium/*"). The sources that match one pattern
    divide its share in proportion to their tokens."""


@dataclass(frozen=True)
class Part:
    """The sequences that a phase takes from one source."""

    source: str
    sequences: int
    first_piece: int
    """Number of pieces that the previous phases have used."""
    pieces: int
    """Number of pieces in the source."""
    piece_tokens: int
    """Tokens per piece: one or several of the phase's sequences."""


Plan = list[list[Part]]
"""The parts of each phase, ordered by the sources' names."""


def plan(phases: Sequence[Phase], sources: Sources, max_passes: Mapping[str, float]) -> Plan:
    """Returns how many sequences each phase takes from each source.

    Args:
        phases: the phases in order.
        sources: the token files.
        max_passes: maximum number of passes over a source in all phases, by pattern of its name; the first match applies.

    Raises:
        UserError: shares do not sum to 1, a pattern matches no source, a source has fewer tokens than one piece, or the
            phases need more passes than `max_passes` allows.
    """
    shares = [_shares(phase, sources) for phase in phases]
    pieces = _pieces(phases, shares)
    taken = dict.fromkeys(sources.tokens, 0)
    planned: Plan = []
    for phase, of_phase in zip(phases, shares, strict=True):
        parts = []
        for source, count in _counts(phase, of_phase, pieces).items():
            piece = pieces[source]
            piece_count = sources.tokens[source] // piece
            if count and not piece_count:
                unit = f"one sequence of {piece} tokens"
                if piece > phase.length:
                    unit = f"one piece of {piece} tokens (the longest context of all phases)"
                raise UserError(
                    f"{phase.name}: {source} has {sources.tokens[source]} tokens, fewer than {unit}; use more documents or a "
                    "shorter context"
                )
            parts.append(Part(source, count, math.ceil(taken[source] / piece), piece_count, piece))
            taken[source] += count * phase.length
        planned.append(parts)
    for source, piece in pieces.items():
        cap = next((limit for pattern, limit in max_passes.items() if _matches(source, pattern)), math.inf)
        size = sources.tokens[source]
        usable = size // piece * piece
        if taken[source] > cap * usable:
            whole = f" ({usable:,} in whole pieces of {piece:,})" if usable < size else ""
            raise UserError(
                f"{source}: the phases need {taken[source]:,} tokens, but {size:,} tokens{whole} with at most {cap:g} "
                f"passes give {int(cap * usable):,}; lower the phases' tokens or raise max_passes"
            )
    return planned


def _shares(phase: Phase, sources: Sources) -> dict[str, float]:
    """Returns a phase's share of each source, ordered by the sources' names."""
    share_sum = sum(phase.mixture.values())
    if abs(share_sum - 1) > 1e-6:
        raise UserError(f"{phase.name}: the shares of its mixture sum to {share_sum:g}; expected 1")
    shares = dict.fromkeys(sorted(sources.tokens), 0.0)
    for pattern, share in phase.mixture.items():
        matching = [source for source in shares if _matches(source, pattern)]
        total = sum(sources.tokens[source] for source in matching)
        if not total:
            raise UserError(f"{phase.name}: no source matches {pattern!r}; use {', '.join(shares)}")
        for source in matching:
            shares[source] += share * sources.tokens[source] / total
    return {source: share for source, share in shares.items() if share}


def _pieces(phases: Sequence[Phase], shares: Sequence[Mapping[str, float]]) -> dict[str, int]:
    """Returns the length in tokens of each source's pieces, in which it is shuffled."""
    lengths: dict[str, set[int]] = {}
    for phase, of_phase in zip(phases, shares, strict=True):
        for source in of_phase:
            lengths.setdefault(source, set()).add(phase.length)
    longest = max(phase.length for phase in phases)
    return {source: longest if len(used) > 1 else min(used) for source, used in lengths.items()}


def _counts(phase: Phase, shares: Mapping[str, float], pieces: Mapping[str, int]) -> dict[str, int]:
    """Returns the number of sequences from each source; they sum to the phase's sequences."""
    in_pieces = {source: share for source, share in shares.items() if pieces[source] > phase.length}
    single = {source: share for source, share in shares.items() if source not in in_pieces}
    counts = dict.fromkeys(shares, 0)
    left = phase.sequences
    if in_pieces:
        per_piece = pieces[next(iter(in_pieces))] // phase.length  # all these pieces have the longest length
        whole = round(phase.sequences * sum(in_pieces.values()) / per_piece) if single else phase.sequences // per_piece
        for source, count in _apportion(min(whole, phase.sequences // per_piece), in_pieces).items():
            counts[source] = count * per_piece
        left -= sum(counts.values())
    for source, count in _apportion(left, single or in_pieces).items():
        counts[source] += count
    return counts


def _apportion(number: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Returns integers in proportion to the shares that sum to `number`, by the largest remainder method."""
    whole = sum(shares.values())
    exact = {source: share / whole * number for source, share in shares.items()}
    counts = {source: int(count) for source, count in exact.items()}
    missing = number - sum(counts.values())
    for source in sorted(exact, key=lambda source: counts[source] - exact[source])[:missing]:
        counts[source] += 1
    return counts


def _matches(source: str, pattern: str) -> bool:
    return any(fnmatch.fnmatchcase(source, part.strip()) for part in pattern.split(","))


class Stream:
    """The training data as a map-style data set. A row is one sequence of the longest length, or several shorter ones."""

    def __init__(self, phases: Sequence[Phase], sources: Sources, planned: Plan, seed: int) -> None:
        """Creates the data set.

        Args:
            phases: the phases in order.
            sources: the token files.
            planned: see `plan`.
            seed: seed of the order.
        """
        self.phases, self.sources, self.planned, self.seed = phases, sources, planned, seed
        self.row_tokens = max(phase.length for phase in phases)
        self.starts = [0]
        """Number of the first row of each phase, and the number of all rows."""
        self._mapped: dict[int, list[numpy.ndarray]] = {}
        self._blocks: dict[tuple[int, int], tuple[numpy.ndarray, numpy.ndarray]] = {}
        for phase in phases:
            self.starts.append(self.starts[-1] + phase.sequences * phase.length // self.row_tokens)

    def __len__(self) -> int:
        return self.starts[-1]

    def __getitem__(self, row: int) -> tuple[numpy.ndarray, int]:
        return self.__getitems__([row])[0]

    def __getitems__(self, rows: Sequence[int]) -> list[tuple[numpy.ndarray, int]]:
        """Returns for each row its tokens, int64, (row_tokens,), and the length of its sequences. DataLoader calls it."""
        numbers = numpy.asarray(rows)
        lengths = [self.phases[number].length for number in numpy.searchsorted(self.starts, numbers, side="right") - 1]
        return list(zip(self.read(numbers), lengths, strict=True))

    def read(self, numbers: numpy.ndarray) -> numpy.ndarray:
        """Returns the tokens of rows, int64, (rows, row_tokens). `numbers` has the rows' numbers, (rows,)."""
        out = numpy.empty((len(numbers), self.row_tokens), numpy.int64)
        if not len(numbers):
            return out
        first, last = (bisect.bisect_right(self.starts, int(row)) - 1 for row in (numbers.min(), numbers.max()))
        for number in range(first, last + 1):
            rows = numpy.arange(len(numbers))
            if first < last:
                rows = numpy.flatnonzero((numbers >= self.starts[number]) & (numbers < self.starts[number + 1]))
            if len(rows):
                self._read(number, numbers[rows] - self.starts[number], rows, out)
        return out

    def _read(self, number: int, numbers: numpy.ndarray, rows: numpy.ndarray, out: numpy.ndarray) -> None:
        """Writes rows of one phase into `out[rows]`. `numbers` has their numbers, counted from the phase's first row."""
        length, data = self.phases[number].length, self._data(number)
        in_row = self.row_tokens // length
        sequences, positions = numbers, rows
        if in_row > 1:
            sequences, positions = ((each[:, None] * in_row + numpy.arange(in_row)).ravel() for each in (numbers, rows))
        part_indices, sequence_numbers = self.locate(number, sequences)
        slots = out.reshape(len(out) * in_row, length)
        for position, part_index, start in zip(
            positions.tolist(), part_indices.tolist(), (sequence_numbers * length).tolist(), strict=True
        ):
            slots[position] = data[part_index][start : start + length]

    def _data(self, number: int) -> list[numpy.ndarray]:
        """Returns the token arrays of a phase's sources, memory-mapped on first use in the process that uses them."""
        if number not in self._mapped:
            files = [tokens.file_of(self.sources.folder, part.source) for part in self.planned[number]]
            self._mapped[number] = [tokens.memory_map(file, self.sources.dtype) for file in files]
        return self._mapped[number]

    def locate(self, number: int, sequences: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Returns for each sequence of a phase its part's position in the plan, and its number in the source."""
        first, last = (int(sequence) // BLOCK for sequence in (sequences.min(), sequences.max()))
        if first == last:  # faster, and true for most batches
            all_parts, all_numbers = self._block(number, first)
            positions = sequences - first * BLOCK
            return all_parts[positions], all_numbers[positions]
        part_indices, sequence_numbers = numpy.empty_like(sequences), numpy.empty_like(sequences)
        blocks, positions = numpy.divmod(sequences, BLOCK)
        for block in set(blocks.tolist()):
            in_block = blocks == block
            all_parts, all_numbers = self._block(number, block)
            part_indices[in_block], sequence_numbers[in_block] = (
                all_parts[positions[in_block]],
                all_numbers[positions[in_block]],
            )
        return part_indices, sequence_numbers

    def _block(self, number: int, block: int) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Returns `locate` for a whole block. The last `BLOCKS_KEPT` blocks are cached."""
        if (number, block) not in self._blocks:
            while len(self._blocks) >= BLOCKS_KEPT:
                self._blocks.pop(next(iter(self._blocks)))
            first, last = block * BLOCK, min((block + 1) * BLOCK, self.phases[number].sequences)
            self._blocks[number, block] = self._locate(number, numpy.arange(first, last))
        return self._blocks[number, block]

    def _locate(self, number: int, sequences: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
        parts, length = self.planned[number], self.phases[number].length
        shuffled = permute(sequences, self.phases[number].sequences, _key(self.seed, number, "phase"))
        ends = numpy.cumsum([part.sequences for part in parts])
        part_indices = numpy.searchsorted(ends, shuffled, side="right")
        sequence_numbers = numpy.empty_like(shuffled)
        for index, part in enumerate(parts):
            positions = numpy.flatnonzero(part_indices == index)
            inside, per_piece = shuffled[positions] - (ends[index] - part.sequences), part.piece_tokens // length
            pieces = part.first_piece + inside // per_piece
            for repetition in numpy.unique(pieces // part.pieces).tolist() if len(pieces) else ():
                in_pass = pieces // part.pieces == repetition
                found = permute(pieces[in_pass] % part.pieces, part.pieces, _key(self.seed, repetition, part.source))
                sequence_numbers[positions[in_pass]] = found * per_piece + inside[in_pass] % per_piece
        return part_indices, sequence_numbers


def _key(seed: int, number: int, name: str) -> int:
    """Returns a key that is different for each seed, number and name."""
    return int.from_bytes(f"{seed}/{number}/{name}".encode(), "big")
