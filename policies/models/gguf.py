"""Converts a model in a GGUF file to a checkpoint folder."""

from pathlib import Path


def convert(file: Path, folder: Path) -> None:
    """Writes the model and the tokenizer of a GGUF file to a folder, in Hugging Face format and float32."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    quantized = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    # A model loaded from GGUF cannot be saved; a new model with the same weights can.
    config = type(quantized.config).from_dict(quantized.config.to_dict() | {"quantization_config": None})
    del config.quantization_config
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(quantized.state_dict())
    model.generation_config = quantized.generation_config
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
