"""`tenfold run`: runs a recipe."""

import argparse
from typing import TYPE_CHECKING

from .options import Commands

if TYPE_CHECKING:
    from ..pipelines.recipe.recipe import Recipe


def add(commands: Commands) -> None:
    """Adds the command and its options."""
    command = commands.add_parser("run", help="run a recipe, or go on with one that was stopped")
    command.add_argument("recipe", help="a YAML file, or one of the package's: quickstart, three_stages, nanbeige4-3b, ...")
    command.add_argument("--out", help="the run's folder (default: runs/NAME); the same folder goes on where it stopped")
    command.add_argument(
        "--cluster",
        help="what to run on, instead of the recipe's: a YAML file, or one of the package's (one_gpu, one_node, several_nodes)",
    )
    command.add_argument("--policy", help="the policy to start from, instead of the recipe's; see `tenfold --help`")
    command.add_argument("--seed", type=int, help="instead of the recipe's")
    command.add_argument("--quiet", action="store_true", help="show nothing")
    command.add_argument(
        "--trust", action="store_true", help="the recipe may run code that is not tenfold's, say of its modules; is remembered"
    )
    command.add_argument(
        "--dry-run",
        action="store_true",
        help="say what it would do and cost, and all that verl is told; imports none of the recipe's modules",
    )
    command.set_defaults(call=run, command="run")


def run(arguments: argparse.Namespace) -> None:
    """Runs a recipe."""
    from ..pipelines.recipe import recipe, runner, trust

    changes = {name: getattr(arguments, name) for name in ("cluster", "policy", "seed")}
    read = recipe.load(arguments.recipe, **{name: value for name, value in changes.items() if value is not None})
    if arguments.dry_run:
        return _dry_run(read, arguments.out, arguments.trust)
    trusted = arguments.trust or trust.ask(read)
    if arguments.trust:
        trust.remember(read)
    runner.run(read, arguments.out, quiet=arguments.quiet, trust=trusted)


def _dry_run(given: "Recipe", out: str | None, trusted: bool) -> None:
    """Says what a recipe would do; imports none of its modules, unless it is trusted."""
    from ..pipelines.pretrain import supply
    from ..pipelines.recipe import dry_run, runner, trust
    from ..pipelines.recipe.report import Display

    folder = runner.folder_of(given, out)
    not_seen: list[str] = []
    with trust.limited(given, folder, trusted=trusted, dry=True):
        read = runner.prepare(given, folder, not_seen)
        Display().console.print(dry_run.costs(read, folder))
        for needed in supply.check(read.stages, read.policy, folder):
            print(needed.line())
        for line in dry_run.verl_settings(read, folder):
            print(line)
    for line in [*(f"runs code, once you trust it: {reason}" for reason in trust.trust_reasons(given)), *not_seen]:
        print(line)
