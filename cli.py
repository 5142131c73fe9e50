"""The command line: `tenfold …`. One short function a command; the work is done elsewhere."""

import argparse
import contextlib
import json
import logging
import os
import re
import sys
from collections.abc import Sequence
from typing import Any

from .core import Incomplete, Sampling, UserError

EPILOG = """examples:
  tenfold run quickstart                                 sft, filter, GRPO and benchmarks, from nothing
  tenfold env list                                       what can be played
  tenfold env play tenfold/ChainSum-v0                   answer a problem yourself
  tenfold rollout tenfold/ChainSum-v0 --policy stage:runs/quickstart/grpo --samples 16
  tenfold bench chain_sum_avg8 --policy stage:runs/quickstart/grpo
  tenfold synthesize human_eval: --limit 30 --compare
  tenfold verify --gold 1/2 --answer 'so it is \\boxed{0.5}'
  tenfold verify --audit own --rivals                    who judges how well, against labels

policies:  micro:  smollm2:  hf:ORG/NAME  path:FOLDER  stage:FOLDER  vllm+hf:ORG/NAME  openai:MODEL?base_url=URL  scripted:TEXT
"""


def run(arguments: argparse.Namespace) -> None:
    """Runs a recipe."""
    from .pipelines import recipe

    recipe.run(arguments.recipe, arguments.out, quiet=arguments.quiet)


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
    print(f"reward {reward:g}" + (f"  ({verdict.status}, by {verdict.decided_by}: {verdict.reason})" if verdict else ""))


def rollout(arguments: argparse.Namespace) -> None:
    """Plays episodes and stores them."""
    import functools

    from .envs import registry
    from .pipelines.report import Display
    from .policies import load_policy
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
            store=out,
            made_with={**_who(arguments.policy), "options": arguments.options},
            progress=progress,
        )
    mean = pass_rate(episodes)
    faults = sum(episode.verdict.score is None for episode in episodes)
    cut = sum(episode.finish_reason == "length" for episode in episodes) / len(episodes)
    said = "none" if mean is None else f"{mean:.3f}"
    problems = len(episodes) // arguments.samples
    print(f"{len(episodes)} episodes of {problems} problems: mean score {said}, {cut:.1%} cut short; in {out}")
    if faults:
        print(f"{faults} episodes have no verdict: the same command plays them again", file=sys.stderr)


def rollouts(arguments: argparse.Namespace) -> None:
    """Shows what a policy said in a step of training."""
    from .pipelines.rl import rollouts

    step, episodes = rollouts.read(arguments.run, arguments.stage, arguments.step)
    shown = [episode for episode in episodes if arguments.problem in (None, episode["problem_id"])]
    if not shown:
        raise UserError(f"step {step} has no problem {arguments.problem!r}")
    for episode in shown[: arguments.limit]:
        print(rollouts.text(episode))
    print(f"step {step}: {len(shown[: arguments.limit])} of {len(episodes)} episodes")


def bench(arguments: argparse.Namespace) -> None:
    """Scores a policy on benchmark tasks."""
    from .benchmarks import catalogue, evaluate, page, table
    from .benchmarks.result import Options
    from .pipelines.report import Display
    from .policies import load_policy

    if arguments.tasks[:1] in (["rescore"], ["compare"]):
        (_bench_rescore if arguments.tasks[0] == "rescore" else _bench_compare)(arguments.tasks[1:], arguments.against)
        return
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
    found = []
    for task in asked:
        if task.name in lacking:
            continue
        try:
            with display.stage(task.name) as progress:
                made_with = _who(arguments.policy)
                found.append(evaluate.evaluate(task.name, policy, given, made_with=made_with, folder=out, progress=progress))
        except UserError as error:
            if len(asked) == 1 or isinstance(error, Incomplete):
                raise
            lacking[task.name] = str(error)
            continue
        print(table.line(found[-1]))
    display.console.print(table.results(found))
    for name, lacks in lacking.items():
        print(f"{name}: not run: {lacks}")
    for result in found:
        if result.score.faults:
            print(f"{result.task}: {result.score.faults} draws have no verdict and are left out", file=sys.stderr)
    if found:
        print(f"page: {page.write(out)}")


def _bench_rescore(folders: Sequence[str], model: str | None) -> None:
    """Judges stored draws again."""
    from .benchmarks import evaluate, page, table
    from .pipelines.report import Display

    display = Display()
    for folder in folders or ["."]:
        with display.stage(f"rescore {folder}") as progress:
            changed = evaluate.rescore(folder, progress)
        display.console.print(table.rescored(changed))
        print(f"page: {page.write(folder)}")


