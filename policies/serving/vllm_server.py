"""The command that starts vLLM's own server for a `vllm+…` policy: vLLM schedules requests better than a server above it."""

import shlex
import sys
from collections.abc import Mapping, Sequence

from ... import extras
from ...core import UserError
from .. import checkpoints, vllm

KEY_VARIABLE = "VLLM_API_KEY"
"""Environment variable from which vLLM's server reads the key that requests must have. An option would be visible to others."""
PREFIX = "vllm+"
GPU_MEMORY = 0.9
"""Share of each GPU's memory, as for `vllm+…` policies."""


def command(uri: str, name: str, host: str, port: int, further: str = "") -> list[str]:
    """Returns the command.

    The settings are those of the policy: log-probabilities of the sampled distribution, and no sampling settings from the
    checkpoint's `generation_config.json`, which would change the samples of requests that do not name them.

    Args:
        uri: URI of the policy.
        name: name of the model in requests.
        host: address to listen on.
        port: port to listen on.
        further: further options of `vllm serve`, as in a shell.

    Raises:
        UserError: vLLM is not installed, an option of the URI is unknown, or `further` is not closed.
    """
    address, engine = vllm.split_options(uri.removeprefix(PREFIX))
    with extras.required_by(uri, "gpu"):
        settings = {"gpu_memory_utilization": GPU_MEMORY, **vllm.for_device(), **vllm.engine_settings(engine)}
    folder = checkpoints.checkpoint(address)
    try:
        own = shlex.split(further)
    except ValueError as error:
        raise UserError(f"--vllm: {error}") from None
    return [
        *(sys.executable, "-m", "vllm.entrypoints.cli.main", "serve", str(folder)),
        *("--served-model-name", name, "--host", host, "--port", str(port)),
        *("--generation-config", "vllm", "--logprobs-mode", "processed_logprobs", "--disable-uvicorn-access-log"),
        *options(settings),
        *own,
    ]


def options(settings: Mapping[str, object]) -> Sequence[str]:
    """Returns settings of vLLM's engine as options of its command line."""
    written = []
    for name, value in settings.items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            written.append(f"--{option}" if value else f"--no-{option}")
        elif value is not None:
            written.append(f"--{option}={value}")
    return written
