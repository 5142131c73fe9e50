"""A response as its text and its calls, in the form that a server with the OpenAI API returns."""

import json
from collections.abc import Sequence
from typing import NamedTuple, cast

from ...responses import without_thinking, without_turn_end
from ...verifiers.calls import formats
from ...verifiers.calls.call import DeclaredFunctions, Malformed

MAX_NESTING = 100
"""Levels of lists and objects that the arguments of a call may have. Our choice: tau2-bench's code fails at about 500."""


class Said(NamedTuple):
    """A response."""

    content: str | None
    """The text outside of the calls; None if there is none."""
    calls: list[tuple[str, dict[str, object]]]
    """Name and arguments of each call."""

    @property
    def is_empty(self) -> bool:
        """True if the response has neither a text nor a call."""
        return self.content is None and not self.calls


def read(response: str, declared: DeclaredFunctions) -> Said:
    """Returns the text and the calls of a response, without its reasoning.

    Args:
        response: a model's response.
        declared: the functions that it may call.

    Raises:
        Malformed: the response has a mark of a call, and the call cannot be read.
    """
    text = without_turn_end(without_thinking(response))
    try:
        found = formats.calls_in(response, declared) if declared else []
        calls = [(call.name, dict(call.arguments)) for call in found]
        json.dumps(calls)
    except (TypeError, ValueError, RecursionError) as error:  # values that are no JSON data, too long or nested too deeply
        raise Malformed(str(error)) from None
    if _is_deeper([arguments for _, arguments in calls], MAX_NESTING):
        raise Malformed(f"its arguments are nested more than {MAX_NESTING} deep")
    if calls:
        marked = formats.MARKS.search(text)
        text = text[: marked.start()] if marked else ""
    return Said(text.strip() or None, calls)


def read_or_text(response: str, declared: DeclaredFunctions) -> Said:
    """Returns the text and the calls of a response. If its calls cannot be read, the whole response is text."""
    try:
        return read(response, declared)
    except Malformed:
        return Said(without_turn_end(without_thinking(response)).strip() or None, [])


def _is_deeper(containers: Sequence[object], levels: int) -> bool:
    """True if lists and objects contain others in more levels than given, themselves included."""
    for _ in range(levels):
        lists = [each.values() if isinstance(each, dict) else cast(Sequence[object], each) for each in containers]
        containers = [item for items in lists for item in items if isinstance(item, dict | list | tuple)]
    return bool(containers)
