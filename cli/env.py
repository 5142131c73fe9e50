"""`tenfold env`: lists, checks and plays environments."""

import argparse
import json

from ..core import UserError
from . import options
from .options import Commands


def add(commands: Commands) -> None:
    """Adds the command and its options."""
    environments = commands.add_parser("env", help="list, check or play environments")
    actions = environments.add_subparsers(required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="list the environments in groups, with turns, tools, verifier and problems")
    listing.add_argument("--all", action="store_true", help="list each generator of reasoning-gym")
    listing.add_argument("--json", action="store_true", help="print all environments as a JSON list")
    listing.set_defaults(call=list_ids, command="env list")
    for name, words in (
        ("check", "run Gymnasium's checker, and check that the first 100 gold answers score 1"),
        ("play", "play one episode by hand"),
    ):
        action = actions.add_parser(name, help=words)
        options.environment(action)
        if name == "play":
            action.add_argument("--problem", type=int, help="index of the problem (default: a random problem)")
            action.add_argument("--seed", type=int, help="seed of the random problem")
        action.set_defaults(call={"check": check, "play": play}[name], command=f"env {name}")


def list_ids(arguments: argparse.Namespace) -> None:
    """Lists the environments in groups."""
    from ..envs import listing

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
    """Runs Gymnasium's checker on an environment, and checks that the first 100 gold answers score 1."""
    from ..envs import check as checks

    checks.check(arguments.id, arguments.options)
    print(f"{arguments.id}: passes")


def play(arguments: argparse.Namespace) -> None:
    """Plays one episode with responses from standard input."""
    from ..envs import registry

    environment = registry.make(arguments.id, **arguments.options)
    options = {} if arguments.problem is None else {"problem": arguments.problem}
    text, info = environment.reset(seed=arguments.seed, options=options)
    ended = False
    while not ended:
        print(text)
        try:
            response = input("> ")
        except EOFError:
            raise UserError("standard input ended before the episode") from None
        text, reward, terminated, truncated, info = environment.step(response)
        ended = terminated or truncated
    verdict = info.get("verdict")
    print(f"reward {reward:g}" + (f"  ({verdict.status}, by {verdict.method}: {verdict.reason})" if verdict else ""))
