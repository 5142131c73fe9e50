"""Stages that run benchmarks and compare their results."""
