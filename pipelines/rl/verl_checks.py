"""Checks of verl's configuration that verl itself makes only minutes after its start, or at the end of the first step.

`validate_config`, which verl calls at its start, does not look names up in verl's registries, and does not check experiment
trackers and most sizes. These checks call the same functions of verl as the training does, where there is one.
"""

import contextlib
import importlib.util
import io
import math
import netrc
import os
import re
import warnings
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from ... import disk
from ...core import UserError
from ..cluster import Cluster
from ..verl_compat import names

if TYPE_CHECKING:
    from omegaconf import DictConfig

ACTOR, ROLLOUT = "actor_rollout_ref.actor", "actor_rollout_ref.rollout"
SAVED = ("model", "optimizer", "extra", "hf_model")
"""Parts of verl's checkpoints that a GRPO stage needs to resume and to export its policy. With LoRA the last is not needed."""
ROLLOUTS = ("vllm", "sglang", "trtllm", names.ROLLOUT)
"""verl's rollouts, and this package's own for a CPU."""
VLLM_TYPES = ("auto", "bfloat16", "float", "float16", "float32", "half")
"""vLLM's types of weights."""
_ASYNCHRONOUS = re.compile(
    r"\+*(trainer\.v1\.(trainer_mode|separate_async)|actor_rollout_ref\.(hybrid_engine|rollout\.(nnodes|checkpoint_engine)))"
)
"""Settings of verl's asynchronous trainer."""
RESUME_MODES = ("auto", "disable", "resume_path")


class Tracker(NamedTuple):
    """What an experiment tracker needs."""

    module: str
    required: tuple[str, ...] = ()
    """Environment variables without which verl's call fails."""


TRACKERS = {
    "clearml": Tracker("clearml"),
    "mlflow": Tracker("mlflow"),
    "rl_insight": Tracker("rl_insight"),
    "swanlab": Tracker("swanlab"),
    "tensorboard": Tracker("tensorboard"),
    "trackio": Tracker("trackio"),
    "vemlp_wandb": Tracker("volcengine_ml_platform", ("VOLC_ACCESS_KEY_ID", "VOLC_SECRET_ACCESS_KEY", "MLP_TRACKING_REGION")),
    "wandb": Tracker("wandb"),
}
"""The trackers of verl's `Tracking` that are packages of their own."""


def check(config: "DictConfig", own_libraries: Collection[str], *, joins_ray: bool) -> None:
    """Checks names, trackers and sizes.

    Args:
        config: verl's configuration, composed and resolved.
        own_libraries: the user's modules that verl imports. They may register further names, so names are not checked then.
        joins_ray: verl runs in a Ray cluster, whose environment variables are not known here.

    Raises:
        UserError: verl would fail during the run.
    """
    _check_libraries(own_libraries)
    _check_parts(config)
    if not own_libraries:
        _check_names(config)
    _check_optimizer(config)
    _check_trackers(config.trainer.logger, joins_ray=joins_ray)
    _check_checkpoints(config)
    _check_sizes(config)


def check_asynchronous(cluster: Cluster, own: Collection[str], *, lora: bool) -> None:
    """Checks what cannot be combined with asynchronous rollouts.

    Args:
        cluster: cluster to train on.
        own: dotted names of the user's own settings of verl.
        lora: the stage trains an adapter.

    Raises:
        UserError: the stage cannot sample while it trains.
    """
    if name := next(filter(_ASYNCHRONOUS.match, own), None):
        raise UserError(f"verl: {name}: max_staleness sets it; remove one of them")
    if lora:
        raise UserError("max_staleness cannot be combined with lora: verl's asynchronous trainer does not send adapters")
    if cluster.on_cpu():
        if cluster.rollout == "vllm":
            raise UserError("max_staleness on a CPU samples with transformers; set cluster.rollout to auto")
        if cluster.address:
            raise UserError("max_staleness on a CPU needs the stage's own Ray; remove cluster.ray_address and $RAY_ADDRESS")
    elif not cluster.rollout_gpus:
        raise UserError(
            f"max_staleness needs GPUs that only sample: set cluster.rollout_gpus to a number below gpus={cluster.gpus}"
            if cluster.gpus > 1
            else "max_staleness needs GPUs that only sample, and each node has gpus=1; use nodes with more GPUs"
        )
    elif cluster.training_gpus % cluster.sequence_parallel:
        raise UserError(
            f"cluster: sequence_parallel={cluster.sequence_parallel} does not divide the {cluster.training_gpus} GPUs "
            "that train"
        )


