"""Benchmarks that a model judges, one module each. `judge.Benchmark` describes the functions of such a module."""

from . import arena_hard, multi_challenge, writing_bench
from .arena_hard import baseline
from .judge import Benchmark, JudgeCost, Judged, cost, judge

__all__ = ["BENCHMARKS", "Benchmark", "JudgeCost", "Judged", "baseline", "cost", "judge"]

BENCHMARKS: dict[str, Benchmark] = {
    "arena_hard_v2": arena_hard,
    "multi_challenge": multi_challenge,
    "writing_bench": writing_bench,
}
