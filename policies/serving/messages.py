"""Messages in the form of OpenAI's API as conversations of policies, and samples as messages."""

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...core import Function, Message, ToolCall
from ...responses import without_thinking
from ...verifiers.calls import formats
from ...verifiers.calls.call import DeclaredFunctions, Malformed
from ..chat import tools
from .errors import RequestError

ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool"}
"""Roles of messages, and those of chat templates that they become. "developer" is OpenAI's newer name for "system"."""
_OPENING = re.compile(r"\A\s*(?:<[\w:]{1,20}>|\[THINK\]|◁think▷)\n?")
_CLOSING = re.compile(r"\n?(?:</[\w:]{1,20}>|\[/THINK\]|◁/think▷)\Z")


def conversation(messages: Sequence[Mapping[str, object]], declared: Sequence[Mapping[str, object]]) -> list[Message]:
    """Returns the conversation of a request.

    Args:
        messages: the messages of the request.
        declared: the functions that the policy may call.

    Raises:
        RequestError: a message has another form, or a part that is not text.
    """
    for tool in declared:
        function = tool.get("function")
        if tool.get("type") != "function" or not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            raise RequestError('tools: expected {"type": "function", "function": {"name": ...}}', param="tools")
        if not isinstance(function.get("parameters", {}), Mapping):
            raise RequestError("tools: parameters must be a JSON Schema of an object", param="tools")
    return tools.joined(declared, [_message(message, place) for place, message in enumerate(messages)])


def _message(given: Mapping[str, object], place: int) -> Message:
    role = given.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise _invalid(place, f"role: expected one of {', '.join(ROLES)}")
    content = _text(given.get("content"), place)
    reasoning = given.get("reasoning_content") or given.get("reasoning")
    if role == "assistant" and isinstance(reasoning, str):
        content = f"<think>\n{reasoning}\n</think>\n{content}"  # as `server.replies` reads it
    message = Message(role=ROLES[role], content=content)
    if isinstance(id := given.get("tool_call_id"), str):
        message["tool_call_id"] = id
    if isinstance(name := given.get("name"), str):
        message["name"] = name
    if calls := given.get("tool_calls"):
        if not isinstance(calls, list):
            raise _invalid(place, "tool_calls: expected a list")
        message["tool_calls"] = [_call(call, place) for call in calls]
    return message


def _text(content: object, place: int) -> str:
    """Returns a content, which may be a list of parts, as text."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise _invalid(place, "content: expected text")
    texts = []
    for part in content:
        if not isinstance(part, Mapping) or part.get("type") != "text" or not isinstance(part.get("text"), str):
            raise _invalid(place, "content: only parts of the type text are supported")
        texts.append(str(part["text"]))
    return "".join(texts)


def _call(call: object, place: int) -> ToolCall:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(call, Mapping) or not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise _invalid(place, 'tool_calls: expected {"id": ..., "type": "function", "function": {"name", "arguments"}}')
    arguments = function.get("arguments") or "{}"
    try:
        arguments = json.loads(arguments) if isinstance(arguments, str) else arguments
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        raise _invalid(place, "tool_calls: arguments must be a JSON object as text")
    converted = ToolCall(type="function", function=Function(name=str(function["name"]), arguments=arguments))
    if isinstance(call.get("id"), str):
        converted["id"] = call["id"]
    return converted


def _invalid(place: int, words: str) -> RequestError:
    return RequestError(f"messages[{place}].{words}", param="messages")


@dataclass(frozen=True, slots=True)
class Said:
    """A sample in the parts of a message."""

    reasoning: str
    content: str
    calls: tuple[Mapping[str, object], ...] = ()

    @property
    def message(self) -> dict[str, object]:
        """The message of a reply."""
        message: dict[str, object] = {"role": "assistant", "content": self.content}
        if self.reasoning:
            message["reasoning_content"] = self.reasoning
        if self.calls:
            message |= {"content": self.content or None, "tool_calls": [*self.calls]}
        return message


def split(text: str) -> Said:
    """Returns the reasoning and the content of a text. The content is what verifiers judge, up to a newline at its start.

    `server.replies` joins them, so that the `openai:` policy gets the same text if the reasoning is in `<think>` lines.
    """
    content = without_thinking(text)
    if content == text:
        return Said("", text)
    reasoning = _OPENING.sub("", text[: len(text) - len(content)], count=1)
    return Said(_CLOSING.sub("", reasoning, count=1), content.removeprefix("\n"))


def said(text: str, declared: Sequence[Mapping[str, object]]) -> Said:
    """Returns a sample in the parts of a message. A call that cannot be parsed stays text.

    Args:
        text: the sample.
        declared: the functions of the request. Without them, nothing is a call.
    """
    parts = split(text)
    if not declared:
        return parts
    try:
        calls = formats.calls_in(text, _properties(declared))
    except Malformed:
        return parts
    if not calls:
        return parts
    mark = formats.MARKS.search(parts.content)
    before = parts.content[: mark.start()] if mark else ""
    return Said(
        parts.reasoning,
        before.removesuffix("\n"),
        tuple(
            {
                "id": f"call_{secrets.token_hex(12)}",
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False, default=str)},
            }
            for call in calls
        ),
    )


def _properties(declared: Sequence[Mapping[str, object]]) -> DeclaredFunctions:
    """Returns the properties of the parameters of each declared function."""
    found: dict[str, Mapping[str, object]] = {}
    for tool in declared:
        function = tool["function"]
        if isinstance(function, Mapping):
            schema = function.get("parameters")
            properties = schema.get("properties") if isinstance(schema, Mapping) else None
            found[str(function["name"])] = properties if isinstance(properties, Mapping) else {}
    return found