def _check_libraries(libraries: Collection[str]) -> None:
    for library in libraries:
        if importlib.util.find_spec(library.partition(".")[0]) is None:  # find_spec of a dotted name would import this part
            raise UserError(f"verl: actor_rollout_ref.model.external_lib: there is no module {library!r}; install it")


def _check_parts(config: "DictConfig") -> None:
    """Checks the rollout's settings and the types of weights with verl's own constructors."""
    from verl.utils.config import omega_conf_to_dataclass
    from verl.utils.torch_dtypes import PrecisionType

    with _named(ROLLOUT), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(action="ignore"):
        omega_conf_to_dataclass(config.actor_rollout_ref.rollout)
    fsdp = config.actor_rollout_ref.actor.get("fsdp_config") or {}
    for setting in ("model_dtype", "dtype"):
        with _named(f"{ACTOR}.fsdp_config.{setting}"):
            PrecisionType.to_dtype(fsdp.get(setting, "fp32"))


def _check_names(config: "DictConfig") -> None:
    """Looks names up in verl's registries."""
    import torch
    from verl.trainer.ppo import core_algos

    actor = config.actor_rollout_ref.actor
    rollout = config.actor_rollout_ref.rollout
    _one_of("algorithm.adv_estimator", config.algorithm.adv_estimator, sorted(core_algos.ADV_ESTIMATOR_REGISTRY))
    _one_of(f"{ROLLOUT}.name", rollout.name, ROLLOUTS)
    if rollout.name == "vllm":
        _one_of(f"{ROLLOUT}.dtype", rollout.dtype, VLLM_TYPES)
    _one_of(f"{ACTOR}.policy_loss.loss_mode", actor.policy_loss.loss_mode, sorted(core_algos.POLICY_LOSS_REGISTRY))
    nothing = torch.zeros(1)
    if actor.use_kl_loss:
        with _named(f"{ACTOR}.kl_loss_type", f"unknown value {actor.kl_loss_type!r}; use kl, abs, mse or low_var_kl"):
            core_algos.kl_penalty(nothing, nothing, actor.kl_loss_type)
    if config.algorithm.use_kl_in_reward:
        penalty = config.algorithm.kl_penalty
        with _named("algorithm.kl_penalty", f"unknown value {penalty!r}; use kl, abs, mse or low_var_kl"):
            core_algos.kl_penalty(nothing, nothing, penalty)
        with _named("algorithm.kl_ctrl.type", f"unknown value {config.algorithm.kl_ctrl.type!r}; use fixed or adaptive"):
            core_algos.get_kl_controller(config.algorithm.kl_ctrl)
    if config.trainer.v1.trainer_mode not in ("sync", names.TRAINER):
        from verl.trainer.ppo.v1 import get_trainer_cls  # takes seconds

        with _named("trainer.v1.trainer_mode"):
            get_trainer_cls(config.trainer.v1.trainer_mode)
    if actor.strategy not in ("fsdp", "fsdp2"):
        with warnings.catch_warnings(action="ignore"):
            from verl.workers.engine import EngineRegistry  # takes seconds
        try:
            EngineRegistry.get_engine_cls("language_model", actor.strategy)
        except AssertionError:
            raise UserError(f"verl: {ACTOR}.strategy: unknown value {actor.strategy!r}; use fsdp2 or fsdp") from None
        except Exception:  # the engine exists, but not for this machine's processor
            return


def _check_optimizer(config: "DictConfig") -> None:
    """Checks that the optimizer's class exists. Only torch's own module is imported, because another one may be the user's."""
    import torch

    settings = config.actor_rollout_ref.actor.optim
    module, name = settings.get("optimizer_impl", "torch.optim"), settings.get("optimizer", "AdamW")
    if importlib.util.find_spec(str(module).partition(".")[0]) is None:
        raise UserError(f"verl: {ACTOR}.optim.optimizer_impl: there is no module {module!r}; install it")
    if module == "torch.optim":
        kinds = [kind for kind, value in vars(torch.optim).items() if isinstance(value, type)]
        _one_of(f"{ACTOR}.optim.optimizer", name, sorted(kinds))


