"""Options that several commands share."""

import argparse
from typing import TYPE_CHECKING

from ..texts import json_or_text

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]
else:
    Commands = object
"""The object that a command is added to."""


def environment(command: argparse.ArgumentParser) -> None:
    """Adds the environment's id and its keyword arguments."""
    command.add_argument("id", help='environment id (see `tenfold env list`), or "module:id"')
    set_option(command, help="keyword argument of the environment; may be repeated")


def set_option(command: argparse.ArgumentParser, help: str) -> None:
    """Adds the option --set, which collects keyword arguments of an environment in `options`."""
    command.add_argument("--set", dest="options", metavar="NAME=VALUE", action=_Option, default={}, help=help)


class _Option(argparse.Action):
    """Collects NAME=VALUE options in a dictionary. A value that is valid JSON is decoded."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: object, option_string: str | None = None
    ) -> None:
        name, sign, text = str(values).partition("=")
        if not sign:
            parser.error(f"--set: expected NAME=VALUE, got {values!r}")
        namespace.options = {**namespace.options, name: json_or_text(text)}


def not_negative(text: str) -> int:
    """Returns an integer of at least 0; a type for argparse."""
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"expected an integer >= 0, got {text!r}")
    return int(text)


def positive(text: str) -> int:
    """Returns a positive integer; a type for argparse."""
    if not (text.isascii() and text.isdigit() and text.strip("0")):
        raise argparse.ArgumentTypeError(f"expected an integer >= 1, got {text!r}")
    return int(text)


def share(text: str) -> float:
    """Returns a number from 0 to 1; a type for argparse."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got {text!r}")
    return number
