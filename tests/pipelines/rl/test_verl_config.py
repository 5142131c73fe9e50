"""A GRPO stage's settings as verl's configuration."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from tenfold.core import UserError
from tenfold.pipelines import cluster as clusters
from tenfold.pipelines.cluster import Cluster
from tenfold.pipelines.rl import model_checks, verl_config
from tenfold.pipelines.rl.grpo import GRPO

ACTOR, ROLLOUT = "actor_rollout_ref.actor", "actor_rollout_ref.rollout"


def on(cluster: str, **changes: Any) -> Cluster:
    settings = {"device": "cpu"} if cluster == "cpu" else clusters.named(cluster)
    return Cluster.model_validate(settings | changes)


def stage(**changes: Any) -> GRPO:
    return GRPO.model_validate({"kind": "grpo", "name": "g", "environment": "tenfold/ChainSum-v0", "steps": 5} | changes)


def verls(cluster: Cluster, **changes: Any) -> Any:
    """Returns verl's configuration for a stage's settings, composed and validated by verl's code."""
    settings, variables = stage(**changes), verl_config.environment(Path("/m"), cluster)
    return verl_config.checked(verl_config.overrides(settings, 3, Path("/m"), Path("/s"), cluster, variables), settings.verl)


@pytest.mark.parametrize("cluster", ["cpu", "one_gpu"])
def test_the_stages_settings_reach_verl(cluster: str) -> None:
    config = verls(
        on(cluster),
        batch_size=4,
        samples=8,
        clip_low=0.2,
        clip_high=0.3,
        learning_rate=2e-6,
        loss_agg_mode="seq-mean-token-mean",
    )
    actor = config.actor_rollout_ref.actor
    assert config.algorithm.adv_estimator == "grpo"
    assert (config.data.train_batch_size, config.actor_rollout_ref.rollout.n) == (4, 8)
    assert (actor.clip_ratio_low, actor.clip_ratio_high, actor.optim.lr) == (0.2, 0.3, 2e-6)
    assert actor.loss_agg_mode == "seq-mean-token-mean"
    assert actor.ppo_mini_batch_size == 4  # one on-policy update per step
    assert not config.algorithm.use_kl_in_reward
    assert config.trainer.total_training_steps == 5


@pytest.mark.parametrize(
    ("given", "measured", "weight"),
    [({}, True, 0), ({"kl": 0.01}, True, 0.01), ({"track_kl": False}, False, 0), ({"track_kl": False, "kl": 0.1}, True, 0.1)],
)
def test_the_kl_is_measured_by_default(given: dict[str, Any], measured: bool, weight: float) -> None:
    actor = verls(on("cpu"), **given).actor_rollout_ref.actor
    assert (actor.use_kl_loss, actor.kl_loss_coef, actor.kl_loss_type) == (measured, weight, "low_var_kl")


def test_the_loss_has_a_constant_scale_and_uses_the_packages_engine() -> None:
    actor_and_model = verls(on("one_gpu"), loss_agg_mode="seq-mean-token-sum-norm", max_response_tokens=300).actor_rollout_ref
    assert actor_and_model.actor.loss_scale_factor == 300
    assert actor_and_model.model.external_lib == "tenfold.pipelines.verl_compat.engine"
    given = verls(on("cpu"), verl={"actor_rollout_ref.model.external_lib": "mine"}).actor_rollout_ref
    assert list(given.model.external_lib) == ["tenfold.pipelines.verl_compat.engine", "mine"]
    assert verl_config.environment(Path("/m"), on("one_gpu"))["VERL_ENGINE_VENDOR"] == "tenfold"


def test_drop_zero_variance_reaches_verl() -> None:
    for cluster, sampler in (("cpu", "OrderedReplayBuffer"), ("one_node", "ReplacingReplayBuffer")):
        config = verls(on(cluster), drop_zero_variance=True, batch_size=16)
        assert config.trainer.v1.sampler.custom_sampler.name == sampler
        assert config.trainer.v1.sampler.sampler_kwargs == {"batch_size": 16, "drop_zero_variance": True, "max_staleness": 0}
        assert config.algorithm.filter_groups.enable
    assert not verls(on("cpu")).trainer.v1.sampler.sampler_kwargs.drop_zero_variance


