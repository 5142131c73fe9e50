"""`tenfold bench`: scores a policy on benchmark tasks."""

import argparse
import contextlib
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from ... import disk
from ...benchmarks import environment_name
from ...core import Policy, SamplingIncomplete, UserError
from ...terminal import plain
from .. import options
from ..options import Commands
from ..task import code_limits
from . import reports

if TYPE_CHECKING:
    from ...benchmarks import catalogue
    from ...benchmarks.result import Options, Result
    from ...pipelines.recipe.report.display import Display


def add(commands: Commands) -> None:
    """Adds the command and its options."""
    command = commands.add_parser("bench", help="score a policy on benchmark tasks, as avg@k with a 95%% interval")
    command.add_argument(
        "tasks",
        nargs="*",
        metavar="TASK",
        help="names of tasks and suites, such as aime24_avg64, lm_eval:mmlu, env:lab/Units-v0, paper; without names the tasks "
        "are listed; "
        "`rescore FOLDER` judges the samples in a folder again, without a policy; `compare FOLDER` compares its results with "
        "published scores, `compare FOLDER FOLDER ...` compares folders or stages with the first; a run stands for its bench "
        "stages, so `compare RUN` compares them with its first one; "
        "`leaderboard FOLDER ...` prints policies and tasks as one table",
    )
    command.add_argument("--list", action="store_true", help="list the tasks")
    command.add_argument(
        "--task",
        dest="files",
        metavar="FILE",
        action="append",
        default=[],
        help="YAML file of a task of your own; may be repeated",
    )
    options.set_option(command, help="for env: tasks: keyword argument of the environment; may be repeated")
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
        "--top-k",
        type=options.positive,
        metavar="N",
        help="number of the most likely tokens to sample from (default: the task's own setting, all for most tasks)",
    )
    command.add_argument(
        "--max-tokens",
        type=options.positive,
        help="token limit of a sample (default: the task's own setting, 65536 for most tasks)",
    )
    command.add_argument(
        "--sampling",
        choices=("task", "model"),
        default="task",
        help="source of temperature, top_p and top_k: the task, or the checkpoint's generation_config.json "
        "(default: %(default)s)",
    )
    command.add_argument("--greedy", action="store_true", help="temperature 0 and one sample for each problem")
    command.add_argument("--system", metavar="TEXT", help="system turn before the prompts (default: the task's own)")
    command.add_argument(
        "--fewshot",
        type=options.not_negative,
        metavar="N",
        help="few-shot examples before each problem (default: the task's own)",
    )
    command.add_argument(
        "--text", action="store_true", default=None, help="prompts as plain text without a chat template, for base models"
    )
    command.add_argument(
        "--thinking",
        choices=("on", "off"),
        help="value of enable_thinking in the policy's chat template, also on a server (default: the template's own)",
    )
    command.add_argument(
        "--max-turns", type=options.positive, help="for env: tasks: limit of the policy's turns in an episode (default: 16)"
    )
    command.add_argument(
        "--judge",
        help="URI of the policy that judges Arena-Hard, WritingBench, MultiChallenge and Humanity's Last Exam; without it they "
        "are not run",
    )
    command.add_argument(
        "--trust",
        action="store_true",
        help="allow task files (with rescore: results) to name code outside tenfold, such as a verifier",
    )
    command.add_argument("--against", metavar="MODEL", help="with compare: only published scores of this model")
    command.add_argument("--by", metavar="TASK", help="with leaderboard: task to sort by (default: the mean over shared tasks)")
    command.add_argument("--baseline", help="comma-separated files with the baseline's responses for Arena-Hard")
    command.add_argument("--seed", type=int, default=0, help="base seed (default: %(default)s)")
    command.add_argument(
        "--out",
        help="folder for samples and scores (default: bench/POLICY); with leaderboard, and compare of several folders: the "
        "page to write (default: leaderboard.html, compare.html)",
    )
    command.add_argument(
        "--json", action="store_true", help="print one line of JSON for each result on stdout; all other output goes to stderr"
    )
    command.add_argument("--yes", action="store_true", help="do not ask before samples are requested from a server")
    command.set_defaults(call=run, command="bench")


def run(arguments: argparse.Namespace) -> None:
    """Scores a policy on benchmark tasks."""
    if not arguments.json:
        return _run(arguments, None)
    stdout = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        _run(arguments, stdout)


