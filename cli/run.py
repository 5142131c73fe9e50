"""`tenfold run`: runs a recipe."""

import argparse
from typing import TYPE_CHECKING, Any

from ..core import UserError
from . import options
from .options import Commands

if TYPE_CHECKING:
    from ..pipelines.recipe.plan import Selection
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
    command.add_argument(
        "--set",
        dest="settings",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="setting of a stage (grpo.steps=100) or of the recipe (cluster.device=cpu), instead of the recipe's; the value is "
        "a YAML scalar or list; may be repeated",
    )
    command.add_argument("--seeds", help="base seeds of a sweep, such as 1,2,3: one run for each, and a table with intervals")
    command.add_argument(
        "--sweep",
        metavar="NAME=VALUES",
        action="append",
        default=[],
        help="values of a setting of a sweep (grpo.learning_rate=1e-5,1e-4): one run for each combination; may be repeated",
    )
    command.add_argument(
        "--jobs", type=int, default=1, help="runs of a sweep at the same time, on this machine or on a Ray cluster (default: 1)"
    )
    command.add_argument(
        "--only",
        metavar="STAGE",
        action="append",
        default=[],
        help="run only this stage; the stages that it reads from must be finished; may be repeated, or several names separated "
        "by commas",
    )
    command.add_argument(
        "--from", dest="from_", metavar="STAGE", help="run this stage and later ones; earlier ones must be finished"
    )
    command.add_argument("--until", metavar="STAGE", help="run no stage after this one")
    command.add_argument(
        "--inexact",
        action="store_true",
        help="extend a stage by further steps even if its result will differ from that of a new run; without this option, an "
        "error then says why it differs",
    )
    command.add_argument(
        "--show", metavar="N", type=options.positive, help="print the N best and the N worst samples of each GRPO step"
    )
    command.add_argument("--quiet", action="store_true", help="print nothing except errors")
    command.add_argument(
        "--trust",
        action="store_true",
        help="trust the recipe to run code outside tenfold, such as its modules; a run remembers this, a dry run does not",
    )
    command.add_argument(
        "--dry-run",
        action="store_true",
        help="check the recipe, and print its cost, without running: tokens, hours on GPUs, memory, disk space; writes "
        "nothing, and imports the recipe's modules only with --trust",
    )
    command.add_argument("--show-verl", action="store_true", help="with --dry-run: print all settings of verl, too")
    command.set_defaults(call=run, command="run")


def run(arguments: argparse.Namespace) -> None:
    """Runs a recipe."""
    from ..pipelines.recipe import plan, recipe, runner, trust
    from ..pipelines.recipe.content import changes
    from ..pipelines.recipe.sweep import sweep

    named = {name: getattr(arguments, name) for name in ("cluster", "policy", "seed")}
    settings = {name: value for name, value in named.items() if value is not None} | changes.parse(arguments.settings)
    read = recipe.load(arguments.recipe, settings | changes.parse_sweep(arguments.seeds, arguments.sweep))
    only = [name.strip() for names in arguments.only for name in names.split(",")]
    selection = plan.Selection(only, arguments.from_, arguments.until)
    if arguments.dry_run:
        return _dry_run(read, arguments, selection)
    if arguments.show_verl:
        raise UserError("--show-verl: expected with --dry-run; add it")
    trusted = arguments.trust or trust.ask(read)
    if arguments.trust:
        trust.remember(read)
    if arguments.jobs < 1 or (arguments.jobs > 1 and not read.is_sweep):
        raise UserError("--jobs: expected 1 or more, and a sweep (--seeds, --sweep); a single run has one job")
    others: dict[str, Any] = {"selection": selection, "inexact": arguments.inexact, "quiet": arguments.quiet, "trust": trusted}
    if read.is_sweep:
        if arguments.show:
            raise UserError("--show: expected a single run, not a sweep; `tenfold show` prints samples of a finished run")
        sweep.run(read, arguments.out, jobs=arguments.jobs, **others)
    else:
        runner.run(read, arguments.out, show=arguments.show or 0, **others)


def _dry_run(unprepared: "Recipe", arguments: argparse.Namespace, selection: "Selection") -> None:
    """Prints what a recipe would do. Imports its modules only with --trust; remembered trust does not count."""
    from ..pipelines.pretrain import supply
    from ..pipelines.recipe import cost, dry_run, preparation, runner, trust
    from ..pipelines.recipe.report.display import Display
    from ..pipelines.recipe.sweep.runs import recipe_of, runs_of

    folder, trusted = runner.folder_of(unprepared, arguments.out), arguments.trust
    if unprepared.is_sweep:
        runs = runs_of(unprepared)
        prepared = [recipe_of(unprepared, each) for each in runs]
        print(f"a sweep of {len(runs)} runs: {', '.join(each.name for each in runs)}\nthe first one:")
        folder, unprepared = folder / runs[0].name, prepared[0]
    not_seen: list[str] = []
    with trust.limited(unprepared, folder, trusted=trusted, dry=True):
        plan = preparation.prepare(unprepared, folder, not_seen, selection=selection, inexact=arguments.inexact)
        read, display = plan.recipe, Display()
        display.plan(read.name, read.description, folder, plan.rows(folder))
        display.lines([*preparation.cautions(read, plan.selected, folder), *plan.stale_lines(folder)])
        machines = cost.hardware(read.cluster)
        costs = cost.stage_costs(plan, folder, machines)
        if costs:
            display.console.print(dry_run.tokens(costs, read.name))
            display.console.print(dry_run.hours(costs, machines))
        for line in dry_run.notes(costs, machines):
            print(line)
        for needed in supply.check(plan.selected_stages(), read.policy, folder):
            print(needed.line())
        for line in dry_run.bench_settings(plan, folder):
            print(line)
        for line in dry_run.check(costs, read.cluster, folder):
            print(line)
        for line in (dry_run.verl_settings if arguments.show_verl else dry_run.verl_hint)(plan, folder):
            print(line)
    needs_trust = "runs code" if trusted else "would run code if trusted"
    for line in [*(f"{needs_trust}: {reason}" for reason in trust.trust_reasons(unprepared)), *not_seen]:
        print(line)
