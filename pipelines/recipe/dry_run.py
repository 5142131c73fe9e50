"""What a dry run prints: the cost plan and the settings of verl."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from rich.table import Table

from ..cluster import Cluster
from ..rl import verl_config
from ..rl.grpo import GRPO
from . import resources
from .cost import Hardware, StageCost, hardware
from .plan import Plan
from .preparation import with_policies

SCOPE = (
    "hours: all GPUs of the cluster are counted while a stage runs, with all samples of the largest length; work of CPUs (verifiers, "
    "corpus), servers, loading and saving are left out; see docs/plan.md"
)


def tokens(costs: Sequence[StageCost], name: str) -> Table:
    """Returns a table with the policy, the samples and the tokens of each stage that is to run.

    Args:
        costs: the stages.
        name: name of the recipe.
    """
    table = _table(f"{name}: largest possible cost", 3, "stage", "kind", "starts from", "samples", "tokens sampled", "tokens trained on")
    for cost in costs:
        numbers = cost.estimate[:3] if cost.estimate else (None,) * 3
        partly = bool(cost.estimate and cost.estimate.unknown)
        table.add_row(cost.stage.name, cost.stage.kind, cost.policy, *(_cell(number, _count, partly) for number in numbers))
    if len(costs) > 1:
        partly = any(cost.estimate is None or cost.estimate.unknown for cost in costs)
        sums = (sum(cost.estimate[column] for cost in costs if cost.estimate) for column in range(3))
        table.add_section()
        table.add_row("total", "", "", *(_cell(number, _count, partly) for number in sums))
    return table


def hours(costs: Sequence[StageCost], cluster: Cluster) -> Table:
    """Returns a table with the hours on GPUs, the memory and the disk space of each stage that is to run.

    Args:
        costs: the stages.
        cluster: the machines.
    """
    machines = hardware(cluster)
    timed = ("GPU hours", "hours") if machines else ()
    table = _table(_title(cluster, machines), 1, "stage", *timed, "weights, optimizer", "activations, cache", "disk", "disk, temporary")
    world = cluster.world
    for cost in costs:
        partly = bool(cost.estimate and cost.estimate.unknown)
        times = [] if not timed else [_cell(cost.seconds and cost.seconds * many / 3600, _hours, partly) for many in (world, 1)]
        unknown_memory = cost.estimate is None or (cost.memory is None and cost.seconds is None)
        memory = cost.memory or ((None, None) if unknown_memory else (0, 0))
        kept = None if cost.written is None else cost.disk.kept + cost.written
        table.add_row(
            cost.stage.name,
            *times,
            *(_cell(size, resources.in_units) for size in memory),
            _cell(kept, resources.in_units),
            _cell(cost.disk.temporary, resources.in_units),
        )
    if len(costs) > 1:
        seconds = sum(cost.seconds or 0 for cost in costs)
        partly = any(cost.seconds is None or cost.estimate is None or cost.estimate.unknown for cost in costs)
        table.add_section()
        table.add_row(
            "total",
            *([_cell(seconds * many / 3600, _hours, partly) for many in (world, 1)] if timed else []),
            "",
            "",
            _cell(
                sum(cost.disk.kept + (cost.written or 0) for cost in costs),
                resources.in_units,
                any(cost.written is None for cost in costs),
            ),
            "",
        )
    return table


def notes(costs: Sequence[StageCost], cluster: Cluster) -> Iterator[str]:
    """Yields lines on what is unknown or assumed, on stages that need more memory than there is, and on the disk.

    Args:
        costs: the stages.
        cluster: the machines.
    """
    machines = hardware(cluster)
    if machines:
        yield SCOPE
    named: dict[str, list[str]] = {}
    for cost in costs:
        for note in cost.notes:
            named.setdefault(note, []).append(cost.stage.name)
    for note, names in named.items():
        yield f"{', '.join(names)}: {note}"
    for cost in costs:
        if machines and cost.memory and sum(cost.memory) > machines.gpu.memory:
            yield (
                f"{cost.stage.name}: caution: up to {resources.in_units(sum(cost.memory))} on each GPU, more than the "
                f"{resources.in_units(machines.gpu.memory)} of {machines.name}, if all texts have the largest length"
            )


def check(costs: Sequence[StageCost], cluster: Cluster, folder: Path) -> Iterator[str]:
    """Yields a line on the disk space of policies and checkpoints, if there are any.

    Args:
        costs: the stages.
        cluster: the machines.
        folder: folder of the run.

    Raises:
        UserError: the disk has too little space, or a model with its optimizer does not fit into this machine's memory.
    """
    for cost in costs:
        if cluster.on_cpu() and cost.memory:
            resources.check_memory(cost.stage.name, cost.memory)
    if any(cost.disk.kept for cost in costs):
        yield resources.disk_line([cost.disk for cost in costs], folder)


def verl_settings(plan: Plan, folder: Path) -> Iterator[str]:
    """Yields each setting of verl as a line, for each stage that is to run."""
    for stage, policy in _with_verl(plan, folder):
        at, cluster = folder / stage.name, plan.recipe.cluster
        gpus = f"{cluster.nodes} x {cluster.gpus} GPUs"
        yield f"{stage.name}: verl on {'the CPU' if cluster.on_cpu() else gpus}, with"
        variables = verl_config.environment(at / "metrics" / "000.jsonl", cluster)
        for line in verl_config.overrides(stage, plan.recipe.seed_of(stage), Path(policy), at, cluster, variables):
            yield f"  {line}"


def verl_hint(plan: Plan, folder: Path) -> Iterator[str]:
    """Yields a line on how to see the settings of verl, if a stage that is to run uses it."""
    if names := [stage.name for stage, _ in _with_verl(plan, folder)]:
        yield f"{', '.join(names)}: --show-verl prints the settings of verl"


def _with_verl(plan: Plan, folder: Path) -> Iterator[tuple[GRPO, str]]:
    names = plan.names_to_run(folder)
    for stage, policy in with_policies(plan.recipe, folder):
        if isinstance(stage, GRPO) and stage.name in names:
            yield stage, policy


def _title(cluster: Cluster, machines: Hardware | None) -> str:
    if machines is None:
        return f"main memory (this machine has {resources.in_units(resources.main_memory())}) and disk space"
    return f"on {cluster.nodes} x {cluster.gpus} GPUs {machines.name} ({machines.source}); memory of each GPU"


def _table(title: str, left: int, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number < left else "right")
    return table


def _cell(number: float | None, as_text: Callable[[float], str], partly: bool = False) -> str:
    """Returns a number as text: "?" if it is unknown, "-" if it is 0, with "+ ?" if only a part is known."""
    if number is None:
        return "?"
    if not number:
        return "?" if partly else "-"
    return as_text(number) + (" + ?" if partly else "")


def _count(number: float) -> str:
    return f"{number:,.0f}"


def _hours(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"
