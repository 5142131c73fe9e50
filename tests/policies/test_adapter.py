"""LoRA adapters as policies: they are merged into their base model once."""

import json
import shutil
from pathlib import Path
from typing import Any

import peft
import pytest
import torch

import tenfold
from tenfold.core import UserError
from tenfold.policies import checkpoints, identity

BASE = "micro:?hidden=16&layers=1&heads=2"
IDS = torch.arange(1, 12)[None]


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A model with an adapter that changes its logits, also saved to the folder `adapter`."""
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "cache"))
    model, _ = checkpoints.load(checkpoints.checkpoint(BASE), torch.float32)
    wrapped = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", r=2, target_modules="all-linear"))
    for name, weights in wrapped.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weights)
    wrapped.save_pretrained(str(tmp_path / "adapter"))
    return wrapped


def logits(folder: Path) -> torch.Tensor:
    """Returns the logits of a checkpoint at some tokens."""
    model, _ = checkpoints.load(folder, torch.float32)
    with torch.no_grad():
        return model(IDS).logits


def change(folder: Path, **values: object) -> None:
    """Changes values of an adapter's configuration."""
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_an_adapter_is_a_policy_with_the_logits_of_its_training(trained: Any, tmp_path: Path) -> None:
    folder = checkpoints.checkpoint(f"path:{tmp_path}/adapter")
    with torch.no_grad():
        assert torch.allclose(logits(folder), trained(IDS).logits, atol=1e-5)
    assert not torch.allclose(logits(folder), logits(checkpoints.checkpoint(BASE)), atol=1e-2)
    assert checkpoints.checkpoint(f"path:{tmp_path}/adapter") == folder
    policy = tenfold.load_policy(f"path:{tmp_path}/adapter")
    assert policy.generate([[{"role": "user", "content": "1 + 1"}]], 1, tenfold.Sampling(max_tokens=4))


def test_the_base_model_is_an_option(trained: Any, tmp_path: Path) -> None:
    shutil.copytree(checkpoints.checkpoint(BASE), tmp_path / "base")
    change(tmp_path / "adapter", base_model_name_or_path="/no/such/folder")
    with pytest.raises(UserError, match=r"is not at /no/such/folder: name the base model, as in path:FOLDER\?base="):
        checkpoints.checkpoint(f"path:{tmp_path}/adapter")
    folder = checkpoints.checkpoint(f"path:{tmp_path}/adapter?base=path:{tmp_path}/base")
    with torch.no_grad():
        assert torch.allclose(logits(folder), trained(IDS).logits, atol=1e-5)
    with pytest.raises(UserError, match="is not an adapter: remove the option base"):
        checkpoints.checkpoint(f"path:{tmp_path}/base?base=path:{tmp_path}/base")


def test_another_adapter_or_base_model_is_another_policy(trained: Any, tmp_path: Path) -> None:
    uri = f"path:{tmp_path}/adapter"
    before = identity.files(uri)
    change(tmp_path / "adapter", lora_alpha=1)
    assert identity.files(uri) != before
    after = identity.files(uri)
    base = checkpoints.checkpoint(f"{BASE}&seed=1")
    assert identity.files(f"{uri}?base=path:{base}") not in (before, after)


def test_a_tokenizer_beside_the_adapter_is_used(trained: Any, tmp_path: Path) -> None:
    tokenizer = checkpoints.tokenizer_of(checkpoints.checkpoint(BASE))
    tokenizer.chat_template = "{{ messages[-1]['content'] }}!"
    tokenizer.save_pretrained(tmp_path / "adapter")
    merged = checkpoints.tokenizer_of(checkpoints.checkpoint(f"path:{tmp_path}/adapter"))
    assert merged.chat_template == tokenizer.chat_template


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"base_model_name_or_path": None}, "an adapter without the name of its base model: name the base model"),
        ({"peft_type": "PREFIX_TUNING"}, "is not a plain LoRA: merge it with the library that trained it"),
        ({"megatron_config": {"a": 1}, "megatron_core": "antigravity"}, "is not a plain LoRA"),
        ({"target_modules": ["no_such_module"]}, "does not fit its base model"),
        ({"r": 7}, "does not fit its base model"),
    ],
)
def test_a_wrong_adapter_is_a_one_line_error(trained: Any, tmp_path: Path, changes: dict[str, object], message: str) -> None:
    change(tmp_path / "adapter", **changes)
    with pytest.raises(UserError, match=message) as caught:
        checkpoints.checkpoint(f"path:{tmp_path}/adapter")
    assert "\n" not in str(caught.value)


def test_weights_in_a_pickle_file_are_not_read(trained: Any, tmp_path: Path) -> None:
    (tmp_path / "adapter" / "adapter_model.safetensors").rename(tmp_path / "adapter" / "adapter_model.bin")
    with pytest.raises(UserError, match=r"has no weights: save them there as adapter_model\.safetensors"):
        checkpoints.checkpoint(f"path:{tmp_path}/adapter")
