"""The worker of vLLM on a CPU under verl, whose weights can be replaced after each step.

On a CPU, vLLM packs the weights of linear layers for the processor and drops the originals, so verl could not load its next
weights into these layers. Here the layers keep their weights and call torch. vLLM has no setting for this.
"""

from typing import Any

import torch
from verl.workers.rollout.vllm_rollout.utils import vLLMColocateWorkerExtension


def _plain(layer: torch.nn.Module, remove_weight: bool) -> None:
    """Makes a linear layer of vLLM call torch with its own weights."""
    layer.cpu_linear = torch.nn.functional.linear  # type: ignore[assignment]


class Worker(vLLMColocateWorkerExtension):
    """verl's extension of vLLM's worker (`worker_extension_cls`), with replaceable weights."""

    def __new__(cls, **kwargs: Any) -> "Worker":
        """Replaces vLLM's function that chooses the matrix product of a layer, before the model is loaded."""
        from vllm.model_executor.layers import utils

        utils.dispatch_cpu_unquantized_gemm = _plain
        return super().__new__(cls, **kwargs)
