"""Translates a GRPO stage's settings into verl's configuration and checks them with verl's own code."""

import contextlib
import copy
import difflib
import functools
import io
import math
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import cpu_threads
from ...core import UserError
from ...policies.vllm import END_WITH_PARENT
from ...texts import without_secrets
from ..cluster import Cluster
from ..launch.nodes import ray_python
from ..trainer import checkpoints
from ..trainer.empty_model import sizes
from ..verl_compat import names, vllm_name
from ..verl_compat.asynchronous import config as asynchronous
from . import verl_checks
from .settings import GRPOSettings, dotted, in_grammar

if TYPE_CHECKING:
    from omegaconf import DictConfig

LIBRARIES = "actor_rollout_ref.model.external_lib"
"""verl's setting of modules to import. The user's modules are added after this package's."""
DATA, LOOPS, CHECKPOINTS = "problems.parquet", "agent_loops.yaml", "checkpoints"
"""Names in a stage's folder: verl's data set, the agent loop's configuration, verl's checkpoints."""
CPU_RAY = {"num_cpus": 16, "num_gpus": 2, "include_dashboard": False, "object_store_memory": 400_000_000}
"""Settings of Ray on a CPU. verl requests a GPU, with asynchronous rollouts two, and more CPUs than a laptop has. For Ray both
are only counters."""

_LORA = re.compile(r"\+*actor_rollout_ref\.model\.(lora|target_modules$)")
"""verl's settings of LoRA, which the stage sets."""
KV_CACHE = 256 << 20
"""Bytes of vLLM's cache of keys and values on a CPU. Our choice."""

Config = dict[str, Any]
"""A part of verl's configuration: nested dictionaries with JSON values."""


