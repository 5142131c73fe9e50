"""Rows with several sequences or padding need no mask, and have the attention that transformers computes with one."""

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
from tenfold.pipelines.trainer import attention, limited_logits, lora
from tenfold.policies import checkpoints

TINY = "micro:?hidden=16&layers=2&heads=2"
SMALL: dict[str, Any] = {
    "vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 32, "head_dim": 8, "pad_token_id": 0,
}  # fmt: skip
WIDTH = 40


def llama() -> Any:
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**SMALL))


def experts() -> Any:
    return transformers.Qwen3MoeForCausalLM(
        transformers.Qwen3MoeConfig(**SMALL, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16)
    )


def windows() -> Any:
    """Every second layer has a window of 12 tokens, which some sequences exceed."""
    return transformers.Gemma2ForCausalLM(transformers.Gemma2Config(**SMALL, sliding_window=12))


def eager() -> Any:
    return transformers.LlamaForCausalLM._from_config(transformers.LlamaConfig(**SMALL), attn_implementation="eager")


def without_position_ids() -> Any:
    """Its attention does not accept all kinds of masks."""
    return transformers.BloomForCausalLM(transformers.BloomConfig(vocab_size=64, hidden_size=32, n_layer=2, n_head=4))


def reads_the_mask() -> Any:
    """Its layers compute with the mask themselves."""
    return transformers.DogeForCausalLM(transformers.DogeConfig(**SMALL))


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def short_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treats short rows like long ones."""
    monkeypatch.setitem(attention.MIN_SCORES, "cpu", 0)


@pytest.fixture
def masks(monkeypatch: pytest.MonkeyPatch) -> list[torch.Size]:
    """Returns a list to which the shape of each mask that torch gets is added."""
    found: list[torch.Size] = []
    compute = torch.nn.functional.scaled_dot_product_attention

    def observed(*arguments: Any, attn_mask: torch.Tensor | None = None, **options: Any) -> torch.Tensor:
        if attn_mask is not None:
            found.append(attn_mask.shape)
        return compute(*arguments, attn_mask=attn_mask, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", observed)
    return found


def packed(*rows: tuple[int, ...]) -> dict[str, torch.Tensor]:
    return {"position_ids": torch.stack([torch.cat([torch.arange(length) for length in row]) for row in rows])}


def padded(left: bool, *lengths: int) -> dict[str, torch.Tensor]:
    rows = [[1] * length + [0] * (WIDTH - length) for length in lengths]
    mask = torch.tensor([row[::-1] if left else row for row in rows])
    return {"attention_mask": mask, "position_ids": (mask.cumsum(-1) - 1).clamp(min=0)}


BATCHES = {
    "packed": packed((11, 10, 19), (1, 38, 1)),
    "packed and whole": packed((40,), (25, 15)),
    "right padding": padded(False, 40, 13),
    "left padding": padded(True, 7, 29),
    "padding between tokens": {"attention_mask": torch.tensor([[1] * 40, [1] * 10 + [0] * 10 + [1] * 20])},
    "whole": {},
}


def trained(model: Any, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Returns the logits of the tokens, and the gradient of each weight for their loss."""
    ids = torch.randint(1, 60, (2, WIDTH), generator=torch.Generator().manual_seed(0))
    real = inputs.get("attention_mask", torch.ones_like(ids)).bool()
    model.zero_grad()
    output = model(input_ids=ids, labels=ids.masked_fill(~real, -100), use_cache=False, **inputs)
    output.loss.backward()
    return output.logits[real], {name: w.grad for name, w in model.named_parameters() if w.grad is not None}


@pytest.mark.parametrize("recomputed", [False, True])
@pytest.mark.parametrize("inputs", BATCHES.values(), ids=BATCHES)
@pytest.mark.parametrize("model", [llama, experts, windows, eager, without_position_ids, reads_the_mask])
def test_logits_and_gradients_are_those_with_a_mask(
    short_rows: None, model: Callable[[], Any], inputs: dict[str, torch.Tensor], recomputed: bool
) -> None:
    with_mask = model()
    changed = copy.deepcopy(with_mask)
    attention.attend_within_sequences(changed)
    if recomputed:
        changed.train().gradient_checkpointing_enable()
    inputs = {name: value for name, value in inputs.items() if model is not without_position_ids or name != "position_ids"}
    (logits, gradients), (others, other_gradients) = trained(with_mask, inputs), trained(changed, inputs)
    assert torch.allclose(logits, others, rtol=1e-4, atol=1e-5)
    assert gradients.keys() == other_gradients.keys()
    for name, gradient in gradients.items():
        assert torch.allclose(other_gradients[name], gradient, rtol=1e-4, atol=1e-5 * float(gradient.abs().max())), name


