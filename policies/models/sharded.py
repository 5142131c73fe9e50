"""Training checkpoints whose weights are divided over files, as several processes write them with FSDP2 and accelerate.

The weights are merged into one file of safetensors, once for each checkpoint.
"""

import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from ... import digests
from ...core import UserError
from . import adapter
from .cached import cached

if TYPE_CHECKING:
    import torch

SHARDS = "pytorch_model_fsdp_0"
"""Name of the folder with the weights, in a checkpoint that accelerate has written."""
_OTHERS = ("*config.json", "tokenizer*", "chat_template*", "vocab.*", "merges.txt", "*_tokens*.json")
"""Names of the files of a checkpoint with configurations and the tokenizer."""
_PREFIX = "model."
"""Start of the weights' names in the folder `SHARDS`."""


def is_sharded(folder: Path) -> bool:
    """True if a checkpoint has weights that several processes have written. Their index is written last."""
    return (folder / SHARDS / ".metadata").is_file()


def whole(folder: Path) -> Path:
    """Returns the folder of a checkpoint in Hugging Face format with the weights of a sharded one.

    For training with LoRA it is the folder of an adapter.

    Args:
        folder: the sharded checkpoint.

    Raises:
        UserError: the folder has no configuration of the model or of the adapter, or the weights were changed or are damaged.
    """
    is_adapter = (folder / adapter.CONFIG).is_file()
    if not is_adapter and not (folder / "config.json").is_file():
        raise UserError(
            f"{folder} has weights of several processes, but no config.json: copy that of the starting policy there"
        )

    def make(new: Path) -> None:
        from safetensors.torch import save_file

        for path in (path for pattern in _OTHERS for path in folder.glob(pattern)):
            shutil.copy2(path, new)
        save_file(_weights(folder / SHARDS), new / (adapter.WEIGHTS if is_adapter else "model.safetensors"), {"format": "pt"})

    files = digests.of_files(folder, (*_OTHERS, f"{SHARDS}/*", f"{SHARDS}/.*"))
    return cached("whole-" + hashlib.sha256(repr(files).encode()).hexdigest()[:12], make)


def _weights(shards: Path) -> "dict[str, torch.Tensor]":
    import torch
    from torch.distributed.checkpoint.filesystem import FileSystemReader
    from torch.distributed.checkpoint.metadata import TensorStorageMetadata
    from torch.distributed.checkpoint.state_dict_loader import load

    from . import shard_index

    shard_index.check(shards)
    reader = FileSystemReader(shards)
    index = reader.read_metadata().state_dict_metadata
    weights = {
        name: torch.empty(entry.size, dtype=entry.properties.dtype)
        for name, entry in index.items()
        if isinstance(entry, TensorStorageMetadata)
    }
    try:
        load(weights, storage_reader=reader, no_dist=True)  # it reads tensors only
    except Exception as error:
        raise UserError(shard_index.load_error(shards, error)) from None
    return {name.removeprefix(_PREFIX): weight for name, weight in weights.items()}
