"""Benchmarks of any policy on tasks and environments, reported as avg@k with intervals."""
