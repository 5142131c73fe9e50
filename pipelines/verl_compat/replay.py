"""verl's replay buffer, for groups that GRPO cannot learn from.

GRPO compares the samples of a problem. A problem with fewer than two samples that have a verdict gives nothing to compare (of a
single one verl would take the score itself for its advantage): it is replaced by another problem. So is, where that is asked
for (`drop_zero_variance`), a problem whose samples all score the same. A step that has replaced too many in vain ends the run.

verl names its prompts at random and lists what arrives as it arrives. On a processor samples are handed over in an order that
repeats, and what to replace is decided when all samples are in, so that the same run samples the same problems.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import transfer_queue
from omegaconf import DictConfig
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.replay_buffer import FILTER_GROUPS_REWARD_METRIC, ReplayBuffer

from .dataset import StepDataset

POLL_SECONDS = 0.05
REPLACED = 20
"""Times a step's problems that may be sampled to replace others in it. A small set of problems is then sampled several times
(`order.py`)."""


class ReplacingReplayBuffer(ReplayBuffer):
    """See the module. verl gives samplers of others none of its settings for filtering; they come in `sampler_kwargs`."""

    def __init__(self, *args: Any, sampler_kwargs: DictConfig, refill_fn: Callable[[int], int], **kwargs: Any):
        self.refill, self.replaced = refill_fn, 0
        StepDataset.trainer = getattr(refill_fn, "__self__", None)  # a method of the trainer's
        super().__init__(
            *args,
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
        if self.replaced > REPLACED * self.train_batch_size:
            raise RuntimeError(
                f"{self.replaced - problems} problems were taken to replace those of one step that GRPO cannot learn from, and "
                "too few had samples that score differently: choose problems that the policy solves at times (a filter stage)"
            )
        self.refill(problems)

    def _terminal_eviction_reasons(self, global_steps: int, partition_id: str) -> tuple[set[str], set[str], set[str], Counter]:
        if partition_id == "val":
            return super()._terminal_eviction_reasons(global_steps, partition_id)
        samples = Counter(key.split("_")[0] for key in self.partitions[partition_id])
        ended = self.finished_keys[partition_id] | self.failure_keys[partition_id]
        lacking = {group for group in ended if samples[group] < 2}
        self.finished_keys[partition_id] -= lacking  # verl holds a finished group without a reward for a mistake
        self.failure_keys[partition_id] |= lacking
        stale, flat, failed, counts = super()._terminal_eviction_reasons(global_steps, partition_id)
        return stale, flat, failed | lacking, counts

    def _materialize_batch(
        self, partition_id: str, selected_prompt_uids: list[str], partition_snapshot: dict[str, dict]
    ) -> KVBatchMeta:
        self.replaced = 0  # the step is sampled
        return super()._materialize_batch(partition_id, selected_prompt_uids, partition_snapshot)


class OrderedReplayBuffer(ReplacingReplayBuffer):
    """The same for a processor: polls more often, and repeats."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, poll_interval=POLL_SECONDS, **kwargs)

    def _sync_metadata_from_transfer_queue(self) -> None:
        super()._sync_metadata_from_transfer_queue()
        for partition in list(self.prompt_global_steps):
            if self.pending_keys[partition] or self.running_keys[partition]:
                self.finished_keys[partition].clear()
                self.failure_keys[partition].clear()

    def _select_prompt_uids(
        self, partition_id: str, sampleable_keys: set[str], batch_size: int
    ) -> tuple[list[str], dict[str, dict], dict[str, int]]:
        came = self.prompt_global_steps[partition_id]
        chosen = [group for group in came if group in sampleable_keys]
        return chosen[:batch_size], dict(self.partitions[partition_id]), dict(came)

    def _materialize_batch(
        self, partition_id: str, selected_prompt_uids: list[str], partition_snapshot: dict[str, dict]
    ) -> KVBatchMeta:
        batch = super()._materialize_batch(partition_id, selected_prompt_uids, partition_snapshot)
        rows = transfer_queue.kv_batch_get(
            keys=batch.keys, partition_id=partition_id, select_fields=["extra_info", "session_id"]
        )
        groups = [getattr(info, "data", info) for info in rows["extra_info"]]
        samples = [int(getattr(sample, "data", sample)) for sample in rows["session_id"]]
        places = [(int(group["index"]), int(group["attempt"]), sample) for group, sample in zip(groups, samples, strict=True)]
        batch.reorder(sorted(range(len(batch.keys)), key=places.__getitem__))
        return batch
