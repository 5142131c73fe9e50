"""Models with random weights: size, tokenizer, reproducibility."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from tenfold.core import UserError
from tenfold.policies import checkpoints


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "cache"))
    checkpoints.learned_tokenizer(["the cat and the hat, the rat and the bat"] * 5, 290).save_pretrained(tmp_path / "tokenizer")
    return tmp_path / "tokenizer"


def test_an_empty_variable_means_the_default_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENFOLD_CACHE", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert checkpoints.checkpoint("micro:?hidden=16&layers=1&heads=2").parent == tmp_path / ".cache" / "tenfold"


def test_other_users_may_read_a_cached_checkpoint_as_they_may_other_new_folders(tmp_path: Path, words: Path) -> None:
    (tmp_path / "other").mkdir()
    folder = checkpoints.checkpoint("micro:?hidden=16&layers=1&heads=2")
    assert folder.stat().st_mode == (tmp_path / "other").stat().st_mode
    assert [*folder.parent.iterdir()] == [folder]


def test_a_learned_tokenizer_is_lossless_and_splits_digits(words: Path) -> None:
    tokenizer = checkpoints.tokenizer_of(words)
    text = "the rat – 1234\n\tétait là"
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids) == text
    assert [token for token in tokenizer.convert_ids_to_tokens(ids) if token.isdigit()] == ["1", "2", "3", "4"]
    assert len(tokenizer("the cat")["input_ids"]) < len("the cat")


def test_a_micro_policy_accepts_another_tokenizer(words: Path) -> None:
    model, tokenizer = checkpoints.load(
        checkpoints.checkpoint(f"micro:?hidden=16&layers=1&heads=2&tokenizer={words}"), torch.float32
    )
    assert model.config.vocab_size == len(tokenizer) == len(checkpoints.tokenizer_of(words))
    assert tokenizer.chat_template is None


def test_a_model_is_created_from_its_configuration(words: Path, tmp_path: Path) -> None:
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    (tmp_path / "c.json").write_text(json.dumps({"model_type": "llama", "vocab_size": 300, "num_key_value_heads": 1, **sizes}))
    uri = f"config:{tmp_path}/c.json?tokenizer={words}"
    model, tokenizer = checkpoints.load(checkpoints.checkpoint(uri), torch.float32)
    assert model.config.num_key_value_heads == 1
    assert model.config.eos_token_id == tokenizer.eos_token_id
    other, _ = checkpoints.load(checkpoints.checkpoint(f"{uri}&seed=1"), torch.float32)
    assert not torch.equal(model.lm_head.weight, other.lm_head.weight)


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "{}", '{"model_type": "unheard-of"}', '{"model_type": "t5"}', '{"model_type": "llama", "hidden_size": "x"}'],
)
def test_a_wrong_configuration_gives_a_one_line_error(words: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(UserError, match=r"c\.json is not the configuration of a causal language model: \w") as error:
        checkpoints.checkpoint(f"config:{tmp_path}/c.json?tokenizer={words}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("uri", ["micro:?hidden=16&layers=1&heads=2&tokenizer={words}", "config:{config}?tokenizer={words}"])
def test_a_changed_chat_template_gives_another_checkpoint(words: Path, tmp_path: Path, uri: str) -> None:
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 300}
    (tmp_path / "c.json").write_text(json.dumps({"model_type": "llama", **sizes}))
    uri = uri.format(words=words, config=tmp_path / "c.json")
    for template in ("one", "two"):
        (words / "chat_template.jinja").write_text(template)
        assert checkpoints.tokenizer_of(checkpoints.checkpoint(uri)).chat_template == template


def test_a_tokenizer_without_tokenizer_json_is_accepted(words: Path, tmp_path: Path) -> None:
    model = json.loads((words / "tokenizer.json").read_text())["model"]
    (tmp_path / "gpt2").mkdir()
    (tmp_path / "gpt2" / "vocab.json").write_text(json.dumps(model["vocab"]))
    (tmp_path / "gpt2" / "merges.txt").write_text("\n".join(map(" ".join, model["merges"])))
    (tmp_path / "gpt2" / "tokenizer_config.json").write_text('{"tokenizer_class": "GPT2Tokenizer", "eos_token": "<|end|>"}')
    folder = checkpoints.checkpoint(f"micro:?hidden=16&layers=1&heads=2&tokenizer={tmp_path}/gpt2")
    assert checkpoints.tokenizer_of(folder)("the cat")["input_ids"] == checkpoints.tokenizer_of(words)("the cat")["input_ids"]


def changed(tmp_path: Path, **settings: object) -> Path:
    """Returns a checkpoint whose configuration has changed, but not its weights."""
    folder = tmp_path / "changed"
    shutil.copytree(checkpoints.checkpoint("micro:?hidden=16&layers=1&heads=2"), folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | settings))
    return folder


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"num_hidden_layers": 2}, "lacks weights, such as model.layers.1.input_layernorm.weight"),
        ({"tie_word_embeddings": False}, "lacks weights, such as lm_head.weight"),
        ({"vocab_size": 600}, "cannot be loaded"),
        ({"hidden_size": "x"}, "cannot be loaded"),
    ],
)
def test_weights_that_do_not_fit_the_configuration_are_rejected(
    tmp_path: Path, settings: dict[str, object], words: str
) -> None:
    with pytest.raises(UserError, match=words) as error:
        checkpoints.load(changed(tmp_path, **settings), torch.float32)
    assert "\n" not in str(error.value)


def test_weights_of_an_unused_output_layer_may_be_missing(tmp_path: Path) -> None:
    folder = changed(tmp_path, tie_word_embeddings=False)
    model, _ = checkpoints.load(folder, torch.float32, output_layer=False)
    whole, _ = checkpoints.load(checkpoints.checkpoint("micro:?hidden=16&layers=1&heads=2"), torch.float32)
    assert torch.equal(model.get_input_embeddings().weight, whole.get_input_embeddings().weight)


def test_a_broken_generation_config_is_rejected(tmp_path: Path) -> None:
    folder = changed(tmp_path)
    (folder / "generation_config.json").write_text('{"eos_token_id": [1, 5]')
    with pytest.raises(UserError, match=r"generation_config.json is truncated or not JSON.*correct the file, or remove it"):
        checkpoints.stop_ids(folder, checkpoints.tokenizer_of(folder))
    (folder / "generation_config.json").write_text('{"eos_token_id": [1, 5]}')
    assert checkpoints.stop_ids(folder, checkpoints.tokenizer_of(folder)) == {1, 5}


def test_code_of_a_checkpoint_is_not_run(words: Path, tmp_path: Path) -> None:
    folder = tmp_path / "stranger"
    shutil.copytree(words, folder)
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'hit')!r}, 'w')\n")
    named = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model", "AutoTokenizer": ["evil.Tokenizer", None]}
    (folder / "config.json").write_text(json.dumps({"model_type": "evil", "auto_map": named}))
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"auto_map": named}))
    with pytest.raises(UserError, match="cannot be loaded"):
        checkpoints.load(folder, torch.float32)
    assert not (tmp_path / "hit").exists()


def test_a_too_small_vocabulary_gives_a_one_line_error(words: Path, tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(json.dumps({"model_type": "llama", "vocab_size": 100}))
    with pytest.raises(UserError, match="the vocabulary has 100 tokens, fewer than"):
        checkpoints.checkpoint(f"config:{tmp_path}/c.json?tokenizer={words}")


def test_the_reported_model_has_the_reported_size() -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(**json.loads((checkpoints.CONFIGS / "nanbeige4-3b.json").read_text()))
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    embeddings = sum(module.weight.numel() for module in (model.get_input_embeddings(), model.get_output_embeddings()))
    everything = sum(weights.numel() for weights in model.parameters())
    assert everything == pytest.approx(3.93e9, rel=0.002)
    assert everything - embeddings == pytest.approx(3.08e9, rel=0.002)


def test_the_folder_of_a_run_proposes_its_stages_with_a_policy(tmp_path: Path) -> None:
    for stage in ("sft", "bench", "grpo", "unfinished"):
        (tmp_path / stage).mkdir()
        (tmp_path / stage / ("settings.json" if stage == "unfinished" else "stage.json")).write_text("{}")
    for stage in ("sft", "grpo", "unfinished"):
        (tmp_path / stage / "policy").mkdir()
    with pytest.raises(UserError) as error:
        checkpoints.checkpoint(f"stage:{tmp_path}")
    assert str(error.value) == f"{tmp_path} is the folder of a run: use stage:{tmp_path}/grpo or stage:{tmp_path}/sft"
