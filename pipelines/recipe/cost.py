"""The cost plan of a dry run: samples, tokens, hours of GPUs, memory and disk space of each stage, as upper bounds."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ...core import UserError
from ...policies import checkpoints
from ...policies import identity as policies
from .. import gpus
from ..cluster import Cluster
from ..pretrain.pretrain import Pretrain
from ..rl.grpo import GRPO
from ..stage import CostEstimate, OtherPolicy, Stage
from ..trainer.empty_model import Sizes, sizes
from ..trainer.settings import Training
from . import resources, throughput
from .architectures import configuration, starts_of
from .plan import Plan
from .preparation import with_policies

PROMPT_TOKENS = 1024
"""Tokens of the prompt of a sample, if the stage sets no limit. Our assumption."""
TOKEN_BYTES = 4
"""Bytes of a sampled token in the stored text. Our assumption: English has about four characters per token."""


class Hardware(NamedTuple):
    """The GPUs of a plan."""

    cluster: Cluster
    name: str
    """Key of `gpus.GPUS`."""
    source: str
    """Where the name comes from."""

    @property
    def gpu(self) -> gpus.GPU:
        """The figures of the GPU."""
        return gpus.GPUS[self.name]


class StageCost(NamedTuple):
    """The cost of a stage. None: unknown."""

    stage: Stage
    policy: str
    """URI of the policy that the stage starts from."""
    estimate: CostEstimate | None = None
    seconds: float | None = None
    """Time on all GPUs of the cluster; 0 if the stage needs none, and on a CPU."""
    memory: resources.Memory | None = None
    """Of each GPU, or main memory on a CPU."""
    disk: resources.Disk = resources.Disk()
    """Policy, checkpoints and prepared data."""
    written: float | None = None
    """Bytes of the samples' texts and of other files."""
    notes: tuple[str, ...] = ()
    """What is unknown or assumed, and why."""

    @property
    def kept(self) -> float | None:
        """Bytes that stay on the disk; None: unknown."""
        return None if self.written is None else self.disk.kept + self.written

    @property
    def is_partly_unknown(self) -> bool:
        """True if a part of the estimate, or all of it, is unknown."""
        return self.estimate is None or bool(self.estimate.unknown)


def hardware(cluster: Cluster) -> Hardware | None:
    """Returns the GPUs of a cluster; None for a CPU."""
    if cluster.on_cpu():
        return None
    if cluster.gpu_type:
        return Hardware(cluster, cluster.gpu_type, "set by cluster.gpu_type")
    here = gpus.here()
    return Hardware(cluster, here or gpus.ASSUMED, "found here" if here else "assumed; cluster.gpu_type names another")


def stage_costs(plan: Plan, folder: Path, machines: Hardware | None) -> list[StageCost]:
    """Returns the cost of each stage that is to run, in order.

    Args:
        plan: as `preparation.prepare` returns it.
        folder: folder of the run.
        machines: the GPUs of the recipe's cluster; None for a CPU.
    """
    recipe, names, starts = plan.recipe, plan.names_to_run(folder), starts_of(plan.recipe, folder)
    found: dict[str, StageCost] = {}
    for stage, policy in with_policies(recipe, folder):
        if stage.name not in names:
            continue
        try:
            estimate = stage.cost()
        except UserError as error:
            found[stage.name] = StageCost(stage, policy, notes=(f"unknown before the run: {error}",))
            continue
        start = configuration(policy, starts) if policy else None
        seconds, notes = _seconds(stage, policy, estimate, start, starts, machines) if machines else (0.0, [])
        if estimate.unknown:
            notes.insert(0, f"unknown before the run: {estimate.unknown}")
        found[stage.name] = StageCost(
            stage,
            policy,
            estimate,
            seconds,
            _memory(stage, start, estimate, recipe.cluster, machines) if start else None,
            resources.disk_of(stage, start) if start and isinstance(stage, Training | Pretrain | GRPO) else resources.Disk(),
            _written(estimate, {(folder / name).resolve(): cost.written for name, cost in found.items()}),
            tuple(notes),
        )
    return [*found.values()]


def _memory(
    stage: Stage, start: Path, estimate: CostEstimate, cluster: Cluster, machines: Hardware | None
) -> resources.Memory | None:
    """Returns the memory of a stage that trains or, on GPUs, samples with its own policy."""
    if isinstance(stage, Training | Pretrain | GRPO):
        return resources.memory_of(stage, start, cluster)
    if not machines or estimate.samples <= sum(other.samples for other in estimate.others):
        return None
    weights = throughput.BYTES * sizes(start).parameters / cluster.tensor_parallel
    return resources.Memory(weights, cluster.gpu_memory_utilization * machines.gpu.memory - weights)


