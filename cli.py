"""The command line: `tenfold …`. One short function a command; the work is done elsewhere."""

import argparse
import contextlib
import io
import json
import logging
import os
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import disk, faults, signals, terminal
from .arguments import parser
from .core import Incomplete, Policy, Sampling, UserError

if TYPE_CHECKING:
    from .benchmarks import catalogue
    from .benchmarks.result import Options
    from .pipelines.recipe.recipe import Recipe
    from .pipelines.recipe.report import Display


def run(arguments: argparse.Namespace) -> None:
    """Runs a recipe."""
    from .pipelines.recipe import recipe, runner, trust

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
    from .pipelines.pretrain import supply
    from .pipelines.recipe import dry_run, runner, trust
    from .pipelines.recipe.report import Display

    folder = runner.folder_of(given, out)
    not_seen: list[str] = []
    with trust.limited(given, folder, trusted=trusted, dry=True):
        read = runner.prepare(given, folder, not_seen)
        Display().console.print(dry_run.costs(read, folder))
        for needed in supply.check(read.stages, read.policy, folder):
            print(needed.line())
        for line in dry_run.verl_settings(read, folder):
            print(line)
    for line in [*(f"runs code, once you trust it: {door}" for door in trust.doors(given)), *not_seen]:
        print(line)


def env_list(arguments: argparse.Namespace) -> None:
    """Lists the environments."""
    import gymnasium

    from .envs import registry

    for id in registry.ids():
        spec = gymnasium.spec(id)
        print(f"{id:32} {spec.kwargs.get('problems', spec.entry_point)}")


def env_check(arguments: argparse.Namespace) -> None:
    """Checks an environment: Gymnasium's checker, and that gold answers score 1."""
    from .envs import check

    check.check(arguments.id, arguments.options)
    print(f"{arguments.id}: passes")


def env_play(arguments: argparse.Namespace) -> None:
    """Plays one episode with answers typed in."""
    from .envs import registry

    environment = registry.make(arguments.id, **arguments.options)
    options = {} if arguments.problem is None else {"problem": arguments.problem}
    text, info = environment.reset(seed=arguments.seed, options=options)
    ended = False
    while not ended:
        print(text)
        try:
            answer = input("> ")
        except EOFError:
            raise UserError("the answers ended before the episode did") from None
        text, reward, terminated, truncated, info = environment.step(answer)
        ended = terminated or truncated
    verdict = info.get("verdict")
    print(f"reward {reward:g}" + (f"  ({verdict.status}, by {verdict.method}: {verdict.reason})" if verdict else ""))


def rollout(arguments: argparse.Namespace) -> None:
    """Plays episodes and stores them."""
    import functools

    from .envs import identity, registry
    from .pipelines.recipe.report import Display
    from .policies import load_policy
    from .policies.identity import who
    from .policies.rollout import pass_rate, rollout

    registry.find(arguments.id)
    out = arguments.out or f"{arguments.id.rpartition('/')[2]}.jsonl"
    sampling = Sampling(arguments.temperature, arguments.top_p, arguments.max_tokens, arguments.seed)
    display = Display()
    with display.stage(arguments.id) as progress:
        episodes = rollout(
            functools.partial(registry.make, arguments.id, **arguments.options),
            load_policy(arguments.policy),
            arguments.samples,
            problems=arguments.problems,
            sampling=sampling,
            max_turns=arguments.max_turns,
            store=out,
            made_with={**who(arguments.policy), **identity.made_with(arguments.id, arguments.options)},
            progress=progress,
        )
    mean = pass_rate(episodes)
    faults = sum(episode.verdict.score is None for episode in episodes)
    refused = sum(episode.verdict.method == "refused" for episode in episodes)
    cut = sum(episode.finish_reason == "length" for episode in episodes) / len(episodes)
    said = "none" if mean is None else f"{mean:.3f}"
    problems = len(episodes) // arguments.samples
    print(f"{len(episodes)} episodes of {problems} problems: mean score {said}, {cut:.1%} cut short; in {out}")
    if refused:
        print(f"{refused} episodes have no verdict: the server refuses them for good", file=sys.stderr)
    if faults > refused:
        print(f"{faults - refused} episodes have no verdict: the same command plays them again", file=sys.stderr)


def rollouts(arguments: argparse.Namespace) -> None:
    """Shows what a policy said in a step of training."""
    from .pipelines.rl import show

    step, episodes = show.read(arguments.run, arguments.stage, arguments.step)
    shown = [episode for episode in episodes if arguments.problem in (None, episode["problem_id"])]
    if not shown:
        raise UserError(f"step {step} has no problem {arguments.problem!r}")
    for episode in shown[: arguments.limit]:
        print(show.text(episode))
    print(f"step {step}: {len(shown[: arguments.limit])} of {len(episodes)} episodes")


