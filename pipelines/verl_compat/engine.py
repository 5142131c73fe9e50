"""A training engine for verl that divides `seq-mean-...` losses by the number of sequences in the loss, and saves adapters.

These modes of `loss_agg_mode` are means over sequences. verl 0.9.1 sums over the sequences whose mask is not all zero, but
divides by the number of sampled sequences. If a quarter of the responses is truncated, loss and gradient are then a quarter
too small. Here the divisor is the number of sequences in the sum, over all processes and micro-batches of the update.

verl saves the weights of a LoRA adapter only in its own format. Here its checkpoints also have the adapter in peft's format.

verl imports this module when it builds a model (`model.external_lib`), and finds the class in its registry of engines by vendor
(`VERL_ENGINE_VENDOR`). For other kinds of models the registry uses verl's own engines.
"""

from collections.abc import Callable, Iterator, KeysView
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import AutoModelForImageTextToText
from verl.utils import tensordict_utils
from verl.utils.device import get_device_id
from verl.workers.engine import EngineRegistry, FSDPEngineWithLMHead

from ...policies.models import adapter
from ..trainer import checkpoints
from .names import ENGINE_VENDOR

checkpoints.allow_random_states()  # here, because verl imports this module in each process that reads a checkpoint


@EngineRegistry.register(model_type="language_model", backend=["fsdp", "fsdp2"], device=["cuda", "npu"], vendor=ENGINE_VENDOR)
class SequenceCountingEngine(FSDPEngineWithLMHead):
    """verl's FSDP engine with the number of sequences in the loss as divisor, and with adapters in its checkpoints."""

    def forward_backward_batch(self, data: Any, loss_function: Callable[..., Any], forward_only: bool = False) -> Any:
        """Runs verl's method. If the trainer sets `global_batch_size`, the number of sequences in the loss replaces it.

        If no sequence is in the loss, the divisor is 0. The loss is then NaN, and verl skips the update.

        Args:
            data: batch of the update.
            loss_function: verl's loss.
            forward_only: compute no gradient.
        """
        if tensordict_utils.get_non_tensor_data(data=data, key="global_batch_size", default=None) is not None:
            group = self.get_data_parallel_group()
            count = torch.tensor(in_loss(data["loss_mask"]), device=get_device_id())
            torch.distributed.all_reduce(count, op=torch.distributed.ReduceOp.SUM, group=group)
            tensordict_utils.assign_non_tensor(data, global_batch_size=count.item())
        return super().forward_backward_batch(data, loss_function, forward_only=forward_only)

    def save_checkpoint(self, local_path: str, *arguments: Any, **named: Any) -> None:
        """Runs verl's method. With LoRA it then writes the adapter to the folder of the Hugging Face format.

        Args:
            local_path: folder of the checkpoint.
            arguments: further arguments of verl's method.
            named: the same, by name.
        """
        super().save_checkpoint(local_path, *arguments, **named)
        if not self._is_lora:
            return
        weights = {name: weight.contiguous() for name, weight in self.get_per_tensor_param(base_sync_done=True)[0]}
        if torch.distributed.get_rank() == 0:
            folder = Path(local_path, "huggingface")
            save_file(weights, folder / adapter.WEIGHTS)
            model: Any = getattr(self.module, "_fsdp_wrapped_module", self.module)  # FSDP1 wraps the module
            model.peft_config["default"].save_pretrained(folder)
        torch.distributed.barrier()


class _Kinds(KeysView[type]):
    """The configuration classes of a mapping of transformers. A membership test does not import all of them.

    verl tests membership for each model that it builds. transformers' own `keys()` imports 150 modules for this test, which
    takes seconds.
    """

    def __init__(self, mapping: Any):
        super().__init__(mapping)
        self.all = mapping.keys

    def __iter__(self) -> Iterator[type]:
        return iter(self.all())


def _skip_imports(mapping: Any) -> None:
    kinds = _Kinds(mapping)
    mapping.keys = lambda: kinds


_skip_imports(AutoModelForImageTextToText._model_mapping)  # in place: verl refers to this class, without a registry


def in_loss(mask: torch.Tensor) -> int:
    """Returns the number of sequences with a token in the loss.

    Args:
        mask: (sequences, tokens), nested or padded; 0 for tokens outside the loss.
    """
    return sum(bool(row.any()) for row in mask.unbind())
