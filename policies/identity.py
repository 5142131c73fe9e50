"""Which policy it is that a URI names: the files of a checkpoint by their contents, a function by its source text."""

from typing import Any

from .. import digests, extras
from .server import keys

FILES = (
    "*.safetensors",
    "config.json",
    "generation_config.json",
    "tokenizer*",
    "chat_template*",
    "vocab.*",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
)
"""Files of a checkpoint that decide what it says: weights, tokenizer, chat template, the tokens that end a turn."""


def files(uri: str) -> dict[str, str]:
    """What decides the answers of a policy beside its URI, each thing by its digest.

    Args:
        uri: of a policy, see `load_policy`.

    Returns:
        The digest of each file of a checkpoint by the file's name; of a function's source text for `call:`. Nothing for
        `scripted:`, whose URI is all there is, and for `openai:`, whose weights only the server knows. The server's address
        counts where the URI names it, and does not where $OPENAI_BASE_URL does: so it may change.

    Raises:
        UserError: the URI leads nowhere.
    """
    scheme, _, rest = uri.partition(":")
    if scheme == "call":
        source = digests.of_source(rest.partition(":")[0])
        return {"source text": source} if source else {}
    if scheme == "openai":
        keys.refuse_keys_in(uri)
    if scheme in ("scripted", "openai"):
        return {}
    with extras.required_by(uri):
        from . import checkpoints

    folder = checkpoints.checkpoint(uri.removeprefix("vllm+").removeprefix("transformers+"))
    found = {path.name: path for pattern in FILES for path in folder.glob(pattern) if path.is_file()}
    return {name: digests.of_file(path) for name, path in sorted(found.items())}


def policy_identity(uri: str) -> dict[str, Any]:
    """What samples that are stored must have been made with: a policy's URI, and what it names now."""
    return {"policy": uri, "weights": files(uri)}
