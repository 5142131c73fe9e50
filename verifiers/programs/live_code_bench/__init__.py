"""Judges programs as LiveCodeBench's own grader does (Jain et al., 2024)."""

from .run import program_of, run

__all__ = ["program_of", "run"]
