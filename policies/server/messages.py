"""Messages in the form of OpenAI-compatible servers."""

import json
import re
from collections.abc import Sequence
from typing import Any

from ...core import Message
from ...texts import without_surrogates

_TOOL_ERROR = re.compile(r"\btools?\b|tool_calls?|function[ _](?:calls?|responses?)|\broles?\b", re.IGNORECASE)
"""Words of an error about a turn of the role "tool"."""


def to_server(message: Message) -> dict[str, Any]:
    """Returns a message in the server's form, in which the arguments of tool calls are JSON text."""
    fields: dict[str, object] = dict(message)
    if "tool_calls" in message:
        fields["tool_calls"] = [
            {**call, "function": {**call["function"], "arguments": json.dumps(call["function"]["arguments"])}}
            for call in message["tool_calls"]
        ]
    converted: dict[str, Any] = json.loads(without_surrogates(json.dumps(fields, ensure_ascii=False)))
    return converted


def answers_text(turn: dict[str, Any]) -> bool:
    """True if a turn is a tool's reply to a call that was written as text, so that it names no call."""
    return turn["role"] == "tool" and "tool_call_id" not in turn


def without_tool_role(turns: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the turns with the user's role for replies to calls that were written as text.

    OpenAI's API accepts a turn of the role "tool" only after a turn with `tool_calls`.
    """
    return [{**turn, "role": "user"} if answers_text(turn) else turn for turn in turns]


def rejects_tool_role(turns: Sequence[dict[str, Any]], error: str) -> bool:
    """True if an error may be about such a reply.

    Args:
        turns: the turns of the request.
        error: the error's message.
    """
    return any(map(answers_text, turns)) and _TOOL_ERROR.search(error) is not None
