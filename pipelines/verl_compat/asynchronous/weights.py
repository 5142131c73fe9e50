"""A checkpoint engine for verl on a CPU: sends the weights from the trainer's process to the rollout's with gloo.

It does what verl's `nccl` engine does on GPUs. verl imports this module in the processes that send and receive weights
(`checkpoint_engine.custom_backend_module`). All processes are on one machine.
"""

import datetime
import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

import torch
from torch.distributed import ProcessGroupGloo, TCPStore  # type: ignore[attr-defined] # it exports them without __all__
from verl.checkpoint_engine.base import CheckpointEngine, CheckpointEngineRegistry

from ..names import WEIGHTS

HOST = "127.0.0.1"
TIMEOUT = datetime.timedelta(minutes=10)
"""Time limit for the other processes. Our choice."""


@CheckpointEngineRegistry.register(WEIGHTS)
class GlooEngine(CheckpointEngine):
    """Broadcasts each tensor from the trainer's first process. The connection stays open between updates."""

    def __init__(self, bucket_size: int, is_master: bool = False):
        """Takes verl's arguments.

        Args:
            bucket_size: not used, because each tensor is sent alone.
            is_master: true in the process that sends.
        """
        self.store = TCPStore(HOST, 0, is_master=True, wait_for_workers=False) if is_master else None
        self.group: ProcessGroupGloo | None = None
        self.updates = 0

    def prepare(self) -> dict[str, Any]:
        """Returns the port of the process that sends."""
        return {"port": self.store.port} if self.store else {}

    @classmethod
    def build_topology(
        cls, actor_wg_world_size: int, rollout_world_size: int, metadata: list[dict[str, Any]]
    ) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
        """Returns the arguments of `init_process_group` for the trainer's and for the rollout's processes.

        Args:
            actor_wg_world_size: number of the trainer's processes; the first sends, the others have no rank (-1).
            rollout_world_size: number of the rollout's processes, which receive.
            metadata: results of `prepare`.
        """
        world, port = 1 + rollout_world_size, next(found["port"] for found in metadata if found)

        def arguments(ranks: list[int]) -> dict[str, list[Any]]:
            return {"rank": ranks, "world": [world] * len(ranks), "port": [port] * len(ranks)}

        return arguments([0] + [-1] * (actor_wg_world_size - 1)), arguments(list(range(1, world)))

    def init_process_group(self, rank: int, world: int, port: int) -> None:
        """Connects the processes, once.

        Args:
            rank: number of this process; 0 sends, -1 takes no part.
            world: number of processes.
            port: port of the process that sends.
        """
        if rank >= 0 and self.group is None:
            self.store = self.store or TCPStore(HOST, port, is_master=False)
            self.group = ProcessGroupGloo(self.store, rank, world, TIMEOUT)

    def finalize(self) -> None:
        """Does nothing, because the connection stays open."""

    async def send_weights(self, weights: Iterable[tuple[str, torch.Tensor]], global_steps: int | None = None) -> None:
        """Sends the weights. All of the trainer's processes call it, because each has a part of the weights.

        Args:
            weights: pairs (name, tensor).
            global_steps: not used.
        """
        state = {name: weight.detach().float().cpu().contiguous() for name, weight in weights}
        if self.group is None or self.store is None:
            return
        self.store.set(self._key(), json.dumps([(name, list(weight.shape)) for name, weight in state.items()]))
        for weight in state.values():
            self._broadcast(weight)

    async def receive_weights(self, global_steps: int | None = None) -> AsyncIterator[tuple[str, torch.Tensor]]:
        """Yields the weights as pairs (name, tensor)."""
        assert self.store is not None
        for name, shape in json.loads(self.store.get(self._key())):
            weight = torch.empty(shape)
            self._broadcast(weight)
            yield name, weight

    def _key(self) -> str:
        """Returns the key of the names and shapes of an update."""
        self.updates += 1
        return f"weights/{self.updates}"

    def _broadcast(self, weight: torch.Tensor) -> None:
        """Fills the tensor with that of the process that sends."""
        assert self.group is not None
        self.group.broadcast(weight, 0).wait()  # type: ignore[attr-defined] # missing in torch's stubs
