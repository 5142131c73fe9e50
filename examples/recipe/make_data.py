"""Writes the problems: first.jsonl to learn from, held_out.jsonl for the benchmark. No problem is in both.

Half of the solutions to learn from are wrong: they name the last number.
"""

import itertools
import json
import random
from pathlib import Path

TRAINED_ON, HELD_OUT = 800, 100


def row(digits: tuple[int, ...], right: bool) -> dict[str, str]:
    """A problem with its gold answer, and a solution to learn from."""
    said = ", ".join(map(str, digits))
    return {
        "question": f"Which number is first: {said}?",
        "answer": str(digits[0]),
        "solution": str(digits[0 if right else -1]),
    }


if __name__ == "__main__":
    draw = random.Random(0)
    problems = draw.sample(list(itertools.product(range(10), repeat=3)), TRAINED_ON + HELD_OUT)
    rows = [row(digits, right=draw.random() < 0.5) for digits in problems]
    for name, part in (("first", rows[:TRAINED_ON]), ("held_out", rows[TRAINED_ON:])):
        Path(f"{name}.jsonl").write_text("".join(json.dumps(problem) + "\n" for problem in part))
        print(f"{name}.jsonl: {len(part)} problems")
