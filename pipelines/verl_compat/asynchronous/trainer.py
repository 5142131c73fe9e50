"""verl's asynchronous trainer `separate_async`, which samples batches ahead of the one that it trains on.

It has processes that only sample, and sends them the weights after each update. When it sends weights, it aborts the samples in
flight and continues them with the new weights (partial rollouts). Then the result depends on the speed of the machine.

One batch ahead (one step off), the trainer here waits for the samples in flight before it sends weights, as verl's older
trainer `one_step_off_policy` does. Each sample then comes from one version of the policy, and a repeated run is equal. The
waits cost little: the next update needs these samples anyway.

    step                1                     2                     3
    trained on          batch 1               batch 2               batch 3
    sampled meanwhile   batch 2 (weights 0)   batch 3 (weights 1)   batch 4 (weights 2)
    staleness           0                     1                     1

Several batches ahead (fully asynchronous, as verl's older `fully_async_policy`), it does not wait.
"""

import logging

from verl.trainer.ppo.v1 import trainer_separate_async
from verl.trainer.ppo.v1.trainer_base import register_trainer
from verl.utils.debug import marked_timer

from ..names import TRAINER


@register_trainer(TRAINER)
class AsynchronousTrainer(trainer_separate_async.PPOTrainerSeparateAsync):
    """See the module. Needs a replay buffer of `replay.py`."""

    def _setup(self) -> None:
        # verl 0.9.1 calls `logger.info(..., flush=True)` here, which raises a TypeError unless such messages are off.
        trainer_separate_async.logger.setLevel(logging.WARNING)
        super()._setup()

    def on_train_begin(self) -> None:
        """Requests the first batches.

        If it samples one batch ahead, it waits for the first batch, so that this is not sampled together with the second.
        """
        super().on_train_begin()
        self._wait({})

    def _save_checkpoint(self) -> None:
        """Saves a checkpoint.

        If it samples one batch ahead, it first waits for the samples in flight, so that the checkpoint has them
        (`in_flight.py`).
        """
        self._wait(self.timing_raw)
        super()._save_checkpoint()

    def on_step_end(self) -> None:
        """Sends the new weights to the rollout. If it samples one batch ahead, it first waits for the samples in flight."""
        self._wait(self.timing_raw)
        super().on_step_end()

    def _wait(self, seconds: dict[str, float]) -> None:
        """If it samples one batch ahead, waits for the samples in flight, and adds the time to verl's durations."""
        if self.config.trainer.v1.separate_async.num_warmup_batches == 1:
            with marked_timer("gen", seconds):
                self.replay_buffer.wait_for_samples()
