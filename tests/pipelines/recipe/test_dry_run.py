"""Dry runs: costs, settings of verl, checks, and the memory of training."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tenfold import cli
from tenfold.pipelines.cluster import Cluster
from tenfold.pipelines.recipe import resources
from tenfold.pipelines.stages import KINDS
from tenfold.pipelines.trainer import limited_logits

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


@pytest.mark.parametrize(("rate", "caution"), [(9e-5, "low"), (1e-4, None), (3e-3, None), (4e-3, "high")])
def test_the_learning_rates_of_an_adapter_are_ten_times_as_high(
    recipe: Path, capsys: pytest.CaptureFixture[str], rate: float, caution: str | None
) -> None:
    written = yaml.safe_load(recipe.read_text())
    written["stages"][2] |= {"lora": {}, "learning_rate": rate}
    recipe.write_text(yaml.safe_dump(written))
    assert cli.main(["run", "r.yaml", "--dry-run"]) == 0
    words = f"learning_rate={rate:g} is too {caution} for a LoRA adapter of micro:, which learns from 0.0001 to 0.003"
    found = [line for line in capsys.readouterr().out.splitlines() if line.startswith("grpo: caution")]
    assert found == ([f"grpo: caution: {words}"] if caution else [])


def test_a_dry_run_names_a_setting_that_verl_does_not_have(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = yaml.safe_load(recipe.read_text())
    written["stages"][2] |= {"verl": {"actor_rollout_ref.actor.grad_clp": 1}}
    recipe.write_text(yaml.safe_dump(written))
    assert cli.main(["run", "r.yaml", "--dry-run"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: grpo: verl: there is no setting 'actor_rollout_ref.actor.grad_clp'; use one of ")
    assert "actor_rollout_ref.actor.grad_clip" in error


VOCABULARY, WIDTH, LAYERS = 1000, 64, 4
TOKENS, LENGTH = 2048, 1024
STAGE = {"name": "stage", "steps": 10, "batch_size": TOKENS // LENGTH, "max_tokens": LENGTH}
TRAINING = STAGE | {"kind": "sft", "problems": "jsonl:rows.jsonl"}
LOGIT = 3 * 4
"""Bytes of a logit: value, log-probability and gradient in float32."""


def activations(folder: Path, stage: dict[str, Any]) -> float:
    """Returns the bytes on a GPU that depend on the batch of a stage, for a small model."""
    sizes = {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": 4, "intermediate_size": 128}
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "vocab_size": VOCABULARY, **sizes}))
    settings: Any = KINDS[stage["kind"]].model_validate(stage)
    return resources.memory_of(settings, folder, Cluster(device="cuda")).activations


def test_with_recomputation_one_layer_has_all_activations(tmp_path: Path) -> None:
    layer = 34 * WIDTH
    assert activations(tmp_path, TRAINING) == TOKENS * (LAYERS * layer + LOGIT * VOCABULARY)
    recomputed = activations(tmp_path, TRAINING | {"gradient_checkpointing": True})
    assert recomputed == TOKENS * (LAYERS * 2 * WIDTH + layer + LOGIT * VOCABULARY)


def test_large_batches_have_the_logits_of_a_chunk_and_the_gradient_of_the_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_full = activations(tmp_path, TRAINING)
    monkeypatch.setattr(limited_logits, "MAX_LOGITS", TOKENS * VOCABULARY - 1)
    monkeypatch.setattr(limited_logits, "CHUNK_LOGITS", 100 * VOCABULARY)
    head = 4 * VOCABULARY * WIDTH
    assert in_full - activations(tmp_path, TRAINING) == LOGIT * (TOKENS - 100) * VOCABULARY - head
    assert in_full - activations(tmp_path, TRAINING | {"lora": {}}) == LOGIT * (TOKENS - 100) * VOCABULARY
    rows = {"batch_tokens": TOKENS, "phases": [{"name": "p", "tokens": 1e6, "learning_rate": 1e-3, "mixture": {"*": 1}}]}
    pretrain = {"kind": "pretrain", "name": "pretrain", "data": "mix", **rows}
    assert activations(tmp_path, pretrain) == activations(tmp_path, TRAINING)


def test_a_reward_model_has_the_logits_of_one_token_of_each_prompt(tmp_path: Path) -> None:
    judge = STAGE | {"kind": "reward_model", "pairs": "jsonl:pairs.jsonl"}
    assert activations(tmp_path, TRAINING) - activations(tmp_path, judge) == LOGIT * (TOKENS - 2) * VOCABULARY


def test_distillation_has_two_responses_for_each_pair_and_the_logits_of_a_chunk(tmp_path: Path) -> None:
    distill = STAGE | {"kind": "distill", "pairs": "pairs", "teacher": "micro:", "chunk_tokens": 100}
    without_logits = activations(tmp_path, TRAINING) - LOGIT * TOKENS * VOCABULARY
    expected = 2 * without_logits + LOGIT * 100 * VOCABULARY + 4 * VOCABULARY * WIDTH
    assert activations(tmp_path, distill) == expected
