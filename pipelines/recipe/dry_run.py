"""What a recipe would do, and what that costs at most, without doing it."""

from collections.abc import Iterator
from pathlib import Path

from rich.table import Table

from ...core import UserError
from ..rl import verl_config
from ..rl.grpo import GRPO
from .recipe import Recipe
from .runner import with_policies


def costs(recipe: Recipe, folder: Path) -> Table:
    """A row a stage: the policy it starts from, its samples and tokens at most; "?" where an earlier stage makes the
    problems."""
    table = Table(title=f"{recipe.name}, at most", title_justify="left")
    for column in ("stage", "kind", "starts from", "samples", "tokens sampled", "tokens trained on"):
        table.add_column(column, justify="left" if column in ("stage", "kind", "starts from") else "right")
    for stage, policy in with_policies(recipe, folder):
        try:
            figures = [f"{figure:,}" if figure else "-" for figure in stage.cost()]
        except UserError:
            figures = ["?"] * 3
        table.add_row(stage.name, stage.kind, policy, *figures)
    return table


def verl_settings(recipe: Recipe, folder: Path) -> Iterator[str]:
    """Every setting that goes to verl, stage by stage, as a line each."""
    for stage, policy in with_policies(recipe, folder):
        if isinstance(stage, GRPO):
            at, cluster = folder / stage.name, recipe.cluster
            gpus = f"{cluster.nodes} x {cluster.gpus} GPUs"
            yield f"{stage.name}: verl on {'the processor' if cluster.on_cpu() else gpus}, told"
            variables = verl_config.environment(at / "metrics" / "000.jsonl", cluster)
            for line in verl_config.overrides(stage, recipe.seed_of(stage), Path(policy), at, cluster, variables):
                yield f"  {line}"
