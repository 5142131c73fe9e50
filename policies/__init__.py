"""Policies: the backends that sample responses, one in each file. `load_policy` returns the policy of a URI."""

from typing import Any
from urllib.parse import parse_qsl

from .. import cpu_threads, extras, named_code
from ..core import Policy, UserError

__all__ = ["check_uri", "load_policy"]

SAMPLERS = ("openai", "scripted", "call")
"""Schemes of policies that are not checkpoints, and can only be sampled from."""
BACKENDS = ("vllm+", "transformers+")
"""Prefixes of a checkpoint's URI that choose the backend."""


def check_uri(uri: str) -> None:
    """Checks the scheme of a policy's URI.

    Raises:
        UserError: there is no such scheme.
    """
    from . import checkpoints

    address = next((uri.removeprefix(backend) for backend in BACKENDS if uri.startswith(backend)), uri)
    scheme, colon, _ = address.partition(":")
    if not colon or scheme not in (*checkpoints.SOURCES, *(SAMPLERS if address == uri else ())):
        known = ", ".join(f"{name}:" for name in (*checkpoints.SOURCES, *SAMPLERS))
        raise UserError(
            f"cannot find a policy at {uri!r}: a policy URI starts with one of {known}; {' or '.join(BACKENDS)} before a "
            "checkpoint chooses the backend"
        )


def load_policy(uri: str, **options: Any) -> Policy:
    """Returns the policy of a URI.

        micro:  smollm2:  hf:ORG/NAME  path:FOLDER  stage:FOLDER     a checkpoint, run by transformers
        gguf:FILE  packaged:NAME                                     the same, from a GGUF file
        vllm+hf:ORG/NAME  vllm+path:FOLDER?dtype=float32  ...        the same, run by vLLM, with settings of its engine
        openai:MODEL?base_url=http://localhost:8000/v1               a server with the OpenAI API
        scripted:TEXT                                                always responds with TEXT
        call:MODULE:FUNCTION                                         responds with FUNCTION(conversation, seed)

    Args:
        uri: see above, and `policies/checkpoints.py` for checkpoints.
        **options: options of the backend, such as batch_size, device, tensor_parallel_size.

    Raises:
        UserError: the URI is invalid, needs a package that is not installed, or batch_size is below 1.
    """
    from . import identity

    if options.get("batch_size", 1) < 1:
        raise UserError(f"{uri}: batch_size must be at least 1, got {options['batch_size']}")
    check_uri(uri)
    return identity.loaded(_loaded(uri, options), uri)


def _loaded(uri: str, options: dict[str, Any]) -> Policy:
    scheme, _, rest = uri.partition(":")
    if scheme == "scripted":
        from .scripted import ScriptedPolicy

        return ScriptedPolicy(rest, **options)
    if scheme == "call":
        from .scripted import ScriptedPolicy

        try:
            function = named_code.resolve(rest)
        except (ImportError, AttributeError, ValueError) as error:
            reason = named_code.import_failure(error)
            raise UserError(f"{uri}: cannot import {rest!r} ({reason}); write call:package.module:function") from None
        if not callable(function):
            raise UserError(f"{uri}: {rest!r} is not a function; write call:package.module:function")
        return ScriptedPolicy(function, **options)
    if scheme == "openai":
        from .openai import OpenAIPolicy
        from .server import keys

        keys.reject_keys_in(uri)
        model, _, query = rest.partition("?")
        settings: dict[str, Any] = dict(parse_qsl(query, keep_blank_values=True))
        if unknown := set(settings) - {"base_url", "api_key_env", "omit_parameters"}:
            raise UserError(
                f"{uri}: unknown option {min(unknown)!r}; the options are base_url, api_key_env and omit_parameters"
            )
        if not model:
            raise UserError(f"{uri}: the name of the model is missing; write openai:MODEL?base_url=http://localhost:8000/v1")
        if "base_url" in settings:
            keys.check_base_url(settings["base_url"])  # here, because OpenAIPolicy would read an empty URL as OpenAI's
        return OpenAIPolicy(model, **settings, **options)
    with extras.required_by(uri, "gpu" if uri.startswith("vllm+") else ""):
        return _checkpoint_policy(uri, options)


def _checkpoint_policy(uri: str, options: dict[str, Any]) -> Policy:
    cpu_threads.stop_spinning()
    from . import checkpoints

    backend, _, address = uri.partition("+") if uri.startswith(BACKENDS) else ("", "", uri)
    if backend == "vllm":
        from . import vllm

        with extras.required_by("vllm:"):
            address, engine = vllm.split_options(address)
            settings = vllm.engine_settings(engine)
        return vllm.VLLMPolicy(checkpoints.checkpoint(address), **options | settings)
    folder = checkpoints.checkpoint(address)
    from .transformers import TransformersPolicy

    return TransformersPolicy(folder, **options)
