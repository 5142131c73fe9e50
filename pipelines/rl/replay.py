"""verl's replay buffer for a processor: polls more often, and hands a step's draws over in an order that repeats.

verl names its prompts at random and lists them as they arrive; sums over a batch would then differ in their last bits from
run to run. Here draws are ordered by problem and sample.
"""

from typing import Any

import transfer_queue
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer

POLL_SECONDS = 0.05


class OrderedReplayBuffer(ReplayBuffer):
    """See the module."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, poll_interval=POLL_SECONDS, **kwargs)

    def _materialize_batch(
        self, partition_id: str, selected_prompt_uids: list[str], partition_snapshot: dict[str, dict]
    ) -> KVBatchMeta:
        batch = super()._materialize_batch(partition_id, selected_prompt_uids, partition_snapshot)
        rows = transfer_queue.kv_batch_get(
            keys=batch.keys, partition_id=partition_id, select_fields=["extra_info", "session_id"]
        )
        problems = [int(getattr(info, "data", info)["index"]) for info in rows["extra_info"]]
        samples = [int(getattr(sample, "data", sample)) for sample in rows["session_id"]]
        batch.reorder(sorted(range(len(batch.keys)), key=lambda row: (problems[row], samples[row])))
        return batch
