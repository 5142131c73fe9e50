"""Declarations of functions that a policy may call: the field `tools` of a conversation's first message.

A chat template with support for tools writes them, by its option `tools`. For another template, or without one, they become
text in the system turn. Servers get them as the parameter `tools` of the request.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from ...core import Function, Message, ToolCall

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PLACEHOLDER = "tenfoldprobe"
"""Text that is put into a conversation to find where the template writes it. No template contains it."""
INSTRUCTION = """You may call these functions, one JSON object a line:

<tools>
{tools}
</tools>

For each call, write

<tool_call>
{{"name": "a function's name", "arguments": {{"a parameter's name": "its value"}}}}
</tool_call>

Where none of the functions can do what is asked, call none and say so."""
"""Text of the system turn for a template without support for tools. Our choice."""
_CALL = re.compile(r"\n?<tool_call>\n(\{.*?\})\n</tool_call>", re.DOTALL)
"""A call as `core.message_text` writes it. The arguments are JSON, in which a newline of a text is escaped."""

Turn = dict[str, Any]
"""A message in the form that a chat template expects."""
Tools = Sequence[Mapping[str, Any]]
"""Declarations of functions."""


class Render(Protocol):
    """Applies a chat template to turns. Options are those of `apply_chat_template`. Returns text unless `tokenize` is set."""

    def __call__(self, turns: Sequence[Turn], **options: Any) -> Any: ...  # noqa: D102


def split(messages: Sequence[Message]) -> tuple[Tools, list[Message]]:
    """Returns the declarations of a conversation's first message, and the messages without them."""
    first = messages[0].copy() if messages else None
    if first is None or "tools" not in first:
        return (), [*messages]
    return first.pop("tools"), [first, *messages[1:]]


def joined(tools: Tools, messages: Sequence[Message]) -> list[Message]:
    """Returns the messages with declarations in the first one. The inverse of `split`."""
    return [{**messages[0], "tools": tools}, *messages[1:]] if tools else [*messages]


def as_text(messages: Sequence[Message]) -> list[Message]:
    """Returns the messages with their declarations as text in the system turn."""
    tools, rest = split(messages)
    if not tools:
        return rest
    listed = "\n".join(json.dumps(tool.get("function", tool), ensure_ascii=False) for tool in tools)
    system = INSTRUCTION.format(tools=listed)
    if rest[0]["role"] == "system":
        system = f"{rest.pop(0)['content']}\n\n{system}"
    return [Message(role="system", content=system), *rest]


def with_calls(turns: Sequence[Message]) -> list[Message]:
    """Returns the turns with calls in `tool_calls` if they are text in `<tool_call>` and a reply follows.

    The reply becomes one message for each call, which names it.
    """
    converted: list[Message] = []
    for place, turn in enumerate(turns):
        following = turns[place + 1] if place + 1 < len(turns) else None
        previous = converted[-1].get("tool_calls", []) if converted else []
        if turn["role"] == "tool" and "tool_call_id" not in turn and previous:
            converted += _replies(turn["content"], previous)
        elif turn["role"] == "assistant" and following and following["role"] == "tool" and (found := _calls(turn)):
            for number, call in enumerate(found):
                call["id"] = f"call_{place}_{number}"
            converted.append(Message(role="assistant", content=_CALL.sub("", turn["content"]), tool_calls=found))
        else:
            converted.append(turn)
    return converted


def _calls(turn: Message) -> list[ToolCall]:
    """Returns the calls that a turn has as text; empty if it has none, or has `tool_calls`, or one of them is not valid."""
    calls = []
    for text in [] if "tool_calls" in turn else _CALL.findall(turn["content"]):
        try:
            call = json.loads(text)
        except (ValueError, RecursionError):
            return []
        if not isinstance(call.get("name"), str) or not isinstance(call.get("arguments"), dict):
            return []
        calls.append(ToolCall(type="function", function=Function(name=call["name"], arguments=call["arguments"])))
    return calls


def _replies(text: str, calls: Sequence[ToolCall]) -> list[Message]:
    """Returns the replies to calls: one line of the text for each, or all of it for the first if the numbers differ."""
    texts = text.split("\n")
    if len(texts) != len(calls):
        texts = [text, *[""] * (len(calls) - 1)]
    return [
        Message(role="tool", content=content, tool_call_id=call["id"], name=call["function"]["name"])
        for content, call in zip(texts, calls, strict=True)
    ]


def template_of(tokenizer: "PreTrainedTokenizerBase") -> str:
    """Returns the text of the tokenizer's chat templates; empty if it has none."""
    template: str | Mapping[str, str] | None = tokenizer.chat_template
    return "\n".join(template.values()) if isinstance(template, Mapping) else template or ""


def renderer(tokenizer: "PreTrainedTokenizerBase", tools: Tools) -> Render:
    """Returns a function that applies the chat template with these declarations."""

    def render(turns: Sequence[Turn], **options: Any) -> Any:
        declarations = [dict(tool) for tool in tools] or None
        return tokenizer.apply_chat_template(list(turns), tools=declarations, **{"tokenize": False, **options})

    return render


def writes_tools(tokenizer: "PreTrainedTokenizerBase", tools: Tools) -> bool:
    """True if the chat template writes declarations of functions."""
    if "tools" not in template_of(tokenizer):
        return False
    renamed = [{"type": "function", "function": {**tool.get("function", tool), "name": PLACEHOLDER}} for tool in tools[:1]]
    try:
        return PLACEHOLDER in renderer(tokenizer, renamed)([{"role": "user", "content": "?"}])
    except Exception:  # the template does not accept declarations of this form
        return False
