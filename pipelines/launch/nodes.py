"""The nodes of a Ray cluster and this process's share of them: looked at before a training, given back after it."""

import gc
import importlib.util
import shlex
import signal
import socket
import sys
from pathlib import Path

from ... import extras
from ...core import UserError
from ..cluster import Cluster
from ..verl_compat import ray_paths

LOOK_SECONDS = 120.0
"""How long a node may take to start a Python process and import the package."""


def ray_python() -> dict[str, str]:
    """The part of a runtime environment with which a Ray of our own starts this Python, whatever path it has.

    Ray has a shell start its workers and does not quote the path of Python, so that a path with a space would be cut there.
    """
    quoted = shlex.quote(sys.executable)
    return {} if quoted == sys.executable else {"py_executable": quoted}


def free() -> None:
    """Gives a stage's memory back: its Ray ends, and the next stage may train on the same GPU in another process."""
    if "ray" in sys.modules:
        sys.modules["ray"].shutdown()
    gc.collect()
    if (torch := sys.modules.get("torch")) and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def check_installed() -> None:
    """Says what verl wants on GPUs and is not there.

    Raises:
        UserError: how to install it.
    """
    extras.require("GRPO on GPUs", "vllm")
    if not importlib.util.find_spec("flash_attn"):
        raise UserError("GRPO on GPUs wants FlashAttention: pip install flash-attn==2.8.3 --no-build-isolation")


def check_nodes(cluster: Cluster, folder: Path, variables: dict[str, str]) -> None:
    """Looks at each node of a Ray cluster: are there enough GPUs, can it import the package, does it see the stage's folder?

    Args:
        cluster: with an address.
        folder: that all nodes must see.
        variables: environment variables that processes there are given.

    Raises:
        UserError: what a node lacks, in one line.
    """
    import ray

    def look(path: str) -> str:
        """Runs on a node; defined here, so that it travels by value and the node need not know this module."""
        import importlib
        import os

        try:
            importlib.import_module("tenfold.pipelines.rl.agent_loop")
        except Exception as error:
            return f"cannot import tenfold and verl ({type(error).__name__}: {error}): install them on every node"
        return "" if os.access(path, os.W_OK) else f"cannot write to {path}: put --out on a file system that all nodes share"

    before = signal.getsignal(signal.SIGTERM)  # which Ray takes for itself

    try:
        ray_paths.keep_folder_out()
        _reach(cluster.address or "")
        ray.init(cluster.address, runtime_env={"env_vars": variables}, log_to_driver=False, logging_level="error")
    except (RuntimeError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"cluster: no Ray at {cluster.address!r} ({reason}): start it with `ray start`, and export RAY_AUTH_MODE=token if "
            "it asks for a token"
        ) from None
    try:
        nodes = [node for node in ray.nodes() if node["Alive"]]
        able = sum(node["Resources"].get("GPU", 0) >= cluster.gpus for node in nodes)
        if able < cluster.nodes and not cluster.on_cpu():
            raise UserError(
                f"cluster: the Ray at {cluster.address!r} has {able} nodes with {cluster.gpus} GPUs or more, and nodes="
                f"{cluster.nodes} are asked for: see `ray status`"
            )
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        task = ray.remote(num_cpus=0)(look)
        asked = {
            task.options(scheduling_strategy=here(node["NodeID"], soft=False)).remote(str(folder)): node["NodeManagerAddress"]
            for node in nodes
        }
        for answer, node in asked.items():
            try:
                lacking = ray.get(answer, timeout=LOOK_SECONDS)
            except ray.exceptions.RayError as error:
                lacking = f"does not answer ({type(error).__name__})"
            if lacking:
                raise UserError(f"cluster: node {node} {lacking}")
    finally:
        ray.shutdown()
        signal.signal(signal.SIGTERM, before)


def _reach(address: str) -> None:
    """Raises an OSError where nobody listens; Ray would try for minutes."""
    host, sign, port = address.removeprefix("ray://").rpartition(":")
    if sign and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()
