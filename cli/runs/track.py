"""`tenfold track`: sends a run that has ended to experiment trackers."""

import argparse
from pathlib import Path

from ..options import Commands


def add(commands: Commands) -> None:
    """Adds the command and its options."""
    command = commands.add_parser("track", help="send the figures of a run that has ended to experiment trackers")
    command.add_argument("run", help="folder of the run")
    command.add_argument(
        "--to", required=True, metavar="TRACKERS", help="tensorboard, wandb, mlflow, trackio, swanlab; several with commas"
    )
    command.set_defaults(call=run, command="track")


def run(arguments: argparse.Namespace) -> None:
    """Sends what the trackers do not have yet, and prints where it is.

    Raises:
        UserError: the run goes on, a tracker is unknown or has no key, or it failed.
    """
    from ...pipelines.recipe.tracking import checks, process

    folder, names = Path(arguments.run), [name.strip() for name in arguments.to.split(",")]
    checks.check(names, "--to")
    for line in process.send(folder, names):
        print(line)
