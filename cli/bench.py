"""`tenfold bench`: scores a policy on benchmark tasks."""

import argparse
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import disk
from ..core import Incomplete, Policy, UserError
from . import options
from .options import Commands

if TYPE_CHECKING:
    from ..benchmarks import catalogue
    from ..benchmarks.result import Options
    from ..pipelines.recipe.report import Display


def add(commands: Commands) -> None:
    """Adds the command and its options."""
    command = commands.add_parser("bench", help="score a policy on benchmark tasks, as avg@k with a 95%% interval")
    command.add_argument(
        "tasks",
        nargs="*",
        metavar="TASK",
        help="names of tasks and suites, as in aime24_avg64, lm_eval:mmlu, paper; none lists them; "
        "`rescore FOLDER` judges the samples in a folder again, without a policy; `compare FOLDER` sets its results beside "
        "reported figures, `compare FOLDER FOLDER` two runs side by side",
    )
    command.add_argument("--list", action="store_true", help="list the tasks")
    command.add_argument("--policy", help="who answers; see `tenfold --help`")
    command.add_argument("--limit", type=options.positive, help="only so many problems a task")
    command.add_argument("--problems", help="problem URI instead of the task's own, say jsonl:FILE")
    command.add_argument("--data", help="folder with the tasks' files, where the hub is not to be asked")
    command.add_argument("--samples", type=options.positive, metavar="K", help="samples a problem (default: the task's own)")
    command.add_argument("--temperature", type=float, help="default: the task's own, 0.6")
    command.add_argument("--top-p", type=float, help="default: the task's own, 0.95")
    command.add_argument("--max-tokens", type=options.positive, help="longest sample (default: the task's own, 65536)")
    command.add_argument(
        "--judge", help="policy that judges Arena-Hard, WritingBench and MultiChallenge; without it they are not run"
    )
    command.add_argument(
        "--trust", action="store_true", help="with rescore: the results may name code that is not tenfold's, say their problems"
    )
    command.add_argument("--against", metavar="MODEL", help="with compare: only the figures of this model")
    command.add_argument("--baseline", help="files of the baseline's answers for Arena-Hard, with commas between")
    command.add_argument("--seed", type=int, default=0, help="base seed (default: %(default)s)")
    command.add_argument("--out", help="folder for samples and scores (default: bench/POLICY)")
    command.set_defaults(call=run, command="bench")


def run(arguments: argparse.Namespace) -> None:
    """Scores a policy on benchmark tasks."""
    from ..benchmarks import catalogue, evaluate
    from ..benchmarks.report import table
    from ..benchmarks.result import Options
    from ..pipelines.recipe.report import Display
    from ..policies import load_policy

    if arguments.tasks[:1] == ["rescore"]:
        return _rescore(arguments.tasks[1:], arguments.trust)
    if arguments.tasks[:1] == ["compare"]:
        return _compare(arguments.tasks[1:], arguments.against)
    if arguments.list or not arguments.tasks:
        print(table.tasks())
        return
    asked = catalogue.expand(arguments.tasks)
    if not arguments.policy:
        raise UserError("say who answers, with --policy")
    given = Options(**{name: getattr(arguments, name) for name in Options.__slots__})
    lacking = evaluate.not_runnable(asked, given)
    policy, display = load_policy(arguments.policy), Display()
    out = arguments.out or "bench/" + re.sub(r"[^A-Za-z0-9.-]+", "_", arguments.policy)
    with disk.held(out):
        _tasks(arguments.policy, policy, asked, given, lacking, out, display)


def _tasks(
    uri: str,
    policy: Policy,
    asked: "Sequence[catalogue.TaskRequest]",
    given: "Options",
    lacking: dict[str, str],
    out: str,
    display: "Display",
) -> None:
    """Runs the tasks that lack nothing, and shows what they came to."""
    from ..benchmarks import evaluate
    from ..benchmarks.report import page, table
    from ..policies.identity import who

    found = []
    for task in asked:
        if task.name in lacking:
            continue
        try:
            with display.stage(task.name) as progress:
                made_with = who(uri)
                found.append(evaluate.run_task(task.name, policy, given, made_with=made_with, folder=out, progress=progress))
        except UserError as error:
            if len(asked) == 1 or isinstance(error, Incomplete):
                raise
            lacking[task.name] = str(error)
            continue
        print(table.line(found[-1]))
    if not found:
        raise UserError("nothing was run; " + "; ".join(f"{name}: {lacks}" for name, lacks in lacking.items()))
    display.console.print(table.results(found))
    for name, lacks in lacking.items():
        print(f"{name}: not run: {lacks}")
    for result in found:
        if result.score.faults:
            refused = f", {result.refused} of them refused by the server" if result.refused else ""
            print(f"{result.task}: {result.score.faults} samples have no verdict and are left out{refused}", file=sys.stderr)
    print(f"page: {page.write(out)}")


def _rescore(folders: Sequence[str], trust: bool) -> None:
    """Judges stored samples again."""
    from ..benchmarks import rescore
    from ..benchmarks.report import page, table
    from ..pipelines.recipe.report import Display

    display = Display()
    for folder in folders or ["."]:
        with display.stage(f"rescore {folder}") as progress:
            changed = rescore.rescore(folder, progress, trust=trust)
        display.console.print(table.rescored(changed))
        print(f"page: {page.write(folder)}")


def _compare(folders: Sequence[str], model: str | None) -> None:
    """Sets results beside reported figures, or two runs beside each other."""
    from ..benchmarks.report import compare, page, table
    from ..benchmarks.result import results
    from ..pipelines.recipe.report import Display

    console = Display().console
    if len(folders) == 2:
        console.print(table.paired(compare.paired(*folders)))
        return
    folders = folders or ["."]
    rows = compare.compare([result for folder in folders for result in results(folder)], model)
    if not rows:
        raise UserError(f"{', '.join(folders)}: no result of a task that anybody reports")
    console.print(table.compared(rows))
    print(table.cautions(rows))
    for folder in folders:
        print(f"page: {page.write(folder)}")
