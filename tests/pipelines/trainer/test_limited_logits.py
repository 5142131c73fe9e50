"""The loss of large batches equals the model's own, and needs no logits of the whole batch."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from tenfold.pipelines.sft.sft import SFT
from tenfold.pipelines.stage import Context
from tenfold.pipelines.trainer import limited_logits, lora
from tenfold.policies import checkpoints

TINY = "micro:?hidden=16&layers=2&heads=2"
SMALL: dict[str, Any] = {"vocab_size": 64, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
GATED: dict[str, Any] = SMALL | {"intermediate_size": 32, "num_key_value_heads": 2, "pad_token_id": 0}
WITH_HEAD_DIM: dict[str, Any] = GATED | {"head_dim": 8}


def tied() -> Any:
    return checkpoints.load(checkpoints.checkpoint(TINY), torch.float32)[0]


def with_adapter() -> Any:
    return lora.with_adapter(tied(), lora.Lora(rank=2), seed=1)


def untied() -> Any:
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**GATED))


def with_bias() -> Any:
    model = transformers.PhiForCausalLM(transformers.PhiConfig(**SMALL, intermediate_size=32, pad_token_id=0))
    torch.nn.init.normal_(model.lm_head.bias)
    return model


def capped() -> Any:
    return transformers.Gemma2ForCausalLM(transformers.Gemma2Config(**WITH_HEAD_DIM, final_logit_softcapping=30.0))


def scaled() -> Any:
    return transformers.GraniteForCausalLM(transformers.GraniteConfig(**GATED, logits_scaling=4.0))


def with_experts() -> Any:
    config = transformers.MixtralConfig(**GATED, num_local_experts=2, output_router_logits=True)
    return transformers.MixtralForCausalLM(config)


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes every batch a large one, of many chunks."""
    monkeypatch.setattr(limited_logits, "MAX_LOGITS", 0)
    monkeypatch.setattr(limited_logits, "CHUNK_LOGITS", 3000)


def batch(**changes: Any) -> dict[str, Any]:
    """Returns three rows of 30 tokens, some of them without a label. One row has no label at all."""
    ids = torch.randint(1, 60, (3, 30), generator=torch.Generator().manual_seed(0))
    labels = ids.clone()
    labels[:, :7] = labels[0] = -100
    return {"input_ids": ids, "labels": labels, "use_cache": False} | changes


PACKED = {"position_ids": torch.cat([torch.arange(12), torch.arange(18)]).repeat(3, 1)}
PADDED = {"attention_mask": torch.tensor([[1] * length + [0] * (30 - length) for length in (30, 22, 25)])}


@pytest.mark.parametrize("model", [tied, with_adapter, untied, with_bias])
@pytest.mark.parametrize("changes", [PACKED, PADDED | {"num_items_in_batch": torch.tensor(50)}, {"num_items_in_batch": 50}])
def test_loss_and_gradients_are_those_of_the_model(
    small_limit: None, model: Callable[[], Any], changes: dict[str, Any]
) -> None:
    plain = model()
    limited = copy.deepcopy(plain)
    limited_logits.limit_logits(limited)
    expected, found = (each(**batch(**changes)) for each in (plain, limited))
    assert expected.logits.shape[:2] == (3, 30)
    assert found.logits is None, "the loss has no logits of the whole batch"
    assert found.loss.item() == pytest.approx(expected.loss.item(), rel=1e-5)
    for output in (expected, found):
        output.loss.backward()
    for (name, weights), others in zip(plain.named_parameters(), limited.parameters(), strict=True):
        if weights.grad is not None:
            assert torch.allclose(others.grad, weights.grad, rtol=1e-4, atol=1e-5 * float(weights.grad.abs().max())), name


def test_a_batch_within_the_limit_is_computed_by_the_model_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    model = untied()
    plain = model(**batch())
    limited_logits.limit_logits(model)
    monkeypatch.setattr(limited_logits, "MAX_LOGITS", 3 * 30 * 64)
    assert torch.equal(model(**batch()).logits, plain.logits)
    monkeypatch.setattr(limited_logits, "MAX_LOGITS", 3 * 30 * 64 - 1)
    assert model(**batch()).logits is None
    assert model(**batch(labels=None)).logits.shape == plain.logits.shape, "without labels there is no loss"


def test_a_batch_without_labels_in_the_loss_has_a_loss_and_gradients_of_0(small_limit: None) -> None:
    """A process's share of a batch may have none."""
    model = untied()
    limited_logits.limit_logits(model)
    loss = model(**batch(labels=torch.full((3, 30), -100), num_items_in_batch=torch.tensor(9))).loss
    loss.backward()
    assert loss.item() == 0
    assert all(not weights.grad.any() for weights in model.parameters() if weights.grad is not None)


@pytest.mark.parametrize("model", [capped, scaled, with_experts])
def test_a_model_with_another_loss_keeps_it(small_limit: None, model: Callable[[], Any]) -> None:
    changed = model()
    limited_logits.limit_logits(changed)
    found = changed(**batch())
    assert found.logits.shape[:2] == (3, 30)


def sft(**changes: Any) -> SFT:
    rows = [json.dumps({"question": "1 + " * (n % 9 + 1), "answer": n}) + "\n" for n in range(1, 41)]
    Path("r.jsonl").write_text("".join(rows))
    stage = {"kind": "sft", "name": "sft", "problems": "jsonl:r.jsonl", "steps": 5, "batch_size": 8, "learning_rate": 1e-3}
    return SFT.model_validate(stage | changes)


def train(stage: SFT, folder: Path) -> dict[str, Any]:
    folder.mkdir()
    return stage.train(Context(folder, TINY, 1, {}, lambda *done, **values: None))


@pytest.mark.parametrize("packed", [True, False])
def test_sft_has_the_same_training_with_large_batches(
    lab: Path, monkeypatch: pytest.MonkeyPatch, assert_same_training: Any, packed: bool
) -> None:
    train(sft(packed=packed), lab / "plain")
    monkeypatch.setattr(limited_logits, "MAX_LOGITS", 0)
    train(sft(packed=packed, micro_batch_size=2), lab / "accumulated")
    assert_same_training(lab / "plain", lab / "accumulated", TINY)


def test_sft_has_the_same_training_with_large_batches_in_two_processes(
    lab: Path, in_two_processes: Any, assert_same_training: Any
) -> None:
    train(sft(), lab / "plain")
    (lab / "two").mkdir()
    (lab / "two" / "max_logits").write_text("0")
    stage = sft(micro_batch_size=2, gradient_checkpointing=True)
    in_two_processes({"stage": stage.model_dump(mode="json"), "policy": TINY, "seed": 1}, lab / "two")
    assert_same_training(lab / "plain", lab / "two", TINY)


def test_in_bfloat16_large_batches_have_the_losses_of_the_model_within_its_precision(
    lab: Path, monkeypatch: pytest.MonkeyPatch, in_two_processes: Any
) -> None:
    stage = sft(precision="bfloat16")
    plain = train(stage, lab / "plain")
    monkeypatch.setattr(limited_logits, "MAX_LOGITS", 0)
    large = train(stage, lab / "large")
    (lab / "two").mkdir()
    (lab / "two" / "max_logits").write_text("0")
    two = in_two_processes({"stage": stage.model_dump(mode="json"), "policy": TINY, "seed": 1}, lab / "two")
    losses = [[loss for _, loss in metrics["losses"]] for metrics in (plain, large, two)]
    assert losses[1] == pytest.approx(losses[0], rel=2**-8)
    assert losses[2] == pytest.approx(losses[0], rel=2**-8)  # FSDP rounds the loss to bfloat16
