"""Conversations as data sets write them, read as messages: OpenAI's form and ShareGPT's, with tool calls.

    {"role": "assistant", "content": null, "tool_calls": [{"id": "a", "function": {"name": "add", "arguments": {...}}}]}
    {"role": "tool", "tool_call_id": "a", "content": "4"}
    {"from": "gpt", "value": "It is 4."}      {"from": "function_call", "value": "{\\"name\\": ..., \\"arguments\\": ...}"}

A content is text, null (which says nothing) or a list of parts, whose texts are joined; an image or a sound is refused, for no
model here sees or hears it. Arguments of a call are an object, or JSON of one.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ...core import Function, Message, ToolCall, UserError

SPEAKERS = {
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
"""Names of roles that no chat template knows, and what they are there."""
TEXT_PARTS = ("text", "input_text", "output_text")
CONTENTS = ("content", "value", "text")


def messages(prompt: Any, where: str = "", sparse: bool = False) -> tuple[Message, ...]:
    """A prompt as turns: text is a user's one.

    Args:
        prompt: text, or a list of turns, as the module has them.
        where: names the row, for errors.
        sparse: the turns come from a table, whose arguments have every key of every row: those that are null are left out.

    Raises:
        UserError: a turn has no role, a part that is no text, or a tool call that cannot be read.
    """
    if isinstance(prompt, str):
        return (Message(role="user", content=prompt),)
    if isinstance(prompt, Mapping) and "messages" in prompt:
        prompt = prompt["messages"]
    if not isinstance(prompt, Sequence) or not all(isinstance(turn, Mapping) for turn in prompt):
        raise UserError(f"{where}: a prompt is text or a list of messages with role and content")
    return tuple(_message(turn, where, sparse) for turn in prompt)


def written(text: str) -> Any:
    """A conversation that is written as JSON, as columns of tables have it; any other text as it is."""
    if text.lstrip().startswith(("[{", "[ {", "[\n")):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return text


def tools(declared: Any, where: str, sparse: bool = False) -> list[dict[str, Any]]:
    """The tools that a row declares, in the form that chat templates take.

    Args:
        declared: a list of tools, or JSON of one. A tool is {"type": "function", "function": {...}}, the inner object alone, or
            JSON of either.
        where, sparse: see `messages`.

    Raises:
        UserError: it is something else.
    """
    declared = _json(declared, where, "tools")
    found = []
    for tool in [declared] if isinstance(declared, Mapping) else declared or []:
        told = _json(tool, where, "a tool")
        if not isinstance(told, Mapping):
            raise UserError(f"{where}: a tool is an object with a name and parameters, not {str(told)[:80]!r}")
        inner = told.get("function") if isinstance(told.get("function"), Mapping) else told
        if not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str):
            raise UserError(f"{where}: a tool has no name: {str(dict(told))[:80]}")
        found.append({"type": "function", "function": _filled(inner) if sparse else dict(inner)})
    return found


def _message(turn: Mapping[str, Any], where: str, sparse: bool) -> Message:
    said = turn.get("role", turn.get("from"))
    column = next((name for name in CONTENTS if name in turn), None)
    calls = turn.get("tool_calls") or turn.get("function_call")
    if not isinstance(said, str) or (column is None and not calls):
        raise UserError(f"{where}: a prompt is text or a list of messages with role and content")
    content = turn[column] if column else None
    if said == "function_call":  # the whole turn is a call
        calls, content = content, None
    message = Message(role=SPEAKERS.get(said, said), content=_text(content, where))
    if calls and message["role"] == "assistant":
        read = _json(calls, where, "tool_calls")
        listed = read if isinstance(read, list) else [read]
        message["tool_calls"] = [_call(call, where, sparse) for call in listed if call]
    if message["role"] == "tool":
        if isinstance(id := turn.get("tool_call_id"), str):
            message["tool_call_id"] = id
        if isinstance(name := turn.get("name"), str):
            message["name"] = name
    return message


def _text(content: Any, where: str) -> str:
    """The text of a content.

    Raises:
        UserError: a part of it is no text.
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
            raise UserError(f"{where}: a message has a part of type {kind or type(part).__name__!r}; only text can be read")
    return "".join(texts)


def _call(call: Any, where: str, sparse: bool) -> ToolCall:
    told = _json(call, where, "a tool call")
    inner = told.get("function", told) if isinstance(told, Mapping) else None
    if not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str):
        raise UserError(f"{where}: a tool call has no name: {str(told)[:80]!r}")
    given = inner.get("arguments", inner.get("parameters"))
    arguments = _json(given, where, f"the arguments of {inner['name']}") if given not in (None, "") else {}
    if not isinstance(arguments, Mapping):
        raise UserError(f"{where}: the arguments of {inner['name']} are no object: {str(arguments)[:80]!r}")
    function = Function(name=inner["name"], arguments=_filled(arguments) if sparse else dict(arguments))
    read = ToolCall(type="function", function=function)
    if isinstance(told, Mapping) and isinstance(told.get("id"), str):
        read["id"] = told["id"]
    return read


def _json(given: Any, where: str, what: str) -> Any:
    if not isinstance(given, str):
        return given
    try:
        return json.loads(given) if given.strip() else None
    except (ValueError, RecursionError):
        raise UserError(f"{where}: {what} cannot be read as JSON: {given[:80]!r}") from None


def _filled(given: Mapping[str, Any]) -> dict[str, Any]:
    """An object of a table without the keys that only other rows fill."""

    def kept(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: kept(one) for key, one in value.items() if one is not None}
        return [kept(one) for one in value] if isinstance(value, list) else value

    filled: dict[str, Any] = kept(given)
    return filled
