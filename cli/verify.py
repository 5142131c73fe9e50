"""`tenfold verify`: judges one response, or audits verifiers on labelled pairs."""

import argparse
import json

from ..core import UserError
from ..texts import json_or_text
from . import options
from .options import Commands


def add(commands: Commands) -> None:
    """Adds the command and its options."""
    command = commands.add_parser("verify", help="judge one response against a gold answer, or audit verifiers")
    command.add_argument("--gold", help="gold answer; the tests of a program as a JSON object")
    command.add_argument("--response", help="response, with or without reasoning")
    command.add_argument("--verifier", default="math", help="name of the verifier (default: %(default)s)")
    command.add_argument(
        "--audit",
        metavar="FILE",
        help="count errors on pairs: JSONL with gold, pred and equal (optional: question, kind), or "
        "`built-in` for the pairs of this package",
    )
    command.add_argument("--policy", help="with --audit: URI of a judge to audit, too; see `tenfold --help`")
    command.add_argument("--baselines", action="store_true", help="with --audit: also audit math-verify and verl's scorers")
    command.add_argument("--limit", type=options.positive, help="with --audit: number of pairs, from the first (default: all)")
    command.set_defaults(call=run, command="verify")


def run(arguments: argparse.Namespace) -> None:
    """Judges one response, or audits verifiers on labelled pairs."""
    from ..verifiers import verify

    if arguments.audit:
        from ..benchmarks.audit import graders

        return graders.main(arguments.audit, arguments.verifier, arguments.policy, arguments.baselines, arguments.limit)
    if arguments.gold is None or arguments.response is None:
        raise UserError("missing options: give --gold and --response, or --audit FILE")
    gold = arguments.gold
    if gold.lstrip().startswith("{"):
        gold = json_or_text(gold)
    verdict = verify(gold, arguments.response, arguments.verifier)
    print(json.dumps({name: getattr(verdict, name) for name in ("status", "score", "method", "reason")}))
