"""The private names of verl and Ray that this folder uses, and what to do when a new version no longer has one.

A release of verl or Ray may rename these without notice. The pins in pyproject.toml keep the versions that were tested; the
test of this list fails first when a pin is raised.
"""

import importlib
from typing import NamedTuple


class Private(NamedTuple):
    """A name that another package does not promise to keep."""

    package: str
    """With the version in which it was found."""
    module: str
    name: str
    """Dotted, within the module."""
    used_by: str
    """The module of this folder."""
    remedy: str
    """What to do when the name is gone."""

    def exists(self) -> bool:
        """Whether the installed version has the name."""
        try:
            found: object = importlib.import_module(self.module)
            for part in self.name.split("."):
                found = getattr(found, part)
        except (ImportError, AttributeError):
            return False
        return True


_BUFFER = "verl.trainer.ppo.v1.replay_buffer"
_BUFFER_REMEDY = "see how its ReplayBuffer evicts and selects groups now, and override that; else set drop_zero_variance: false"
_ENGINE_REMEDY = "if seq-mean losses are divided by the sequences in the loss, remove engine.py; else override what divides now"

NAMES = (
    *(
        Private("verl 0.9.1", _BUFFER, name, "replay", _BUFFER_REMEDY)
        for name in (
            "FILTER_GROUPS_REWARD_METRIC",
            "ReplayBuffer._terminal_eviction_reasons",
            "ReplayBuffer._materialize_batch",
            "ReplayBuffer._sync_metadata_from_transfer_queue",
            "ReplayBuffer._select_prompt_uids",
        )
    ),
    Private(
        "verl 0.9.1",
        "verl.workers.rollout.base",
        "_ROLLOUT_REGISTRY",
        "cpu",
        "register the adapter where verl looks for rollouts",
    ),
    Private(
        *("verl 0.9.1", "verl.workers.rollout.replica", "RolloutReplicaRegistry.register", "cpu"),
        "register the replica where verl looks for it; rollout: vllm needs none of this",
    ),
    Private("verl 0.9.1", "verl.plugin.platform", "PlatformRegistry.register", "cpu", "see how verl adds platforms now"),
    Private("verl 0.9.1", "verl.workers.engine", "EngineRegistry.register", "engine", _ENGINE_REMEDY),
    Private("verl 0.9.1", "verl.workers.engine", "FSDPEngineWithLMHead.forward_backward_batch", "engine", _ENGINE_REMEDY),
    Private(
        *("transformers 5", "transformers", "AutoModelForImageTextToText._model_mapping", "engine"),
        "remove _quickly from engine.py: it only saves seconds",
    ),
    Private(
        *("ray 2.60", "ray.job_config", "JobConfig._get_proto_job_config", "ray_paths"),
        "find where Ray sends the driver's path to its workers: files beside a recipe must not be imported there",
    ),
    Private(
        *("ray 2.60", "ray._raylet", "Config.initialize", "fork_server"),
        "nothing: GRPO stages start Python afresh by themselves, half a minute slower",
    ),
)
"""Every such name. Overridden methods count: verl would no longer call them."""


def gone() -> list[Private]:
    """Names that the installed versions lack."""
    return [private for private in NAMES if not private.exists()]
