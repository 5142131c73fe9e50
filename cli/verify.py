"""`tenfold verify`: judges one answer, or audits verifiers on labelled pairs."""

import argparse
import contextlib
import json

from ..core import UserError
from . import options
from .options import Commands


def add(commands: Commands) -> None:
    """Adds the command and its options."""
    command = commands.add_parser("verify", help="judge one answer against a gold one, or measure who judges")
    command.add_argument("--gold", help="the gold answer; tests of a program as a JSON object")
    command.add_argument("--answer", help="the response, with or without reasoning around the answer")
    command.add_argument("--verifier", default="math", help="default: %(default)s")
    command.add_argument(
        "--audit", metavar="FILE", help="JSONL with gold, pred and equal (question, kind), or `own`: count errors"
    )
    command.add_argument("--policy", help="with --audit: a judge beside the rules; see `tenfold --help`")
    command.add_argument("--baselines", action="store_true", help="with --audit: math-verify and verl's scorers, too")
    command.add_argument("--limit", type=options.positive, help="with --audit: only so many pairs, the first ones")
    command.set_defaults(call=run, command="verify")


def run(arguments: argparse.Namespace) -> None:
    """Judges one answer, or measures who judges on a file of pairs whose equality is known."""
    from ..verifiers import verify

    if arguments.audit:
        from ..benchmarks.audit import graders

        return graders.main(arguments.audit, arguments.verifier, arguments.policy, arguments.baselines, arguments.limit)
    if arguments.gold is None or arguments.answer is None:
        raise UserError("give --gold and --answer, or --audit FILE")
    gold = arguments.gold
    if gold.lstrip().startswith("{"):
        with contextlib.suppress(json.JSONDecodeError):  # then it is text that begins so
            gold = json.loads(gold)
    verdict = verify(gold, arguments.answer, arguments.verifier)
    print(json.dumps({name: getattr(verdict, name) for name in ("status", "score", "method", "reason")}))
