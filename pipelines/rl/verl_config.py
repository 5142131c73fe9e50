"""A GRPO stage's settings, and the same in verl's words. What verl leaves at its default is not named here."""

import json
import os
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field

from ...envs import registry
from ..context import Cost, Settings

ROLLOUT = "tenfold_cpu"
"""verl's name for the rollout of `cpu_rollout.py`."""
CPU_RAY = {"num_cpus": 16, "num_gpus": 1, "include_dashboard": False, "object_store_memory": 400_000_000}
"""Ray on a laptop: verl asks it for more processors than there are, and for a GPU; both are only counters here."""


class GRPO(Settings):
    """Settings of a `grpo` stage. The recipe fixes: on policy, no KL term, truncated responses out of the loss."""

    leaves_policy: ClassVar[bool] = True
    may_change: ClassVar[frozenset[str]] = frozenset(
        {"micro_batch_size", "save_steps", "stall_seconds", "gpu_memory_utilization", "loggers", "collapse", "min_entropy"}
    )

    kind: Literal["grpo"]
    environment: str = Field(description="id of a registered environment")
    options: dict[str, Any] = Field({}, description="keyword arguments for the environment")
    keep: str | None = Field(None, description="name of the filter stage whose problems to train on; default: all")
    problems: int | None = Field(None, ge=1, description="how many problems, where the environment does not tell")
    steps: int = Field(ge=1)
    batch_size: int = Field(8, ge=1, description="problems a step")
    group_size: int = Field(8, ge=2, description="draws a problem")
    micro_batch_size: int | None = Field(None, ge=1, description="draws a forward pass; default: all of a step")
    learning_rate: float = Field(1e-6, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    clip_low: float = Field(0.2, gt=0, lt=1)
    clip_high: float = Field(0.28, gt=0)
    kl: float = Field(0.0, ge=0, description="weight of a KL term against the starting policy; 0: none")
    entropy: float = Field(0.0, ge=0, description="weight of an entropy bonus")
    normalize_by_std: bool = Field(True, description="divide a group's advantages by their standard deviation")
    loss: Literal["token-mean", "seq-mean-token-sum", "seq-mean-token-mean", "seq-mean-token-sum-norm"] = "token-mean"
    temperature: float = Field(1.0, gt=0)
    top_p: float = Field(1.0, gt=0, le=1)
    max_prompt_tokens: int = Field(512, ge=1, description="problems with longer prompts are left out")
    max_response_tokens: int = Field(512, ge=1, description="of all turns of an episode together")
    max_turns: int = Field(16, ge=1)
    save_steps: int = Field(10, ge=1, description="steps between checkpoints")
    stall_seconds: float = Field(1800.0, gt=0, description="a run that gets nowhere for so long is ended")
    collapse: float = Field(
        0.2, ge=0, lt=1, description="a run whose mean reward falls below this share of its best is ended; 0: never"
    )
    min_entropy: float = Field(0.0, ge=0, description="and so is one whose entropy falls below this, in nats a token")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    nodes: int = Field(1, ge=1)
    gpus: int = Field(1, ge=1, description="GPUs a node")
    tensor_parallel: int = Field(1, ge=1, description="GPUs that share one copy of the model while drawing")
    gpu_memory_utilization: float = Field(0.6, gt=0, lt=1, description="share of a GPU's memory for drawing")
    loggers: list[str] = Field([], description="further trackers of verl's: wandb, tensorboard, mlflow, ...")
    verl: dict[str, Any] = Field({}, description="any further settings of verl's, by their dotted names")

    def check(self) -> None:
        """The environment can be made."""
        registry.make(self.environment, **self.options).close()

    def cost(self) -> Cost:
        """Every response as long as may be."""
        draws = self.steps * self.batch_size * self.group_size
        return Cost(draws, draws * self.max_response_tokens, draws * (self.max_prompt_tokens + self.max_response_tokens))

    def on_cpu(self) -> bool:
        """Whether verl trains on the processor, through the plug-in."""
        return self.device == "cpu" or (self.device == "auto" and not torch.cuda.is_available())


def overrides(settings: GRPO, seed: int, model: Path, data: Path, loops: Path, checkpoints: Path, cpu: bool) -> list[str]:
    """Hydra overrides for `verl.trainer.main_ppo`.

    Args:
        settings: the stage's.
        seed: of the data order.
        model: checkpoint folder to start from.
        data: parquet file of the problems.
        loops: configuration file of the agent loop.
        checkpoints: where verl keeps its own.
        cpu: whether to train on the processor, through the plug-in.
    """
    draws = settings.batch_size * settings.group_size
    micro = settings.micro_batch_size or draws
    precision = "fp32" if cpu else "bf16"
    config: dict[str, Any] = {
        "algorithm": {"adv_estimator": "grpo", "norm_adv_by_std_in_grpo": settings.normalize_by_std},
        "data": {
            "train_files": str(data),
            "val_files": str(data),
            "train_batch_size": settings.batch_size,
            "max_prompt_length": settings.max_prompt_tokens,
            "max_response_length": settings.max_response_tokens,
            "filter_overlong_prompts": False,
            "dataloader_num_workers": 0,
            "seed": seed,
        },
        "actor_rollout_ref": {
            "model": {"path": str(model), "use_remove_padding": not cpu, "enable_gradient_checkpointing": not cpu},
            "actor": {
                "strategy": "fsdp2",
                "optim": {"lr": settings.learning_rate, "weight_decay": settings.weight_decay},
                # One update a step, over all its draws: on policy.
                "ppo_mini_batch_size": settings.batch_size,
                "ppo_micro_batch_size_per_gpu": micro,
                "clip_ratio_low": settings.clip_low,
                "clip_ratio_high": settings.clip_high,
                "use_kl_loss": settings.kl > 0,
                "kl_loss_coef": settings.kl,
                "entropy_coeff": settings.entropy,
                "loss_agg_mode": settings.loss,
                "use_torch_compile": not cpu,
                "checkpoint": {"save_contents": ["model", "optimizer", "extra", "hf_model"]},
                "fsdp_config": {"model_dtype": "fp32", "dtype": "float32" if cpu else "bfloat16", "seed": seed},
            },
            "rollout": {
                "name": ROLLOUT if cpu else "vllm",
                "n": settings.group_size,
                "temperature": settings.temperature,
                "top_p": settings.top_p,
                "seed": seed,
                "dtype": "float32" if cpu else "bfloat16",
                "log_prob_micro_batch_size_per_gpu": micro,
                # verl recomputes them, and its comparison of the two fails on a step whose responses were all cut short.
                "calculate_log_probs": False,
                "max_model_len": settings.max_prompt_tokens + settings.max_response_tokens,
                "tensor_model_parallel_size": settings.tensor_parallel,
                "gpu_memory_utilization": settings.gpu_memory_utilization,
                "agent": {"num_workers": 1 if cpu else 8, "agent_loop_config_path": str(loops)},
            },
            "ref": {"log_prob_micro_batch_size_per_gpu": micro},
        },
        "reward": {"num_workers": 1},
        "trainer": {
            "device": "cpu" if cpu else "cuda",
            "nnodes": settings.nodes,
            "n_gpus_per_node": settings.gpus,
            "logger": ["console", "file", *settings.loggers],
            "project_name": "tenfold",
            "experiment_name": settings.name,
            "total_training_steps": settings.steps,
            "total_epochs": settings.steps + 1,
            "save_freq": settings.save_steps,
            "test_freq": -1,
            "val_before_train": False,
            "default_local_dir": str(checkpoints),
            "max_actor_ckpt_to_keep": 2,
        },
    }
    if cpu:
        config["actor_rollout_ref"]["actor"]["fsdp_config"]["use_torch_compile"] = False
        config["actor_rollout_ref"]["rollout"] |= {
            "n_gpus_per_node": 1,
            "max_num_seqs": draws,
            "free_cache_engine": False,
        }
        # A process of 280 MB each; one carries a laptop's batches.
        config["transfer_queue"] = {"backend": {"SimpleStorage": {"num_data_storage_units": 1}}}
        config["trainer"]["v1"] = {
            "sampler": {"custom_sampler": {"path": f"pkg://{__package__}.replay", "name": "OrderedReplayBuffer"}}
        }
    lines = [f"{key}={json.dumps(value)}" for key, value in _flat(config)]
    if cpu:
        lines.append("+actor_rollout_ref.model.override_config.attn_implementation=sdpa")
        for part in ("param", "reduce", "buffer"):
            lines.append(f"+actor_rollout_ref.actor.fsdp_config.mixed_precision.{part}_dtype={precision}")
        lines += [f"++ray_kwargs.ray_init.{name}={json.dumps(value)}" for name, value in CPU_RAY.items()]
    return lines + [f"++{key}={json.dumps(value)}" for key, value in settings.verl.items()]


def environment(metrics: Path, cpu: bool, modules: list[str]) -> dict[str, str]:
    """Environment variables of the child that runs verl.

    Args:
        metrics: file that verl writes its figures to, a line a step.
        cpu: whether to train on the processor.
        modules: folders that user modules (environments, verifiers) are imported from.
    """
    variables = {
        "VERL_FILE_LOGGER_PATH": str(metrics),
        "HYDRA_FULL_ERROR": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DEDUP_LOGS": "0",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONPATH": os.pathsep.join([*modules, *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    if cpu:
        variables |= {
            "VERL_USE_EXTERNAL_MODULES": f"{__package__}.cpu",
            "VERL_PLATFORM": "cpu",
            "VERL_ENGINE_DEVICE": "cuda",  # the name under which verl files its FSDP engine
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
            "OMP_NUM_THREADS": str(len(os.sched_getaffinity(0))),
        }
    return variables


def _flat(config: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows = []
    for name, value in config.items():
        rows += _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(prefix + name, value)]
    return rows