def test_clusters_differ_by_their_numbers() -> None:
    config = verls(on("several_nodes", offload="all", gpu_memory_utilization=0.7, agent_workers=24), loggers=["wandb"])
    actor, rollout = config.actor_rollout_ref.actor, config.actor_rollout_ref.rollout
    assert (config.trainer.nnodes, config.trainer.n_gpus_per_node, config.trainer.device) == (2, 8, "cuda")
    assert (rollout.name, rollout.tensor_model_parallel_size, rollout.gpu_memory_utilization) == ("vllm", 2, 0.7)
    assert rollout.agent.num_workers == 24
    assert (actor.fsdp_config.param_offload, actor.fsdp_config.optimizer_offload) == (True, True)
    assert (actor.ulysses_sequence_parallel_size, config.actor_rollout_ref.ref.ulysses_sequence_parallel_size) == (2, 2)
    assert (actor.use_dynamic_bsz, actor.ppo_max_token_len_per_gpu) == (True, 16384)
    assert actor.fsdp_config.dtype == "bfloat16"
    assert list(config.trainer.logger) == ["console", "file", "wandb"]
    assert config.ray_kwargs.ray_init.address == "auto"
    assert verls(on("several_nodes"), micro_batch_size=4).actor_rollout_ref.actor.use_dynamic_bsz is False
    assert verls(on("one_gpu")).actor_rollout_ref.actor.fsdp_config.param_offload is False


def test_ray_workers_get_the_childs_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENFOLD_JUDGE", 'openai:m?base_url="x"')
    monkeypatch.setenv("PYTHONPATH", "/a folder:it's")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://lab:hunter2@judge/v1?api-key=hunter2")
    for cluster in (on("cpu"), on("cpu", ray_address="ray://head:10001"), on("one_node")):
        ray = verls(cluster).ray_kwargs.ray_init
        variables = dict(ray.runtime_env.env_vars)
        assert variables == verl_config.environment(Path("/m"), cluster)
        assert "hunter2" not in str(variables), "verl prints the variables"
        assert variables["TENFOLD_JUDGE"] == 'openai:m?base_url="x"'
        assert variables["PYTHONPATH"] == "/a folder:it's"
        # Ray rejects a number of CPUs when it joins an existing cluster.
        own = cluster == on("cpu") or cluster == on("one_node")
        assert (ray.address, ray.num_cpus) == ("local" if own else "ray://head:10001", 16 if cluster == on("cpu") else None)


def test_any_setting_of_verls_can_be_set() -> None:
    given = {
        "actor_rollout_ref.actor.ppo_epochs": 2,
        "trainer.balance_batch": False,
        "actor_rollout_ref.rollout.engine_kwargs.vllm.max_num_partial_prefills": 2,
        "+trainer.mine": [1],
    }
    config = verls(on("cpu"), verl=given)
    assert config.actor_rollout_ref.actor.ppo_epochs == 2
    assert config.trainer.balance_batch is False
    assert config.actor_rollout_ref.rollout.engine_kwargs.vllm.max_num_partial_prefills == 2
    assert config.trainer.mine == [1]


def test_settings_of_verl_may_be_nested() -> None:
    given = {"actor_rollout_ref": {"rollout": {"top_k": 5}, "model": {"override_config": {"attention_dropout": 0.5}}}}
    config = verls(on("cpu"), verl=given)
    assert config.actor_rollout_ref.rollout.top_k == 5
    assert config.actor_rollout_ref.model.override_config.attention_dropout == 0.5
    assert config.actor_rollout_ref.rollout.n == 8, "other settings stay"


@pytest.mark.parametrize("verl", [{f"{ACTOR}.optim.lr_scheduler_type": "cosine"}, {ACTOR: {"optim": {"min_lr_ratio": 0.1}}}])
def test_more_steps_do_not_continue_a_schedule_of_verl(verl: dict[str, Any]) -> None:
    for given, named in ((verl, True), ({f"{ACTOR}.optim.weight_decay": 0.1}, False)):
        extension = stage(verl=given, steps=5).extension({"steps": 3})
        assert extension
        assert ("depends on the number of steps" in extension.difference) == named


