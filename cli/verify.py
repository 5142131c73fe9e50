"""`tenfold verify`: judges one response, audits verifiers on labelled pairs, or measures a judge on pairs with votes."""

import argparse
import contextlib
import json
import sys
from typing import TextIO

from ..core import UserError
from ..texts import json_or_text
from . import options
from .options import Commands

VERIFIER, QUESTION = "math", "arena_hard"
_JUDGED = ("policy", "limit", "out", "json")
TAKEN = {
    "response": ("gold", "response", "verifier"),
    "audit": ("audit", "verifier", "baselines", "sample", "injections", "at_once", *_JUDGED),
    "votes": ("votes", "question", "data", "verdicts", *_JUDGED),
}
"""What the command measures, and the options that it then takes."""


def add(commands: Commands) -> None:
    """Adds the command and its options."""
    command = commands.add_parser("verify", help="judge one response against a gold answer, or audit verifiers and judges")
    command.add_argument("--gold", help="gold answer; the tests of a program as a JSON object")
    command.add_argument("--response", help="response, with or without reasoning")
    command.add_argument("--verifier", help=f"name of the verifier (default: {VERIFIER})")
    command.add_argument(
        "--audit",
        metavar="FILE",
        help="count errors on pairs: JSONL with gold, response (or pred) and equal (optional: question, kind), or "
        "`built-in` or `words` for pairs of this package",
    )
    command.add_argument(
        "--votes",
        metavar="URI",
        help="measure a judge's agreement with votes on pairs of responses: jsonl:FILE, parquet:FILE or hf:ORG/NAME, in the "
        "form of MT-Bench's human judgments, JudgeBench, LLMBar or RewardBench",
    )
    command.add_argument("--policy", help="with --audit or --votes: URI of a judge to measure, too; see `tenfold --help`")
    command.add_argument(
        "--question",
        choices=("arena_hard", "preference"),
        help=f"with --votes: what the judge is asked: Arena-Hard's question, or that of reward models (default: {QUESTION})",
    )
    command.add_argument("--data", metavar="FOLDER", help="with --votes: folder with Arena-Hard's files of published prompts")
    command.add_argument(
        "--verdicts", metavar="URI", help="with --votes: also measure published verdicts of another judge, in the form of votes"
    )
    command.add_argument("--baselines", action="store_true", help="with --audit: also audit math-verify and verl's scorers")
    command.add_argument("--limit", type=options.positive, help="number of pairs, from the first (default: all)")
    command.add_argument(
        "--sample",
        metavar="N",
        type=options.not_negative,
        help="with --audit: only the pairs that the rules leave to a judge, and N others, half of them labelled as equal",
    )
    command.add_argument(
        "--injections", action="store_true", help="with --audit: also pairs whose response tries to persuade a judge"
    )
    command.add_argument(
        "--at-once",
        metavar="N",
        type=options.positive,
        help="with --audit and --policy: verdicts of the judge at the same time (default: 64 for vLLM and servers, else 1)",
    )
    command.add_argument(
        "--out", help="with --policy: JSONL file for the answers of the judge (default: none); an unfinished file is resumed"
    )
    command.add_argument(
        "--json",
        action="store_true",
        help="with --audit or --votes: print one line of JSON on stdout; all other output goes to stderr",
    )
    command.set_defaults(call=run, command="verify")


def run(arguments: argparse.Namespace) -> None:
    """Judges one response, audits verifiers on labelled pairs, or measures a judge on pairs with votes."""
    from ..verifiers import verify

    if arguments.votes and arguments.audit:
        raise UserError("--audit and --votes measure different judges; omit one of them")
    _check_options(arguments)
    if arguments.audit or arguments.votes:
        stdout = sys.stdout
        with contextlib.redirect_stdout(sys.stderr) if arguments.json else contextlib.nullcontext():
            return (_audit if arguments.audit else _agreement)(arguments, stdout if arguments.json else None)
    if arguments.gold is None or arguments.response is None:
        raise UserError("missing options: give --gold and --response, --audit FILE, or --votes URI")
    gold = arguments.gold
    if gold.lstrip().startswith("{"):
        gold = json_or_text(gold)
    verdict = verify(gold, arguments.response, arguments.verifier or VERIFIER)
    print(json.dumps({name: getattr(verdict, name) for name in ("status", "score", "method", "reason")}))


def _check_options(arguments: argparse.Namespace) -> None:
    """Checks that no option is given that the command does not take.

    Raises:
        UserError: there is one.
    """
    kind = "votes" if arguments.votes else "audit" if arguments.audit else "response"
    known = {name for names in TAKEN.values() for name in names}
    for name in sorted(known - {*TAKEN[kind]}):
        if getattr(arguments, name) not in (None, False):
            option = f"--{name.replace('_', '-')}"
            with_it = " or ".join(f"--{other}" for other, names in TAKEN.items() if name in names)
            raise UserError(f"{option} is not an option of --{kind}: omit it, or use it with {with_it}")


def _audit(arguments: argparse.Namespace, json_line: TextIO | None) -> None:
    """Measures a verifier on labelled pairs, and a judge and other graders if they are given."""
    from ..benchmarks.audit.measure import Settings, measure
    from ..pipelines.recipe.report.display import Display

    settings = Settings(
        arguments.audit,
        arguments.verifier or VERIFIER,
        arguments.policy,
        arguments.baselines,
        arguments.limit,
        arguments.sample,
        arguments.injections,
        arguments.at_once,
        arguments.out,
    )
    measure(settings, Display().stage, json_line)


def _agreement(arguments: argparse.Namespace, json_line: TextIO | None) -> None:
    """Measures the agreement of a judge with votes."""
    from .. import extras

    with extras.required_by("--votes", "bench"):
        from ..benchmarks.agreement.measure import Settings, measure
        from ..pipelines.recipe.report.display import Display

    settings = Settings(
        arguments.votes,
        arguments.policy,
        arguments.verdicts,
        arguments.question or QUESTION,
        arguments.data,
        arguments.limit,
        arguments.out,
    )
    measure(settings, Display().stage, json_line)
