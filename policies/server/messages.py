"""Messages in the form of OpenAI-compatible servers.

If a conversation declares functions, a server gets them as the parameter `tools`. It may then return calls as data.
`replies.py` writes them as text in `<tool_call>`, so that a conversation has the same form for every policy. Here these texts
become `tool_calls` again, and the reply to them becomes one message for each call. A server that rejects `tools` gets the
declarations and the calls as text.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...core import Conversation, Message
from ...texts import without_surrogates
from ..chat import tools

_ABOUT = r"(?:\btools?\b|tool[ _-]choice|tool[ _-]call[ _-]parser|function[ _-]call(?:s|ing)?)"
_NOT_SUPPORTED = r"(?:support|requires?\b|enable|unknown|unrecogni[sz]ed|unexpected|not (?:permitted|allowed|accepted)|extra)"
_REJECTS_TOOLS = re.compile(rf"{_ABOUT}[^.]{{0,80}}{_NOT_SUPPORTED}|{_NOT_SUPPORTED}[^.]{{0,80}}{_ABOUT}", re.IGNORECASE)
"""Words of an error about the parameter `tools`."""
_REJECTS_ROLE = re.compile(r"\btools?\b|tool_calls?|function[ _](?:calls?|responses?)|\broles?\b", re.IGNORECASE)
"""Words of an error about a turn of the role "tool"."""


@dataclass
class Forms:
    """The forms of tools that a server accepts. Each is used until the server rejects it."""

    tools: bool = True
    """The parameter `tools`. Without it, the declarations become text in the system turn."""
    role: bool = True
    """The role "tool" for a reply to calls that were written as text. Without it, such a reply is a turn of the user. OpenAI's
    API accepts the role only after a turn with `tool_calls`."""

    def parameters(self, conversation: Conversation) -> dict[str, Any]:
        """Returns the parameters `messages` and, if the conversation declares functions, `tools`."""
        declared, turns = tools.split(conversation)
        if declared and not self.tools:
            declared, turns = (), tools.as_text(conversation)
        sent = [_converted(turn) for turn in (tools.with_calls(turns) if declared else turns)]
        if not self.role:
            sent = [{**turn, "role": "user"} if _answers_text(turn) else turn for turn in sent]
        return {"messages": sent, **({"tools": [dict(tool) for tool in declared]} if declared else {})}

    def adapt(self, sent: Mapping[str, Any], error: str) -> str | None:
        """Gives up a form that an error may be about. The request can then be sent again.

        Args:
            sent: the parameters of the request that the server rejected.
            error: message of a permanent error: the same request would fail again.

        Returns:
            What the server rejects; empty if another thread has adapted the forms; None if the error is about something else.
        """
        if "tools" in sent and _REJECTS_TOOLS.search(error):
            before, self.tools = self.tools, False
            return "rejects the parameter tools: functions become a text of the prompt" if before else ""
        if any(map(_answers_text, sent.get("messages", ()))) and _REJECTS_ROLE.search(error):
            before, self.role = self.role, False
            return 'rejects the role "tool": results of tools become turns of the user' if before else ""
        return None


def _answers_text(turn: dict[str, Any]) -> bool:
    """True if a turn is a tool's reply to a call that was written as text, and therefore has no `tool_call_id`."""
    return turn["role"] == "tool" and "tool_call_id" not in turn


def _converted(message: Message) -> dict[str, Any]:
    """Returns a message in the server's form, in which the arguments of tool calls are JSON text."""
    fields: dict[str, object] = dict(message)
    if "tool_calls" in message:
        fields["tool_calls"] = [
            {**call, "function": {**call["function"], "arguments": json.dumps(call["function"]["arguments"])}}
            for call in message["tool_calls"]
        ]
    converted: dict[str, Any] = json.loads(without_surrogates(json.dumps(fields, ensure_ascii=False)))
    return converted
