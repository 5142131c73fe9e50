"""verl's replay buffer with replacement of groups that have no gradient.

GRPO compares the samples of a problem. With fewer than two scored samples there is nothing to compare, and verl would use the
score of a single sample as its advantage. The problem of such a group is replaced by another problem. With
`drop_zero_variance`, a group in which all samples have the same score is replaced too. A step with too many replacements ends
the run.

verl gives its prompts random ids and lists samples in the order of arrival. On a CPU, samples are passed on in a fixed order,
and replacements are chosen when all samples have arrived, so that a repeated run samples the same problems.

With asynchronous rollouts, the buffer also has groups of later steps. They are hidden until their step, so that a step trains
on the same groups as a synchronous one, and verl's own buffer for asynchronous trainers is not needed.
"""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import transfer_queue
from omegaconf import DictConfig
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.replay_buffer import FILTER_GROUPS_REWARD_METRIC, ReplayBuffer

from . import rollout_correction  # noqa: F401 - replaces a function of verl in this process
from .asynchronous import in_flight  # also replaces functions of TransferQueue in this process
from .dataset import StepDataset

POLL_SECONDS = 0.05
"""Seconds between two polls of the queue, on a CPU."""
WAIT_SECONDS = 0.5
"""Seconds between two polls of the samples in flight, on GPUs. Our choice."""
MAX_REPLACEMENTS = 20
"""Limit of replacements in a step, as a multiple of its number of problems. Our choice. If there are few problems, the same
ones are then sampled several times (`order.py`)."""


class ReplacingReplayBuffer(ReplayBuffer):
    """See the module. verl does not pass its filter settings to a custom sampler, so they come in `sampler_kwargs`."""

    def __init__(
        self, *args: Any, trainer_mode: str, sampler_kwargs: DictConfig, refill_fn: Callable[[int], int], **kwargs: Any
    ):
        """Takes verl's arguments.

        Args:
            args: verl's.
            trainer_mode: name of verl's trainer; each one but `sync` is asynchronous.
            sampler_kwargs: batch_size, drop_zero_variance and max_staleness.
            refill_fn: the trainer's method that requests further problems.
            kwargs: verl's.
        """
        self.refill, self.replaced = refill_fn, 0
        StepDataset.trainer = getattr(refill_fn, "__self__", None)  # the trainer, because `refill_fn` is its method
        StepDataset.asynchronous = trainer_mode != "sync"
        self.planned: dict[str, int] = {}
        """The step of each group, if rollouts are asynchronous."""
        super().__init__(
            *args,
            trainer_mode=trainer_mode,
            refill_fn=self._replace,
            sampler_kwargs=sampler_kwargs,
            filter_groups_metric=FILTER_GROUPS_REWARD_METRIC if sampler_kwargs.drop_zero_variance else None,
            train_batch_size=sampler_kwargs.batch_size,
            gen_batch_size=1,
            sync_refill_failed_groups=True,
            **kwargs,
        )

    def _replace(self, problems: int) -> None:
        self.replaced += problems
        if self.replaced > MAX_REPLACEMENTS * self.train_batch_size:
            cause = "two samples with a score: see the verdicts in the stage's folder episodes"
            if self.sampler_kwargs.drop_zero_variance:
                cause = "samples with different scores: choose problems that the policy sometimes solves, with a filter stage"
            raise RuntimeError(f"{self.replaced - problems} replacement problems in one step, and too few had {cause}")
        StepDataset.replacing = True
        self.refill(problems)
        StepDataset.replacing = False

    def wait_for_samples(self) -> None:
        """Waits until no sample is in flight."""
        while any(tag.get("is_prompt") and tag["status"] in ("pending", "running") for tag in in_flight.tags().values()):
            time.sleep(min(self.poll_interval, WAIT_SECONDS))

    def _sync_metadata_from_transfer_queue(self) -> None:
        super()._sync_metadata_from_transfer_queue()
        if StepDataset.asynchronous:
            self._hide_later_steps()

    def _hide_later_steps(self) -> None:
        """Hides the groups of the steps after the trainer's."""
        for partition, groups in self.prompt_global_steps.items():
            if new := [group for group in groups if group not in self.planned]:
                (infos,) = _fields(new, partition, "extra_info")
                self.planned |= {group: int(info["step"]) for group, info in zip(new, infos, strict=True)}
            for group in [group for group in groups if self.planned[group] > StepDataset.trainer.global_steps]:
                del groups[group]
                for keys in (self.pending_keys, self.running_keys, self.finished_keys, self.failure_keys):
                    keys[partition].discard(group)

    def _terminal_eviction_reasons(self, global_steps: int, partition_id: str) -> tuple[set[str], set[str], set[str], Counter]:
        if partition_id == "val":
            return super()._terminal_eviction_reasons(global_steps, partition_id)
        samples = Counter(key.split("_")[0] for key in self.partitions[partition_id])
        ended = self.finished_keys[partition_id] | self.failure_keys[partition_id]
        too_small = {group for group in ended if samples[group] < 2}
        self.finished_keys[partition_id] -= too_small  # because verl treats a finished group without a reward as an error
        self.failure_keys[partition_id] |= too_small
        stale, zero_variance, failed, counts = super()._terminal_eviction_reasons(global_steps, partition_id)
        return stale, zero_variance, failed | too_small, counts

    def _materialize_batch(
        self, partition_id: str, selected_prompt_uids: list[str], partition_snapshot: dict[str, dict]
    ) -> KVBatchMeta:
        self.replaced = 0  # all samples of the step are there
        for group in selected_prompt_uids:
            self.planned.pop(group, None)
        return super()._materialize_batch(partition_id, selected_prompt_uids, partition_snapshot)


