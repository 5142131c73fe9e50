"""Verdicts per second of the math verifier, in this process and in two workers, and of math-verify, on the same pairs.

    python -m tenfold.benchmarks.speed.math [--pairs FILE] [--rounds 3]

Every round measures each method once. The caches of gold answers are emptied before each measurement; those of units and of
sympy are kept. "A tenth hostile" means that every tenth response is one of `hostile_answers.py`. Rates are medians over the
rounds.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence

from ...verifiers import verify
from ...verifiers.answers.answer_parser import readings_of_gold
from ...verifiers.math import gold_text
from ...verifiers.pool import Pool
from ..audit.answer_pairs import AnswerPair, own_pairs, pairs_of
from ..audit.baselines import accepts, math_verify
from ..audit.hostile_answers import hostile


def verify_pair(pair: AnswerPair) -> None:
    """Judges a pair with our verifier."""
    verify(pair.gold, pair.response)


def judge_all(pairs: Sequence[Sequence[str]]) -> int:
    """Judges pairs of gold answer and response in a worker process. Returns the number of correct responses."""
    return sum(verify(gold, response).score == 1 for gold, response in pairs)


def theirs(pair: AnswerPair) -> None:
    """Judges a pair with math-verify, under its own time limits."""
    accepts(math_verify, pair)


def clear_gold_caches() -> None:
    """Empties our verifier's caches of gold answers."""
    readings_of_gold.cache_clear()
    gold_text.cache_clear()


def timed(judge: Callable[[AnswerPair], None], pairs: Sequence[AnswerPair]) -> list[float]:
    """Returns the wall time of each verdict in seconds."""
    clear_gold_caches()
    seconds = []
    for pair in pairs:
        started = time.perf_counter()
        judge(pair)
        seconds.append(time.perf_counter() - started)
    return seconds


def main() -> None:
    """Prints the rates and times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", help="JSONL file with gold, response and equal (default: the package's own pairs)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds; medians count (default: %(default)s)")
    arguments = parser.parse_args()
    pairs = pairs_of(arguments.pairs) if arguments.pairs else own_pairs()
    responses = hostile()
    mixed = [
        pair._replace(response=responses[number // 10 % len(responses)]) if number % 10 == 9 else pair
        for number, pair in enumerate(pairs)
    ]
    methods: dict[str, tuple[Callable[[AnswerPair], None], Sequence[AnswerPair]]] = {
        "tenfold": (verify_pair, pairs),
        "tenfold, a tenth hostile": (verify_pair, mixed),
        "math-verify": (theirs, pairs),
    }
    for judge, method_pairs in methods.values():
        timed(judge, method_pairs[:50])  # warm-up: imports, and the start of a worker
    rates: dict[str, list[float]] = {name: [] for name in [*methods, "tenfold, 2 workers"]}
    times: dict[str, list[float]] = {name: [] for name in methods}
    pool = Pool("tenfold.benchmarks.speed.math:judge_all", workers=2, cpu_seconds=600)
    chunks = [[[(pair.gold, pair.response) for pair in pairs[start : start + 50]]] for start in range(0, len(pairs), 50)]
    pool.map([[[("1", "1")]]] * 2)
    for _ in range(arguments.rounds):
        for name, (judge, method_pairs) in methods.items():
            seconds = timed(judge, method_pairs)
            rates[name].append(len(seconds) / sum(seconds))
            times[name] += seconds
        pool.close()
        pool.map([[[("1", "1"), (r"\int_0^1 x dx", "1/2")]]] * 2)
        started = time.perf_counter()
        pool.map(chunks)
        rates["tenfold, 2 workers"].append(len(pairs) / (time.perf_counter() - started))
    baseline = statistics.median(rates["math-verify"])
    print(f"{len(pairs)} pairs, {arguments.rounds} rounds, {len(os.sched_getaffinity(0))} processors")
    print(f"{'':26} {'verdicts/s':>11} {'x math-verify':>14} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8}")
    for name, each_rate in rates.items():
        line = f"{name:26} {statistics.median(each_rate):11.0f} {statistics.median(each_rate) / baseline:14.1f}"
        if name in times:
            percentiles = statistics.quantiles(times[name], n=100)
            line += f" {1000 * percentiles[49]:8.3f} {1000 * percentiles[98]:8.2f} {1000 * max(times[name]):8.0f}"
        print(line)


if __name__ == "__main__":
    main()
