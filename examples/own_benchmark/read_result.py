"""Reads the result of a benchmark from its folder: the score with its interval, and the problems with the lowest scores."""

import json
import sys
from pathlib import Path
from typing import Any

TASK = "clock_avg8"


def show(folder: Path) -> None:
    """Prints the result and the three problems with the lowest scores, if not all of their samples are correct."""
    score = json.loads((folder / f"{TASK}.result.json").read_text())["score"]
    print(f"avg@8 {score['mean']:.3f}, 95% interval {score['low']:.3f} to {score['high']:.3f}")
    print(f"pass@8 {score['pass_at_k']:.3f}; {score['problems']} problems, {score['without_score']} samples without a score")
    rows = [json.loads(line) for line in (folder / f"{TASK}.scores.jsonl").read_text().splitlines()]
    for row in sorted((row for row in rows if min(_scores(row), default=1) < 1), key=_mean)[:3]:
        reason = next(sample["reason"] for sample in row["samples"] if sample["score"] is not None and sample["score"] < 1)
        print(f"{_mean(row):.3f}  {row['problem']}, an incorrect sample: {reason}")


def _mean(row: dict[str, Any]) -> float:
    return sum(_scores(row)) / len(_scores(row))


def _scores(row: dict[str, Any]) -> list[float]:
    """Returns the scores of a problem's samples, without those of undecided verdicts and faults, which are None."""
    return [sample["score"] for sample in row["samples"] if sample["score"] is not None]


if __name__ == "__main__":
    show(Path(sys.argv[1]))