def _written(estimate: CostEstimate, earlier: Mapping[Path, float | None]) -> float | None:
    """Returns the bytes that a stage writes besides its policy and checkpoints.

    Args:
        estimate: the stage's estimate.
        earlier: these bytes of each earlier stage that is to run, by folder; None: unknown.
    """
    own = TOKEN_BYTES * estimate.generated_tokens
    if estimate.written_bytes is None:
        return None
    if not estimate.copies_of:
        return own + estimate.written_bytes
    source = Path(estimate.copies_of).resolve()
    copied = earlier[source] if source in earlier else _bytes_in(source)
    return None if copied is None else own + estimate.written_bytes * copied


def _bytes_in(folder: Path) -> float:
    """Returns the size of the files of a finished stage."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _seconds(
    stage: Stage,
    policy: str,
    estimate: CostEstimate,
    start: Path | None,
    starts: Mapping[str, str],
    machines: Hardware,
) -> tuple[float | None, list[str]]:
    """Returns the time on all GPUs, None if unknown, with notes.

    Args:
        stage: the stage.
        policy: URI of the policy that it starts from.
        estimate: what it samples and trains on.
        start: folder with the configuration of that policy; None: unknown.
        starts: see `starts_of`.
        machines: the GPUs.
    """
    cluster, gpu, others = machines.cluster, machines.gpu, estimate.others
    # With asynchronous rollouts, some GPUs sample while the others train.
    at_once = isinstance(stage, GRPO) and stage.max_staleness > 0
    samplers = cluster.model_copy(update={"gpus": cluster.rollout_gpus}) if at_once else cluster
    trainers = cluster.model_copy(update={"gpus": cluster.gpus - cluster.rollout_gpus}) if at_once else cluster
    own = OtherPolicy(
        policy,
        estimate.samples - sum(other.samples for other in others),
        estimate.generated_tokens - sum(other.generated_tokens for other in others),
        estimate.forward_tokens,
    )
    mine, notes = sizes(start) if start else None, list[str]()
    flops = seconds = 0.0
    if estimate.trained_tokens:
        if mine is None:
            return None, [f"unknown: the architecture of {policy or 'the policy'}"]
        recomputed = isinstance(stage, GRPO) or bool(getattr(stage, "gradient_checkpointing", False))
        adapter = getattr(stage, "lora", None) is not None
        flops = throughput.training_flops(
            mine, estimate.trained_tokens, estimate.training_length, recomputed=recomputed, adapter=adapter
        )
    for part in (own, *others):
        if not part.samples and not part.forward_tokens:
            continue
        if policies.without_backend(part.policy).partition(":")[0] not in checkpoints.SOURCES:
            notes.append(f"{part.samples:,} samples are of {part.policy}, whose hours are not counted")
            continue
        other = mine if part is own else _sizes(part.policy, starts)
        if other is None and mine is not None:
            notes.append(f"assumed: {part.policy}, which is not here, has as many parameters as the stage's policy")
        if (model := other or mine) is None:
            return None, [*notes, f"unknown: the architecture of {part.policy}"]
        flops += throughput.forward_flops(model, part.forward_tokens, estimate.training_length)
        together = estimate.samples_per_step / samplers.copies or estimate.samples_per_copy or throughput.MAX_SEQUENCES
        seconds += throughput.sampling_seconds(
            model,
            gpu,
            samplers,
            part.samples,
            part.generated_tokens,
            prompt=estimate.prompt_tokens or PROMPT_TOKENS,
            together=together,
        )
        if seconds == float("inf"):
            return None, [
                *notes,
                f"unknown: {part.policy} and one sample do not fit into cluster.gpu_memory_utilization="
                f"{cluster.gpu_memory_utilization:g} of {cluster.tensor_parallel} GPUs; raise it, or cluster.tensor_parallel",
            ]
    training = throughput.training_seconds(flops, gpu, trainers)
    return max(seconds, training) if at_once else seconds + training, notes


def _sizes(policy: str, starts: Mapping[str, str]) -> Sizes | None:
    folder = configuration(policy, starts)
    return sizes(folder) if folder else None
