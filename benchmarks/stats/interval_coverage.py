"""Coverage of the intervals of `intervals.py`, measured on simulated benchmarks with known pass rates.

    python -m tenfold.benchmarks.stats.interval_coverage                 # 10,000 benchmarks per cell; some minutes
    python -m tenfold.benchmarks.stats.interval_coverage --simulations 2000
    python -m tenfold.benchmarks.stats.interval_coverage --lost 0.5      # half of the samples are lost; 4 of the 11 means

A cell is a number of problems, a number of samples, a mean pass rate and a distribution of the pass rates. The rates are all
equal, or they have a beta distribution whose two parameters sum to `concentration` (below 1, most problems are nearly always or
nearly never solved). With `--lost`, each sample is lost (to a fault) with the same probability, and a problem that loses all
its samples is left out.
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
"""Mean pass rates with `--lost`, which is slow: benchmarks with unequal numbers of problems are simulated one by one."""
NAMES = ("new_problems", "same_problems")
BATCH = 2_000_000
"""Pass rates in memory at once."""


class Cell(NamedTuple):
    """One kind of benchmark, and the coverage of both intervals."""

    problems: int
    samples: int
    mean: float
    concentration: float | None
    new_problems: float
    """Share of the intervals over new problems that contain `mean`."""
    same_problems: float
    """Share of the intervals over new samples of the same problems that contain the mean of the simulated pass rates."""


def simulate(
    problems: int,
    samples: int,
    mean: float,
    concentration: float | None,
    simulations: int,
    generator: np.random.Generator,
    lost: float = 0.0,
) -> Cell:
    """Returns the coverage of both intervals over simulated benchmarks of one kind.

    Args:
        problems: number of problems.
        samples: samples per problem.
        mean: mean pass rate.
        concentration: sum of the beta distribution's parameters, or None for equal pass rates.
        simulations: number of benchmarks. One with fewer than two problems left does not count.
        generator: source of all random numbers.
        lost: probability that a sample is lost.
    """
    covered, counted = np.zeros(2), 0
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
        statistics = intervals.ProblemStatistics(means, variances, kept.astype(float), binary=True)
        counted += size
        for index, (ends, truth) in enumerate(
            ((intervals.new_problems(statistics), mean), (intervals.same_problems(statistics), rates.mean(-1)))
        ):
            covered[index] += np.mean((ends[0] <= truth + 1e-12) & (truth <= ends[1] + 1e-12)) * size
    return Cell(problems, samples, mean, concentration, *(covered / counted))


def cells(simulations: int, seed: int = 0, lost: float = 0.0) -> Iterator[Cell]:
    """Yields every cell with its simulated coverage.

    Args:
        simulations: benchmarks per cell.
        seed: seed of all random numbers.
        lost: probability that a sample is lost.
    """
    for problems, samples, mean, concentration in itertools.product(
        PROBLEMS, SAMPLES, MEANS_LOST if lost else MEANS, CONCENTRATIONS
    ):
        generator = np.random.default_rng([seed, problems, samples, int(1000 * mean), int(10 * (concentration or 0))])
        yield simulate(problems, samples, mean, concentration, simulations, generator, lost)


def main() -> None:
    """Prints the lowest and highest coverage per number of problems and samples, and the cells outside the target range.

    A cell is outside if its coverage is below 94%, or above 97% with a mean pass rate of 10 to 90%.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=10_000, help="benchmarks per cell (default: %(default)s)")
    parser.add_argument("--lost", type=float, default=0.0, help="probability that a sample is lost (default: none)")
    arguments = parser.parse_args()
    if arguments.simulations < 1:
        parser.error("--simulations: expected 1 or more")
    if not 0 <= arguments.lost < 1:
        parser.error("--lost: expected a probability of at least 0 and below 1")
    found: list[Cell] = []
    print("coverage in %, lowest to highest: mean pass rates of 10 to 90% | other mean pass rates\n")
    print(f"{'problems':>8} {'samples':>5}   {'interval over new problems':^31}   {'over new samples, same problems':^31}")
    for (problems, samples), group in itertools.groupby(
        cells(arguments.simulations, lost=arguments.lost), key=lambda cell: (cell.problems, cell.samples)
    ):
        row = list(group)
        found += row
        ranges = [_range(row, name, middle) for name in NAMES for middle in (True, False)]
        print(f"{problems:8} {samples:5}   {ranges[0]} | {ranges[1]}   {ranges[2]} | {ranges[3]}", flush=True)
    for name in NAMES:
        _summary(found, name)


def _is_middle(cell: Cell) -> bool:
    return 0.1 <= cell.mean <= 0.9


def _range(cells: list[Cell], name: str, middle: bool) -> str:
    coverages = [100 * getattr(cell, name) for cell in cells if _is_middle(cell) == middle]
    return f"{min(coverages):5.1f} to {max(coverages):5.1f}"


def _summary(found: list[Cell], name: str) -> None:
    """Prints the average coverage and the cells outside the target range; see `main`.

    Leaves out `same_problems` with one sample per problem, because the samples' noise is then unknown.
    """
    counted = [cell for cell in found if name == "new_problems" or cell.samples > 1]
    missed = [cell for cell in counted if getattr(cell, name) < 0.94 or (_is_middle(cell) and getattr(cell, name) > 0.97)]
    average = np.mean([getattr(cell, name) for cell in counted if _is_middle(cell)])
    print(f"\n{name}: average coverage {100 * average:.1f}% over the cells with a mean pass rate of 10 to 90%")
    print(f"cells below 94%, or above 97% with such a mean, out of {len(counted)}:" + ("" if missed else " none"))
    for cell in missed:
        shape = "equal rates" if cell.concentration is None else f"concentration {cell.concentration:g}"
        kind = f"{cell.problems:4} problems, {cell.samples:2} samples, mean {cell.mean:.2f}, {shape}"
        print(f"  {kind}: {100 * getattr(cell, name):.1f}%")


if __name__ == "__main__":
    main()