@pytest.mark.parametrize("name", ["packed", "packed and whole", "right padding", "left padding", "whole"])
def test_no_mask_is_made(short_rows: None, masks: list[torch.Size], name: str) -> None:
    model = llama()
    trained(model, BATCHES[name])
    assert masks == ([] if name == "whole" else 2 * [torch.Size([2, 1, WIDTH, WIDTH])]), "one for each layer"
    masks.clear()
    attention.attend_within_sequences(model)
    trained(model, BATCHES[name])
    assert not masks


def test_only_layers_with_a_window_that_is_shorter_than_a_sequence_have_a_mask(
    short_rows: None, masks: list[torch.Size]
) -> None:
    model = windows()
    attention.attend_within_sequences(model)
    trained(model, packed((11, 10, 19), (12,) * 3 + (4,)))
    assert masks == [torch.Size([2, 1, WIDTH, WIDTH])], (
        "the first row has a sequence of 19 tokens, and one of two layers a window"
    )
    masks.clear()
    trained(model, packed((11, 10, 12, 7), (12,) * 3 + (4,)))
    assert not masks


def test_short_rows_have_a_mask(monkeypatch: pytest.MonkeyPatch, masks: list[torch.Size]) -> None:
    model = llama()
    expected, _ = trained(model, BATCHES["packed"])
    attention.attend_within_sequences(model)
    masks.clear()
    sequences = 6
    monkeypatch.setitem(attention.MIN_SCORES, "cpu", 2 * WIDTH**2 // sequences + 1)
    found, _ = trained(model, BATCHES["packed"])
    assert masks
    assert torch.equal(found, expected), "the same operations"
    masks.clear()
    monkeypatch.setitem(attention.MIN_SCORES, "cpu", 2 * WIDTH**2 // sequences)
    trained(model, BATCHES["packed"])
    assert not masks


def test_generation_and_the_saved_model_are_those_of_transformers(short_rows: None, tmp_path: Path) -> None:
    model = llama().eval()
    ids = torch.randint(1, 60, (2, 9), generator=torch.Generator().manual_seed(0))
    inputs = {"input_ids": ids, "attention_mask": torch.tensor([[1] * 9, [0] * 4 + [1] * 5])}
    settings: dict[str, Any] = {"max_new_tokens": 8, "do_sample": False, "pad_token_id": 0}
    expected = model.generate(**inputs, **settings)
    attention.attend_within_sequences(model)
    assert torch.equal(model.generate(**inputs, **settings), expected)
    model.save_pretrained(tmp_path)
    assert attention.NAME not in (tmp_path / "config.json").read_text()


def test_an_adapter_is_trained_as_with_a_mask(short_rows: None) -> None:
    def adapted(without_mask: bool) -> Any:
        model = checkpoints.load(checkpoints.checkpoint(TINY), torch.float32)[0]
        if without_mask:
            attention.attend_within_sequences(model)
        model = lora.with_adapter(model, lora.Lora(rank=2), seed=1)
        limited_logits.limit_logits(model)
        return model

    (logits, gradients), (others, other_gradients) = (trained(adapted(each), BATCHES["packed"]) for each in (False, True))
    assert torch.allclose(logits, others, rtol=1e-4, atol=1e-5)
    for name, gradient in gradients.items():
        assert torch.allclose(other_gradients[name], gradient, rtol=1e-4, atol=1e-7), name


def sft(**changes: Any) -> SFT:
    rows = [json.dumps({"question": "1 + " * (n % 9 + 1), "answer": n}) + "\n" for n in range(1, 41)]
    Path("r.jsonl").write_text("".join(rows))
    stage = {"kind": "sft", "name": "sft", "problems": "jsonl:r.jsonl", "steps": 5, "batch_size": 8, "learning_rate": 1e-3}
    return SFT.model_validate(stage | changes)


def train(stage: SFT, folder: Path) -> None:
    folder.mkdir()
    stage.train(Context(folder, TINY, 1, {}, lambda *done, **values: None))


@pytest.mark.parametrize("is_packed", [True, False])
def test_sft_needs_no_mask(lab: Path, without_masks: Callable[[], None], assert_same_training: Any, is_packed: bool) -> None:
    train(sft(packed=is_packed), lab / "plain")
    without_masks()
    train(sft(packed=is_packed, micro_batch_size=4), lab / "without")
    assert_same_training(lab / "plain", lab / "without", TINY)


def test_sft_in_two_processes_with_an_adapter_needs_no_mask(
    lab: Path, in_two_processes: Any, assert_same_training: Any
) -> None:
    train(sft(lora={"rank": 2}), lab / "plain")
    (lab / "two").mkdir()
    (lab / "two" / "without_masks").touch()
    stage = sft(lora={"rank": 2}, micro_batch_size=2, gradient_checkpointing=True)
    in_two_processes({"stage": stage.model_dump(mode="json"), "policy": TINY, "seed": 1}, lab / "two")
    assert_same_training(lab / "plain", lab / "two", TINY)
