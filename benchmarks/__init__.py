"""How good it is: benchmarks as lm-eval tasks, answered by any policy, reported as avg@k with an interval."""
