"""`tenfold status`: says what a run is doing."""

import argparse
import dataclasses
import json
from pathlib import Path

from ..options import Commands


def add(commands: Commands) -> None:
    """Adds the command and its options."""
    command = commands.add_parser("status", help="say what a run is doing, also from another terminal")
    command.add_argument("run", help="folder of the run")
    command.add_argument("--json", action="store_true", help="print one line of JSON")
    command.set_defaults(call=run, command="status")


def run(arguments: argparse.Namespace) -> None:
    """Prints the state of a run and of its stages."""
    from ...pipelines.recipe.progress import status

    found = status.read(Path(arguments.run))
    if arguments.json:
        print(json.dumps(dataclasses.asdict(found)))
    else:
        print("\n".join(status.lines(found)))
