"""Writes the problems: largest.jsonl to learn from, held_out.jsonl for the benchmark. No problem is in both."""

import itertools
import json
import random
from pathlib import Path

TRAINED_ON, HELD_OUT = 400, 100


def row(digits: tuple[int, int, int]) -> dict[str, str]:
    """A problem with its gold answer."""
    first, second, third = digits
    return {"question": f"Which is the largest number: {first}, {second} or {third}?", "answer": str(max(digits))}


if __name__ == "__main__":
    problems = [row(digits) for digits in itertools.permutations(range(10), 3)]
    random.Random(0).shuffle(problems)
    parts = {"largest": problems[:TRAINED_ON], "held_out": problems[TRAINED_ON : TRAINED_ON + HELD_OUT]}
    for name, part in parts.items():
        Path(f"{name}.jsonl").write_text("".join(json.dumps(problem) + "\n" for problem in part))
        print(f"{name}.jsonl: {len(part)} problems")
