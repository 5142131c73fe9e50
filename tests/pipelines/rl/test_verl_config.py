from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_module
from tenfold.pipelines.rl import verl_config
from tenfold.pipelines.rl.verl_config import GRPO
from verl.utils.config import validate_config


def verls(cpu: bool, **changes: Any) -> Any:
    """What verl makes of a stage's settings: its own configuration, composed and checked by its own code."""
    settings = GRPO.model_validate({"kind": "grpo", "name": "g", "environment": "tenfold/ChainSum-v0", "steps": 5} | changes)
    overrides = verl_config.overrides(settings, 3, Path("/m"), Path("/d"), Path("/l"), Path("/c"), cpu)
    with initialize_config_module("verl.trainer.config", version_base=None):
        config = compose("ppo_trainer", overrides)
    validate_config(config, use_reference_policy=settings.kl > 0, use_critic=False)
    return config


@pytest.mark.parametrize("cpu", [True, False])
def test_the_recipes_rules_reach_verl(cpu: bool) -> None:
    config = verls(cpu, batch_size=4, group_size=8, clip_low=0.2, clip_high=0.3, learning_rate=2e-6, loss="seq-mean-token-mean")
    actor = config.actor_rollout_ref.actor
    assert config.algorithm.adv_estimator == "grpo"
    assert (config.data.train_batch_size, config.actor_rollout_ref.rollout.n) == (4, 8)
    assert (actor.clip_ratio_low, actor.clip_ratio_high, actor.optim.lr) == (0.2, 0.3, 2e-6)
    assert actor.loss_agg_mode == "seq-mean-token-mean"
    assert actor.ppo_mini_batch_size == 4  # one update a step: on policy
    assert not actor.use_kl_loss
    assert not config.algorithm.use_kl_in_reward
    assert config.trainer.total_training_steps == 5


def test_a_kl_term_is_there_when_asked_for() -> None:
    config = verls(True, kl=0.01)
    assert (config.actor_rollout_ref.actor.use_kl_loss, config.actor_rollout_ref.actor.kl_loss_coef) == (True, 0.01)


def test_a_cluster_differs_by_the_recipes_numbers_alone() -> None:
    config = verls(False, nodes=2, gpus=8, tensor_parallel=2, gpu_memory_utilization=0.7, loggers=["wandb"])
    assert (config.trainer.nnodes, config.trainer.n_gpus_per_node, config.trainer.device) == (2, 8, "cuda")
    assert config.actor_rollout_ref.rollout.name == "vllm"
    assert config.actor_rollout_ref.rollout.tensor_model_parallel_size == 2
    assert config.actor_rollout_ref.actor.fsdp_config.dtype == "bfloat16"
    assert list(config.trainer.logger) == ["console", "file", "wandb"]
    assert "custom_sampler" not in str(verl_config.environment(Path("/m"), False, []))


def test_any_setting_of_verls_can_be_set() -> None:
    config = verls(True, verl={"actor_rollout_ref.actor.ppo_epochs": 2, "trainer.balance_batch": False})
    assert config.actor_rollout_ref.actor.ppo_epochs == 2
    assert config.trainer.balance_batch is False
