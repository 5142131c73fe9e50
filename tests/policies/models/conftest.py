"""A small model as a GGUF file, as llama.cpp's converter would write it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from gguf import GGMLQuantizationType, GGUFWriter, quants
from transformers import Qwen2Config, Qwen2ForCausalLM

from tenfold.policies import checkpoints

LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""llama.cpp's names of a layer's weights, with those of transformers."""


def small_model() -> Qwen2ForCausalLM:
    """Returns a small Qwen2 with random weights and the vocabulary of `micro:`."""
    size = len(checkpoints.tokenizer_of(checkpoints.checkpoint("micro:")))
    torch.manual_seed(0)
    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=size,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=256,
            tie_word_embeddings=False,
        )
    ).eval()


def write(
    path: Path, model: Qwen2ForCausalLM, architecture: str = "qwen2", without: str = "", quantized: str = "", parts: int = 1
) -> Path:
    """Writes a model and the tokenizer of `micro:` to a GGUF file.

    Args:
        path: the file.
        model: the model.
        architecture: the name of the architecture in the file.
        without: name of a weight that is left out.
        quantized: name of a weight that is written with 8 bits.
        parts: the number of files of the model that the file tells.
    """
    folder = checkpoints.checkpoint("micro:")
    tokenizer = checkpoints.tokenizer_of(folder)
    merges = json.loads((folder / "tokenizer.json").read_text())["model"]["merges"]
    special = {*tokenizer.all_special_tokens, "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"}
    tokens = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    config, writer = model.config, GGUFWriter(path, architecture)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    if parts > 1:
        writer.add_uint16("split.count", parts)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in special else 1 for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    writer.add_chat_template(tokenizer.chat_template)
    names = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
    names |= {f"blk.0.{own}": f"model.layers.0.{name}" for own, name in LAYER.items()}
    weights = model.state_dict()
    for own, name in names.items():
        for kind in ("weight", "bias"):
            if f"{name}.{kind}" not in weights or own == without:
                continue
            data = weights[f"{name}.{kind}"].numpy()
            if own == quantized:
                eight = GGMLQuantizationType.Q8_0
                writer.add_tensor(f"{own}.{kind}", quants.quantize(data, eight), raw_dtype=eight)
            else:
                writer.add_tensor(f"{own}.{kind}", data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="session")
def model(cache: Path) -> Qwen2ForCausalLM:
    return small_model()


@pytest.fixture(scope="session")
def write_gguf() -> Callable[..., Path]:
    """Returns `write`."""
    return write


@pytest.fixture(scope="session")
def small(model: Qwen2ForCausalLM, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The GGUF file of a small model."""
    return write(tmp_path_factory.mktemp("gguf") / "small.gguf", model)
