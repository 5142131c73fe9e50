"""Creates the model of `micro:`, a small Llama with random weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def write(folder: Path, sizes: Mapping[str, int], tokenizer: "PreTrainedTokenizerBase") -> None:
    """Writes the model and its tokenizer to a folder.

    Args:
        folder: the folder.
        sizes: hidden, layers, heads and seed, as in the URI.
        tokenizer: the tokenizer; the model has a row for each of its tokens.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=sizes["hidden"],
        intermediate_size=4 * sizes["hidden"],
        num_hidden_layers=sizes["layers"],
        num_attention_heads=sizes["heads"],
        num_key_value_heads=sizes["heads"],
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(sizes["seed"])
        model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
