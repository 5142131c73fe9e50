"""Reasons to stop a GRPO run early."""

import json
from pathlib import Path
from typing import Any

import pytest

from tenfold.pipelines.rl import metrics
from tenfold.pipelines.rl.grpo import GRPO
from tenfold.pipelines.rl.watch import Watch, collapsed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("episodes", "metrics"):
        (tmp_path / name).mkdir()
    return tmp_path


def watch(folder: Path, checkpoint: int = 0, **changes: Any) -> Watch:
    settings = {"kind": "grpo", "name": "g", "environment": "e", "steps": 99, "batch_size": 1, "samples": 2} | changes
    return Watch(folder, GRPO.model_validate(settings), checkpoint)


def episode(step: int, sample: int, score: float | None, problem: int = 0) -> dict[str, Any]:
    verdict = {"score": score, "reason": "the server is gone"}
    return {"step": step, "problem": problem, "sample": sample, "verdict": verdict}


def report(folder: Path, rewards: list[float]) -> None:
    rows = [
        {"step": step, "data": {key: 1.0 for key in metrics.FROM_VERL.values()} | {"critic/score/mean": reward}}
        for step, reward in enumerate(rewards, start=1)
    ]
    (folder / "metrics/000.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def play(folder: Path, step: int, *scores: float | None, problem: int = 0) -> None:
    with (folder / "episodes/9.jsonl").open("a") as file:
        file.writelines(json.dumps(episode(step, sample, score, problem)) + "\n" for sample, score in enumerate(scores))


def test_consecutive_zero_variance_steps_stop_a_run(folder: Path) -> None:
    watched = watch(folder, max_zero_variance_steps=3)
    for step in (1, 2, 3, 4, 5):
        play(folder, step, 1.0, 0.0 if step == 2 else 1.0)
        reason = watched.reason_to_stop(step)
        assert (reason is not None) == (step == 5), (step, reason)
    assert reason
    assert reason.startswith("in each of the last 3 steps, all samples of each problem had the same score")


def test_the_samples_in_flight_of_a_checkpoint_count(folder: Path) -> None:
    for step in (1, 2):
        play(folder, step, 1.0, 1.0)
    resumed = watch(folder, checkpoint=1, max_staleness=1, max_zero_variance_steps=2)
    assert resumed.reason_to_stop(2), "step 2 is not sampled again"


def test_zero_variance_steps_before_a_resume_count(folder: Path) -> None:
    for step in (1, 2, 3):
        play(folder, step, 1.0, 1.0)
    resumed = watch(folder, checkpoint=2, max_zero_variance_steps=4)  # step 3 is repeated
    for step in (3, 4):
        play(folder, step, 0.0, 0.0)
        assert (resumed.reason_to_stop(step) is not None) == (step == 4), step


def test_a_run_stops_if_more_than_half_of_a_steps_samples_have_no_score(folder: Path) -> None:
    watched = watch(folder, batch_size=5)
    play(folder, 1, 1.0, 0.0, None, None, None)
    assert watched.reason_to_stop(0) is None
    play(folder, 2, *[None] * 6)
    reason = watched.reason_to_stop(1)
    assert reason
    assert reason.startswith(
        "6 of the 10 samples of step 2 have no score, more than the share max_without_score=0.5; the last: the server is gone"
    )


def test_missing_scores_of_a_step_count_although_the_next_step_has_begun(folder: Path) -> None:
    watched = watch(folder, batch_size=2)
    play(folder, 1, *[None] * 4)
    play(folder, 2, 1.0, None)
    reason = watched.reason_to_stop(1)
    assert reason
    assert reason.startswith("4 of the 4 samples of step 1 have no score")


def test_the_share_without_score_includes_samples_of_replaced_problems(folder: Path) -> None:
    watched = watch(folder)
    play(folder, 1, 1.0, 1.0, 1.0, problem=1)  # was replaced
    play(folder, 1, None, None, problem=2)
    assert watched.reason_to_stop(0) is None
    play(folder, 1, None, None, problem=3)
    reason = watched.reason_to_stop(0)
    assert reason
    assert reason.startswith("4 of the 7 samples of step 1 have no score")


def test_a_fault_with_a_successful_retry_does_not_count(folder: Path) -> None:
    watched = watch(folder)
    play(folder, 1, None, None)
    play(folder, 1, 1.0, 0.0)
    assert watched.reason_to_stop(0) is None


def test_rows_of_earlier_processes_and_incomplete_lines_are_skipped(folder: Path) -> None:
    play(folder, 1, None, None)
    watched = watch(folder)
    assert watched.reason_to_stop(0) is None
    line = json.dumps(episode(1, 0, None)) + "\n" + json.dumps(episode(1, 1, None)) + "\n"
    with (folder / "episodes/9.jsonl").open("a") as file:
        file.write(line[:30])
        file.flush()
        assert watched.reason_to_stop(0) is None
        file.write(line[30:])
    assert watched.reason_to_stop(0)


def test_a_reward_below_a_fifth_of_its_best_is_a_collapse(folder: Path) -> None:
    rewards = [0.5] * 30 + [0.6] * 20 + [0.0] * 20

    def reason(steps: int, share: float = 0.2) -> str | None:
        report(folder, rewards[:steps])
        return collapsed(folder, steps, share, 0.0)

    assert reason(0) is None
    assert reason(50) is None
    assert reason(60) is None  # half of the last 20 steps still have the old reward
    text = reason(70)
    assert text
    assert text.startswith(
        "mean reward over 20 steps fell to 0, from 0.6 at step 50, which is a ratio below min_reward_ratio=0.2"
    )
    assert reason(70, share=0.0) is None
    rewards[-20:] = [-0.5] * 20  # rewards of parts may be negative
    assert reason(70, share=0.0) is None


def test_an_entropy_below_the_limit_is_a_collapse(folder: Path) -> None:
    report(folder, [0.5])  # entropy 1
    assert collapsed(folder, 1, 0.2, 0.9) is None
    assert collapsed(folder, 1, 0.2, 1.1) == "entropy fell to 1 nats per token in step 1, below min_entropy=1.1"


def test_reports_of_steps_that_are_repeated_do_not_count(folder: Path) -> None:
    report(folder, [0.6] * 40 + [0.0] * 20)  # the run stopped at step 60, and its last checkpoint is of step 40
    resumed = watch(folder, checkpoint=40)
    play(folder, 41, 1.0, 0.0)
    assert resumed.reason_to_stop(41) is None
    assert collapsed(folder, 60, 0.2, 0.0)
