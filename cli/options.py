"""Options that several commands have."""

import argparse
import contextlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]
else:
    Commands = object
"""What a command is added to."""


def environment(command: argparse.ArgumentParser) -> None:
    """Adds the environment's id and its keyword arguments."""
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


def positive(text: str) -> int:
    """A whole number from 1 on, as argparse reads it."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number from 1 on, not {text!r}")
    return int(text)
