"""Writes `clock.jsonl`: a benchmark of 60 different problems of adding hours on a clock."""

import json
import random
from pathlib import Path

SIZE = 60


def row(number: int, now: int, hours: int) -> dict[str, str]:
    """Returns a problem with its gold answer."""
    question = f"A clock with 12 hours shows {now} o'clock. What hour does it show {hours} hours later?"
    return {"id": f"clock/{number}", "question": question, "answer": str((now + hours - 1) % 12 + 1)}


if __name__ == "__main__":
    pairs = random.Random(0).sample([(now, hours) for now in range(1, 13) for hours in range(2, 41)], SIZE)
    Path("clock.jsonl").write_text("".join(json.dumps(row(number, *pair)) + "\n" for number, pair in enumerate(pairs)))
    print(f"clock.jsonl: {SIZE} problems")
