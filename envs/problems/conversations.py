"""Conversations of data sets as messages: the formats of the OpenAI API and of ShareGPT, with tool calls.

    {"role": "assistant", "content": null, "tool_calls": [{"id": "a", "function": {"name": "add", "arguments": {...}}}]}
    {"role": "tool", "tool_call_id": "a", "content": "4"}
    {"from": "gpt", "value": "It is 4."}      {"from": "function_call", "value": "{\\"name\\": ..., \\"arguments\\": ...}"}

A content is text, null (empty) or a list of text parts, which are joined. Images and sounds are rejected, because only text
models are supported. The arguments of a call are an object, its JSON text, or null (none).
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ...core import Function, Message, ToolCall, UserError
from ...policies.chat import tools as declarations
from ...texts import json_or_text

ROLES = {
    "human": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "observation": "tool",
    "function": "tool",
    "function_response": "tool",
    "tool_response": "tool",
    "developer": "system",
}
"""The role in chat templates of each role name that data sets use."""
TEXT_PARTS = ("text", "input_text", "output_text")
CONTENTS = ("content", "value", "text")


def messages(prompt: object, where: str = "", sparse: bool = False) -> tuple[Message, ...]:
    """Returns a prompt as messages.

    Args:
        prompt: text (one user turn), or a list of turns in a format of the module's docstring.
        where: name of the row, for errors.
        sparse: the turns come from a table in which the arguments of each call have the keys of all rows; null values are
            dropped.

    Raises:
        UserError: a turn has no role, a part that is not text, or a tool call that cannot be read.
    """
    if isinstance(prompt, str):
        return (Message(role="user", content=prompt),)
    if isinstance(prompt, Mapping) and "messages" in prompt:
        prompt = prompt["messages"]
    if not isinstance(prompt, Sequence) or not all(isinstance(turn, Mapping) for turn in prompt):
        raise UserError(f"{where}: a prompt must be text or a list of messages with role and content")
    found = [_message(turn, where, sparse) for turn in prompt]
    return tuple(declarations.joined(tools(prompt[0].get("tools") if prompt else None, where, sparse), found))


def parse_if_json(text: str) -> Any:
    """Decodes a conversation that is JSON text; returns any other text unchanged."""
    return json_or_text(text) if text.lstrip().startswith(("[{", "[ {", "[\n")) else text


def tools(declared: object, where: str, sparse: bool = False) -> list[dict[str, Any]]:
    """Returns the tools that a row declares, in the format of chat templates.

    Args:
        declared: a list of tools, or its JSON text. A tool is {"type": "function", "function": {...}}, the inner object alone,
            or JSON text of either.
        where: name of the row, for errors.
        sparse: see `messages`.

    Raises:
        UserError: `declared` has another form.
    """
    parsed = _json(declared, where, "tools")
    tools = [parsed] if isinstance(parsed, Mapping) else parsed or []
    if not isinstance(tools, list | tuple):
        raise UserError(f"{where}: tools must be a list of objects with name and parameters, got {str(parsed)[:80]!r}")
    found = []
    for tool in tools:
        value = _json(tool, where, "a tool")
        if not isinstance(value, Mapping):
            raise UserError(f"{where}: a tool must be an object with name and parameters, got {str(value)[:80]!r}")
        inner = value.get("function") if isinstance(value.get("function"), Mapping) else value
        if not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str):
            raise UserError(f"{where}: a tool has no name: {str(dict(value))[:80]}")
        found.append({"type": "function", "function": _filled(inner) if sparse else dict(inner)})
    return found


def _message(turn: Mapping[str, Any], where: str, sparse: bool) -> Message:
    role = turn.get("role", turn.get("from"))
    column = next((name for name in CONTENTS if name in turn), None)
    calls = turn.get("tool_calls") or turn.get("function_call")
    if not isinstance(role, str) or (column is None and not calls):
        raise UserError(f"{where}: a prompt must be text or a list of messages with role and content")
    content = turn[column] if column else None
    if role == "function_call":  # the whole turn is a call
        calls, content = content, None
    message = Message(role=ROLES.get(role, role), content=_text(content, where))
    if calls and message["role"] == "assistant":
        parsed = _json(calls, where, "tool_calls")
        call_list = parsed if isinstance(parsed, list) else [parsed]
        if found := [_call(call, where, sparse) for call in call_list if call]:
            message["tool_calls"] = found
    if message["role"] == "tool":
        if isinstance(id := turn.get("tool_call_id"), str):
            message["tool_call_id"] = id
        if isinstance(name := turn.get("name"), str):
            message["name"] = name
    return message


def _text(content: object, where: str) -> str:
    """Returns the text of a content.

    Raises:
        UserError: a part is not text.
    """
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, Mapping):
        content = [content]
    if not isinstance(content, list | tuple):
        return str(content)
    texts = []
    for part in content:
        kind = part.get("type") if isinstance(part, Mapping) else None
        text = part if isinstance(part, str) else part.get("text") if isinstance(part, Mapping) else None
        if isinstance(text, str) and kind in (None, *TEXT_PARTS):
            texts.append(text)
        elif part is not None:
            raise UserError(f"{where}: a message has a part of type {kind or type(part).__name__!r}; only text is supported")
    return "".join(texts)


def _call(call: object, where: str, sparse: bool) -> ToolCall:
    value = _json(call, where, "a tool call")
    inner = value.get("function", value) if isinstance(value, Mapping) else None
    if not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str):
        raise UserError(f"{where}: a tool call has no name: {str(value)[:80]!r}")
    raw = inner.get("arguments", inner.get("parameters"))
    arguments = _json(raw, where, f"the arguments of {inner['name']}")
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, Mapping):
        raise UserError(f"{where}: the arguments of {inner['name']} are not an object: {str(arguments)[:80]!r}")
    function = Function(name=inner["name"], arguments=_filled(arguments) if sparse else dict(arguments))
    tool_call = ToolCall(type="function", function=function)
    if isinstance(value, Mapping) and isinstance(value.get("id"), str):
        tool_call["id"] = value["id"]
    return tool_call


def _json(value: object, where: str, what: str) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value) if value.strip() else None
    except (ValueError, RecursionError):
        raise UserError(f"{where}: {what} cannot be read as JSON: {value[:80]!r}") from None


def _filled(sparse: Mapping[str, object]) -> dict[str, object]:
    """Returns an object without keys whose value is null, at all depths. Lists keep their nulls."""

    def without_nulls(value: object) -> object:
        if isinstance(value, Mapping):
            return {key: without_nulls(item) for key, item in value.items() if item is not None}
        return [without_nulls(item) for item in value] if isinstance(value, list) else value

    return {key: without_nulls(item) for key, item in sparse.items() if item is not None}
