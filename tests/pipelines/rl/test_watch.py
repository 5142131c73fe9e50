"""What a run in progress is ended for."""

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


def watch(folder: Path, **changes: Any) -> Watch:
    given = {"kind": "grpo", "name": "g", "environment": "e", "steps": 99, "batch_size": 1, "samples": 2} | changes
    return Watch(folder, GRPO.model_validate(given))


def episode(step: int, sample: int, score: float | None) -> dict[str, Any]:
    verdict = {"score": score, "reason": "the server is gone"}
    return {"step": step, "problem": 0, "sample": sample, "verdict": verdict}


def report(folder: Path, rewards: list[float]) -> None:
    rows = [
        {"step": step, "data": {key: 1.0 for key in metrics.FROM_VERL.values()} | {"critic/score/mean": reward}}
        for step, reward in enumerate(rewards, start=1)
    ]
    (folder / "metrics/000.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def play(folder: Path, step: int, *scores: float | None) -> None:
    with (folder / "episodes/9.jsonl").open("a") as file:
        file.writelines(json.dumps(episode(step, sample, score)) + "\n" for sample, score in enumerate(scores))


def test_steps_in_which_all_samples_score_the_same_end_a_run(folder: Path) -> None:
    watched = watch(folder, max_zero_variance_steps=3)
    for step in (1, 2, 3, 4, 5):
        play(folder, step, 1.0, 0.0 if step == 2 else 1.0)
        said = watched.trouble(step)
        assert (said is not None) == (step == 5), (step, said)
    assert said
    assert said.startswith("in each of the last 3 steps all samples of every problem scored the same")


def test_faults_of_more_than_half_of_a_steps_samples_end_a_run_and_fewer_do_not(folder: Path) -> None:
    watched = watch(folder, batch_size=5)
    play(folder, 1, 1.0, 0.0, None, None, None)
    assert watched.trouble(0) is None
    play(folder, 2, *[None] * 6)
    said = watched.trouble(1)
    assert said
    assert said.startswith(
        "6 of the 10 samples of step 2 ended in a fault, more than max_faults=0.5 of them; the last: the server is gone"
    )


def test_a_fault_that_a_second_try_mended_is_none(folder: Path) -> None:
    watched = watch(folder)
    play(folder, 1, None, None)
    play(folder, 1, 1.0, 0.0)
    assert watched.trouble(0) is None


def test_what_an_earlier_process_left_is_passed_over_and_a_torn_line_waits_for_its_end(folder: Path) -> None:
    play(folder, 1, None, None)
    watched = watch(folder)
    assert watched.trouble(0) is None
    line = json.dumps(episode(1, 0, None)) + "\n" + json.dumps(episode(1, 1, None)) + "\n"
    with (folder / "episodes/9.jsonl").open("a") as file:
        file.write(line[:30])
        file.flush()
        assert watched.trouble(0) is None
        file.write(line[30:])
    assert watched.trouble(0)


def test_a_reward_that_fell_to_a_fifth_of_its_best_has_collapsed(folder: Path) -> None:
    rewards = [0.5] * 30 + [0.6] * 20 + [0.0] * 20

    def said(steps: int, share: float = 0.2) -> str | None:
        report(folder, rewards[:steps])
        return collapsed(folder, share, 0.0)

    assert said(0) is None
    assert said(50) is None
    assert said(60) is None  # half of the last 20 are still good
    told = said(70)
    assert told
    assert told.startswith("reward fell to 0 over the last 20 steps, from 0.6 over those until step 50")
    assert said(70, share=0.0) is None


def test_an_entropy_below_the_least_has_collapsed(folder: Path) -> None:
    report(folder, [0.5])  # entropy 1
    assert collapsed(folder, 0.2, 0.9) is None
    assert collapsed(folder, 0.2, 1.1) == "entropy fell to 1 nats a token in step 1, below min_entropy=1.1"
