"""`tenfold run`: runs a recipe."""

import argparse
from typing import TYPE_CHECKING

from .options import Commands

if TYPE_CHECKING:
    from ..pipelines.recipe.recipe import Recipe


def add(commands: Commands) -> None:
    """Adds the command and its options."""
    command = commands.add_parser("run", help="run a recipe, or resume a run that was stopped")
    command.add_argument(
        "recipe", help="a YAML file, or the name of a recipe of the package: quickstart, three_stages, nanbeige4-3b, ..."
    )
    command.add_argument("--out", help="folder of the run (default: runs/NAME); an existing run is resumed")
    command.add_argument(
        "--cluster",
        help="machines to run on, instead of the recipe's: a YAML file, or a name (one_gpu, one_node, several_nodes)",
    )
    command.add_argument("--policy", help="URI of the initial policy, instead of the recipe's; see `tenfold --help`")
    command.add_argument("--seed", type=int, help="base seed, instead of the recipe's")
    command.add_argument("--quiet", action="store_true", help="print nothing except errors")
    command.add_argument(
        "--trust",
        action="store_true",
        help="trust the recipe to run code outside tenfold, such as its modules; this is remembered",
    )
    command.add_argument(
        "--dry-run",
        action="store_true",
        help="check the recipe, and print its cost and verl's settings, without running; imports the recipe's modules only "
        "with --trust",
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


def _dry_run(unprepared: "Recipe", out: str | None, trusted: bool) -> None:
    """Prints what a recipe would do. Imports its modules only if `trusted`; remembered trust does not count."""
    from ..pipelines.pretrain import supply
    from ..pipelines.recipe import dry_run, runner, trust
    from ..pipelines.recipe.report import Display

    folder = runner.folder_of(unprepared, out)
    not_seen: list[str] = []
    with trust.limited(unprepared, folder, trusted=trusted, dry=True):
        read = runner.prepare(unprepared, folder, not_seen)
        Display().console.print(dry_run.costs(read, folder))
        for needed in supply.check(read.stages, read.policy, folder):
            print(needed.line())
        for line in dry_run.estimates(read, unprepared, folder):
            print(line)
        for line in dry_run.verl_settings(read, folder):
            print(line)
    needs_trust = "runs code" if trusted else "would run code if trusted"
    for line in [*(f"{needs_trust}: {reason}" for reason in trust.trust_reasons(unprepared)), *not_seen]:
        print(line)