def overrides(
    settings: GRPOSettings, seed: int, model: Path, folder: Path, cluster: Cluster, variables: dict[str, str]
) -> list[str]:
    """Returns Hydra overrides for `verl.trainer.main_ppo`.

    Args:
        settings: settings of the stage.
        seed: seed of verl's own random numbers.
        model: checkpoint folder to start from.
        folder: the stage's folder, with DATA, LOOPS and CHECKPOINTS.
        cluster: cluster to train on.
        variables: environment variables for verl's processes; see `environment`.

    Raises:
        UserError: the stage's sizes do not fit the cluster, verl does not have the cluster's rollout on GPUs, or the user's
            modules are not texts.
    """
    if settings.max_staleness:
        verl_checks.check_asynchronous(cluster, dotted(settings.verl), lora=settings.lora is not None)
    _check_sizes(settings, cluster)
    cpu = cluster.on_cpu()
    if not cpu and cluster.rollout == "transformers":
        raise UserError(f"cluster: {settings.name} samples with vLLM on GPUs; set rollout to auto or vllm")
    samples = settings.batch_size * settings.samples
    micro = settings.micro_batch_size or samples
    vllm = not cpu or cluster.rollout == "vllm"
    off_policy = vllm or settings.max_staleness > 0
    weights = ("token" if off_policy else "none") if settings.rollout_is == "auto" else settings.rollout_is
    precision = "fp32" if cpu else "bf16"
    config: Config = {
        "algorithm": {
            "adv_estimator": "grpo",
            "norm_adv_by_std_in_grpo": settings.normalize_by_std,
            "filter_groups": {"enable": settings.drop_zero_variance, "metric": "reward"},
            "rollout_correction": {
                "rollout_is": None if weights == "none" else weights,
                "rollout_is_threshold": settings.rollout_is_threshold,
            },
        },
        "data": {
            "train_files": str(folder / DATA),
            "val_files": str(folder / DATA),
            "train_batch_size": settings.batch_size,
            "max_prompt_length": settings.max_prompt_tokens,
            "max_response_length": settings.max_response_tokens,
            "filter_overlong_prompts": False,
            "dataloader_num_workers": 0,
            "shuffle": False,
            "seed": seed,
            "custom_cls": {"path": f"pkg://{names.DATASET}", "name": "StepDataset"},  # it defines the order of the problems
        },
        "actor_rollout_ref": {
            "model": {
                "path": str(model),
                "use_remove_padding": not cpu,
                "enable_gradient_checkpointing": not cpu,
                "external_lib": names.ENGINE,
                "lora_rank": settings.lora.rank if settings.lora else 0,
            },
            "actor": {
                "strategy": "fsdp2",
                "optim": {"lr": settings.learning_rate, "weight_decay": settings.weight_decay},
                # One update per step over all its samples, so that training is on-policy.
                "ppo_mini_batch_size": settings.batch_size,
                "ppo_micro_batch_size_per_gpu": micro,
                "use_dynamic_bsz": not cpu and settings.micro_batch_size is None,
                "ppo_max_token_len_per_gpu": cluster.tokens_per_gpu,
                "ulysses_sequence_parallel_size": cluster.sequence_parallel,
                "clip_ratio_low": settings.clip_low,
                "clip_ratio_high": settings.clip_high,
                "use_kl_loss": settings.track_kl or settings.kl > 0,
                "kl_loss_coef": settings.kl,
                "kl_loss_type": "low_var_kl",
                "entropy_coeff": settings.entropy,
                "loss_agg_mode": settings.loss_agg_mode,
                # The divisor of seq-mean-token-sum-norm; verl's default is the longest response of each micro-batch.
                "loss_scale_factor": settings.max_response_tokens,
                "use_torch_compile": not cpu,
                "checkpoint": {"save_contents": ["model", "optimizer", "extra", *([] if settings.lora else ["hf_model"])]},
                "fsdp_config": {
                    "model_dtype": "fp32",
                    "dtype": "float32" if cpu else "bfloat16",
                    "seed": seed,
                    "param_offload": cluster.offload == "all",
                    "optimizer_offload": cluster.offload != "none",
                },
            },
            "rollout": {
                "name": "vllm" if vllm else names.ROLLOUT,
                "n": settings.samples,
                "temperature": settings.temperature,
                "top_p": settings.top_p,
                "seed": seed,
                "dtype": "float32" if cpu else "bfloat16",
                "log_prob_micro_batch_size_per_gpu": micro,
                "calculate_log_probs": off_policy or weights != "none",  # to compare them with the trainer's
                "max_model_len": settings.max_prompt_tokens + settings.max_response_tokens,
                "tensor_model_parallel_size": cluster.tensor_parallel,
                "gpu_memory_utilization": cluster.gpu_memory_utilization,
                "agent": {"num_workers": cluster.workers, "agent_loop_config_path": str(folder / LOOPS)},
            },
            # The reference is always `model`, the policy from which the stage started, even after a resume.
            "ref": {"log_prob_micro_batch_size_per_gpu": micro},
        },
        "reward": {"num_workers": 1},
        "trainer": {
            "device": "cpu" if cpu else "cuda",
            "nnodes": cluster.nodes,
            "n_gpus_per_node": cluster.gpus,
            "logger": ["console", "file", *settings.loggers],
            "project_name": "tenfold",
            "experiment_name": settings.name,
            "total_training_steps": settings.steps,
            "total_epochs": settings.steps + 1,
            "save_freq": settings.save_steps,
            "test_freq": -1,
            "val_before_train": False,
            "default_local_dir": str(folder / CHECKPOINTS),
            "max_actor_ckpt_to_keep": max(2, settings.keep_checkpoints),
            "v1": {
                "sampler": {
                    "custom_sampler": {
                        "path": f"pkg://{names.REPLAY}",
                        "name": "OrderedReplayBuffer" if cpu else "ReplacingReplayBuffer",
                    },
                    "sync_refill_failed_groups": True,
                }
            },
        },
    }
    if settings.lora:  # the engine saves the adapter, see `verl_compat/engine.py`; verl's own export lacks its configuration
        config["actor_rollout_ref"]["model"] |= {"lora_alpha": settings.lora.alpha, "target_modules": settings.lora.targets}
    if cpu:
        config["actor_rollout_ref"]["actor"]["fsdp_config"]["use_torch_compile"] = False
        config["actor_rollout_ref"]["ref"]["fsdp_config"] = {"dtype": "float32", "use_torch_compile": False}
        config["actor_rollout_ref"]["rollout"] |= {
            "n_gpus_per_node": 1,
            "max_num_seqs": samples,
            "free_cache_engine": False,
        }
        if vllm:
            config["actor_rollout_ref"]["rollout"] |= {
                "enforce_eager": True,
                "enable_chunked_prefill": False,  # vLLM rejects it on a CPU, because each sample has a seed of its own
                "checkpoint_engine": {"update_weights_bucket_megabytes": _bucket(model)},
            }
        # Each unit is a process of 280 MB, and one is enough for small batches.
        config["transfer_queue"] = {"backend": {"SimpleStorage": {"num_data_storage_units": 1}}}
    values = dotted(config) | (asynchronous.settings(settings.max_staleness, cluster) if settings.max_staleness else {})
    lines = [f"{key}={in_grammar(value)}" for key, value in values.items()]
    sampler = {name: getattr(settings, name) for name in ("batch_size", "drop_zero_variance", "max_staleness")}
    lines += [f"+trainer.v1.sampler.sampler_kwargs.{name}={in_grammar(value)}" for name, value in sampler.items()]
    # "local", because without an address Ray would join any Ray that runs on this machine.
    ray = {"address": cluster.address or "local"} | (CPU_RAY if cpu and not cluster.address else {})
    lines += [f"++ray_kwargs.ray_init.{name}={in_grammar(value)}" for name, value in ray.items()]
    # verl adds its own variables to these.
    lines += [f"+ray_kwargs.ray_init.runtime_env.env_vars.{name}={in_grammar(value)}" for name, value in variables.items()]
    if not cluster.address and not cpu:  # on a CPU, `fork_server` sets `py_executable`
        lines += [f"+ray_kwargs.ray_init.runtime_env.{name}={in_grammar(value)}" for name, value in ray_python().items()]
    if settings.lora:
        lines.append("+actor_rollout_ref.actor.checkpoint.save_lora_only=true")
    if cpu and vllm:
        lines.append("+actor_rollout_ref.rollout.enable_sleep_mode=false")  # sleep mode frees memory of a GPU
        engine = {"worker_extension_cls": f"{names.CPU_VLLM}.Worker", "kv_cache_memory_bytes": KV_CACHE}
        lines += [f"+actor_rollout_ref.rollout.engine_kwargs.vllm.{name}={value}" for name, value in engine.items()]
    if cpu:
        lines.append("+actor_rollout_ref.model.override_config.attn_implementation=sdpa")
        for model_of in ("actor", "ref"):
            for part in ("param", "reduce", "buffer"):
                lines.append(f"+actor_rollout_ref.{model_of}.fsdp_config.mixed_precision.{part}_dtype={precision}")
    libraries = _libraries(settings.verl)
    own = {name: value for name, value in dotted(settings.verl).items() if name.lstrip("+") != LIBRARIES}
    if libraries:
        own[LIBRARIES] = [names.ENGINE, *libraries]
    return lines + [f"{key if key.startswith('+') else f'++{key}'}={in_grammar(value)}" for key, value in own.items()]


