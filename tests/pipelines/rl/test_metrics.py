"""Figures of GRPO steps."""

import json
import re
from pathlib import Path
from typing import Any

from tenfold.pipelines.rl import metrics as figures


def episode(step: int, sample: int, score: float | None, reason: str = "stop") -> dict[str, Any]:
    status = "fault" if score is None else "scored"
    verdict = {"status": status, "score": score, "method": "exact", "reason": ""}
    return {
        "step": step,
        "problem": 0,
        "sample": sample,
        "verdict": verdict,
        "finish_reason": reason,
        "environment_seconds": 0.5,
        "reused": False,
    }


def write(path: Path, rows: list[dict[str, Any]], partial: str = "") -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + partial)


def metrics(step: int, reward: float) -> dict[str, Any]:
    data = {key: 1.0 for key in figures.FROM_VERL.values()} | {"critic/score/mean": reward}
    return {"step": step, "data": data}


def test_a_step_has_figures_from_verl_and_from_episodes(tmp_path: Path) -> None:
    write(tmp_path / "metrics/000.jsonl", [metrics(1, 0.5)])
    write(tmp_path / "episodes/9.jsonl", [episode(1, 0, 1.0), episode(1, 1, 0.0, "length"), episode(1, 2, None)])
    (row,) = figures.gather(tmp_path, 1)
    assert (row["step"], row["reward"], row["correct"], row["truncated"]) == (1, 0.5, 0.5, 0.5)
    assert (row["without_score"], row["timeouts"], row["environment_seconds"]) == (1, 0, 1.5)
    assert {"entropy", "response_length", "seconds", "kl"} <= row.keys()


def test_correct_is_the_share_of_samples_with_score_1_and_the_reward_is_the_mean_score(tmp_path: Path) -> None:
    write(tmp_path / "metrics/000.jsonl", [metrics(1, 0.5)])
    write(tmp_path / "episodes/9.jsonl", [episode(1, sample, score) for sample, score in enumerate((1.0, 0.5, 0.5, 0.0))])
    (row,) = figures.gather(tmp_path, 1)
    assert (row["reward"], row["correct"]) == (0.5, 0.25)
    assert "pass_rate" not in row, "in the filter and the glossary, this is a mean score"


def test_the_environments_share_of_a_step_is_one_of_the_episodes_time(tmp_path: Path) -> None:
    write(tmp_path / "metrics/000.jsonl", [metrics(1, 0.5)])
    rows = [episode(1, sample, 1.0) | {"generate_seconds": 1.25, "other_seconds": 0.25} for sample in range(4)]
    write(tmp_path / "episodes/9.jsonl", rows)
    (row,) = figures.gather(tmp_path, 1)
    assert (row["environment_seconds"], row["other_seconds"], row["environment_share"]) == (2.0, 1.0, 0.25)


def test_a_step_names_its_first_fault(tmp_path: Path) -> None:
    rows = [episode(1, sample, None if sample else 1.0) for sample in range(3)]
    for row in rows[1:]:
        row["verdict"] |= {"status": "fault", "reason": f"KeyError: {row['sample']} (lab.py:3, in reset)"}
    write(tmp_path / "metrics/000.jsonl", [metrics(1, 0.5)])
    write(tmp_path / "episodes/9.jsonl", rows)
    assert figures.gather(tmp_path, 1)[0]["fault"] == "KeyError: 1 (lab.py:3, in reset)"


def test_a_step_has_the_mean_score_of_each_part_of_the_reward(tmp_path: Path) -> None:
    rows = [episode(1, sample, 0.5) for sample in range(2)] + [episode(1, 2, None)]
    for row, score in zip(rows, (1.0, 0.0, None), strict=True):
        row["verdict"]["parts"] = [{"name": "format", "score": score, "weight": 1.0}]
    write(tmp_path / "metrics/000.jsonl", [metrics(1, 0.5)])
    write(tmp_path / "episodes/9.jsonl", rows)
    assert figures.gather(tmp_path, 1)[0]["parts"] == {"format": 0.5}


def test_every_entry_of_a_step_is_documented(tmp_path: Path) -> None:
    rows = [episode(1, 0, 1.0), episode(1, 1, None)]
    rows[0]["verdict"]["parts"] = [{"name": "format", "score": 1.0, "weight": 1.0}]
    rows[1]["verdict"]["reason"] = "KeyError: 'x'"
    write(tmp_path / "metrics/000.jsonl", [metrics(1, 0.5)])
    write(tmp_path / "episodes/9.jsonl", rows)
    page = (Path(__file__).parents[3] / "docs/start/output.md").read_text(encoding="utf-8")
    table = page.split("In a GRPO stage, each line of `steps.jsonl` has these entries.")[1].split("A filter stage")[0]
    with_vllm = {name for name in figures.FROM_VERL if name.startswith("rollout_")}
    documented = {*re.findall(r"`(\w+)`", table)} - {"null", "timeout", "rollout_is"}
    assert documented == figures.gather(tmp_path, 1)[0].keys() | with_vllm


def test_groups_with_equal_scores_have_zero_variance(tmp_path: Path) -> None:
    write(tmp_path / "metrics/000.jsonl", [metrics(1, 0.5)])
    rows = [
        episode(1, sample, score) | {"problem": problem}
        for problem, scores in enumerate(("11", "10"))
        for sample, score in enumerate(map(float, scores))
    ]
    write(tmp_path / "episodes/9.jsonl", rows)
    assert figures.gather(tmp_path, 1)[0]["zero_variance"] == 0.5


def test_a_step_played_again_after_a_kill_counts_once(tmp_path: Path) -> None:
    write(tmp_path / "metrics/000.jsonl", [metrics(1, 0.1), metrics(2, 0.2), metrics(3, 0.3)], partial='{"step": 4, "da')
    write(tmp_path / "metrics/001.jsonl", [metrics(3, 0.33), metrics(4, 0.4)])
    write(tmp_path / "episodes/8.jsonl", [episode(3, 0, 0.0)], partial='{"step"')
    write(tmp_path / "episodes/9.jsonl", [episode(3, 0, 1.0)])
    rows = figures.gather(tmp_path, 4)
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert (rows[2]["reward"], rows[2]["correct"]) == (0.33, 1.0)
    assert figures.last_step(tmp_path)["step"] == 4


def test_a_step_without_a_report_by_verl_has_figures_from_its_episodes(tmp_path: Path) -> None:
    write(tmp_path / "metrics/000.jsonl", [metrics(1, 0.1)])
    write(tmp_path / "metrics/001.jsonl", [metrics(3, 0.3)])
    write(tmp_path / "episodes/8.jsonl", [episode(2, 0, 1.0), episode(2, 1, 0.0), episode(2, 2, None)])
    write(tmp_path / "episodes/9.jsonl", [episode(3, 0, 1.0), episode(4, 0, 1.0)])  # step 4 has not ended
    rows = figures.gather(tmp_path, 3)
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert (rows[1]["reward"], rows[1]["correct"], rows[1]["without_score"], rows[1]["kl"]) == (0.5, 0.5, 1, None)
