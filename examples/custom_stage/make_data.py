"""Writes `sums.jsonl`: sums of two to six numbers. The long ones are what the stage leaves out."""

import json
import random
from pathlib import Path

SIZE = 120


def row(draw: random.Random) -> dict[str, str]:
    """A sum with its answer."""
    terms = [draw.randrange(10) for _ in range(draw.randint(2, 6))]
    return {"question": f"What is {' + '.join(map(str, terms))}?", "answer": str(sum(terms))}


if __name__ == "__main__":
    draw = random.Random(0)
    Path("sums.jsonl").write_text("".join(json.dumps(row(draw)) + "\n" for _ in range(SIZE)))
    print(f"sums.jsonl: {SIZE} problems")
