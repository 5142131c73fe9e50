"""Who answers. One backend a file, one protocol (`core.Policy`); `load_policy` finds one by its URI."""

from typing import Any
from urllib.parse import parse_qsl

from .. import extras, named_code
from ..core import Policy, UserError

__all__ = ["load_policy"]


def load_policy(uri: str, **options: Any) -> Policy:
    """The policy that a URI names.

        micro:  smollm2:  hf:ORG/NAME  path:FOLDER  stage:FOLDER     a checkpoint, played by transformers
        vllm+hf:ORG/NAME  vllm+path:FOLDER  ...                      the same, played by vLLM
        openai:MODEL?base_url=http://localhost:8000/v1               a server
        scripted:TEXT                                                always says TEXT
        call:MODULE:FUNCTION                                         says what a function of conversation and seed returns

    Args:
        uri: see above, and `policies/checkpoints.py` for checkpoints.
        options: go to the backend (batch_size=, device=, tensor_parallel_size=, ...).

    Raises:
        UserError: the URI leads nowhere, or wants a package that is not installed.
    """
    scheme, _, rest = uri.partition(":")
    if scheme == "scripted":
        from .scripted import ScriptedPolicy

        return ScriptedPolicy(rest, **options)
    if scheme == "call":
        from .scripted import ScriptedPolicy

        try:
            return ScriptedPolicy(named_code.resolve(rest), **options)
        except (ImportError, AttributeError, ValueError) as error:
            raise UserError(f"{uri}: cannot import {rest!r} ({error}); write call:package.module:function") from None
    if scheme == "openai":
        from .openai import OpenAIPolicy
        from .server import keys

        keys.refuse_keys_in(uri)
        model, _, query = rest.partition("?")
        given: dict[str, Any] = dict(parse_qsl(query))
        if unknown := set(given) - {"base_url", "api_key_env", "leave_out"}:
            raise UserError(f"{uri}: unknown option {min(unknown)!r}; there are base_url, api_key_env and leave_out")
        return OpenAIPolicy(model, **given, **options)
    with extras.required_by(uri, "gpu" if uri.startswith("vllm+") else ""):
        return _of_checkpoint(uri, options)


def _of_checkpoint(uri: str, options: dict[str, Any]) -> Policy:
    from . import checkpoints

    backend, _, address = uri.rpartition("+") if uri.startswith(("vllm+", "transformers+")) else ("", "", uri)
    folder = checkpoints.checkpoint(address)
    if backend == "vllm":
        from .vllm import VLLMPolicy

        return VLLMPolicy(folder, **options)
    from .transformers import TransformersPolicy

    return TransformersPolicy(folder, **options)
