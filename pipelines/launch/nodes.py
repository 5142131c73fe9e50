"""Checks the nodes of a Ray cluster before training, and releases this process's memory after it."""

import contextlib
import gc
import importlib.util
import os
import shlex
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ... import extras
from ...core import UserError
from ...texts import without_secrets
from ..cluster import Cluster
from ..verl_compat import ray_paths

PASSED = ("PYTHONPATH", "PYTHONSAFEPATH", "OPENAI_BASE_URL")
"""Environment variables of this process that the nodes' processes also need."""
LOOK_SECONDS = 120.0
"""Time limit for a node to start Python and import the package, in seconds. Our choice."""


def ray_python() -> dict[str, str]:
    """Returns the part of Ray's runtime environment that quotes the path of this Python; empty if no quotes are needed.

    Ray starts its workers in a shell and does not quote the path, so a path with a space would fail.
    """
    quoted = shlex.quote(sys.executable)
    return {} if quoted == sys.executable else {"py_executable": quoted}


def release() -> None:
    """Shuts Ray down and frees GPU memory, because the next stage may train on the same GPU in another process."""
    if "ray" in sys.modules:
        sys.modules["ray"].shutdown()
    free_memory()


def free_memory() -> None:
    """Frees the GPU memory of objects without references. Actors of Ray end when the last reference to them is gone."""
    gc.collect()
    if (torch := sys.modules.get("torch")) and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


@contextlib.contextmanager
def own_sigterm() -> Iterator[None]:
    """Restores this process's handler of SIGTERM after the block, because Ray replaces it when it connects."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def inherited() -> dict[str, str]:
    """Returns the environment variables that tasks need, because workers of a running Ray do not inherit them.

    Secrets in them are removed, because Ray logs the variables.
    """
    found = {name: value for name, value in os.environ.items() if name.startswith("TENFOLD_") or name in PASSED}
    return {name: without_secrets(value) for name, value in found.items()}


def connect(address: str, **options: Any) -> None:
    """Joins the Ray cluster at an address; "local" starts a new one on this machine.

    Args:
        address: see `Cluster.ray_address`.
        options: further arguments of `ray.init`.

    Raises:
        UserError: there is no Ray.
    """
    import ray

    try:
        ray_paths.keep_folder_out()
        _reach(address)
        ray.init(address, log_to_driver=False, logging_level="error", **options)
    except (RuntimeError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"cluster: no Ray at {address!r} ({reason}): start it with `ray start`, and export RAY_AUTH_MODE=token if it asks "
            "for a token"
        ) from None


def on_each(look: Callable[..., Any], *arguments: object) -> Iterator[tuple[str, Any]]:
    """Runs a function on each living node of the Ray cluster to which this process is connected.

    Args:
        look: a local function, because Ray then sends its code and the node need not have its module.
        arguments: its arguments.

    Yields:
        The address of each node, and the function's result, or the RayError if it has none within `LOOK_SECONDS`.
    """
    import ray

    pin = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
    task = ray.remote(num_cpus=0)(look)
    replies = [
        (node["NodeManagerAddress"], task.options(scheduling_strategy=pin(node["NodeID"], soft=False)).remote(*arguments))
        for node in ray.nodes()
        if node["Alive"]
    ]
    for address, reply in replies:
        try:
            yield address, ray.get(reply, timeout=LOOK_SECONDS)
        except ray.exceptions.RayError as error:
            yield address, error


def check_installed(*, asynchronous: bool) -> None:
    """Checks that verl's packages for GPUs are installed.

    Args:
        asynchronous: verl sends weights between processes, for which it needs CuPy.

    Raises:
        UserError: one is missing; the message says how to install it.
    """
    extras.require("GRPO on GPUs", "vllm")
    if not importlib.util.find_spec("flash_attn"):
        raise UserError("GRPO on GPUs needs FlashAttention: pip install flash-attn==2.8.3 --no-build-isolation")
    if asynchronous and not importlib.util.find_spec("cupy"):
        raise UserError("max_staleness on GPUs needs CuPy: pip install cupy-cuda12x")


@own_sigterm()
def check_nodes(cluster: Cluster, folder: Path, variables: dict[str, str]) -> None:
    """Checks each node of a Ray cluster: number of GPUs, import of the package, access to the stage's folder.

    Args:
        cluster: a cluster with an address.
        folder: the stage's folder, which all nodes must share.
        variables: environment variables for the processes on the nodes.

    Raises:
        UserError: a node fails a check.
    """
    import ray

    def look(path: str) -> str:
        """Runs on a node; see `on_each`."""
        import importlib
        import os

        try:
            importlib.import_module("tenfold.pipelines.rl.agent_loop")
        except Exception as error:
            return f"cannot import tenfold and verl ({type(error).__name__}: {error}): install them on every node"
        return "" if os.access(path, os.W_OK) else f"cannot write to {path}: put --out on a file system that all nodes share"

    connect(cluster.address or "", runtime_env={"env_vars": variables})
    try:
        nodes = [node for node in ray.nodes() if node["Alive"]]
        able = sum(node["Resources"].get("GPU", 0) >= cluster.gpus for node in nodes)
        if able < cluster.nodes and not cluster.on_cpu():
            raise UserError(
                f"cluster: expected {cluster.nodes} nodes with {cluster.gpus} GPUs or more, but Ray at {cluster.address!r} has "
                f"{able}: see `ray status`"
            )
        for node, problem in on_each(look, str(folder)):
            if isinstance(problem, ray.exceptions.RayError):
                problem = f"does not respond ({type(problem).__name__})"
            if problem:
                raise UserError(f"cluster: node {node} {problem}")
    finally:
        ray.shutdown()


def _reach(address: str) -> None:
    """Raises an OSError if no process listens at an address, because Ray itself would retry for minutes."""
    host, sign, port = address.removeprefix("ray://").rpartition(":")
    if sign and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()