def _bench_compare(folders: Sequence[str], model: str | None) -> None:
    """Sets results beside reported figures, or two runs beside each other."""
    from .benchmarks import compare, page, table
    from .benchmarks.result import results
    from .pipelines.report import Display

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


def _who(policy: str) -> dict[str, Any]:
    """What stored draws must have been made with: the policy's URI, and the weights it names now."""
    from .policies import initial

    return {"policy": policy, "weights": initial.weights_hashes(policy)}


def synthesize(arguments: argparse.Namespace) -> None:
    """Writes tests for coding problems."""
    from .pipelines.report import Display
    from .pipelines.synthesize import synthesize, table

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
        from .benchmarks import audit

        return audit.main(arguments.audit, arguments.verifier, arguments.policy, arguments.rivals, arguments.limit)
    if arguments.gold is None or arguments.answer is None:
        raise UserError("give --gold and --answer, or --audit FILE")
    gold = arguments.gold
    if gold.lstrip().startswith("{"):
        with contextlib.suppress(json.JSONDecodeError):  # then it is text that begins so
            gold = json.loads(gold)
    verdict = verify(gold, arguments.answer, arguments.verifier)
    print(json.dumps({name: getattr(verdict, name) for name in ("status", "score", "decided_by", "reason")}))


def parser() -> argparse.ArgumentParser:
    """Every command with its options."""
    main = argparse.ArgumentParser(
        prog="tenfold",
        description="Train small language models to reason: environments, verifiers, GRPO on verl, avg@k on lm-eval.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = main.add_subparsers(title="commands", required=True, metavar="COMMAND")

    command = commands.add_parser("run", help="run a recipe, or go on with one that was stopped")
    command.add_argument("recipe", help="a YAML file, or the name of a recipe of the package (quickstart, smollm2)")
    command.add_argument("--out", help="the run's folder (default: runs/NAME); the same folder goes on where it stopped")
    command.add_argument("--quiet", action="store_true", help="show nothing")
    command.set_defaults(function=run)

    environments = commands.add_parser("env", help="list, check or play environments")
    actions = environments.add_subparsers(required=True, metavar="ACTION")
    actions.add_parser("list", help="ids and where their problems come from").set_defaults(function=env_list)
    for name, function, words in (
        ("check", env_check, "Gymnasium's checker, and that gold answers score 1"),
        ("play", env_play, "play one episode, typing the answers"),
    ):
        action = actions.add_parser(name, help=words)
        _environment_arguments(action)
        if name == "play":
            action.add_argument("--problem", type=int, help="index of the problem (default: one at random)")
            action.add_argument("--seed", type=int)
        action.set_defaults(function=function)

    command = commands.add_parser("rollout", help="a policy plays episodes, stored as they end")
    _environment_arguments(command)
    command.add_argument("--policy", required=True, help="who answers; see `tenfold --help`")
    command.add_argument("--samples", type=_positive, default=16, help="episodes a problem (default: %(default)s)")
    command.add_argument("--problems", type=_positive, help="how many problems, the first ones (default: all)")
    command.add_argument("--temperature", type=float, default=1.0, help="default: %(default)s")
    command.add_argument("--top-p", type=float, default=1.0, help="default: %(default)s")
    command.add_argument("--max-tokens", type=_positive, default=512, help="tokens a turn (default: %(default)s)")
    command.add_argument("--seed", type=int, default=0, help="base seed (default: %(default)s)")
    command.add_argument("--out", help="JSONL file for the episodes (default: NAME.jsonl); an unfinished one is gone on with")
    command.set_defaults(function=rollout)

    command = commands.add_parser("rollouts", help="read what a policy said in a step of training")
    command.add_argument("run", help="folder of a run, or of one of its GRPO stages")
    command.add_argument("--stage", help="which stage, where the run has several")
    command.add_argument("--step", type=_positive, help="which step (default: the last)")
    command.add_argument("--problem", help="only the draws of the problem with this id")
    command.add_argument("--limit", type=_positive, default=8, help="episodes shown (default: %(default)s)")
    command.set_defaults(function=rollouts)

    command = commands.add_parser("bench", help="score a policy on benchmark tasks, as avg@k with a 95%% interval")
    command.add_argument(
        "tasks",
        nargs="*",
        metavar="TASK",
        help="names of tasks and suites, as in aime24_avg64, stock:mmlu, paper; none lists them; "
        "`rescore FOLDER` judges the draws in a folder again, without a policy; `compare FOLDER` sets its results beside "
        "reported figures, `compare FOLDER FOLDER` two runs side by side",
    )
    command.add_argument("--list", action="store_true", help="list the tasks")
    command.add_argument("--policy", help="who answers; see `tenfold --help`")
    command.add_argument("--limit", type=_positive, help="only so many problems a task")
    command.add_argument("--problems", help="problem URI instead of the task's own, say jsonl:FILE")
    command.add_argument("--data", help="folder with the tasks' files, where the hub is not to be asked")
    command.add_argument("--draws", type=_positive, metavar="K", help="draws a problem (default: the task's own)")
    command.add_argument("--temperature", type=float, help="default: the task's own, 0.6")
    command.add_argument("--top-p", type=float, help="default: the task's own, 0.95")
    command.add_argument("--max-tokens", type=_positive, help="longest draw (default: the task's own, 65536)")
    command.add_argument(
        "--judge", help="policy that judges Arena-Hard, WritingBench and MultiChallenge; without it they are not run"
    )
    command.add_argument("--against", metavar="MODEL", help="with compare: only the figures of this model")
    command.add_argument("--baseline", help="files of the baseline's answers for Arena-Hard, with commas between")
    command.add_argument("--seed", type=int, default=0, help="base seed (default: %(default)s)")
    command.add_argument("--out", help="folder for draws and scores (default: bench/POLICY)")
    command.set_defaults(function=bench)

    command = commands.add_parser("synthesize", help="write tests for coding problems from their solutions")
    command.add_argument("problems", help="a problem URI with worked solutions, say human_eval: or jsonl:FILE")
    command.add_argument("--out", help="JSONL file (default: tests.jsonl); an unfinished one is gone on with")
    command.add_argument("--limit", type=_positive, help="only so many problems, the first ones")
    command.add_argument("--compare", action="store_true", help="measure the tests that the problems came with, too")
    command.add_argument("--inputs", type=_positive, default=60, help="inputs drawn in each of 4 rounds (default: %(default)s)")
    command.add_argument("--public", type=int, default=2, help="tests that a policy may see (default: %(default)s)")
    command.add_argument("--least", type=_positive, default=8, help="private tests there are to be (default: %(default)s)")
    command.add_argument("--seed", type=int, default=0, help="of the inputs (default: %(default)s)")
    command.set_defaults(function=synthesize)

    command = commands.add_parser("verify", help="judge one answer against a gold one, or measure who judges")
    command.add_argument("--gold", help="the gold answer; tests of a program as a JSON object")
    command.add_argument("--answer", help="the response, with or without reasoning around the answer")
    command.add_argument("--verifier", default="math", help="default: %(default)s")
    command.add_argument(
        "--audit", metavar="FILE", help="JSONL with gold, pred and equal (question, kind), or `own`: count errors"
    )
    command.add_argument("--policy", help="with --audit: a judge beside the rules; see `tenfold --help`")
    command.add_argument("--rivals", action="store_true", help="with --audit: math-verify and verl's scorers, too")
    command.add_argument("--limit", type=_positive, help="with --audit: only so many pairs, the first ones")
    command.set_defaults(function=verify)
    return main


def _environment_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("id", help='an environment id, as in `tenfold env list`, or "module:id"')
    command.add_argument(
        "--set",
        dest="options",
        metavar="NAME=VALUE",
        action=_Option,
        default={},
        help="keyword argument for the environment",
    )


class _Option(argparse.Action):
    """Gathers NAME=VALUE into a dictionary; a value is JSON where it can be."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: str | None = None) -> None:
        name, sign, value = values.partition("=")
        if not sign:
            parser.error(f"--set wants NAME=VALUE, not {values!r}")
        with contextlib.suppress(json.JSONDecodeError):
            value = json.loads(value)
        namespace.options = {**namespace.options, name: value}


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number from 1 on, not {text!r}")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; the process's exit status: 0, 2 for a user's mistake, 130 for Ctrl-C."""
    parsed = parser().parse_args(arguments)
    _quiet_libraries()
    try:
        parsed.function(parsed)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:
        # torch says it in a RuntimeError, in these words on a processor and on a GPU.
        if not isinstance(error, MemoryError) and not any(
            words in str(error) for words in ("allocate memory", "out of memory")
        ):
            raise
        print("error: no memory left: lower batch_size, micro_batch_size or max_tokens", file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno not in (28, 122):  # no space, quota exceeded
            raise
        print(
            f"error: no space left on the disk ({error.filename or 'writing'}): free some and run the same command",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


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
