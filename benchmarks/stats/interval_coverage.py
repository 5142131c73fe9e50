"""How often the intervals of `intervals.py` hold the truth: benchmarks with known pass rates, simulated by the thousand.

    python -m tenfold.benchmarks.stats.interval_coverage                 # 10,000 benchmarks a cell; some minutes
    python -m tenfold.benchmarks.stats.interval_coverage --simulations 2000
    python -m tenfold.benchmarks.stats.interval_coverage --lost 0.5      # half of the samples are lost; a fifth of the cells

A cell is a number of problems, of samples, a mean pass rate and a shape of the pass rates around it: equal, or a beta
distribution whose two parameters sum to `concentration` (below 1 most problems are nearly always or nearly never solved).
Where samples are lost (to faults), each is lost with the same chance, and a problem that loses all of them is left out.
"""

import argparse
import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from . import intervals

PROBLEMS, SAMPLES = (30, 100, 198, 500), (1, 3, 8, 64)
MEANS = (0.01, 0.03, 0.06, 0.1, 0.15, 0.2, 0.35, 0.5, 0.7, 0.9, 0.97)
CONCENTRATIONS = (None, 0.5, 1.0, 2.0, 5.0)
"""None: every problem has the same pass rate."""
MEANS_LOST = (0.03, 0.15, 0.5, 0.9)
"""Means where samples are lost: such benchmarks are simulated one by one, for their problems differ in number."""
NAMES = ("new_problems", "same_problems")
BATCH = 2_000_000
"""Pass rates held at once."""


class Cell(NamedTuple):
    """One kind of benchmark, and how often each interval held its truth."""

    problems: int
    samples: int
    mean: float
    concentration: float | None
    new_problems: float
    same_problems: float


def simulate(
    problems: int,
    samples: int,
    mean: float,
    concentration: float | None,
    simulations: int,
    generator: np.random.Generator,
    lost: float = 0.0,
) -> Cell:
    """Samples pass rates, then scores; counts the intervals that hold `mean`, and those that hold the sampled rates' own mean.

    Args:
        problems, samples, mean, concentration: see above.
        simulations: how many benchmarks; those of which less than two problems are left do not count.
        generator: of what is sampled.
        lost: chance of each sample to be lost.
    """
    held, counted = np.zeros(2), 0
    left = simulations
    while left:
        size = min(left, max(1, BATCH // problems)) if not lost else 1
        left -= size
        shape = (size, problems)
        if concentration is None:
            rates = np.full(shape, mean)
        else:
            rates = generator.beta(mean * concentration, (1 - mean) * concentration, shape)
        kept = np.full(problems, samples)
        if lost:
            kept = generator.binomial(samples, 1 - lost, problems)
            rates, kept = rates[:, kept > 0], kept[kept > 0]
            if len(kept) < 2:
                continue
        means = generator.binomial(kept, rates) / kept
        variances = means * (1 - means) * kept / np.maximum(1, kept - 1)
        rows = intervals.Rows(means, variances, kept.astype(float), binary=True)
        counted += size
        for place, (ends, truth) in enumerate(
            ((intervals.new_problems(rows), mean), (intervals.same_problems(rows), rates.mean(-1)))
        ):
            held[place] += np.mean((ends[0] <= truth + 1e-12) & (truth <= ends[1] + 1e-12)) * size
    return Cell(problems, samples, mean, concentration, *(held / counted))


def cells(simulations: int, seed: int = 0, lost: float = 0.0) -> Iterator[Cell]:
    """Every cell, simulated."""
    for problems, samples, mean, concentration in itertools.product(
        PROBLEMS, SAMPLES, MEANS_LOST if lost else MEANS, CONCENTRATIONS
    ):
        generator = np.random.default_rng([seed, problems, samples, int(1000 * mean), int(10 * (concentration or 0))])
        yield simulate(problems, samples, mean, concentration, simulations, generator, lost)


def main() -> None:
    """Prints the least and the most coverage for each number of problems and samples, and the cells that miss the aim."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=10_000, help="benchmarks a cell")
    parser.add_argument("--lost", type=float, default=0.0, help="share of the samples that are lost")
    arguments = parser.parse_args()
    found: list[Cell] = []
    print("coverage in %, least to most: means of 10 to 90% | other means\n")
    print(f"{'problems':>8} {'samples':>5}   {'new problems':^31}   {'same problems':^31}")
    for (problems, samples), group in itertools.groupby(
        cells(arguments.simulations, lost=arguments.lost), key=lambda cell: (cell.problems, cell.samples)
    ):
        row = list(group)
        found += row
        said = [_range(row, name, middle) for name in NAMES for middle in (True, False)]
        print(f"{problems:8} {samples:5}   {said[0]} | {said[1]}   {said[2]} | {said[3]}", flush=True)
    for name in NAMES:
        _summary(found, name)


def _is_middle(cell: Cell) -> bool:
    return 0.1 <= cell.mean <= 0.9


def _range(cells: list[Cell], name: str, middle: bool) -> str:
    held = [100 * getattr(cell, name) for cell in cells if _is_middle(cell) == middle]
    return f"{min(held):5.1f} to {max(held):5.1f}"


def _summary(found: list[Cell], name: str) -> None:
    """One sample a problem leaves the samples' noise unknown: what it gives on the same problems is left out here."""
    told = [cell for cell in found if name == "new_problems" or cell.samples > 1]
    missed = [cell for cell in told if getattr(cell, name) < 0.94 or (_is_middle(cell) and getattr(cell, name) > 0.97)]
    average = np.mean([getattr(cell, name) for cell in told if _is_middle(cell)])
    print(f"\n{name}: {100 * average:.1f}% on average where the mean lies in 10 to 90%; of {len(told)} cells these are")
    print("below 94%, or above 97% there:" if missed else "below 94%, or above 97% there: none")
    for cell in missed:
        shape = "equal rates" if cell.concentration is None else f"concentration {cell.concentration:g}"
        said = f"{cell.problems:4} problems, {cell.samples:2} samples, mean {cell.mean:.2f}, {shape}"
        print(f"  {said}: {100 * getattr(cell, name):.1f}%")


if __name__ == "__main__":
    main()
