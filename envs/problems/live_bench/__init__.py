"""Rows of LiveBench as problems."""

from .rows import is_live_bench, problem_of

__all__ = ["is_live_bench", "problem_of"]
