"""`tenfold synthesize`: writes tests for coding problems."""

import argparse

from . import options
from .options import Commands


def add(commands: Commands) -> None:
    """Adds the command and its options."""
    command = commands.add_parser("synthesize", help="write tests for coding problems from their solutions")
    command.add_argument("problems", help="a problem URI with solutions, such as human_eval: or jsonl:FILE")
    command.add_argument("--out", help="JSONL file (default: tests.jsonl); an unfinished file is resumed")
    command.add_argument("--limit", type=options.positive, help="number of problems, from the first (default: all)")
    command.add_argument("--compare", action="store_true", help="also measure the problems' original tests")
    command.add_argument(
        "--inputs", type=options.positive, default=60, help="inputs generated in each of up to 4 rounds (default: %(default)s)"
    )
    command.add_argument(
        "--public-tests",
        type=options.not_negative,
        default=2,
        help="public tests, which may be shown in the prompt (default: %(default)s)",
    )
    command.add_argument(
        "--min-private-tests", type=options.positive, default=8, help="number of private tests to reach (default: %(default)s)"
    )
    command.add_argument("--seed", type=int, default=0, help="seed of the inputs (default: %(default)s)")
    command.set_defaults(call=run, command="synthesize")


def run(arguments: argparse.Namespace) -> None:
    """Writes tests for coding problems."""
    from ..pipelines.recipe.report.display import Display
    from ..pipelines.synthesize.rows import synthesize, table

    display = Display()
    out = arguments.out or "tests.jsonl"
    settings = {
        "inputs_per_round": arguments.inputs,
        "public_tests": arguments.public_tests,
        "min_private_tests": arguments.min_private_tests,
        "seed": arguments.seed,
    }
    with display.stage(arguments.problems) as progress:
        rows = synthesize(arguments.problems, out, arguments.limit, arguments.compare, progress, **settings)
    display.console.print(table(rows))
    print(f"{sum('answer' in row for row in rows)} of {len(rows)} problems have tests, in {out}")