def bench(arguments: argparse.Namespace) -> None:
    """Scores a policy on benchmark tasks."""
    from .benchmarks import catalogue, evaluate
    from .benchmarks.report import table
    from .benchmarks.result import Options
    from .pipelines.recipe.report import Display
    from .policies import load_policy

    if arguments.tasks[:1] == ["rescore"]:
        return _bench_rescore(arguments.tasks[1:], arguments.trust)
    if arguments.tasks[:1] == ["compare"]:
        return _bench_compare(arguments.tasks[1:], arguments.against)
    if arguments.list or not arguments.tasks:
        print(table.tasks())
        return
    asked = catalogue.expand(arguments.tasks)
    if not arguments.policy:
        raise UserError("say who answers, with --policy")
    given = Options(**{name: getattr(arguments, name) for name in Options.__slots__})
    lacking = evaluate.lacking(asked, given)
    policy, display = load_policy(arguments.policy), Display()
    out = arguments.out or "bench/" + re.sub(r"[^A-Za-z0-9.-]+", "_", arguments.policy)
    with disk.held(out):
        _bench_tasks(arguments.policy, policy, asked, given, lacking, out, display)


def _bench_tasks(
    uri: str,
    policy: Policy,
    asked: "Sequence[catalogue.Asked]",
    given: "Options",
    lacking: dict[str, str],
    out: str,
    display: "Display",
) -> None:
    """Runs the tasks that lack nothing, and shows what they came to."""
    from .benchmarks import evaluate
    from .benchmarks.report import page, table
    from .policies.identity import who

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
            print(f"{result.task}: {result.score.faults} draws have no verdict and are left out{refused}", file=sys.stderr)
    print(f"page: {page.write(out)}")


def _bench_rescore(folders: Sequence[str], trust: bool) -> None:
    """Judges stored draws again."""
    from .benchmarks import rescore
    from .benchmarks.report import page, table
    from .pipelines.recipe.report import Display

    display = Display()
    for folder in folders or ["."]:
        with display.stage(f"rescore {folder}") as progress:
            changed = rescore.rescore(folder, progress, trust=trust)
        display.console.print(table.rescored(changed))
        print(f"page: {page.write(folder)}")


def _bench_compare(folders: Sequence[str], model: str | None) -> None:
    """Sets results beside reported figures, or two runs beside each other."""
    from .benchmarks.report import compare, page, table
    from .benchmarks.result import results
    from .pipelines.recipe.report import Display

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


def synthesize(arguments: argparse.Namespace) -> None:
    """Writes tests for coding problems."""
    from .pipelines.recipe.report import Display
    from .pipelines.synthesize.synthesize import synthesize, table

    display = Display()
    out = arguments.out or "tests.jsonl"
    given = {"count": arguments.inputs, "public": arguments.public, "least": arguments.least, "seed": arguments.seed}
    with display.stage(arguments.problems) as progress:
        rows = synthesize(arguments.problems, out, arguments.limit, arguments.compare, progress, **given)
    display.console.print(table(rows))
    print(f"{sum('answer' in row for row in rows)} of {len(rows)} problems have tests, in {out}")


def verify(arguments: argparse.Namespace) -> None:
    """Judges one answer, or measures who judges on a file of pairs whose equality is known."""
    from .verifiers import verify

    if arguments.audit:
        from .benchmarks.audit import graders

        return graders.main(arguments.audit, arguments.verifier, arguments.policy, arguments.baselines, arguments.limit)
    if arguments.gold is None or arguments.answer is None:
        raise UserError("give --gold and --answer, or --audit FILE")
    gold = arguments.gold
    if gold.lstrip().startswith("{"):
        with contextlib.suppress(json.JSONDecodeError):  # then it is text that begins so
            gold = json.loads(gold)
    verdict = verify(gold, arguments.answer, arguments.verifier)
    print(json.dumps({name: getattr(verdict, name) for name in ("status", "score", "method", "reason")}))


COMMANDS = {
    "run": run,
    "env list": env_list,
    "env check": env_check,
    "env play": env_play,
    "rollout": rollout,
    "rollouts": rollouts,
    "bench": bench,
    "synthesize": synthesize,
    "verify": verify,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; the process's exit status: 0, 2 for what a user can mend, 128 + n where signal n ended it."""
    parsed = parser().parse_args(arguments)
    _quiet_libraries()
    for stream in (sys.stdout, sys.stderr):  # a name of a file may have bytes that are no text
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    with terminal.cleaned():
        return _run(parsed)


def _run(parsed: argparse.Namespace) -> int:
    try:
        with signals.heard():
            COMMANDS[parsed.command](parsed)
            sys.stdout.flush()
    except KeyboardInterrupt as error:
        number = signals.number_of(error)
        by = "" if number == signals.INTERRUPT else f" by {error}"
        _say(f"stopped{by}; the same command goes on from here")
        return 128 + number
    except BrokenPipeError:
        if not signals.leave(sys.stdout):
            raise
        return 128 + signals.PIPE  # whoever read the output has enough
    except Exception as error:
        said = str(error) if isinstance(error, UserError) else faults.line(error)
        if said is None:
            raise
        _say(f"error: {said}")
        return 2
    return 0


def _say(line: str) -> None:
    """One line on stderr, where anybody can still be told."""
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def _quiet_libraries() -> None:
    """Bars and notices of the libraries below would tear our own."""
    for name, value in {
        "TQDM_DISABLE": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TRANSFORMERS_VERBOSITY": "error",
    }.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    logging.getLogger("lm_eval").setLevel(logging.ERROR)


if __name__ == "__main__":
    sys.exit(main())
