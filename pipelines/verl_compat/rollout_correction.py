"""verl's correction of differences between the rollout's and the trainer's probabilities, for any step.

verl reports the largest ratio of a token after its truncation. Here it is the ratio before.

verl raises an error if no token of a step is in the loss, which is so if all responses are truncated. Such a step has nothing
to correct. The replay buffer's module imports this module in the process that computes the advantages.
"""

from typing import Any

from verl.trainer.ppo.v1 import trainer_base

_correct = trainer_base.compute_rollout_correction_and_add_to_batch


def correct(batch: Any, settings: Any) -> tuple[Any, dict[str, float]]:
    """Returns the batch with verl's weights, and verl's metrics; the batch unchanged if none of its tokens is in the loss.

    Args:
        batch: verl's batch, with `response_mask`, `old_log_probs` (of the trainer) and `rollout_log_probs` of shape (samples,
            tokens).
        settings: verl's `algorithm.rollout_correction`.
    """
    tokens = batch.batch["response_mask"].bool()
    if not tokens.any():
        return batch, {}
    ratios = (batch.batch["old_log_probs"] - batch.batch["rollout_log_probs"])[tokens].exp()
    corrected, metrics = _correct(batch, settings)
    if settings.get("rollout_is") == "token":
        metrics["rollout_corr/rollout_is_max"] = ratios.max().item()
    return corrected, metrics


trainer_base.compute_rollout_correction_and_add_to_batch = correct
