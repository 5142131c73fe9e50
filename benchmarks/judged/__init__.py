"""Benchmarks that a model judges: what it is asked, how its answers are read, what they come to. A benchmark a file.

Each module says

    questions(problem, response) -> list of conversations     what the judge is asked about one response
    worst(problem) -> list of values                          those of an empty response, about which nobody is asked
    read(text) -> a value, or None for nonsense               what one of its answers says
    score(problem, values) -> 0..1                            what the answers on one response come to
    summary(rows) -> figures by name                          the benchmark's own figures over all problems

where `rows` are `Judged`.
"""

from . import arena_hard, multi_challenge, writing_bench
from .arena_hard import baseline
from .judge import Cost, Judged, cost, judge

__all__ = ["BENCHMARKS", "Cost", "Judged", "baseline", "cost", "judge"]

BENCHMARKS = {"arena_hard_v2": arena_hard, "multi_challenge": multi_challenge, "writing_bench": writing_bench}
