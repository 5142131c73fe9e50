"""Estimates of the memory of training."""

import json
from pathlib import Path
from typing import Any

import pytest

from tenfold.pipelines.cluster import Cluster
from tenfold.pipelines.recipe import resources
from tenfold.pipelines.stages import KINDS
from tenfold.pipelines.trainer import limited_logits

VOCABULARY, WIDTH, LAYERS = 1000, 64, 4
TOKENS, LENGTH = 2048, 1024
STAGE = {"name": "stage", "steps": 10, "batch_size": TOKENS // LENGTH, "max_tokens": LENGTH}
SFT = STAGE | {"kind": "sft", "problems": "jsonl:rows.jsonl"}
LOGIT = 3 * 4
"""Bytes of a logit: value, log-probability and gradient in float32."""


def activations(folder: Path, stage: dict[str, Any]) -> float:
    """Returns the bytes on a GPU that depend on the batch of a stage, for a small model."""
    sizes = {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": 4, "intermediate_size": 128}
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "vocab_size": VOCABULARY, **sizes}))
    settings: Any = KINDS[stage["kind"]].model_validate(stage)
    return resources.memory_of(settings, folder, Cluster(device="cuda")).activations


def test_with_recomputation_one_layer_has_all_activations(tmp_path: Path) -> None:
    layer = 34 * WIDTH + 2 * LENGTH  # and a number of the attention's mask for each pair of positions
    assert activations(tmp_path, SFT) == TOKENS * (LAYERS * layer + LENGTH + LOGIT * VOCABULARY)
    recomputed = activations(tmp_path, SFT | {"gradient_checkpointing": True})
    assert recomputed == TOKENS * (LAYERS * 2 * WIDTH + layer + LENGTH + LOGIT * VOCABULARY)


def test_large_batches_have_the_logits_of_a_chunk_and_the_gradient_of_the_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_full = activations(tmp_path, SFT)
    monkeypatch.setattr(limited_logits, "MAX_LOGITS", TOKENS * VOCABULARY - 1)
    monkeypatch.setattr(limited_logits, "CHUNK_LOGITS", 100 * VOCABULARY)
    head = 4 * VOCABULARY * WIDTH
    assert in_full - activations(tmp_path, SFT) == LOGIT * (TOKENS - 100) * VOCABULARY - head
    assert in_full - activations(tmp_path, SFT | {"lora": {}}) == LOGIT * (TOKENS - 100) * VOCABULARY
    rows = {"batch_tokens": TOKENS, "phases": [{"name": "p", "tokens": 1e6, "learning_rate": 1e-3, "mixture": {"*": 1}}]}
    pretrain = {"kind": "pretrain", "name": "pretrain", "data": "mix", **rows}
    assert activations(tmp_path, pretrain) == activations(tmp_path, SFT)


def test_a_reward_model_has_the_logits_of_one_token_of_each_prompt(tmp_path: Path) -> None:
    judge = STAGE | {"kind": "reward_model", "pairs": "jsonl:pairs.jsonl"}
    assert activations(tmp_path, SFT) - activations(tmp_path, judge) == LOGIT * (TOKENS - 2) * VOCABULARY


def test_distillation_has_two_responses_for_each_pair_and_the_logits_of_a_chunk(tmp_path: Path) -> None:
    distill = STAGE | {"kind": "distill", "pairs": "pairs", "teacher": "micro:", "chunk_tokens": 100}
    without_logits = activations(tmp_path, SFT) - LOGIT * TOKENS * VOCABULARY
    expected = 2 * without_logits + LOGIT * 100 * VOCABULARY + 4 * VOCABULARY * WIDTH
    assert activations(tmp_path, distill) == expected
