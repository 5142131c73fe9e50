"""Writes the problems: first.jsonl for training, held_out.jsonl for the benchmark. No problem is in both files.

About half of the solutions name the last number instead of the first.
"""

import itertools
import json
import random
from pathlib import Path

TRAINED_ON, HELD_OUT = 800, 100


def row(digits: tuple[int, ...], correct: bool) -> dict[str, str]:
    """Returns a problem with its gold answer and a solution, which may be incorrect."""
    numbers = ", ".join(map(str, digits))
    return {
        "question": f"Which number is first: {numbers}?",
        "answer": str(digits[0]),
        "solution": str(digits[0 if correct else -1]),
    }


if __name__ == "__main__":
    rng = random.Random(0)
    problems = rng.sample(list(itertools.product(range(10), repeat=3)), TRAINED_ON + HELD_OUT)
    rows = [row(digits, correct=rng.random() < 0.5) for digits in problems]
    for name, part in (("first", rows[:TRAINED_ON]), ("held_out", rows[TRAINED_ON:])):
        Path(f"{name}.jsonl").write_text("".join(json.dumps(problem) + "\n" for problem in part))
        print(f"{name}.jsonl: {len(part)} problems")
