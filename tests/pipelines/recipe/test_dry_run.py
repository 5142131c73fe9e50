"""Dry runs: costs, settings of verl, and checks."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tenfold import cli

STAGES: list[dict[str, Any]] = [
    {"kind": "sft", "name": "sft", "problems": "jsonl:rows.jsonl", "steps": 5, "batch_size": 4, "max_tokens": 40},
    {"kind": "filter", "name": "filter", "environment": "lab/Rows-v0", "samples": 8, "max_tokens": 6},
    {
        "kind": "grpo",
        "name": "grpo",
        "environment": "lab/Rows-v0",
        "keep": "filter",
        "steps": 3,
        "batch_size": 2,
        "samples": 4,
        "max_prompt_tokens": 20,
        "max_response_tokens": 6,
    },
    {"kind": "bench", "name": "bench", "tasks": ["gsm8k_avg4"], "problems": "jsonl:rows.jsonl", "limit": 7, "max_tokens": 5},
]


@pytest.fixture
def recipe(lab: Path) -> Path:
    rows = [{"question": f"{n} + 1 =", "answer": n + 1} for n in range(30)]
    (lab / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    environments = {"lab/Rows-v0": {"problems": "jsonl:rows.jsonl"}}
    policy = "micro:?hidden=16&layers=1&heads=2"
    (lab / "r.yaml").write_text(
        yaml.safe_dump(
            {
                "name": "small",
                "policy": policy,
                "environments": environments,
                "cluster": {"device": "cpu"},
                "stages": STAGES,
            }
        )
    )
    return lab / "r.yaml"


def test_a_dry_run_prints_costs_and_verls_settings(
    recipe: Path, lab: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    assert cli.main(["run", "r.yaml", "--dry-run", "--out", "out", "--show-verl"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {cells[0]: cells[1:] for line in lines if len(cells := [cell.strip() for cell in line.split("│")[1:-1]]) == 6}
    assert rows["sft"][2:] == ["-", "-", "800"]
    assert rows["filter"][2:] == ["240", "1,440", "-"]
    assert rows["grpo"][1:] == ["stage:out/sft", "24", "144", "624"]
    assert "grpo: caution: learning_rate=1e-06 is too low for micro:, which learns from 1e-05 to 0.0003" in lines
    assert rows["bench"][1:] == ["stage:out/grpo", "28", "140", "-"]
    assert "bench: gsm8k: avg@4, temperature 0.6, top_p 0.95, max_tokens 5" in lines, "training samples with top_p 1"
    assert "grpo: verl on the CPU, with" in lines
    assert rows["total"][2:] == ["292", "1,724", "1,424"]
    assert re.search("^estimated disk space: .* are free in ", "\n".join(lines), re.MULTILINE)
    assert "  data.train_batch_size=2" in lines
    assert not (lab / "out").exists()


def test_a_dry_run_finds_missing_files(recipe: Path, lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (lab / "rows.jsonl").unlink()
    assert cli.main(["run", "r.yaml", "--dry-run"]) == 2
    assert "no file rows.jsonl" in capsys.readouterr().err


@pytest.mark.parametrize(("cluster", "words"), [("one_gpu", "1 x 1 GPUs"), ("several_nodes", "2 x 8 GPUs")])
def test_a_dry_run_accepts_another_cluster(recipe: Path, capsys: pytest.CaptureFixture[str], cluster: str, words: str) -> None:
    written = yaml.safe_load(recipe.read_text())
    written["stages"][0] |= {"batch_size": 16}
    written["stages"][2] |= {"batch_size": 4}
    recipe.write_text(yaml.safe_dump(written))
    assert cli.main(["run", "r.yaml", "--dry-run", "--show-verl", "--cluster", cluster]) == 0
    assert f"grpo: verl on {words}, with" in capsys.readouterr().out


def test_a_dry_run_names_a_setting_that_verl_does_not_have(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = yaml.safe_load(recipe.read_text())
    written["stages"][2] |= {"verl": {"actor_rollout_ref.actor.grad_clp": 1}}
    recipe.write_text(yaml.safe_dump(written))
    assert cli.main(["run", "r.yaml", "--dry-run"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: grpo: verl: there is no setting 'actor_rollout_ref.actor.grad_clp'; use one of ")
    assert "actor_rollout_ref.actor.grad_clip" in error
