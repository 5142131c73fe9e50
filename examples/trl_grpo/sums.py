"""The environment that both trainers use: sums, whose reward is the mean of correctness and of the share of digits."""

import tenfold
from tenfold import Problem


def digits(problem: Problem, response: str) -> float:
    """Returns the share of digits among the characters of a response. A model with random weights learns this first."""
    return sum(character.isdigit() for character in response) / max(1, len(response))


tenfold.register(
    "lab/Sums-v0",
    problems="reasoning_gym:chain_sum?part=train&size=64",
    verifier=[{"name": "math"}, {"name": "sums:digits"}],
)
