"""Writes `sums.jsonl`: sums of two to six numbers. The stage drops the long sums."""

import json
import random
from pathlib import Path

SIZE = 120


def row(rng: random.Random) -> dict[str, str]:
    """Returns a sum with its answer."""
    terms = [rng.randrange(10) for _ in range(rng.randint(2, 6))]
    return {"question": f"What is {' + '.join(map(str, terms))}?", "answer": str(sum(terms))}


if __name__ == "__main__":
    rng = random.Random(0)
    Path("sums.jsonl").write_text("".join(json.dumps(row(rng)) + "\n" for _ in range(SIZE)))
    print(f"sums.jsonl: {SIZE} problems")
