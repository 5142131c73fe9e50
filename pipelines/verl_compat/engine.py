"""The training engine that counts the sequences which are in the loss.

The modes `seq-mean-...` of `loss` are means over sequences. verl 0.9.1 adds up the sequences whose mask is not all zero, but
divides by all that were sampled: with a quarter of the responses cut short, loss and gradient are a quarter too small. Here the
divisor is the number of sequences that are added up, over all processes and micro batches of the update.

verl imports this module where it builds a model (`model.external_lib`) and finds the class in its registry of engines by
the vendor's name (`VERL_ENGINE_VENDOR`). For other kinds of models the registry falls back on verl's own engines.
"""

from collections.abc import Callable, Iterator, KeysView
from typing import Any

import torch
from transformers import AutoModelForImageTextToText
from verl.utils import tensordict_utils
from verl.utils.device import get_device_id
from verl.workers.engine import EngineRegistry, FSDPEngineWithLMHead

from ..trainer import checkpoints
from .names import ENGINE_VENDOR

checkpoints.allow_random_states()  # verl imports this module wherever it reads a model's checkpoint


@EngineRegistry.register(model_type="language_model", backend=["fsdp", "fsdp2"], device=["cuda", "npu"], vendor=ENGINE_VENDOR)
class SequenceCountingEngine(FSDPEngineWithLMHead):
    """verl's FSDP engine, told how many sequences of an update are in the loss."""

    def forward_backward_batch(self, data: Any, loss_function: Callable[..., Any], forward_only: bool = False) -> Any:
        """As verl's, with `global_batch_size` replaced where the trainer gives one.

        Where no sequence is in the loss it is 0, as the number of tokens is: the loss is then no number in any mode, and verl
        leaves that update out.
        """
        if tensordict_utils.get_non_tensor_data(data=data, key="global_batch_size", default=None) is not None:
            group = self.get_data_parallel_group()
            count = torch.tensor(in_loss(data["loss_mask"]), device=get_device_id())
            torch.distributed.all_reduce(count, op=torch.distributed.ReduceOp.SUM, group=group)
            tensordict_utils.assign_non_tensor(data, global_batch_size=count.item())
        return super().forward_backward_batch(data, loss_function, forward_only=forward_only)


class _Kinds(KeysView[type]):
    """The configurations of a kind of model. Whether one is among them is found out without importing them all.

    verl asks that for each model that it builds, and transformers' own list imports 150 modules for it, which takes seconds.
    """

    def __init__(self, mapping: Any):
        super().__init__(mapping)
        self.all = mapping.keys

    def __iter__(self) -> Iterator[type]:
        return iter(self.all())


def _quickly(mapping: Any) -> None:
    kinds = _Kinds(mapping)
    mapping.keys = lambda: kinds


_quickly(AutoModelForImageTextToText._model_mapping)  # no registry: verl has the name of this class in its code


def in_loss(mask: torch.Tensor) -> int:
    """How many sequences have a token in the loss.

    Args:
        mask: (sequences, tokens), nested or padded; 0 for tokens that are out of the loss.
    """
    return sum(bool(row.any()) for row in mask.unbind())
