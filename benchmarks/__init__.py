"""Benchmarks of any policy: lm-eval tasks, reported as avg@k with intervals."""
