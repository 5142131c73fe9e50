"""Which tokens are seen when: a function of the seed and the position alone, so that nothing depends on who asks for it.

Training goes through phases. A phase gives each source its share of the sequences, to the sequence, and takes of each what
comes next in its passes over the source; within the phase all is shuffled. No order is ever written down: a keyed permutation
tells which sequence is the n-th, so that a run that goes on, or is spread over other processes, sees what it would have seen.
"""

import fnmatch
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy

from ...core import UserError
from . import tokens
from .tokens import Sources

ROUNDS = 6
"""Of the Feistel network. Four make a pseudorandom permutation of good round functions (Luby and Rackoff, 1988)."""


def permuted(index: numpy.ndarray, size: int, key: int) -> numpy.ndarray:
    """Where a keyed permutation of 0..size-1 takes each index.

    A Feistel network over the smallest square power of two that holds `size`, walked until it lands inside (Black and Rogaway,
    2002). No table: a permutation of a trillion takes no memory.

    Args:
        index: whole numbers below `size`, of any shape.
        size: of the permuted range, below 2^62.
        key: which permutation.

    Returns:
        An array of int64 of the same shape.
    """
    half = numpy.uint64(max(1, math.ceil(max(1, (size - 1).bit_length()) / 2)))
    mask = numpy.uint64((1 << int(half)) - 1)
    keys = numpy.random.SeedSequence(key).generate_state(ROUNDS, numpy.uint64)
    result = numpy.asarray(index, numpy.uint64).copy()
    outside = numpy.ones(result.shape, bool)
    while outside.any():
        left, right = result[outside] >> half, result[outside] & mask
        for round_key in keys:
            left, right = right, left ^ (_mixed(right ^ round_key) & mask)
        result[outside] = (left << half) | right
        outside = result >= numpy.uint64(size)
    return result.astype(numpy.int64)


def _mixed(value: numpy.ndarray) -> numpy.ndarray:
    """SplitMix64's finalizer (Steele, Lea and Flood, 2014)."""
    with numpy.errstate(over="ignore"):
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
    """Sequences of this length that the phases before have taken, rounded up."""
    of: int
    """Sequences of this length in the source."""


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
    taken = dict.fromkeys(sources.tokens, 0)
    planned: Plan = []
    for phase in phases:
        parts = []
        for source, count in _counts(phase, sources).items():
            of = sources.tokens[source] // phase.length
            if count and not of:
                raise UserError(
                    f"{phase.name}: {source} has {sources.tokens[source]} tokens, less than one sequence of {phase.length}"
                )
            parts.append(Part(source, count, math.ceil(taken[source] / phase.length), of))
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


def _counts(phase: Phase, sources: Sources) -> dict[str, int]:
    """Sequences of each source, the largest remainders rounded up, so that they sum to the phase's."""
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
    exact = {source: share * phase.sequences for source, share in shares.items() if share}
    counts = {source: int(number) for source, number in exact.items()}
    missing = phase.sequences - sum(counts.values())
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
        for number, phase in enumerate(self.phases):
            here = numpy.flatnonzero((wanted >= self.starts[number]) & (wanted < self.starts[number + 1]))
            if len(here):
                in_row = self.row_tokens // phase.length
                sequences = ((wanted[here] - self.starts[number])[:, None] * in_row + numpy.arange(in_row)).ravel()
                self._read(number, sequences, out, here, in_row)
        return out

    def _read(self, number: int, sequences: numpy.ndarray, out: numpy.ndarray, here: numpy.ndarray, in_row: int) -> None:
        """Fills rows with the sequences of one phase."""
        length = self.phases[number].length
        for source, places, items in self.located(number, sequences):
            data = tokens.mapped(tokens.file_of(self.sources.folder, source), self.sources.dtype)
            for place, item in zip(places.tolist(), items.tolist(), strict=True):
                start = place % in_row * length
                out[here[place // in_row], start : start + length] = data[item * length : (item + 1) * length]

    def located(self, number: int, sequences: numpy.ndarray) -> list[tuple[str, numpy.ndarray, numpy.ndarray]]:
        """Where sequences of a phase come from: (source, their places among those asked for, their numbers in the source)."""
        parts = self.planned[number]
        shuffled = permuted(sequences, self.phases[number].sequences, _key(self.seed, number, "phase"))
        ends = numpy.cumsum([part.sequences for part in parts])
        owner = numpy.searchsorted(ends, shuffled, side="right")
        found = []
        for index, part in enumerate(parts):
            places = numpy.flatnonzero(owner == index)
            if not len(places):
                continue
            turn = part.before + shuffled[places] - (ends[index] - part.sequences)
            items = numpy.empty_like(turn)
            for repetition in numpy.unique(turn // part.of):
                these = turn // part.of == repetition
                items[these] = permuted(turn[these] % part.of, part.of, _key(self.seed, int(repetition), part.source))
            found.append((part.source, places, items))
        return found


def _key(seed: int, number: int, name: str) -> int:
    """A key of its own for each seed, number and name."""
    return int.from_bytes(f"{seed}/{number}/{name}".encode(), "big")
