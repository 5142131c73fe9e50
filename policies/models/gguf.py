"""Models in GGUF files, the format of llama.cpp: converts them once to checkpoint folders, in Hugging Face format.

    gguf:FILE                  a file (dtype=float32 or bfloat16)
    gguf:hf:ORG/NAME/FILE      a file of the Hugging Face hub (dtype, revision=)

transformers reads the file and dequantizes its weights. float32, the default, represents the dequantized weights exactly.
bfloat16 rounds them and halves the checkpoint. The checkpoint is kept in the cache under the SHA-256 of the file.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import digests, disk, faults
from ...core import UserError
from ..server import hub
from .cached import cached

if TYPE_CHECKING:
    from gguf import GGUFReader
    from transformers import PreTrainedTokenizerBase

DTYPES = ("float32", "bfloat16")
"""Types of the weights in a converted checkpoint."""
_MAGIC = b"GGUF"


def checkpoint(location: str, dtype: str = "float32", revision: str = "") -> Path:
    """Returns the checkpoint folder of `gguf:`. The file is converted if necessary.

    Args:
        location: name of the file, or hf:ORG/NAME/FILE.
        dtype: type of the weights: float32 or bfloat16.
        revision: branch, tag or commit on the hub; empty: the main branch.

    Raises:
        UserError: there is no such file or type, or transformers cannot read the file.
    """
    file = file_of(location, revision)
    return converted(lambda: file, digests.of_file(file), dtype)


def file_of(location: str, revision: str = "") -> Path:
    """Returns the file that a `gguf:` URI names. A file of the hub is downloaded unless it is in the hub's cache.

    Raises:
        UserError: there is no such file.
    """
    if location.startswith("hf:"):
        *name, file = location.removeprefix("hf:").split("/", 2)
        if len(name) != 2 or not file:
            raise UserError(f"gguf:{location}: expected gguf:hf:ORG/NAME/FILE, such as gguf:hf:lab/model/model-q4_k_m.gguf")
        return hub.download_file("/".join(name), file, revision or None, "gguf:FILE")
    if revision:
        raise UserError(
            f"gguf:{location}: only files of the hub have the option revision; remove it, or use gguf:hf:ORG/NAME/FILE"
        )
    path = disk.expanded(location)
    if not location or not path.is_file():
        raise UserError(f"there is no file {location!r}: write gguf:FILE or gguf:hf:ORG/NAME/FILE")
    return path


def converted(find: Callable[[], Path], digest: str, dtype: str) -> Path:
    """Returns the cached checkpoint folder of a GGUF file.

    Args:
        find: returns the file. It is called only if the checkpoint is not in the cache.
        digest: its SHA-256.
        dtype: type of the weights: float32 or bfloat16.

    Raises:
        UserError: there is no such type, or transformers cannot read the file.
    """
    if dtype not in DTYPES:
        raise UserError(f"gguf: dtype: expected {' or '.join(DTYPES)}, got {dtype!r}")
    return cached(f"gguf-{digest}-{dtype}", lambda folder: convert(find(), folder, dtype))


def convert(file: Path, folder: Path, dtype: str = "float32") -> None:
    """Writes the model and the tokenizer of a GGUF file to a folder, in Hugging Face format.

    Args:
        file: the GGUF file.
        folder: the folder.
        dtype: type of the weights: float32 or bfloat16.

    Raises:
        UserError: transformers cannot read the file.
    """
    with file.open("rb") as opened:
        if opened.read(len(_MAGIC)) != _MAGIC:
            raise UserError(f"{file} is not a GGUF file")
    try:
        _convert(file, folder, dtype)
    except Exception as error:  # transformers raises many types for a file that it cannot read
        if isinstance(error, UserError | ModuleNotFoundError) or faults.explain(error):
            raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(
            f"{file} cannot be converted ({reason}): use a file that transformers can read, or hf:ORG/NAME"
        ) from None


def _convert(file: Path, folder: Path, dtype: str) -> None:
    import torch
    from gguf import GGUFReader
    from transformers import AutoModelForCausalLM, AutoTokenizer

    reader = GGUFReader(file)
    if (parts := _value(reader, "split.count") or 1) > 1:
        raise UserError(
            f"{file} is one of {parts} parts of a model: join the parts with llama-gguf-split --merge, and use the joined file"
        )
    kind = getattr(torch, dtype)
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name, trust_remote_code=False)
    _add_tokens(tokenizer, reader)
    quantized, info = AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=kind, output_loading_info=True, trust_remote_code=False
    )
    if missing := info["missing_keys"]:  # transformers gives missing weights random values
        raise UserError(f"{file} lacks weights, such as {min(missing)}: use the file of a whole model")
    # A model loaded from GGUF cannot be saved; a new model with the same weights can.
    config = type(quantized.config).from_dict(quantized.config.to_dict() | {"quantization_config": None})
    del config.quantization_config
    with torch.device("meta"):  # without memory for a second copy of the weights
        model = AutoModelForCausalLM.from_config(config, dtype=kind, trust_remote_code=False)
    model.load_state_dict(quantized.state_dict(), assign=True)
    model.tie_weights()
    model.generation_config = quantized.generation_config
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _value(reader: "GGUFReader", key: str) -> Any:
    """Returns an entry of a file's metadata, or None."""
    field = reader.get_field(key)
    return None if field is None else field.contents()


def _add_tokens(tokenizer: "PreTrainedTokenizerBase", reader: "GGUFReader") -> None:
    """Marks the special and the added tokens of a file, so that they are never split.

    transformers marks only a few whose names it knows. Others, such as `<tool_call>`, would become several tokens, which the
    model has not seen in training.
    """
    from gguf import TokenType
    from tokenizers import AddedToken

    tokens, kinds = _value(reader, "tokenizer.ggml.tokens") or [], _value(reader, "tokenizer.ggml.token_type") or []
    for kind in (TokenType.CONTROL, TokenType.USER_DEFINED):
        special = kind == TokenType.CONTROL
        named = [(number, token) for number, token in enumerate(tokens) if number < len(kinds) and kinds[number] == kind]
        known = [token for number, token in named if tokenizer.convert_tokens_to_ids(token) == number]
        added = [AddedToken(token, special=special, normalized=False) for token in known]
        tokenizer.add_tokens(added, special_tokens=special)
    for name in ("eos", "padding"):
        if (number := _value(reader, f"tokenizer.ggml.{name}_token_id")) is not None:
            setattr(tokenizer, f"{name[:3]}_token", tokenizer.convert_ids_to_tokens(int(number)))
