"""A parsed call of a tool, and the error for a call that cannot be parsed."""

from collections.abc import Mapping
from dataclasses import dataclass

DeclaredFunctions = Mapping[str, Mapping[str, object]]
"""For each function the properties of its parameters, as in JSON Schema."""


class Malformed(Exception):
    """A response contains a call that cannot be parsed. The message says why."""


@dataclass(frozen=True, slots=True)
class ParsedCall:
    """A call in a response."""

    name: str
    arguments: Mapping[str, object]


def unique_names(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Returns a JSON object. Raises `Malformed` if a name occurs twice."""
    if len(dict(pairs)) < len(pairs):
        raise Malformed("a name occurs twice")
    return dict(pairs)
