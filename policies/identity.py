"""The identity of a policy: digests of the files of a checkpoint, or of the source text of a function's module."""

from pathlib import Path

from .. import digests, extras
from .server import keys


def files(uri: str) -> dict[str, str]:
    """Returns digests of the files that affect a policy's responses.

    Args:
        uri: URI of a policy; see `load_policy`.

    Returns:
        For a checkpoint, the digest of each file by name. For `call:`, the digest of the source text of its module. Empty for
        `scripted:`, whose URI is complete, and for `openai:`, whose weights are not accessible. The server's address is part of
        the identity only if the URI contains it; an address from $OPENAI_BASE_URL may change.

    Raises:
        UserError: the URI is invalid.
    """
    scheme, _, rest = uri.partition(":")
    if scheme == "call":
        source = digests.of_source(rest.partition(":")[0])
        return {"source text": source} if source else {}
    if scheme == "openai":
        keys.reject_keys_in(uri)
    if scheme in ("scripted", "openai"):
        return {}
    with extras.required_by(uri):
        from . import checkpoints

    return digests.of_files(checkpoint_of(uri), checkpoints.FILES)


def checkpoint_of(uri: str) -> Path:
    """Returns the folder of the checkpoint that a policy's URI names, whichever backend runs it.

    Raises:
        UserError: the URI is invalid.
    """
    from . import checkpoints, vllm

    if uri.startswith("vllm+"):
        return checkpoints.checkpoint(vllm.split_options(uri.removeprefix("vllm+"))[0])
    return checkpoints.checkpoint(uri.removeprefix("transformers+"))


def policy_identity(uri: str) -> dict[str, object]:
    """Returns the settings that stored samples must have: the policy's URI and the digests of its files."""
    return {"policy": uri, "weights": files(uri)}
