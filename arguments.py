"""What `tenfold` can be told: every command with its options. What they do is in `cli.py`."""

import argparse
import contextlib
import json
from typing import Any

EPILOG = """examples:
  tenfold run quickstart                                 sft, filter, GRPO and benchmarks, from nothing
  tenfold env list                                       what can be played
  tenfold env play tenfold/ChainSum-v0                   answer a problem yourself
  tenfold rollout tenfold/ChainSum-v0 --policy stage:runs/quickstart/grpo --samples 16
  tenfold bench chain_sum_avg8 --policy stage:runs/quickstart/grpo
  tenfold synthesize human_eval: --limit 30 --compare
  tenfold verify --gold 1/2 --answer 'so it is \\boxed{0.5}'
  tenfold verify --audit own --baselines                    who judges how well, against labels

policies:  micro:  smollm2:  hf:ORG/NAME  path:FOLDER  stage:FOLDER  vllm+hf:ORG/NAME  openai:MODEL?base_url=URL  scripted:TEXT
"""


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
    command.set_defaults(command="run")

    environments = commands.add_parser("env", help="list, check or play environments")
    actions = environments.add_subparsers(required=True, metavar="ACTION")
    actions.add_parser("list", help="ids and where their problems come from").set_defaults(command="env list")
    for name, words in (
        ("check", "Gymnasium's checker, and that gold answers score 1"),
        ("play", "play one episode, typing the answers"),
    ):
        action = actions.add_parser(name, help=words)
        _environment_arguments(action)
        if name == "play":
            action.add_argument("--problem", type=int, help="index of the problem (default: one at random)")
            action.add_argument("--seed", type=int)
        action.set_defaults(command=f"env {name}")

    command = commands.add_parser("rollout", help="a policy plays episodes, stored as they end")
    _environment_arguments(command)
    command.add_argument("--policy", required=True, help="who answers; see `tenfold --help`")
    command.add_argument("--samples", type=_positive, default=16, help="episodes a problem (default: %(default)s)")
    command.add_argument("--problems", type=_positive, help="how many problems, the first ones (default: all)")
    command.add_argument("--temperature", type=float, default=1.0, help="default: %(default)s")
    command.add_argument("--top-p", type=float, default=1.0, help="default: %(default)s")
    command.add_argument(
        "--max-tokens", type=_positive, default=512, help="tokens an episode, all turns together (default: %(default)s)"
    )
    command.add_argument("--max-turns", type=_positive, default=16, help="turns an episode (default: %(default)s)")
    command.add_argument("--seed", type=int, default=0, help="base seed (default: %(default)s)")
    command.add_argument("--out", help="JSONL file for the episodes (default: NAME.jsonl); an unfinished one is gone on with")
    command.set_defaults(command="rollout")

    command = commands.add_parser("rollouts", help="read what a policy said in a step of training")
    command.add_argument("run", help="folder of a run, or of one of its GRPO stages")
    command.add_argument("--stage", help="which stage, where the run has several")
    command.add_argument("--step", type=_positive, help="which step (default: the last)")
    command.add_argument("--problem", help="only the draws of the problem with this id")
    command.add_argument("--limit", type=_positive, default=8, help="episodes shown (default: %(default)s)")
    command.set_defaults(command="rollouts")

    command = commands.add_parser("bench", help="score a policy on benchmark tasks, as avg@k with a 95%% interval")
    command.add_argument(
        "tasks",
        nargs="*",
        metavar="TASK",
        help="names of tasks and suites, as in aime24_avg64, lm_eval:mmlu, paper; none lists them; "
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
    command.add_argument(
        "--trust", action="store_true", help="with rescore: the results may name code that is not tenfold's, say their problems"
    )
    command.add_argument("--against", metavar="MODEL", help="with compare: only the figures of this model")
    command.add_argument("--baseline", help="files of the baseline's answers for Arena-Hard, with commas between")
    command.add_argument("--seed", type=int, default=0, help="base seed (default: %(default)s)")
    command.add_argument("--out", help="folder for draws and scores (default: bench/POLICY)")
    command.set_defaults(command="bench")

    command = commands.add_parser("synthesize", help="write tests for coding problems from their solutions")
    command.add_argument("problems", help="a problem URI with worked solutions, say human_eval: or jsonl:FILE")
    command.add_argument("--out", help="JSONL file (default: tests.jsonl); an unfinished one is gone on with")
    command.add_argument("--limit", type=_positive, help="only so many problems, the first ones")
    command.add_argument("--compare", action="store_true", help="measure the tests that the problems came with, too")
    command.add_argument("--inputs", type=_positive, default=60, help="inputs drawn in each of 4 rounds (default: %(default)s)")
    command.add_argument("--public", type=int, default=2, help="tests that a policy may see (default: %(default)s)")
    command.add_argument("--least", type=_positive, default=8, help="private tests there are to be (default: %(default)s)")
    command.add_argument("--seed", type=int, default=0, help="of the inputs (default: %(default)s)")
    command.set_defaults(command="synthesize")

    command = commands.add_parser("verify", help="judge one answer against a gold one, or measure who judges")
    command.add_argument("--gold", help="the gold answer; tests of a program as a JSON object")
    command.add_argument("--answer", help="the response, with or without reasoning around the answer")
    command.add_argument("--verifier", default="math", help="default: %(default)s")
    command.add_argument(
        "--audit", metavar="FILE", help="JSONL with gold, pred and equal (question, kind), or `own`: count errors"
    )
    command.add_argument("--policy", help="with --audit: a judge beside the rules; see `tenfold --help`")
    command.add_argument("--baselines", action="store_true", help="with --audit: math-verify and verl's scorers, too")
    command.add_argument("--limit", type=_positive, help="with --audit: only so many pairs, the first ones")
    command.set_defaults(command="verify")
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