def _bucket(model: Path) -> int:
    """Returns MiB of the shared memory through which vLLM on a CPU receives the weights. The largest must fit, in float32."""
    if not (model / "config.json").is_file():  # `check` has no model
        return 256
    return max(256, math.ceil(4 * sizes(model).largest / 2**20))


def _libraries(own: Mapping[str, object]) -> list[str]:
    """Returns the modules that verl imports for the user.

    Raises:
        UserError: the setting is neither a module nor a list of modules.
    """
    given = next((value for name, value in dotted(own).items() if name.lstrip("+") == LIBRARIES), None) or []
    libraries = [given] if isinstance(given, str) else given
    if not isinstance(libraries, list) or not all(isinstance(library, str) for library in libraries):
        raise UserError(f"verl: {LIBRARIES}: expected a module or a list of modules, got {given!r}")
    return libraries


def training_gpus(settings: GRPOSettings, cluster: Cluster) -> int:
    """Returns the number of GPUs that train."""
    return cluster.training_gpus if settings.max_staleness else cluster.world


def _check_sizes(settings: GRPOSettings, cluster: Cluster) -> None:
    """Checks sizes that verl itself would only reject after minutes."""
    samples, longest = settings.batch_size * settings.samples, settings.max_prompt_tokens + settings.max_response_tokens
    product = f"batch_size x samples = {settings.batch_size} x {settings.samples} = {samples}"
    world = training_gpus(settings, cluster)
    if samples % world:
        raise UserError(f"{product} samples per step cannot be split evenly over {world} GPUs; change one of these numbers")
    share = samples * cluster.sequence_parallel // world
    if settings.micro_batch_size and share % settings.micro_batch_size:
        raise UserError(
            f"micro_batch_size={settings.micro_batch_size} does not divide the {share} samples per GPU and step "
            f"({product}, GPUs that train: {world}, sequence_parallel={cluster.sequence_parallel})"
        )
    room = cluster.tokens_per_gpu * cluster.sequence_parallel
    if not cluster.on_cpu() and not settings.micro_batch_size and longest > room:
        raise UserError(
            f"max_prompt_tokens + max_response_tokens = {longest} is more than cluster.tokens_per_gpu x sequence_parallel = "
            f"{room}; raise one of the latter two, or set micro_batch_size"
        )


