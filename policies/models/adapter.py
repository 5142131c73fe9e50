"""LoRA adapters as peft writes them: folders with adapter_config.json and adapter_model.safetensors, without the base model."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote

from ... import disk
from ...core import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
"""Names of an adapter's files."""


def is_adapter(folder: Path) -> bool:
    """True if a folder has an adapter and no model of its own."""
    return (folder / CONFIG).is_file() and not any(folder.glob("model*.safetensors"))


def base_of(folder: Path) -> str:
    """Returns the URI of an adapter's base model: the folder or the name on the hub in its configuration.

    Raises:
        UserError: the configuration cannot be read or names no base model.
    """
    remedy = "name the base model, as in path:FOLDER?base=hf:ORG/NAME"
    configuration = _configuration(folder)
    name = configuration.get("base_model_name_or_path")
    if not name or not isinstance(name, str):
        raise UserError(f"{folder} is an adapter without the name of its base model: {remedy}")
    if Path(name).is_dir():
        return f"path:{name}"
    if name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise UserError(f"the base model of the adapter {folder} is not at {name}: {remedy}")
    return f"hf:{name}" + (f"?revision={quote(revision)}" if (revision := configuration.get("revision")) else "")


def name_base(folder: Path, uri: str) -> None:
    """Writes the name of the base model on the hub into an adapter's configuration, if the base model is from the hub.

    Otherwise the configuration keeps the folder that peft has written.

    Args:
        folder: folder of the adapter.
        uri: URI of the base model's checkpoint.
    """
    configuration = _configuration(folder)
    if uri.startswith("hf:"):
        name, _, query = uri.removeprefix("hf:").partition("?")
        configuration |= {"base_model_name_or_path": name, "revision": dict(parse_qsl(query)).get("revision")}
    disk.write(folder / CONFIG, json.dumps(configuration, indent=2))


def merge(model: "PreTrainedModel", adapter: Path, folder: Path) -> None:
    """Writes a model with an adapter merged into its weights.

    Args:
        model: the base model. Its weights are changed.
        adapter: folder of the adapter.
        folder: folder to write.

    Raises:
        UserError: the adapter cannot be read or does not fit the model.
    """
    from peft import PeftModel

    configuration = _configuration(adapter)
    if configuration.get("peft_type") != "LORA" or configuration.get("megatron_config"):  # peft imports what the latter names
        raise UserError(f"the adapter {adapter} is not a plain LoRA: merge it with the library that trained it")
    if not (adapter / WEIGHTS).is_file():
        raise UserError(f"the adapter {adapter} has no weights: save them there as {WEIGHTS}")
    try:
        wrapped = PeftModel.from_pretrained(model, adapter)
    except Exception as error:  # peft and torch raise many types for an adapter of another model
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"the adapter {adapter} does not fit its base model ({reason}): name another base model") from None
    wrapped.merge_and_unload().save_pretrained(folder)


def _configuration(folder: Path) -> dict[str, Any]:
    return disk.read_object(folder / CONFIG, "save the adapter again")