def _run(arguments: argparse.Namespace, json_lines: TextIO | None) -> None:
    """Runs the command. With `json_lines`, results are also written there as JSON objects."""
    from ...benchmarks import catalogue, task
    from ...benchmarks.report import table
    from ...benchmarks.result import Options
    from ...pipelines.recipe.report.display import Display
    from ...policies import load_policy
    from ...policies.chat import thinking

    if arguments.tasks[:1] == ["rescore"]:
        return _rescore(arguments.tasks[1:], arguments.trust, json_lines)
    if arguments.tasks[:1] == ["compare"]:
        return reports.compare(arguments.tasks[1:], arguments.against, arguments.out, json_lines)
    if arguments.tasks[:1] == ["leaderboard"]:
        return reports.leaderboard(arguments.tasks[1:], arguments.by, arguments.out, json_lines)
    names = [*_with_options(arguments.tasks, arguments.options), *arguments.files]
    if arguments.list or not names:
        print(table.tasks())
        return
    requests = catalogue.expand(names)
    if not arguments.policy:
        raise UserError("--policy is missing: give the URI of a policy; see `tenfold --help`")
    values = {name: getattr(arguments, name) for name in Options.__slots__}
    if arguments.greedy:
        if arguments.sampling == "model":
            raise UserError("--greedy means temperature 0; omit --sampling model")
        if arguments.temperature is not None or arguments.samples is not None:
            raise UserError("--greedy means temperature 0 and one sample; omit --temperature and --samples")
        values |= {"temperature": 0.0, "samples": 1}
    task_options = Options(**values)
    if arguments.sampling == "model":
        task_options = _with_model_sampling(task_options, arguments.policy)
    with code_limits([request.task for request in requests], vars(arguments), arguments.trust):
        not_run = task.not_runnable(requests, task_options)
        runnable = [request for request in requests if request.name not in not_run]
        if not arguments.yes:
            _confirm(runnable, task_options, arguments)
        policy, display = load_policy(arguments.policy), Display()
        cautions = thinking.cautions(policy, task_options.text)
        for caution in [*cautions, *_limit_cautions(runnable, task_options, policy)]:
            print(f"caution: {caution}", file=sys.stderr)
        out = arguments.out or "bench/" + re.sub(r"[^A-Za-z0-9.-]+", "_", arguments.policy)
        with disk.locked(out):
            _tasks(arguments.policy, policy, requests, task_options, not_run, out, display, json_lines)


def _with_options(names: Sequence[str], options: Mapping[str, object]) -> list[str]:
    """Returns the names of the tasks with the options of --set, which apply to all environments, also to those of suites."""
    from ...benchmarks.catalogue import SUITES

    if not options:
        return list(names)
    names = [task for name in names for task in SUITES.get(name, (name,))]
    if not any(map(_is_environment, names)):
        raise UserError("--set gives options to environments, but no task is an environment (env:ID); omit it")
    return [environment_name.with_options(name, options) if _is_environment(name) else name for name in names]


def _is_environment(name: str) -> bool:
    return name.startswith(environment_name.PREFIX)


