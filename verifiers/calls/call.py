"""What a call of a tool is, and that one cannot be read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Declared = Mapping[str, Mapping[str, Any]]
"""Of each function the properties of its parameters, as JSON Schema has them."""


class Malformed(Exception):
    """A response calls something and the call cannot be read; the text says why."""


@dataclass(frozen=True, slots=True)
class Said:
    """A call that a response makes."""

    name: str
    arguments: Mapping[str, Any]


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON in which no name is twice. Raises `Malformed`."""
    if len(dict(pairs)) < len(pairs):
        raise Malformed("a name is given twice")
    return dict(pairs)
