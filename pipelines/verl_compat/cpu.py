"""The plug-in that lets verl train where there is no GPU.

verl imports this module into each of its processes (VERL_USE_EXTERNAL_MODULES). It adds two things, through verl's own
registries: the platform `cpu`, and the rollout of `cpu_rollout.py`. What verl 0.9.1 has no registry for is marked below.

verl is being imported while this module is: nothing of verl but its platform registry may be touched at the top.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
import torch.distributed
import torch.distributed.fsdp
from verl.plugin.platform import PlatformBase, PlatformRegistry

from .names import ROLLOUT

MEMORY = 8 << 30
"""Device memory that the platform reports, in bytes; verl only prints it."""


def _nothing(*args: Any, **kwargs: Any) -> None:
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
"""Stands where verl looks for `torch.cuda`."""


@PlatformRegistry.register(platform="cpu")
class CPUPlatform(PlatformBase):
    """The processor as verl's accelerator. Ray is told that there is one GPU, for that is what verl asks it for."""

    device_name = "cpu"
    vendor_name = "cpu"
    device_module = _device

    def is_available(self) -> bool:
        return True

    def current_device(self) -> Any:
        return "cpu"  # goes into tensor.to(...)

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
        return False  # weights then travel through shared memory

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
    # No registry: the table from which workers take their side of a rollout.
    base._ROLLOUT_REGISTRY[ROLLOUT, "async"] = f"{__package__}.cpu_rollout.Adapter"


class _AfterReplicaImport(importlib.abc.MetaPathFinder):
    """No hook either: registers the rollout once verl has finished importing the registry for it."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != "verl.workers.rollout.replica":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        assert spec is not None
        assert spec.loader is not None
        run = spec.loader.exec_module

        def run_and_register(module: ModuleType) -> None:
            run(module)
            _register_rollout(module)

        spec.loader.exec_module = run_and_register  # type: ignore[method-assign]
        return spec


sys.meta_path.insert(0, _AfterReplicaImport())

_init_process_group = torch.distributed.init_process_group


def _one_backend(backend: str | None = None, *args: Any, **kwargs: Any) -> None:
    """verl asks for "cpu:gloo,<device>:<backend>"; torch refuses to be told twice about the cpu."""
    _init_process_group("cpu:gloo" if backend == "cpu:gloo,cpu:gloo" else backend, *args, **kwargs)


torch.distributed.init_process_group = _one_backend


class _Unpinned(torch.distributed.fsdp.CPUOffloadPolicy):
    """verl keeps the reference policy's weights in pinned memory, from where a GPU would fetch them."""

    def __init__(self, pin_memory: bool = False):
        super().__init__(pin_memory=False)


torch.distributed.fsdp.CPUOffloadPolicy = _Unpinned  # type: ignore[misc]
