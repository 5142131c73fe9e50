"""The identity of a policy: digests of the files of a checkpoint, or of the source text of a function's module."""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl
from weakref import WeakKeyDictionary

from .. import digests, extras
from ..core import Policy
from .scripted import ScriptedPolicy
from .server import keys

GGUF = "model.gguf"
"""Name of a GGUF file in an identity, whatever the file is called."""
_URIS: WeakKeyDictionary[Policy, str] = WeakKeyDictionary()
"""The policies that `load_policy` has returned, with their URIs."""


def files(uri: str) -> dict[str, str]:
    """Returns digests of the files that affect a policy's responses.

    Args:
        uri: URI of a policy; see `load_policy`.

    Returns:
        For a checkpoint, the digest of each file by name. For `gguf:` and `packaged:`, the digest of the GGUF file; for
        `packaged:` also its packages with their version and the licence of the model. For `call:`, the digest of the source
        text of its module. Empty for `scripted:`, whose URI is complete, and for `openai:`, whose weights are not accessible.
        The server's address is part of the identity only if the URI contains it; an address from $OPENAI_BASE_URL may change.

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
        from .models import gguf, packaged

    folder = checkpoint_of(uri)  # first, because it checks the URI
    address, _, query = without_backend(uri).partition("?")
    source, _, location = address.partition(":")
    if source == "gguf":
        return {GGUF: digests.of_file(gguf.file_of(location, dict(parse_qsl(query)).get("revision", "")))}
    if source == "packaged":
        model = packaged.named(location)
        return {GGUF: model.sha256, "packages": model.packages, "licence": model.licence}
    return digests.of_files(folder, checkpoints.FILES)


def checkpoint_of(uri: str) -> Path:
    """Returns the folder of the checkpoint that a policy's URI names, whichever backend runs it.

    Raises:
        UserError: the URI is invalid.
    """
    from . import checkpoints

    return checkpoints.checkpoint(without_backend(uri))


def without_backend(uri: str) -> str:
    """Returns the URI of a policy's checkpoint, without the prefix and the options of the backend."""
    from . import vllm

    if uri.startswith("vllm+"):
        return vllm.split_options(uri.removeprefix("vllm+"))[0]
    return uri.removeprefix("transformers+")


def policy_identity(uri: str) -> dict[str, object]:
    """Returns the settings that stored samples must have: the policy's URI and the digests of its files."""
    return {"policy": uri, "weights": files(uri)}


def loaded(policy: Policy, uri: str) -> Policy:
    """Returns a policy, and notes the URI that it was loaded from, for `identity_of`."""
    _URIS[policy] = uri
    return policy


def identity_of(policy: Policy) -> dict[str, object]:
    """Returns the settings that stored samples of a policy must have.

    For a policy of `load_policy` they are those of its URI. For an object of the user's own class they are the names of the
    class and its module, so two objects of one class are not distinguished.
    """
    with contextlib.suppress(TypeError):  # an object without a hash or without weak references
        if (uri := _URIS.get(policy)) is not None:
            return policy_identity(uri)
    if not isinstance(policy, ScriptedPolicy):
        return {"policy": f"{type(policy).__module__}:{type(policy).__qualname__}"}
    if isinstance(policy.answer, str):
        return policy_identity(f"scripted:{policy.answer}")
    function = policy.answer
    return {"policy": f"call:{function.__module__}:{getattr(function, '__qualname__', type(function).__qualname__)}"}


def with_policy(settings: Mapping[str, object] | None, policy: Policy) -> dict[str, object]:
    """Returns settings of a store that name the policy: `identity_of` is added to settings without `policy` and `weights`."""
    given = dict(settings or {})
    return given if {"policy", "weights"} & given.keys() else {**identity_of(policy), **given}
