"""Tokens a second that pretraining's rows are read at, beside reading a memory map bare.

    python -m tenfold.benchmarks.speed.loader [--tokens 200e6] [--length 4096] [--rounds 5]

All give batches of 64 rows as int64, of three sources, and map the files anew. The bare readers take slices, as they lie or
in an order drawn beforehand; ours draws shuffled sequences by their shares. The files are in the page cache for all. Rates are
medians over the rounds.
"""

import argparse
import functools
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy

from ...pipelines.corpus import tokens
from ...pipelines.pretrain import stream

BATCH = 64
"""Rows read together."""
SHARES = {"high/code": 0.5, "high/text": 0.3, "medium/text": 0.2}


def written(folder: Path, count: int) -> tokens.Sources:
    """Sources of random tokens, by their shares of so many."""
    (folder / "tokens").mkdir()
    sizes = {source: int(share * count) for source, share in SHARES.items()}
    draw = numpy.random.default_rng(0)
    for source, size in sizes.items():
        draw.integers(0, 50_000, size, dtype="uint16").tofile(tokens.file_of(folder, source))
    return tokens.Sources(folder, sizes, {}, 0, 50_000, "", "uint16")


def order(sources: tokens.Sources, length: int) -> list[tuple[str, int]]:
    """Every row of all sources, as its source and the token that it starts at."""
    return [(source, row * length) for source, size in sources.tokens.items() for row in range(size // length)]


def bare(sources: tokens.Sources, length: int, rows: list[tuple[str, int]]) -> None:
    """Reads these rows."""
    files = {source: tokens.memory_map(tokens.file_of(sources.folder, source), sources.dtype) for source in sources.tokens}
    for first in range(0, len(rows), BATCH):
        batch = rows[first : first + BATCH]
        out = numpy.empty((len(batch), length), numpy.int64)
        for row, (source, start) in enumerate(batch):
            out[row] = files[source][start : start + length]


def ours(sources: tokens.Sources, length: int, batches: int) -> None:
    """Reads as many rows of a stream."""
    phases = [stream.Phase("only", batches * BATCH, length, SHARES)]
    rows = stream.Stream(phases, sources, stream.plan(phases, sources, {}), 0)
    for number in range(batches):
        rows.read(numpy.arange(number * BATCH, (number + 1) * BATCH))


def main() -> None:
    """Prints the rates and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=float, default=200e6, help="in all sources (default: %(default)g)")
    parser.add_argument("--length", type=int, default=4096, help="tokens of a row (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sources = written(Path(folder), int(given.tokens))
        rows = order(sources, given.length)
        batches = len(rows) // BATCH
        ways: dict[str, Callable[[], None]] = {
            "memory map, front to back": functools.partial(bare, sources, given.length, rows[: batches * BATCH]),
            "memory map, shuffled": functools.partial(
                bare, sources, given.length, random.Random(0).sample(rows, batches * BATCH)
            ),
            "tenfold": functools.partial(ours, sources, given.length, batches),
        }
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for read in ways.values():
            read()
        for _ in range(given.rounds):
            for name, read in ways.items():
                started = time.perf_counter()
                read()
                rates[name].append(batches * BATCH * given.length / (time.perf_counter() - started))
    medians = {name: statistics.median(found) for name, found in rates.items()}
    for name, median in medians.items():
        print(f"{name:26} {median / 1e6:8.1f} million tokens/s, tenfold at {medians['tenfold'] / median:.0%} of it")


if __name__ == "__main__":
    main()
