"""What a recipe runs on: this machine's processor, its GPUs, or a Ray cluster of several nodes.

It changes how long a stage takes and whether it fits, not what is trained: a run may go on with another cluster.
"""

import importlib.util
import os
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from .. import policies
from ..core import Policy, UserError
from ..policies import checkpoints

CLUSTERS = Path(__file__).parent / "recipes" / "clusters"


class Cluster(BaseModel):
    """A recipe's `cluster:`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: GPUs where torch finds one here")
    nodes: int = Field(1, ge=1, description="machines; several want a Ray cluster and a file system that all of them share")
    gpus: int = Field(1, ge=1, description="GPUs a node")
    tensor_parallel: int = Field(1, ge=1, description="GPUs that share one copy of the model while sampling")
    sequence_parallel: int = Field(1, ge=1, description="GPUs that share each sequence while training (Ulysses)")
    offload: Literal["none", "optimizer", "all"] = Field(
        "none", description="what waits in the main memory while it is not used: the optimizer's state, or the weights as well"
    )
    tokens_per_gpu: int = Field(
        16384, ge=1, description="tokens that a GPU trains on at once, where a stage sets no micro_batch_size"
    )
    gpu_memory_utilization: float = Field(0.6, gt=0, lt=1, description="share of a GPU's memory for sampling")
    agent_workers: int | None = Field(
        None, ge=1, description="processes that play episodes, over all nodes; default: 8 a node, 1 on a processor"
    )
    ray_address: str | None = Field(
        None,
        description='Ray cluster to join: "auto", HOST:PORT or ray://HOST:PORT; default: $RAY_ADDRESS, or a Ray of its own',
    )

    @model_validator(mode="after")
    def _fits_itself(self) -> "Cluster":
        if self.gpus % self.tensor_parallel:
            raise ValueError(f"tensor_parallel={self.tensor_parallel} does not divide gpus={self.gpus}")
        if self.world % self.sequence_parallel:
            raise ValueError(f"sequence_parallel={self.sequence_parallel} does not divide the {self.world} GPUs of all nodes")
        if self.device == "cpu" and self.world > 1:
            raise ValueError("one processor trains by itself: device=cpu goes with nodes=1 and gpus=1")
        return self

    @property
    def world(self) -> int:
        """GPUs of all nodes together."""
        return self.nodes * self.gpus

    @property
    def workers(self) -> int:
        """Processes that play episodes."""
        return self.agent_workers or (1 if self.on_cpu() else 8 * self.nodes)

    @property
    def address(self) -> str | None:
        """Of the Ray cluster to join; None for a Ray that the stage starts and ends itself."""
        return self.ray_address or os.environ.get("RAY_ADDRESS") or None

    def on_cpu(self) -> bool:
        """Whether models run on the processor, verl through the plug-in."""
        import torch  # slow to import, and the processes that work on a corpus need no more of this module than its names

        return self.device == "cpu" or (self.device == "auto" and not torch.cuda.is_available())

    def check(self) -> None:
        """Says what no stage could run on.

        Raises:
            UserError: several GPUs are asked for where there is none, or several nodes without a Ray cluster.
        """
        if self.on_cpu() and self.world > 1:
            raise UserError(
                f"cluster: torch finds no GPU here, and {self.world} are asked for: set cluster.device to cuda where other "
                "machines have them"
            )
        if self.nodes > 1 and not self.address:
            raise UserError(
                f"cluster: nodes={self.nodes} wants a Ray cluster: start Ray on every node and set cluster.ray_address to auto"
            )


HERE = Cluster.model_validate({})
"""This machine, as it is."""


def named(cluster: str) -> dict[str, Any]:
    """The settings in a file, or of a cluster that comes with the package.

    Raises:
        UserError: there is no such cluster, or it is no mapping.
    """
    path = Path(cluster)
    if not path.is_file():
        path = CLUSTERS / f"{cluster}.yaml"
    if not path.is_file():
        names = ", ".join(sorted(file.stem for file in CLUSTERS.glob("*.yaml")))
        raise UserError(f"there is no cluster {cluster}: give a file, or one of {names}")
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(settings, dict):
        raise UserError(f"{path} holds no settings: write lines such as gpus: 8")
    return settings


def load_policy(uri: str, *, cluster: Cluster, batch_size: int) -> Policy:
    """The policy that filters and benchmarks sample with: on GPUs by vLLM where it is installed, else by transformers."""
    if uri.partition(":")[0] not in checkpoints.SOURCES:
        return policies.load_policy(uri, batch_size=batch_size)
    if cluster.on_cpu() or not importlib.util.find_spec("vllm"):
        return policies.load_policy(uri, batch_size=batch_size, device="cpu" if cluster.on_cpu() else None)
    return policies.load_policy(
        f"vllm+{uri}",
        batch_size=batch_size,
        tensor_parallel_size=cluster.tensor_parallel,
        gpu_memory_utilization=cluster.gpu_memory_utilization,
    )
