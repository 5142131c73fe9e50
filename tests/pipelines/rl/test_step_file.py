"""`steps.jsonl` while a GRPO stage runs."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tenfold.pipelines.rl import metrics
from tenfold.pipelines.rl.step_file import StepFile


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("episodes", "metrics"):
        (tmp_path / name).mkdir()
    return tmp_path


def append(path: Path, *rows: Mapping[str, object], partial: str = "") -> None:
    with path.open("a") as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows) + partial)


def episode(step: int, sample: int, score: float | None) -> dict[str, Any]:
    verdict = {"status": "fault" if score is None else "scored", "score": score, "method": "exact", "reason": ""}
    found = {"step": step, "problem": 0, "sample": sample, "verdict": verdict, "finish_reason": "stop"}
    return found | {"environment_seconds": 0.5, "reused": False}


def report(step: int, reward: float) -> dict[str, Any]:
    return {"step": step, "data": {key: 1.0 for key in metrics.FROM_VERL.values()} | {"critic/score/mean": reward}}


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "steps.jsonl").read_text().splitlines()]


def test_a_line_is_added_as_each_step_ends(folder: Path) -> None:
    steps = StepFile(folder)
    assert lines(folder) == []
    append(folder / "episodes/7.jsonl", episode(1, 0, 1.0), episode(1, 1, None))
    steps.add_ended_steps()
    assert lines(folder) == [], "verl has not reported the step"
    append(folder / "episodes/7.jsonl", episode(1, 1, 0.0), partial='{"step": 2, "pro')  # a fault, played again
    append(folder / "metrics/000.jsonl", report(1, 0.5), partial='{"step": 2, "da')
    steps.add_ended_steps()
    (first,) = lines(folder)
    assert (first["step"], first["reward"], first["correct"], first["without_score"]) == (1, 0.5, 0.5, 0)
    steps.add_ended_steps()
    assert lines(folder) == [first]
    append(folder / "metrics/000.jsonl", partial='ta": {}}\n')  # a line without the metrics
    append(folder / "episodes/8.jsonl", episode(2, 0, 0.0), episode(2, 1, 0.0), episode(3, 0, 1.0))
    append(folder / "metrics/000.jsonl", report(2, 0.0), report(3, 1.0))
    steps.add_ended_steps()
    assert [row["step"] for row in lines(folder)] == [1, 2, 3]
    assert lines(folder) == metrics.gather(folder, 3)


def test_a_stage_that_resumes_has_each_step_once(folder: Path) -> None:
    killed = StepFile(folder)
    for step in (1, 2, 3):
        append(folder / "episodes/7.jsonl", episode(step, 0, 1.0), episode(step, 1, 0.0))
        append(folder / "metrics/000.jsonl", report(step, 0.5))
        killed.add_ended_steps()
    append(folder / "episodes/7.jsonl", episode(4, 0, 1.0))
    whole = lines(folder)

    resumed = StepFile(folder, checkpoint=2)
    assert lines(folder) == whole[:2]
    for step in (3, 4):
        append(folder / "episodes/9.jsonl", episode(step, 0, 1.0), episode(step, 1, 0.0))
        append(folder / "metrics/001.jsonl", report(step, 0.5))
        resumed.add_ended_steps()
    assert lines(folder) == [*whole, whole[0] | {"step": 4}] == metrics.gather(folder, 4)


def test_a_step_whose_report_a_kill_has_prevented_has_the_metrics_of_its_episodes(folder: Path) -> None:
    append(folder / "episodes/7.jsonl", episode(1, 0, 1.0), episode(1, 1, 0.0))
    StepFile(folder, checkpoint=1)
    (row,) = lines(folder)
    assert (row["step"], row["reward"], row["kl"]) == (1, 0.5, None)


def test_the_checkpoint_of_an_asynchronous_stage_has_the_samples_of_the_next_step(folder: Path) -> None:
    for step in (1, 2):
        append(folder / "episodes/7.jsonl", episode(step, 0, 1.0), episode(step, 1, 0.0))
    append(folder / "metrics/000.jsonl", report(1, 0.5))
    resumed = StepFile(folder, checkpoint=1)
    append(folder / "metrics/001.jsonl", report(2, 0.5))
    resumed.add_ended_steps()
    assert [row["correct"] for row in lines(folder)] == [0.5, 0.5]
