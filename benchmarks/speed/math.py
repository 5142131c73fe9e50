"""How many verdicts a second the math verifier gives, against math-verify, on the same pairs in one run and one process.

    python -m tenfold.benchmarks.speed.math [--pairs FILE] [--rounds 3]

Every round times each way of judging in turn; the golds that ours has read are forgotten before. A tenth hostile
means that every tenth response is one of `hostile_answers.py`. Rates are medians over the rounds.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence

from ...verifiers import verify
from ...verifiers.answers.answer_parser import read_gold
from ...verifiers.math import gold_text
from ...verifiers.pool import Pool
from ..audit.answer_pairs import Pair, own_pairs, pairs_of
from ..audit.baselines import accepts, math_verify
from ..audit.hostile_answers import hostile


def ours(pair: Pair) -> None:
    """One verdict of ours."""
    verify(pair.gold, pair.response)


def judge_all(pairs: Sequence[Sequence[str]]) -> int:
    """A worker's share: pairs of gold and response. Runs in another process."""
    return sum(verify(gold, response).score == 1 for gold, response in pairs)


def theirs(pair: Pair) -> None:
    """One verdict of math-verify's, with its own limits on time."""
    accepts(math_verify, pair)


def forget() -> None:
    """Empties what the verifier remembers."""
    read_gold.cache_clear()
    gold_text.cache_clear()


def timed(judge: Callable[[Pair], None], pairs: Sequence[Pair]) -> list[float]:
    """Seconds of each verdict."""
    forget()
    took = []
    for pair in pairs:
        started = time.perf_counter()
        judge(pair)
        took.append(time.perf_counter() - started)
    return took


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", help="JSONL with gold, pred and equal (default: the package's own pairs)")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    given = parser.parse_args()
    pairs = pairs_of(given.pairs) if given.pairs else own_pairs()
    responses = hostile()
    mixed = [
        pair._replace(response=responses[number // 10 % len(responses)]) if number % 10 == 9 else pair
        for number, pair in enumerate(pairs)
    ]
    ways: dict[str, tuple[Callable[[Pair], None], Sequence[Pair]]] = {
        "tenfold": (ours, pairs),
        "tenfold, a tenth hostile": (ours, mixed),
        "math-verify": (theirs, pairs),
    }
    for judge, these in ways.values():
        timed(judge, these[:50])  # imports, and the start of a worker
    rates: dict[str, list[float]] = {name: [] for name in [*ways, "tenfold, 2 workers"]}
    took: dict[str, list[float]] = {name: [] for name in ways}
    pool = Pool("tenfold.benchmarks.speed.math:judge_all", workers=2, cpu_seconds=600)
    chunks = [[[(pair.gold, pair.response) for pair in pairs[start : start + 50]]] for start in range(0, len(pairs), 50)]
    pool.map([[[("1", "1")]]] * 2)
    for _ in range(given.rounds):
        for name, (judge, these) in ways.items():
            each = timed(judge, these)
            rates[name].append(len(each) / sum(each))
            took[name] += each
        pool.close()
        pool.map([[[("1", "1"), (r"\\int_0^1 x dx", "1/2")]]] * 2)
        started = time.perf_counter()
        pool.map(chunks)
        rates["tenfold, 2 workers"].append(len(pairs) / (time.perf_counter() - started))
    rival = statistics.median(rates["math-verify"])
    print(f"{len(pairs)} pairs, {given.rounds} rounds, {len(os.sched_getaffinity(0))} processors")
    print(f"{'':26} {'verdicts/s':>11} {'x math-verify':>14} {'p50 ms':>8} {'p99 ms':>8} {'most ms':>8}")
    for name, each_rate in rates.items():
        line = f"{name:26} {statistics.median(each_rate):11.0f} {statistics.median(each_rate) / rival:14.1f}"
        if name in took:
            cuts = statistics.quantiles(took[name], n=100)
            line += f" {1000 * cuts[49]:8.3f} {1000 * cuts[98]:8.2f} {1000 * max(took[name]):8.0f}"
        print(line)


if __name__ == "__main__":
    main()