def _confirm(requests: "Sequence[catalogue.TaskRequest]", task_options: "Options", arguments: argparse.Namespace) -> None:
    """Asks on a terminal before samples are requested from a server, because they may cost money."""
    from ...benchmarks import task

    named = [environment_name.parse(request.task)[1] for request in requests if request.is_environment]
    users = {str(options["user_policy"]) for options in named if "user_policy" in options}
    servers = [uri for uri in (arguments.policy, arguments.judge, *users) if uri and uri.startswith("openai:")]
    if not servers or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return
    costs = [task.sampling_cost(request.name, task_options) for request in requests]
    samples, tokens = sum(count for count, _ in costs), sum(count * limit for count, limit in costs)
    unknown = [request.name for request in requests if request.is_lm_eval]
    print(
        f"up to {samples:,} samples and {tokens:,} tokens from {plain(arguments.policy)}"
        + (", and a judge" * bool(arguments.judge))
        + (", and a simulated user" * bool(users))
        + (f", without {', '.join(unknown)}, whose number of samples is not known yet" * bool(unknown))
    )
    try:
        answer = input("Continue? Type yes: ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise UserError("not confirmed; answer yes, or use --yes")


def _tasks(
    uri: str,
    policy: Policy,
    requests: "Sequence[catalogue.TaskRequest]",
    task_options: "Options",
    not_run: dict[str, str],
    out: str,
    display: "Display",
    json_lines: TextIO | None,
) -> None:
    """Runs the tasks that have all they need, and prints their results.

    Args:
        uri: URI of the policy.
        policy: the loaded policy.
        requests: the tasks of the command line.
        task_options: options that override those of the tasks.
        not_run: reasons why tasks cannot run, by name; reasons of tasks that fail are added.
        out: folder for samples and scores.
        display: shows the progress.
        json_lines: receives each result as a line of JSON.
    """
    from ...benchmarks import evaluate
    from ...benchmarks.report import bfcl, format_sensitivity, json_object, live_bench, page, table
    from ...policies.identity import policy_identity

    results = []
    for request in requests:
        if request.name in not_run:
            continue
        try:
            with display.stage(request.name) as progress:
                store_settings = policy_identity(uri)
                result = evaluate.run_task(
                    request.name, policy, task_options, store_settings=store_settings, folder=out, progress=progress
                )
        except UserError as error:
            if len(requests) == 1 or isinstance(error, SamplingIncomplete):
                raise
            not_run[request.name] = str(error)
            continue
        results.append(result)
        print(table.line(result))
        _write_json([result], out, json_lines)
    if not results:
        raise UserError("no task was run; " + "; ".join(f"{name}: {reason}" for name, reason in not_run.items()))
    display.console.print(table.results(results))
    if bfcl.sections(overall := bfcl.measured(out, results)):
        display.console.print(table.bfcl(overall))
        if json_lines:
            print(json.dumps(json_object.bfcl_object(overall, out)), file=json_lines, flush=True)
    if categories := live_bench.measured(results):
        display.console.print(table.live_bench(categories))
        if json_lines:
            print(json.dumps(json_object.live_bench_object(categories, out)), file=json_lines, flush=True)
    for found in filter(None, map(format_sensitivity.of_result, results)):
        display.console.print(table.format_sensitivity(found))
    for name, reason in not_run.items():
        print(f"{name}: not run: {reason}")
    for result in results:
        if result.score.without_score:
            refused = f", {result.refused} of them refused by the server" if result.refused else ""
            print(
                f"{result.task}: {result.score.without_score} samples have no score and are left out{refused}", file=sys.stderr
            )
        for caution in result.cautions:
            print(f"{result.task}: caution: {caution}", file=sys.stderr)
        is_of_run = "judging" in result.settings or result.settings["task"].startswith(environment_name.PREFIX)
        for difference in result.settings.get("protocol") or () if is_of_run else ():
            print(f"{result.task}: differs from the published protocol: {difference}", file=sys.stderr)
    print(f"page: {page.write(out)}")


def _write_json(results: "Sequence[Result]", folder: str, json_lines: TextIO | None) -> None:
    """Writes results as lines of JSON."""
    from ...benchmarks.report.json_object import json_object

    for result in results if json_lines else ():
        print(json.dumps(json_object(result, folder), ensure_ascii=False), file=json_lines, flush=True)


def _rescore(folders: Sequence[str], trust: bool, json_lines: TextIO | None) -> None:
    """Judges stored samples again."""
    from ...benchmarks import rescore
    from ...benchmarks.report import page, table
    from ...pipelines.recipe.report.display import Display

    display = Display()
    for folder in folders or ["."]:
        with _environments_of_run(folder, trust), display.stage(f"rescore {folder}") as progress:
            changed = rescore.rescore(folder, progress, trust=trust)
        display.console.print(table.rescored(changed))
        _write_json([after for _, after in changed], folder, json_lines)
        print(f"page: {page.write(folder)}")


@contextlib.contextmanager
def _environments_of_run(folder: str, trust: bool) -> Iterator[None]:
    """Registers the environments of the recipe if the folder is a stage of a run; with trust, its modules are imported too."""
    from ...envs import registry
    from ...pipelines.recipe import recipe
    from ...pipelines.recipe import trust as trusts
    from ...pipelines.recipe.content import references

    path = Path(folder).resolve().parent / "recipe.yaml"
    if not path.is_file():
        yield
        return
    read = recipe.load(path)
    if trust:
        with trusts.limited(read, path.parent, trusted=True):
            yield
        return
    limits = trusts.limits(read, dry=True)
    with registry.recipe_environments(references.with_folders(read.environments, path.parent), limits):
        yield


def _with_model_sampling(options: "Options", uri: str) -> "Options":
    """Returns the options with the checkpoint's own sampling settings, and prints what is used.

    Args:
        options: options of the command line.
        uri: URI of the policy.

    Raises:
        UserError: the checkpoint recommends nothing.
    """
    from ...benchmarks import task

    found = task.with_model_sampling(options, uri)
    top_k = f", top_k {found.top_k}" if found.top_k else ""
    print(f"sampling: temperature {found.temperature:g}, top_p {found.top_p:g}{top_k} (generation_config.json of {uri})")
    return found


def _limit_cautions(requests: "Sequence[catalogue.TaskRequest]", options: "Options", policy: Policy) -> list[str]:
    """Returns a caution if the tasks' own token limit is more than the window of a checkpoint, as for `micro:`.

    Args:
        requests: the tasks.
        options: options of the command line.
        policy: the policy.
    """
    from ...benchmarks import task
    from ...policies.transcript import TokenPolicy

    window = policy.window if isinstance(policy, TokenPolicy) else None
    if window is None or options.max_tokens is not None:
        return []
    names = [request.name for request in requests if task.token_limit(request, options) > window]
    if not names:
        return []
    return [
        f"{', '.join(names)}: without --max-tokens, a sample that does not end fills the policy's context window of {window:,} "
        "tokens; add --max-tokens N for fewer, such as --max-tokens 64"
    ]
