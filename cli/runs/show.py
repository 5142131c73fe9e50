"""`tenfold show`: prints the episodes of a training step."""

import argparse

from ...core import UserError
from .. import options
from ..options import Commands


def add(commands: Commands) -> None:
    """Adds the command and its options."""
    command = commands.add_parser("show", help="print the episodes of a training step")
    command.add_argument("run", help="folder of a run, or of one of its GRPO stages")
    command.add_argument("--stage", help="name of the stage, if the run has several")
    command.add_argument("--step", type=options.positive, help="number of the step (default: the last)")
    command.add_argument("--problem", help="only the samples of the problem with this id")
    command.add_argument("--limit", type=options.positive, default=8, help="number of episodes (default: %(default)s)")
    command.set_defaults(call=run, command="show")


def run(arguments: argparse.Namespace) -> None:
    """Prints the episodes of a training step."""
    from ...pipelines.rl import show

    step, episodes = show.read(arguments.run, arguments.stage, arguments.step)
    matching = [episode for episode in episodes if arguments.problem in (None, episode["problem_id"])]
    if not matching:
        raise UserError(f"step {step} has no problem {arguments.problem!r}")
    for episode in matching[: arguments.limit]:
        print(show.text(episode))
    print(f"step {step}: {len(matching[: arguments.limit])} of {len(episodes)} episodes")
