"""What a dry run prints: the cost plan and the settings of verl."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from rich.table import Table

from ...core import UserError
from ..bench.bench import Bench
from ..cluster import Cluster
from ..rl import verl_config
from ..rl.grpo import GRPO
from ..stage import CostEstimate
from . import resources
from .cost import Hardware, StageCost
from .plan import Plan
from .preparation import with_policies

SCOPE = (
    "hours: from a model of throughput (docs/plan.md), with all samples of the largest length, and all GPUs counted while a "
    "stage runs; work of CPUs (verifiers, corpus) and servers, loading and saving are left out. Memory is that of each GPU"
)
"""What the hours contain."""


def tokens(costs: Sequence[StageCost], name: str) -> Table:
    """Returns a table with the policy, the samples and the tokens of each stage that is to run.

    Args:
        costs: the stages.
        name: name of the recipe.
    """
    table = _table(
        f"{name}: largest possible cost", 3, "stage", "kind", "starts from", "samples", "tokens sampled", "tokens trained on"
    )
    rows = [_counts(cost.estimate) if cost.estimate else (None, None, None) for cost in costs]
    for cost, numbers in zip(costs, rows, strict=True):
        cells = (_cell(number, _count, cost.is_partly_unknown) for number in numbers)
        table.add_row(cost.stage.name, cost.stage.kind, cost.policy, *cells)
    if len(costs) > 1:
        partly = any(cost.is_partly_unknown for cost in costs)
        table.add_section()
        table.add_row("total", "", "", *(_total(column, _count, partly) for column in zip(*rows, strict=True)))
    return table


def hours(costs: Sequence[StageCost], machines: Hardware | None) -> Table:
    """Returns a table with the hours on GPUs, the memory and the disk space of each stage that is to run.

    Args:
        costs: the stages.
        machines: the GPUs; None for a CPU.
    """
    timed = ("GPU hours", "hours") if machines else ()
    spaces = ("weights, optimizer", "activations, cache", "disk", "disk, for a time")
    table = _table(_title(machines), 1, "stage", *timed, *spaces)
    many = (machines.cluster.world, 1) if machines else ()
    for cost in costs:
        partly = cost.is_partly_unknown
        unknown_memory = cost.memory is None and (cost.seconds is None or partly)
        memory = cost.memory or ((None, None) if unknown_memory else (0, 0))
        table.add_row(
            cost.stage.name,
            *(_cell(cost.seconds and cost.seconds * gpus / 3600, _hours, partly) for gpus in many),
            *(_cell(size, resources.in_units) for size in memory),
            _cell(cost.kept, resources.in_units, partly),
            _cell(cost.disk.temporary, resources.in_units),
        )
    if len(costs) > 1:
        partly = any(cost.is_partly_unknown for cost in costs)
        seconds, kept = [cost.seconds for cost in costs], [cost.kept for cost in costs]
        times = (_total([each and each * gpus / 3600 for each in seconds], _hours, partly) for gpus in many)
        table.add_section()
        table.add_row("total", *times, "", "", _total(kept, resources.in_units, partly), "")
    return table


def notes(costs: Sequence[StageCost], machines: Hardware | None) -> Iterator[str]:
    """Yields lines on what is unknown or assumed, and on stages that need more memory than the GPUs have.

    Args:
        costs: the stages.
        machines: the GPUs; None for a CPU.
    """
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
        # Without GPUs here, the run is planned for other machines, and perhaps for another disk.
        yield resources.disk_line([cost.disk for cost in costs], folder, must_fit=cluster.is_here())


def bench_settings(plan: Plan, folder: Path) -> Iterator[str]:
    """Yields a line on the sampling of each task of the bench stages that are to run."""
    names = plan.names_to_run(folder)
    for stage in plan.selected_stages():
        if isinstance(stage, Bench) and stage.name in names:
            with contextlib.suppress(UserError):  # it names an environment that is not known here, or an earlier stage's file
                yield from (f"{stage.name}: {line}" for line in stage.sampling_lines())


def verl_settings(plan: Plan, folder: Path) -> Iterator[str]:
    """Yields each setting of verl as a line, for each stage that is to run."""
    for stage, policy in _with_verl(plan, folder):
        at, cluster = folder / stage.name, plan.recipe.cluster
        gpus = f"{cluster.nodes} x {cluster.gpus} GPUs"
        yield f"{stage.name}: verl on {'the CPU' if cluster.on_cpu() else gpus}, with"
        variables = verl_config.environment(at / "metrics" / "000.jsonl", cluster, stage.max_staleness)
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


def _title(machines: Hardware | None) -> str:
    if machines is None:
        return f"on the CPU, with {resources.in_units(resources.main_memory())} of memory"
    return f"on {machines.cluster.nodes} x {machines.cluster.gpus} GPUs ({machines.name}, {machines.source})"


def _table(title: str, left: int, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        overflow: Literal["ellipsis", "fold"] = "ellipsis" if 0 < number < left else "fold"  # names and numbers stay whole
        table.add_column(column, justify="left" if number < left else "right", overflow=overflow)
    return table


def _cell(number: float | None, as_text: Callable[[float], str], partly: bool = False) -> str:
    """Returns a number as text: "?" if it is unknown, "-" if it is 0, with "+ ?" if only a part is known."""
    if number is None:
        return "?"
    if not number:
        return "?" if partly else "-"
    return as_text(number) + (" + ?" if partly else "")


def _total(numbers: Sequence[float | None], as_text: Callable[[float], str], partly: bool) -> str:
    """Returns the sum of the numbers that are known as text."""
    known = [number for number in numbers if number is not None]
    return _cell(sum(known), as_text, partly or len(known) < len(numbers))


def _counts(estimate: CostEstimate) -> tuple[int, int, int]:
    return estimate.samples, estimate.generated_tokens, estimate.trained_tokens


def _count(number: float) -> str:
    return f"{number:,.0f}" if number < 1e7 else f"{number / 1e6:,.0f} M"


def _hours(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"