def check(settings: GRPOSettings, cluster: Cluster) -> "DictConfig":
    """Checks that verl accepts a stage's settings on a cluster, and returns verl's configuration. No file need exist yet.

    Raises:
        UserError: see `overrides`, `checked` and `verl_checks`.
    """
    if own := [name for name in dotted(settings.verl) if _LORA.match(name)]:
        raise UserError(f"verl: {own[0]}: use the stage's own setting, as in lora: {{rank: 16, alpha: 32}}")
    config = checked(overrides(settings, 0, Path("model"), Path("stage"), cluster, {}), settings.verl)
    verl_checks.check(config, _libraries(settings.verl), joins_ray=bool(cluster.address))
    return config


def checked(lines: Sequence[str], own: Mapping[str, object]) -> "DictConfig":
    """Returns verl's configuration with overrides, after verl's own validation.

    Args:
        lines: the result of `overrides`.
        own: the user's own settings among them, by dotted name or nested.

    Raises:
        UserError: verl does not have a setting, or rejects a value.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf
    from verl.trainer.ppo.utils import need_critic, need_reference_policy
    from verl.utils.config import validate_config

    vllm_name.use_build_for_cpus()  # with LoRA, verl's validation imports vLLM
    own = dotted(own)
    for name, value in own.items():
        if not name.startswith("+"):  # Hydra's prefix for a setting that the configuration does not have yet
            _check_setting(_composed(), name, value)
    try:
        if any(name.startswith("+") or "." not in name for name in own):
            config = copy.deepcopy(_composed(*lines))  # Hydra composes, because a name may be a group with its own files
        else:
            config = copy.deepcopy(_composed())
            for line in OverridesParser.create().parse_overrides(list(lines)):
                OmegaConf.update(config, line.key_or_group, line.value(), force_add=line.is_add() or line.is_force_add())
        OmegaConf.resolve(config)
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(action="ignore"):
            if need_critic(config) and "critic.model.path" not in own:
                raise ValueError(f"adv_estimator={config.algorithm.adv_estimator} needs a critic (critic.model.path); use grpo")
            validate_config(config, need_reference_policy(config), need_critic(config))
    except Exception as error:  # of Hydra, OmegaConf or verl's assertions
        raise UserError(f"verl rejects these settings: {verl_checks.reason(error)}") from None
    return config


@functools.cache
def _composed(*lines: str) -> "DictConfig":
    """Composes verl's configuration with Hydra, which takes 0.4 seconds."""
    import hydra

    with hydra.initialize_config_module("verl.trainer.config", version_base=None):
        return hydra.compose("ppo_trainer", list(lines))


