"""Tokens per second at which pretraining reads its rows, compared with plain reads of a memory map.

    python -m tenfold.benchmarks.speed.loader [--tokens 200e6] [--length 4096] [--rounds 5]

Each reader returns batches of 64 rows as int64 from three sources, and maps the files anew. The plain readers take slices in
file order or in an order shuffled beforehand. tenfold's reader mixes shuffled sequences according to the shares of the
sources. The files are in the page cache for all readers. Rates are medians over the rounds.
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
"""Rows per batch."""
SHARES = {"high/code": 0.5, "high/text": 0.3, "medium/text": 0.2}


def write_sources(folder: Path, count: int) -> tokens.Sources:
    """Writes `count` random tokens into the sources, by their shares, and returns the sources."""
    (folder / "tokens").mkdir()
    sizes = {source: int(share * count) for source, share in SHARES.items()}
    draw = numpy.random.default_rng(0)
    for source, size in sizes.items():
        draw.integers(0, 50_000, size, dtype="uint16").tofile(tokens.file_of(folder, source))
    return tokens.Sources(folder, sizes, {}, 0, 50_000, "", "uint16")


def row_positions(sources: tokens.Sources, length: int) -> list[tuple[str, int]]:
    """Returns the source and the first token of every row of all sources."""
    return [(source, row * length) for source, size in sources.tokens.items() for row in range(size // length)]


def read_memory_map(sources: tokens.Sources, length: int, rows: list[tuple[str, int]]) -> None:
    """Reads rows as slices of the memory maps.

    Args:
        sources: sources of tokens.
        length: tokens per row.
        rows: source and first token of each row.
    """
    files = {source: tokens.memory_map(tokens.file_of(sources.folder, source), sources.dtype) for source in sources.tokens}
    for first in range(0, len(rows), BATCH):
        batch = rows[first : first + BATCH]
        out = numpy.empty((len(batch), length), numpy.int64)
        for row, (source, start) in enumerate(batch):
            out[row] = files[source][start : start + length]


def read_stream(sources: tokens.Sources, length: int, batches: int) -> None:
    """Reads rows as pretraining does.

    Args:
        sources: sources of tokens.
        length: tokens per row.
        batches: number of batches.
    """
    phases = [stream.Phase("only", batches * BATCH, length, SHARES)]
    rows = stream.Stream(phases, sources, stream.plan(phases, sources, {}), 0)
    for number in range(batches):
        rows.read(numpy.arange(number * BATCH, (number + 1) * BATCH))


def main() -> None:
    """Prints the rates and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=float, default=200e6, help="tokens in all sources (default: %(default)g)")
    parser.add_argument("--length", type=int, default=4096, help="tokens per row (default: %(default)s)")
    parser.add_argument(
        "--rounds", type=int, default=5, help="number of rounds; the medians are reported (default: %(default)s)"
    )
    arguments = parser.parse_args()
    if arguments.tokens * min(SHARES.values()) < BATCH * arguments.length:
        parser.error(f"--tokens: each source needs at least {BATCH} rows; use a larger number, or a smaller --length")
    with tempfile.TemporaryDirectory() as folder:
        sources = write_sources(Path(folder), int(arguments.tokens))
        rows = row_positions(sources, arguments.length)
        batches = len(rows) // BATCH
        readers: dict[str, Callable[[], None]] = {
            "memory map, sequential": functools.partial(read_memory_map, sources, arguments.length, rows[: batches * BATCH]),
            "memory map, shuffled": functools.partial(
                read_memory_map, sources, arguments.length, random.Random(0).sample(rows, batches * BATCH)
            ),
            "tenfold": functools.partial(read_stream, sources, arguments.length, batches),
        }
        rates: dict[str, list[float]] = {name: [] for name in readers}
        for read in readers.values():
            read()
        for _ in range(arguments.rounds):
            for name, read in readers.items():
                started = time.perf_counter()
                read()
                rates[name].append(batches * BATCH * arguments.length / (time.perf_counter() - started))
    medians = {name: statistics.median(found) for name, found in rates.items()}
    for name, median in medians.items():
        print(f"{name:26} {median / 1e6:8.1f} million tokens/s, tenfold / this: {medians['tenfold'] / median:.0%}")


if __name__ == "__main__":
    main()