def _check_trackers(loggers: object, *, joins_ray: bool) -> None:
    """Checks that verl knows the trackers, and that they are installed and configured."""
    from verl.utils.tracking import Tracking

    given = [loggers] if isinstance(loggers, str) else list(loggers or [])  # type: ignore[call-overload]
    if "file" not in given:
        raise UserError(
            'verl: trainer.logger: the list must contain "file", because the stage reads verl\'s metrics from this tracker; '
            "name other trackers in the setting loggers instead"
        )
    for name in given:
        _one_of("trainer.logger", name, sorted(Tracking.supported_backend), "loggers")
        if name in TRACKERS:
            check_tracker(name, "loggers", with_keys=not joins_ray)


def check_tracker(name: str, setting: str, *, with_keys: bool = True) -> None:
    """Checks that a tracker of `TRACKERS` is installed, and that it has what it needs to start without asking.

    Args:
        name: name of the tracker.
        setting: the setting that names it, for errors.
        with_keys: check keys and other environment variables.

    Raises:
        UserError: something is missing.
    """
    tracker = TRACKERS[name]
    if importlib.util.find_spec(tracker.module) is None:
        raise UserError(f"{setting}: the tracker {name} is not installed: pip install {tracker.module.replace('_', '-')}")
    if not with_keys:
        return
    if missing := [variable for variable in tracker.required if not os.environ.get(variable)]:
        raise UserError(f"{setting}: the tracker {name} needs the environment variable {missing[0]}")
    if name == "wandb" and not _has_wandb_key():
        raise UserError(
            f"{setting}: the tracker wandb has no key: run `wandb login`, or set WANDB_API_KEY, or set WANDB_MODE=offline"
        )
    if name == "swanlab" and not _has_swanlab_key():
        raise UserError(
            f"{setting}: the tracker swanlab has no key: run `swanlab login`, or set SWANLAB_API_KEY, or set "
            "SWANLAB_MODE=offline"
        )


def _has_swanlab_key() -> bool:
    """True if SwanLab starts without asking for a key: it has one, or it sends nothing."""
    if os.environ.get("SWANLAB_MODE") in ("offline", "local", "disabled") or os.environ.get("SWANLAB_API_KEY"):
        return True
    folder = os.environ.get("SWANLAB_ROOT") or os.environ.get("SWANLAB_SAVE_DIR") or "~/.swanlab"
    return any(file.is_file() for file in (disk.expanded(folder) / ".netrc", Path(".swanlab/.netrc")))


def _has_wandb_key() -> bool:
    """True if wandb starts without asking for a key: it has one, or it sends nothing."""
    variables = ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")
    if os.environ.get("WANDB_MODE") in ("offline", "disabled", "dryrun") or any(map(os.environ.get, variables)):
        return True
    folder = disk.expanded(os.environ.get("WANDB_CONFIG_DIR") or "~/.config/wandb")
    if any(file.is_file() for file in (folder / "settings", Path("wandb/settings"))):  # it may contain a mode, key or address
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai").netloc
    for file in filter(None, (os.environ.get("NETRC"), "~/.netrc", "~/_netrc")):
        with contextlib.suppress(OSError, netrc.NetrcParseError):
            if netrc.netrc(str(disk.expanded(file))).authenticators(host):
                return True
    return False


def _check_checkpoints(config: "DictConfig") -> None:
    """Checks what verl stores and from what it resumes."""
    saved = config.actor_rollout_ref.actor.checkpoint.save_contents or []
    needed = SAVED[:-1] if config.actor_rollout_ref.model.lora_rank else SAVED
    if missing := [part for part in needed if part not in saved]:
        raise UserError(
            f"verl: {ACTOR}.checkpoint.save_contents: expected all of {', '.join(needed)}, got {list(saved)} without "
            f"{missing[0]}; the stage needs it to resume and to write its policy"
        )
    mode, path = config.trainer.resume_mode, config.trainer.get("resume_from_path")
    _one_of("trainer.resume_mode", mode, RESUME_MODES)
    if mode == "resume_path" and "global_step_" not in str(path):
        raise UserError(f"verl: trainer.resume_from_path: expected a folder global_step_N of a checkpoint, got {path!r}")