@pytest.mark.parametrize("prefix", ["", "+", "++"])
def test_modules_of_the_user_are_imported_after_the_packages(prefix: str) -> None:
    own, name = list(verls(on("cpu")).actor_rollout_ref.model.external_lib.split()), f"{prefix}{verl_config.LIBRARIES}"
    for given, more in (("json", ["json"]), (["json", "csv"], ["json", "csv"])):
        assert list(verls(on("cpu"), verl={name: given}).actor_rollout_ref.model.external_lib) == own + more
    for given in ("", None, []):
        assert verls(on("cpu"), verl={name: given}).actor_rollout_ref.model.external_lib == own[0]


def test_the_checked_configuration_equals_the_one_that_verl_composes() -> None:
    import hydra
    from omegaconf import OmegaConf

    given = {"actor_rollout_ref.rollout.engine_kwargs.vllm.mine": [1], "trainer.project_name": "${trainer.nnodes} of 'these'"}
    settings, variables = stage(verl=given), verl_config.environment(Path("/m"), on("cpu")) | {"ODD": "/a folder: it's"}
    lines = verl_config.overrides(settings, 3, Path("/m"), Path("/s"), on("cpu"), variables)
    with hydra.initialize_config_module("verl.trainer.config", version_base=None):
        composed = hydra.compose("ppo_trainer", lines)
    OmegaConf.resolve(composed)
    assert OmegaConf.to_yaml(verl_config.checked(lines, given)) == OmegaConf.to_yaml(composed)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"trainer": {"nnods": 2}}, "no setting 'trainer.nnods'; use one of trainer.nnodes"),
        ({"trainer.logger": ["console"]}, 'trainer.logger: the list must contain "file", .* in the setting loggers'),
        ({verl_config.LIBRARIES: 5}, "external_lib: expected a module or a list of modules, got 5"),
        ({verl_config.LIBRARIES: [5]}, r"external_lib: expected a module or a list of modules, got \[5\]"),
        ({f"{ACTOR}.checkpoint.save_contents": 5}, "save_contents: expected a value like the default .*, got 5"),
        ({f"{ACTOR}.checkpoint.save_contents": None}, "save_contents: expected all of model, .* without model"),
        ({f"{ACTOR}.ppo_mini_batch_size": 0}, "ppo_mini_batch_size: expected a whole number of at least 1, got 0"),
        ({f"{ACTOR}.ulysses_sequence_parallel_size": 0}, "ulysses_.*: expected a whole number of at least 1, got 0"),
        ({f"{ROLLOUT}.tensor_model_parallel_size": 0}, "tensor_.*: expected a whole number of at least 1, got 0"),
        ({f"{ROLLOUT}.n": 0}, "rollout.n: expected a whole number of at least 1, got 0"),
        ({"data": "legacy_data"}, "force-add of config groups is not supported"),
        ({"actor_rollout_ref.actor.ppo_epoch": 2}, "no setting 'actor_rollout_ref.actor.ppo_epoch'; use one of .*ppo_epochs"),
        ({"actr.ppo_epochs": 2}, "no setting 'actr.ppo_epochs'; use one of "),
        ({"trainer.nnodes.more": 2}, "no setting 'trainer.nnodes.more'; trainer.nnodes is 1"),
        ({"actor_rollout_ref.actor.ppo_epochs": "two"}, "ppo_epochs: expected a value like the default 1, got 'two'"),
        ({"trainer.balance_batch": 1}, "balance_batch: expected a value like the default True, got 1"),
        ({"actor_rollout_ref.actor.loss_agg_mode": "mean"}, "verl rejects these settings: .*Invalid loss_agg_mode: mean"),
        ({"+actor_rollout_ref.actor.mine": 1}, "verl rejects these settings: .*'mine'"),
    ],
)
def test_an_invalid_setting_of_verl_is_named(given: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words) as error:
        verl_config.check(stage(verl=given), on("cpu"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("cluster", "settings", "words"),
    [
        ("one_node", {"batch_size": 3, "samples": 4}, "3 x 4 = 12 samples per step cannot be split evenly over 8 GPUs"),
        (
            "one_node",
            {"micro_batch_size": 3},
            "micro_batch_size=3 does not divide the 8 samples per GPU and step",
        ),
        ("cpu", {"micro_batch_size": 48}, "micro_batch_size=48 does not divide the 64 samples"),
        ("one_gpu", {"max_response_tokens": 65536}, "= 66048 is more than cluster.tokens_per_gpu x sequence_parallel = 16384"),
    ],
)
def test_sizes_that_do_not_fit_the_cluster_are_rejected(cluster: str, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        verl_config.check(stage(**settings), on(cluster))


OPTIM = "actor_rollout_ref.actor.optim"


@pytest.mark.parametrize(
    ("verl", "schedule"),
    [
        ({f"{OPTIM}.lr_scheduler_type": "cosine"}, f"{OPTIM}.lr_scheduler_type"),
        ({f"++{OPTIM}.lr_warmup_steps_ratio": 0.1}, f"++{OPTIM}.lr_warmup_steps_ratio"),
        ({OPTIM: {"lr_scheduler_type": "cosine"}}, f"{OPTIM}.lr_scheduler_type"),
        ({f"{OPTIM}.lr_scheduler_type": "constant", f"{OPTIM}.lr_warmup_steps_ratio": 0.0}, None),
        ({f"{OPTIM}.lr_warmup_steps": 2}, None),
    ],
)
def test_more_steps_change_the_result_only_if_the_learning_rate_depends_on_them(verl: Any, schedule: str | None) -> None:
    extension = stage(steps=6, verl=verl).extension({"steps": 4})
    assert extension is not None
    assert extension.difference == (f"verl: {schedule} depends on the number of steps" if schedule else "")


@pytest.mark.parametrize(
    "value",
    ['a "b", c=[d]: {e}', "José's 模型 😀", "a\\b", 'a\\"b', "a\\", "two\nlines\n", ["é", 'q"', 1, None, True], math.inf],
)
def test_settings_with_special_characters_reach_verl_unchanged(value: Any) -> None:
    assert verls(on("cpu"), verl={"+trainer.mine": value}).trainer.mine == value


def test_verls_checkpoints_are_resumed_with_the_same_number_of_gpus(tmp_path: Path) -> None:
    actor = tmp_path / "checkpoints/global_step_3/actor"
    actor.mkdir(parents=True)
    model_checks.check_checkpoints(tmp_path, 8)
    for rank in range(8):
        (actor / f"model_world_size_8_rank_{rank}.pt").touch()
    model_checks.check_checkpoints(tmp_path, 8)
    with pytest.raises(UserError, match=r"was written by 8 GPUs, but 16 train: resume with 8 GPUs"):
        model_checks.check_checkpoints(tmp_path, 16)


def test_verl_has_no_rollout_of_transformers_on_gpus() -> None:
    cluster = on("one_gpu").model_copy(update={"rollout": "transformers"})
    with pytest.raises(UserError, match="samples with vLLM on GPUs; set rollout to auto or vllm"):
        verls(cluster)


def test_the_largest_weight_fits_into_the_memory_through_which_vllm_receives_weights_on_a_cpu(tmp_path: Path) -> None:
    config = {
        "model_type": "qwen2",
        "vocab_size": 151_936,
        "hidden_size": 896,
        "num_hidden_layers": 1,
        "tie_word_embeddings": True,
    }
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_attention_heads": 14, "num_key_value_heads": 2}))
    lines = verl_config.overrides(stage(), 3, tmp_path, Path("/s"), on("cpu", rollout="vllm"), {})
    rollout = verl_config.checked(lines, {}).actor_rollout_ref.rollout
    assert rollout.checkpoint_engine.update_weights_bucket_megabytes * 2**20 >= 4 * 151_936 * 896


def test_a_folder_called_model_does_not_disturb_a_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    verl_config.check(stage(), on("cpu", rollout="vllm"))
