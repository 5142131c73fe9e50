"""Estimates of a recipe's cost and all settings of verl, without running the recipe."""

from collections.abc import Iterator
from pathlib import Path

from rich.table import Table

from ...core import UserError
from ..rl import verl_config
from ..rl.grpo import GRPO
from . import resources
from .plan import Plan
from .preparation import starting_checkpoints, waiting_stages, with_policies
from .recipe import Recipe


def costs(plan: Plan, folder: Path) -> Table:
    """Returns a table with the policy and the largest possible cost of each stage that is to run. Finished stages have no row.

    The cost is "?" if it depends on problems that an earlier stage will write.
    """
    recipe = plan.recipe
    table = Table(title=f"{recipe.name}: largest possible cost", title_justify="left")
    for column in ("stage", "kind", "starts from", "samples", "tokens sampled", "tokens trained on"):
        table.add_column(column, justify="left" if column in ("stage", "kind", "starts from") else "right")
    names = plan.names_to_run(folder)
    for stage, policy in with_policies(recipe, folder):
        if stage.name not in names:
            continue
        try:
            numbers = [f"{number:,}" if number else "-" for number in stage.cost()]
        except UserError:
            numbers = ["?"] * 3
        table.add_row(stage.name, stage.kind, policy, *numbers)
    return table


def estimates(plan: Plan, unprepared: Recipe, folder: Path) -> Iterator[str]:
    """Yields lines on the memory and the disk space that the stages to run need.

    Args:
        plan: as `preparation.prepare` returns it.
        unprepared: the recipe with references.
        folder: folder of the run.

    Raises:
        UserError: the machine has too little memory or disk space.
    """
    recipe = plan.recipe
    starts = starting_checkpoints(recipe, folder, waiting_stages(unprepared, folder))
    yield from resources.lines(recipe, folder, starts, plan.names_to_run(folder))


def verl_settings(plan: Plan, folder: Path) -> Iterator[str]:
    """Yields each setting of verl as a line, for each stage that is to run."""
    recipe, names = plan.recipe, plan.names_to_run(folder)
    for stage, policy in with_policies(recipe, folder):
        if isinstance(stage, GRPO) and stage.name in names:
            at, cluster = folder / stage.name, recipe.cluster
            gpus = f"{cluster.nodes} x {cluster.gpus} GPUs"
            yield f"{stage.name}: verl on {'the CPU' if cluster.on_cpu() else gpus}, with"
            variables = verl_config.environment(at / "metrics" / "000.jsonl", cluster)
            for line in verl_config.overrides(stage, recipe.seed_of(stage), Path(policy), at, cluster, variables):
                yield f"  {line}"