class OrderedReplayBuffer(ReplacingReplayBuffer):
    """The same buffer for a CPU: polls more often, and passes samples on in a fixed order."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, poll_interval=POLL_SECONDS, **kwargs)

    def _replace(self, problems: int) -> None:
        if self.sampler_kwargs.get("max_staleness", 0) == 1:
            self.wait_for_samples()  # of the next step: they must not share forward passes with the replacements
        super()._replace(problems)

    def _sync_metadata_from_transfer_queue(self) -> None:
        super()._sync_metadata_from_transfer_queue()
        for partition in list(self.prompt_global_steps):
            if self.pending_keys[partition] or self.running_keys[partition]:
                self.finished_keys[partition].clear()
                self.failure_keys[partition].clear()

    def _select_prompt_uids(
        self, partition_id: str, sampleable_keys: set[str], batch_size: int
    ) -> tuple[list[str], dict[str, dict], dict[str, int]]:
        steps = self.prompt_global_steps[partition_id]
        chosen = [group for group in steps if group in sampleable_keys]
        return chosen[:batch_size], dict(self.partitions[partition_id]), dict(steps)

    def _materialize_batch(
        self, partition_id: str, selected_prompt_uids: list[str], partition_snapshot: dict[str, dict]
    ) -> KVBatchMeta:
        batch = super()._materialize_batch(partition_id, selected_prompt_uids, partition_snapshot)
        groups, samples = _fields(batch.keys, partition_id, "extra_info", "session_id")
        order = [
            (int(group["index"]), int(group["attempt"]), int(sample)) for group, sample in zip(groups, samples, strict=True)
        ]
        batch.reorder(sorted(range(len(batch.keys)), key=order.__getitem__))
        return batch


def _fields(keys: list[str], partition: str, *names: str) -> list[list[Any]]:
    """Returns the values of each field, one for each key.

    Args:
        keys: keys of groups or samples.
        partition: the part of TransferQueue that has them.
        names: names of the fields.
    """
    rows = transfer_queue.kv_batch_get(keys=keys, partition_id=partition, select_fields=[*names])
    return [[getattr(value, "data", value) for value in rows[name]] for name in names]
