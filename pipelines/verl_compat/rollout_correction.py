"""verl's correction of differences between the rollout's and the trainer's probabilities, for any step.

verl raises an error if no token of a step is in the loss, which is so if all responses are truncated. Such a step has nothing
to correct. The replay buffer's module imports this module in the process that computes the advantages.
"""

from typing import Any

from verl.trainer.ppo.v1 import trainer_base

_correct = trainer_base.compute_rollout_correction_and_add_to_batch


def correct(batch: Any, settings: Any) -> tuple[Any, dict[str, float]]:
    """Returns the batch with verl's weights, and verl's metrics; the batch unchanged if none of its tokens is in the loss.

    Args:
        batch: verl's batch, with a `response_mask` of shape (samples, tokens).
        settings: verl's `algorithm.rollout_correction`.
    """
    return _correct(batch, settings) if batch.batch["response_mask"].any() else (batch, {})


trainer_base.compute_rollout_correction_and_add_to_batch = correct
