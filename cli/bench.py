"""`tenfold bench`: scores a policy on benchmark tasks."""

import argparse
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import disk
from ..core import Policy, SamplingIncomplete, UserError
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
        help="names of tasks and suites, such as aime24_avg64, lm_eval:mmlu, paper; without names the tasks are listed; "
        "`rescore FOLDER` judges the samples in a folder again, without a policy; `compare FOLDER` compares its results with "
        "published scores, `compare FOLDER FOLDER` compares two runs",
    )
    command.add_argument("--list", action="store_true", help="list the tasks")
    command.add_argument("--policy", help="URI of the policy; see `tenfold --help`")
    command.add_argument("--limit", type=options.positive, help="number of problems for each task (default: all)")
    command.add_argument("--problems", help="problem URI instead of the task's own, such as jsonl:FILE")
    command.add_argument("--data", help="folder with the tasks' files (default: download from the Hugging Face hub)")
    command.add_argument(
        "--samples", type=options.positive, metavar="K", help="samples for each problem (default: the task's own)"
    )
    command.add_argument("--temperature", type=float, help="default: the task's own setting, 0.6 for most tasks")
    command.add_argument("--top-p", type=float, help="default: the task's own setting, 0.95 for most tasks")
    command.add_argument(
        "--max-tokens",
        type=options.positive,
        help="token limit of a sample (default: the task's own setting, 65536 for most tasks)",
    )
    command.add_argument(
        "--judge", help="URI of the policy that judges Arena-Hard, WritingBench and MultiChallenge; without it they are not run"
    )
    command.add_argument(
        "--trust",
        action="store_true",
        help="with rescore: allow the results to name code outside tenfold, such as a source of problems",
    )
    command.add_argument("--against", metavar="MODEL", help="with compare: only published scores of this model")
    command.add_argument("--baseline", help="comma-separated files with the baseline's responses for Arena-Hard")
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
    tasks = catalogue.expand(arguments.tasks)
    if not arguments.policy:
        raise UserError("--policy is missing: give the URI of a policy; see `tenfold --help`")
    task_options = Options(**{name: getattr(arguments, name) for name in Options.__slots__})
    not_run = evaluate.not_runnable(tasks, task_options)
    policy, display = load_policy(arguments.policy), Display()
    out = arguments.out or "bench/" + re.sub(r"[^A-Za-z0-9.-]+", "_", arguments.policy)
    with disk.locked(out):
        _tasks(arguments.policy, policy, tasks, task_options, not_run, out, display)


def _tasks(
    uri: str,
    policy: Policy,
    tasks: "Sequence[catalogue.TaskRequest]",
    task_options: "Options",
    not_run: dict[str, str],
    out: str,
    display: "Display",
) -> None:
    """Runs the tasks that have all they need, and prints their results.

    Args:
        uri: URI of the policy.
        policy: the loaded policy.
        tasks: the tasks of the command line.
        task_options: options that override those of the tasks.
        not_run: reasons why tasks cannot run, by name; reasons of tasks that fail are added.
        out: folder for samples and scores.
        display: shows the progress.
    """
    from ..benchmarks import evaluate
    from ..benchmarks.report import page, table
    from ..policies.identity import policy_identity

    results = []
    for task in tasks:
        if task.name in not_run:
            continue
        try:
            with display.stage(task.name) as progress:
                store_settings = policy_identity(uri)
                result = evaluate.run_task(
                    task.name, policy, task_options, store_settings=store_settings, folder=out, progress=progress
                )
        except UserError as error:
            if len(tasks) == 1 or isinstance(error, SamplingIncomplete):
                raise
            not_run[task.name] = str(error)
            continue
        results.append(result)
        print(table.line(result))
    if not results:
        raise UserError("no task was run; " + "; ".join(f"{name}: {reason}" for name, reason in not_run.items()))
    display.console.print(table.results(results))
    for name, reason in not_run.items():
        print(f"{name}: not run: {reason}")
    for result in results:
        if result.score.without_score:
            refused = f", {result.refused} of them refused by the server" if result.refused else ""
            print(
                f"{result.task}: {result.score.without_score} samples have no score and are left out{refused}", file=sys.stderr
            )
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
    """Compares results with published scores, or two runs with each other."""
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
        raise UserError(f"{', '.join(folders)}: no result of a task with published scores")
    console.print(table.compared(rows))
    print(table.cautions(rows))
    for folder in folders:
        print(f"page: {page.write(folder)}")
