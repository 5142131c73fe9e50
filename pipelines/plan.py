"""What a recipe would do, and what that costs at most, without doing it."""

from collections.abc import Iterator
from pathlib import Path

from rich.table import Table

from . import recipe as recipes
from .rl import verl_config
from .rl.verl_config import GRPO


def costs(recipe: recipes.Recipe, folder: Path) -> Table:
    """A row a stage: the policy it starts from, its draws and tokens at most."""
    table = Table(title=f"{recipe.name}, at most", title_justify="left")
    for column in ("stage", "kind", "starts from", "draws", "tokens drawn", "tokens trained on"):
        table.add_column(column, justify="left" if column in ("stage", "kind", "starts from") else "right")
    for stage, policy in recipes.with_policies(recipe, folder):
        figures = (f"{figure:,}" if figure else "-" for figure in stage.cost())
        table.add_row(stage.name, stage.kind, policy, *figures)  # type: ignore[attr-defined]
    return table


def verl_settings(recipe: recipes.Recipe, folder: Path) -> Iterator[str]:
    """Every setting that goes to verl, stage by stage, as a line each."""
    for stage, policy in recipes.with_policies(recipe, folder):
        if isinstance(stage, GRPO):
            at = folder / stage.name
            yield f"{stage.name}: verl on {'the processor' if stage.on_cpu() else 'GPUs'}, told"
            for line in verl_config.overrides(
                stage,
                recipe.seed,
                Path(policy),
                at / "problems.parquet",
                at / "agent_loops.yaml",
                at / "checkpoints",
                stage.on_cpu(),
            ):
                yield f"  {line}"