def _check_setting(config: "DictConfig", name: str, value: object) -> None:
    """Checks that verl's configuration has a setting, and that the value has the default's type unless the default is empty."""
    from omegaconf import DictConfig, ListConfig, OmegaConf

    at, parts = config, name.split(".")
    for depth, part in enumerate(parts):
        if at is None or at == {} or parts[:2] == ["ray_kwargs", "ray_init"]:
            return
        if not isinstance(at, DictConfig) or (part not in at and not OmegaConf.is_missing(at, part)):
            names = [".".join([*parts[:depth], key]) for key in (at if isinstance(at, DictConfig) else [])]
            near = difflib.get_close_matches(".".join(parts[: depth + 1]), names, 3) or names
            choices = f"use one of {', '.join(near)}" if near else f"{'.'.join(parts[:depth])} is {at!r}"
            raise UserError(f"verl: there is no setting {name!r}; {choices}")
        at = None if at._get_node(part)._is_missing() else at[part]
    kinds: tuple[tuple[type, ...], ...] = ((bool,), (int, float), (str, list, ListConfig), (dict,))
    expected = next((kind for kind in kinds if isinstance(at, kind)), None)
    if (
        expected
        and value is not None
        and (not isinstance(value, expected) or (isinstance(value, bool) and expected != (bool,)))
    ):
        raise UserError(f"verl: {name}: expected a value like the default {at!r}, got {value!r}")


def environment(metrics: Path, cluster: Cluster, max_staleness: int = 0) -> dict[str, str]:
    """Returns the environment variables of the process that runs verl, and of its Ray workers.

    Args:
        metrics: file for verl's metrics, with a line for each step.
        cluster: cluster to train on.
        max_staleness: the stage's setting.
    """
    plugins = [names.CPU] * cluster.on_cpu() + [names.TRAINER_PLUGIN] * (max_staleness > 0)
    # Workers of a running Ray do not inherit this process's variables. Secrets are removed, because verl prints the variables.
    inherited = {name: value for name, value in os.environ.items() if name.startswith("TENFOLD_") or name == "OPENAI_BASE_URL"}
    variables = {name: without_secrets(value) for name, value in inherited.items()} | {
        "VERL_FILE_LOGGER_PATH": str(metrics),
        "HYDRA_FULL_ERROR": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DEDUP_LOGS": "0",
        "TOKENIZERS_PARALLELISM": "false",
        "VERL_ENGINE_VENDOR": names.ENGINE_VENDOR,
        **({"VERL_USE_EXTERNAL_MODULES": ",".join(plugins)} if plugins else {}),
        "PYTHONSAFEPATH": "1",
        **checkpoints.VARIABLES,
    }
    variables[END_WITH_PARENT] = str(os.getpid())
    if path := os.environ.get("PYTHONPATH"):
        variables["PYTHONPATH"] = path
    if cluster.on_cpu():
        variables |= {
            "VERL_PLATFORM": "cpu",
            "VERL_ENGINE_DEVICE": "cuda",  # verl's registry has its FSDP engine under this name
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
            "RAY_prestart_worker_first_driver": "0",  # prestarted workers lack these variables and would stay idle
            **cpu_threads.variables(),
        }
        if cluster.rollout == "vllm":
            variables |= {
                "VLLM_CPU_OMP_THREADS_BIND": "nobind",
                "VLLM_NO_USAGE_STATS": "1",
                "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
            }
    return variables
