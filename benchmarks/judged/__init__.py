"""Benchmarks that a model judges, one module each. `judge.Benchmark` describes the contents of such a module."""

from . import arena_hard, hle, multi_challenge, settings, writing_bench
from .arena_hard import baseline
from .judge import Benchmark, JudgeCost, Judged, JudgeSettings, SupportsResponseFormat, cost, judge

__all__ = [
    "BENCHMARKS",
    "Benchmark",
    "JudgeCost",
    "JudgeSettings",
    "Judged",
    "SupportsResponseFormat",
    "baseline",
    "cost",
    "judge",
    "settings",
]

BENCHMARKS: dict[str, Benchmark] = {
    "arena_hard_v2": arena_hard,
    "hle": hle,
    "multi_challenge": multi_challenge,
    "writing_bench": writing_bench,
}
