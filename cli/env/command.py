"""The command `tenfold env` and its actions."""

import argparse
import dataclasses
import json

from .. import options
from ..options import Commands
from . import new, play


def add(commands: Commands) -> None:
    """Adds the command and its options."""
    environments = commands.add_parser("env", help="list, check, show or play environments")
    actions = environments.add_subparsers(required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="list the environments in groups, with turns, tools, verifier and problems")
    listing.add_argument("--all", action="store_true", help="list each generator of reasoning-gym")
    listing.add_argument("--json", action="store_true", help="print all environments as a JSON list")
    listing.set_defaults(call=list_ids, command="env list")
    calls = {"check": check, "show": play.show, "play": play.play}
    for name, words in (
        (
            "check",
            "check an environment: Gymnasium's checker, gold answers, responses that must not win, seeds, processes, times",
        ),
        ("show", "print problems as the policy sees them, with their gold answers where known"),
        ("play", "play one episode by hand"),
    ):
        action = actions.add_parser(name, help=words)
        options.environment(action)
        if name == "check":
            check_options(action)
        if name == "show":
            action.add_argument("--problem", type=options.not_negative, help="index of the first problem to print (default: 0)")
            action.add_argument("--limit", type=options.positive, help=f"number of problems (default: {play.SHOWN})")
            action.add_argument(
                "--policy",
                help="checkpoint: prints the prompts in its chat template, and the tokens of prompts and gold answers",
            )
        if name == "play":
            action.add_argument("--problem", type=options.not_negative, help="index of the problem (default: a random problem)")
            action.add_argument("--seed", type=options.not_negative, help="seed of the random problem")
            action.add_argument("--editor", action="store_true", help="write the responses in $VISUAL or $EDITOR")
            action.add_argument("--out", help="file that the episode is appended to (default: NAME.play.jsonl)")
        action.set_defaults(call=calls[name], command=f"env {name}")
    new.add(actions)


def check_options(action: argparse.ArgumentParser) -> None:
    """Adds the options of `tenfold env check`."""
    action.add_argument(
        "--problems", type=options.positive, help="number of problems to play (default: 100 with gold answers, 20 with others)"
    )
    action.add_argument("--seed", type=options.not_negative, default=0, help="seed of the choice of problems (default: 0)")
    action.add_argument(
        "--allow",
        type=options.share,
        help="share of problems beyond chance that a response that must not win may win without a failure (default: 0.1)",
    )
    action.add_argument("--strict", action="store_true", help="fail where the check warns that such a response wins")
    action.add_argument("--json", action="store_true", help="print the findings with all figures as one JSON object")


def list_ids(arguments: argparse.Namespace) -> None:
    """Lists the environments in groups."""
    from ...envs import listing

    rows = listing.rows()
    if arguments.json:
        print(json.dumps(rows, indent=1))
        return
    rows = rows if arguments.all else listing.short(rows)
    columns = ("id", "turns", "tools", "verifier", "needs", "problems")
    cells = [columns, *(tuple(str(row.get(column) or "-") for column in columns) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    print(lines[0])
    group = ""
    for row, line in zip(rows, lines[1:], strict=True):
        if row["group"] != group:
            group = row["group"]
            print(f"\n{group}")
        print(line)


def check(arguments: argparse.Namespace) -> None:
    """Checks an environment, and prints each finding with what to do about it."""
    from ...envs import check as checks

    allow = checks.ALLOWED if arguments.allow is None else arguments.allow
    settings = checks.Settings(arguments.problems, arguments.seed, allow, arguments.strict)
    findings = []
    for finding in checks.check(arguments.id, arguments.options, settings):
        findings.append(finding)
        if not arguments.json:
            print(finding, flush=True)
    if arguments.json:
        rows = [{**dataclasses.asdict(finding), "figures": dict(finding.figures)} for finding in findings]
        passes = all(finding.level != checks.Level.FAILS for finding in findings)
        print(json.dumps({"id": arguments.id, "passes": passes, "findings": rows}, indent=1))
    checks.require(findings)
    if not arguments.json:
        print(f"{arguments.id}: passes")