def _check_sizes(config: "DictConfig") -> None:
    """Checks sizes of batches and of groups of GPUs, with verl's own arithmetic."""
    actor, rollout, trainer = config.actor_rollout_ref.actor, config.actor_rollout_ref.rollout, config.trainer
    for part, settings, sizes in (
        (ACTOR, actor, ("ppo_mini_batch_size", "ulysses_sequence_parallel_size")),
        (ROLLOUT, rollout, ("n", "tensor_model_parallel_size", "data_parallel_size", "pipeline_model_parallel_size")),
    ):
        for name in sizes:
            if not isinstance(size := settings.get(name, 1), int) or size < 1:
                raise UserError(f"verl: {part}.{name}: expected a whole number of at least 1, got {size!r}")
    gpus = trainer.n_gpus_per_node * trainer.nnodes
    sampling = rollout.n_gpus_per_node * rollout.nnodes if rollout.nnodes else gpus
    copies = rollout.tensor_model_parallel_size * rollout.data_parallel_size * rollout.pipeline_model_parallel_size
    if sampling % copies:
        raise UserError(
            f"verl: {ROLLOUT}: tensor_model_parallel_size x data_parallel_size x pipeline_model_parallel_size = {copies} does "
            f"not divide the number of GPUs that sample, {sampling}"
        )
    if actor.strategy not in ("fsdp", "fsdp2") or gpus % actor.ulysses_sequence_parallel_size:
        return
    parallel = gpus // actor.ulysses_sequence_parallel_size
    batch = actor.ppo_mini_batch_size * rollout.n
    product = f"{ACTOR}.ppo_mini_batch_size x samples = {actor.ppo_mini_batch_size} x {rollout.n} = {batch}"
    if batch % parallel:
        raise UserError(f"verl: {product} samples per update cannot be split evenly over {parallel} data-parallel GPUs")
    samples = config.data.train_batch_size * rollout.n
    multiple = math.lcm(parallel, batch)
    if trainer.balance_batch:
        samples = math.ceil(samples / multiple) * multiple  # verl adds samples without a loss
    elif samples % batch:
        raise UserError(f"verl: {product} samples per update do not divide the {samples} samples of a step")
    for name, whole, micro, dynamic in (
        (f"{ACTOR}.ppo_micro_batch_size_per_gpu", batch, actor.ppo_micro_batch_size_per_gpu, actor.use_dynamic_bsz),
        (
            *(f"{ROLLOUT}.log_prob_micro_batch_size_per_gpu", samples),
            *(rollout.log_prob_micro_batch_size_per_gpu, rollout.log_prob_use_dynamic_bsz),
        ),
    ):
        if not dynamic and micro and (whole // parallel) % micro:
            raise UserError(
                f"verl: {name}={micro} does not divide the {whole // parallel} samples of a GPU ({product}); set "
                "micro_batch_size"
            )


def _one_of(name: str, value: object, choices: Collection[str], setting: str = "") -> None:
    """Raises an error if a value is not one of the choices. The error names the stage's own `setting`, if given, not verl's."""
    if value not in choices:
        raise UserError(f"{setting or f'verl: {name}'}: unknown value {value!r}; use one of {', '.join(choices)}")


@contextlib.contextmanager
def _named(name: str, message: str = "") -> Iterator[None]:
    """Turns an error of verl's code into one line that names the setting."""
    try:
        yield
    except Exception as error:
        raise UserError(f"verl: {name}: {message or reason(error)}") from None


def reason(error: Exception) -> str:
    """Returns the text of an error of verl's code as one line, without Hydra's text about a constructor that failed."""
    inner = error.__cause__
    text = str(inner) if inner is not None and str(inner) else str(error)
    return " ".join(text.split())[:400] or type(error).__name__
