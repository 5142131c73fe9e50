"""Writes `clock.jsonl`: a benchmark of 60 problems of adding hours on a clock."""

import json
import random
from pathlib import Path

SIZE = 60


def row(number: int, rng: random.Random) -> dict[str, str]:
    """Returns a problem with its gold answer."""
    now, hours = rng.randint(1, 12), rng.randint(2, 40)
    question = f"A clock with 12 hours shows {now} o'clock. What hour does it show {hours} hours later?"
    return {"id": f"clock/{number}", "question": question, "answer": str((now + hours - 1) % 12 + 1)}


if __name__ == "__main__":
    rng = random.Random(0)
    Path("clock.jsonl").write_text("".join(json.dumps(row(number, rng)) + "\n" for number in range(SIZE)))
    print(f"clock.jsonl: {SIZE} problems")
