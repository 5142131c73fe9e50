"""`gguf:`: a GGUF file as a policy, and one line for a file that cannot be one."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from gguf import GGMLQuantizationType, quants
from huggingface_hub import constants
from transformers import Qwen2ForCausalLM

import tenfold
from tenfold.core import Sampling, UserError
from tenfold.policies import checkpoints, identity
from tenfold.policies.chat.prompts import prompt_tokens

QUESTION = [{"role": "user", "content": "12 + 3 = ?"}]


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_the_policy_of_a_gguf_file_is_the_model_that_was_written(small: Path, model: Qwen2ForCausalLM) -> None:
    converted, tokenizer = checkpoints.load(checkpoints.checkpoint(f"gguf:{small}"), torch.float32)
    own = checkpoints.tokenizer_of(checkpoints.checkpoint("micro:"))
    prompt = prompt_tokens(own, QUESTION)
    assert prompt_tokens(tokenizer, QUESTION) == prompt
    assert tokenizer.decode(prompt) == own.decode(prompt)
    with torch.inference_mode():
        assert torch.equal(converted(torch.tensor([prompt])).logits, model(torch.tensor([prompt])).logits)
    policy = tenfold.load_policy(f"gguf:{small}")
    ((completion,),) = policy.generate([QUESTION], 1, Sampling(temperature=0, max_tokens=5))
    assert len(completion.token_ids) <= 5


def test_quantized_weights_get_the_values_that_the_file_stands_for(
    model: Qwen2ForCausalLM, write_gguf: Callable[..., Path], tmp_path: Path
) -> None:
    file = write_gguf(tmp_path / "q8.gguf", model, quantized="blk.0.ffn_up")
    weights = checkpoints.load(checkpoints.checkpoint(f"gguf:{file}"), torch.float32)[0].model.layers[0].mlp.up_proj.weight
    eight, before = GGMLQuantizationType.Q8_0, model.model.layers[0].mlp.up_proj.weight.detach().numpy()
    expected = torch.from_numpy(quants.dequantize(quants.quantize(before, eight), eight))
    assert torch.equal(weights, expected)
    assert not torch.equal(expected, torch.from_numpy(before))


def test_a_file_is_converted_once_and_kept_by_its_digest(small: Path, tmp_path: Path) -> None:
    folder = checkpoints.checkpoint(f"gguf:{small}")
    assert digest(small) in folder.name
    other_name = tmp_path / "other.gguf"
    shutil.copy(small, other_name)
    assert checkpoints.checkpoint(f"gguf:{other_name}") == folder
    half = checkpoints.checkpoint(f"gguf:{small}?dtype=bfloat16")
    assert half != folder
    sizes = [(each / "model.safetensors").stat().st_size for each in (half, folder)]
    assert sizes[0] < 0.6 * sizes[1]
    assert [json.loads((each / "config.json").read_text())["dtype"] for each in (half, folder)] == ["bfloat16", "float32"]


def test_the_identity_of_the_policy_is_the_digest_of_the_file(small: Path) -> None:
    expected = {"model.gguf": digest(small)}
    assert identity.files(f"gguf:{small}") == expected
    assert identity.files(f"vllm+gguf:{small}?dtype=bfloat16&max_model_len=64") == expected


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("gguf:", "there is no file ''"),
        ("gguf:missing.gguf", "there is no file 'missing.gguf': write gguf:FILE or gguf:hf:ORG/NAME/FILE"),
        ("gguf:text.gguf", "text.gguf is not a GGUF file"),
        ("gguf:cut.gguf", "cut.gguf cannot be converted ("),
        ("gguf:unknown.gguf", "unknown.gguf cannot be converted (GGUF model with architecture palantir is not supported"),
        ("gguf:headless.gguf", "headless.gguf lacks weights, such as model.norm.weight"),
        ("gguf:part.gguf", "part.gguf is one of 2 parts of a model: join the parts with llama-gguf-split --merge"),
        ("gguf:small.gguf?dtype=float16", "dtype: expected float32 or bfloat16, got 'float16'"),
        ("gguf:small.gguf?quant=4", "unknown option 'quant'; the options are dtype, revision"),
        ("gguf:small.gguf?revision=v1", "only files of the hub have the option revision"),
        ("gguf:hf:lab/small.gguf", "expected gguf:hf:ORG/NAME/FILE"),
        (
            "gguf:hf:lab/model/small.gguf",
            "the model lab/model is not in the cache, and HF_HUB_OFFLINE is set; connect, or use gguf:",
        ),
    ],
)
def test_a_user_error_is_one_line_with_a_remedy(
    small: Path, model: Qwen2ForCausalLM, write_gguf: Callable[..., Path], lab: Path, uri: str, words: str
) -> None:
    shutil.copy(small, lab / "small.gguf")
    write_gguf(lab / "part.gguf", model, parts=2)
    (lab / "text.gguf").write_text("not a model")
    (lab / "cut.gguf").write_bytes(small.read_bytes()[:2000])
    write_gguf(lab / "unknown.gguf", model, architecture="palantir")
    write_gguf(lab / "headless.gguf", model, without="output_norm")
    with pytest.raises(UserError) as error:
        tenfold.load_policy(uri)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_of_the_hub_comes_from_its_cache(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    folder = tmp_path / "models--lab--model"
    (folder / "snapshots/1234/q").mkdir(parents=True)
    shutil.copy(small, folder / "snapshots/1234/q/small.gguf")
    (folder / "refs").mkdir()
    (folder / "refs/v1").write_text("1234")
    uri = "gguf:hf:lab/model/q/small.gguf?revision=v1"
    assert checkpoints.checkpoint(uri) == checkpoints.checkpoint(f"gguf:{small}")
    assert identity.files(uri) == {"model.gguf": digest(small)}
