"""`Request`: what a user asks of a service, with the gold calls."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ....golds import ServiceCall


class Request(NamedTuple):
    """A request to one service that can be done in its present state."""

    text: str
    """What the user says: an imperative sentence with a full stop."""
    calls: Sequence[ServiceCall]
    """The gold calls. The last one is the one without which nothing is done."""
    says: Sequence[str] = ()
    """Texts that the response must contain."""
    vague: str = ""
    """The same request without a value that the calls need; empty if there is no such form."""
    detail: str = ""
    """What the user says when asked for the value."""


def call(name: str, /, **arguments: object) -> ServiceCall:
    """Returns a gold call."""
    return {"name": name, "arguments": arguments}


def at(hour: int, minute: int = 0) -> str:
    """Returns a time of day, such as "09:30"."""
    return f"{hour:02d}:{minute:02d}"


def check_time(time: str) -> None:
    """Checks that a text is a time of day.

    Raises:
        ValueError: it is none.
    """
    if re.fullmatch(r"(?:[01]\d|2[0-3]):[0-5]\d", time, re.ASCII) is None:
        raise ValueError(f"{time} is not a time such as 09:30")


def counted(count: int, noun: str) -> str:
    """Returns a number with its noun: "1 week", "2 weeks"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def known(name: str, names: Mapping[str, object], what: str) -> None:
    """Checks that a name is known.

    Args:
        name: the name.
        names: the known names.
        what: word for the error.

    Raises:
        ValueError: there is no such name.
    """
    if name not in names:
        raise ValueError(f"there is no {what} {name}")
