"""Benchmarks as stages of a recipe."""
