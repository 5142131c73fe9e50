"""A plug-in with which verl trains on a CPU.

verl imports this module in each of its processes (VERL_USE_EXTERNAL_MODULES). The module registers the platform `cpu` and the
rollout of `cpu_rollout.py`. Comments mark the places for which verl 0.9.1 has no registry.

verl imports this module during its own import. Therefore the top level may use nothing of verl except the platform registry.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
import torch.distributed
import torch.distributed.fsdp
from verl.plugin.platform import PlatformBase, PlatformRegistry

from ...envs.after_import import after_import
from . import vllm_name
from .names import ROLLOUT

MEMORY = 8 << 30
"""Device memory that the platform reports, in bytes. verl only prints it."""


def _nothing(*args: object, **kwargs: object) -> None:
    return None


_device = SimpleNamespace(
    is_available=lambda: True,
    current_device=lambda: "cpu",
    device_count=lambda: 1,
    manual_seed=torch.manual_seed,
    manual_seed_all=torch.manual_seed,
    get_rng_state=torch.get_rng_state,
    set_rng_state=torch.set_rng_state,
    get_device_name=lambda *args: "cpu",
    get_device_properties=lambda *args: SimpleNamespace(total_memory=MEMORY, name="cpu"),
    mem_get_info=lambda *args: (MEMORY, MEMORY),
    **dict.fromkeys(("set_device", "synchronize", "empty_cache", "ipc_collect", "reset_peak_memory_stats"), _nothing),
    **dict.fromkeys(("max_memory_allocated", "max_memory_reserved", "memory_allocated", "memory_reserved"), lambda *args: 0),
)
"""The object that verl uses instead of `torch.cuda`."""


@PlatformRegistry.register(platform="cpu")
class CPUPlatform(PlatformBase):
    """The CPU as verl's accelerator. Ray counts it as one GPU, because verl requests a GPU from Ray."""

    device_name = "cpu"
    vendor_name = "cpu"
    device_module = _device

    def is_available(self) -> bool:
        return True

    def current_device(self) -> str:
        return "cpu"  # an argument of tensor.to(...)

    def device_count(self) -> int:
        return 1

    def manual_seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    def manual_seed_all(self, seed: int) -> None:
        torch.manual_seed(seed)

    def get_device_capability(self, device_index: int = 0) -> tuple[int | None, int | None]:
        return None, None

    def communication_backend_name(self) -> str:
        return "gloo"

    def visible_devices_envvar(self) -> str:
        return "CUDA_VISIBLE_DEVICES"

    def ray_resource_name(self) -> str:
        return "GPU"

    def ray_noset_envvars(self) -> list[str]:
        return ["RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"]

    def is_ipc_supported(self) -> bool:
        return False  # verl then sends weights through shared memory

    def get_device_uuid(self, device_id: int) -> str:
        return f"cpu-{device_id}"

    @contextmanager
    def nvtx_range(self, msg: str) -> Iterator[None]:
        yield

    set_device = synchronize = set_allocator_settings = empty_cache = _nothing
    profiler_start = profiler_stop = cudart = _nothing


def _register_rollout(replica: ModuleType) -> None:
    from verl.workers.rollout import base

    def load() -> type:
        from .cpu_rollout import Replica

        return Replica

    replica.RolloutReplicaRegistry.register(ROLLOUT, load)
    # No registry: workers look up their side of a rollout in this table.
    base._ROLLOUT_REGISTRY[ROLLOUT, "async"] = f"{__package__}.cpu_rollout.Adapter"


after_import("verl.workers.rollout.replica", _register_rollout)
vllm_name.use_build_for_cpus()

_init_process_group = torch.distributed.init_process_group


def _one_backend(backend: str | None = None, *args: Any, **kwargs: Any) -> None:
    """Replaces the backend "cpu:gloo,cpu:gloo", which verl builds from the device's name and torch rejects."""
    _init_process_group("cpu:gloo" if backend == "cpu:gloo,cpu:gloo" else backend, *args, **kwargs)


torch.distributed.init_process_group = _one_backend


class _Unpinned(torch.distributed.fsdp.CPUOffloadPolicy):
    """verl's offload policy without pinned memory, which is useful only with a GPU."""

    def __init__(self, pin_memory: bool = False):
        super().__init__(pin_memory=False)


torch.distributed.fsdp.CPUOffloadPolicy = _Unpinned  # type: ignore[misc]
