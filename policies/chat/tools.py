"""Declarations of functions that a policy may call: the field `tools` of a conversation's first message.

A chat template with support for tools writes them, by its option `tools`. For another template, or without one, they become
text in the system turn. Servers get them as the parameter `tools` of the request.
"""

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from ...core import Function, Message, ToolCall
from ...responses import without_thinking

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
_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"\s*")

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
    return first.pop("tools") or (), [first, *messages[1:]]


def joined(tools: Tools, messages: Sequence[Message]) -> list[Message]:
    """Returns the messages with declarations in the first one. The inverse of `split`."""
    return [{**messages[0], "tools": tools}, *messages[1:]] if tools and messages else [*messages]


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


def accepted(tokenizer: "PreTrainedTokenizerBase", messages: Sequence[Message]) -> list[Message]:
    """Returns the messages; the system turn is part of the user's turn if the chat template rejects it."""
    if tokenizer.chat_template and len(messages) > 1 and [turn["role"] for turn in messages[:2]] == ["system", "user"]:
        asked = [*itertools.takewhile(lambda turn: turn["role"] != "assistant", messages)]
        if refusal(tokenizer, asked):
            first = Message(role="user", content=f"{messages[0]['content']}\n\n{messages[1]['content']}")
            return [first, *messages[2:]]
    return [*messages]


def refusal(tokenizer: "PreTrainedTokenizerBase", messages: Sequence[Message]) -> str:
    """Returns why the chat template rejects these turns; empty if it accepts them."""
    try:
        if tokenizer.chat_template:
            renderer(tokenizer, ())([dict(message) for message in messages], add_generation_prompt=True)
    except Exception as error:  # templates raise exceptions of any type
        return " ".join(str(error).split())[:200] or type(error).__name__
    return ""


def with_calls(turns: Sequence[Message]) -> list[Message]:
    """Returns the turns with calls in `tool_calls` if they are text in `<tool_call>` and a reply follows.

    The reply becomes one message for each call, with the call's id and name.
    """
    converted: list[Message] = []
    count = 0
    for place, turn in enumerate(turns):
        following = turns[place + 1] if place + 1 < len(turns) else None
        previous = converted[-1].get("tool_calls", []) if converted else []
        if turn["role"] == "tool" and "tool_call_id" not in turn and previous:
            converted += _replies(turn["content"], previous)
        elif turn["role"] == "assistant" and "tool_calls" not in turn and following and following["role"] == "tool":
            content, calls = _with_data(turn["content"])
            for call in calls:
                count += 1
                call["id"] = f"call{count:05}"  # nine characters, as some models need
            converted.append(Message(role="assistant", content=content, tool_calls=calls) if calls else turn)
        else:
            converted.append(turn)
    return converted


def _with_data(text: str) -> tuple[str, list[ToolCall]]:
    """Returns a text without its calls, and the calls. Calls in the reasoning are not extracted.

    If one call is invalid, the whole text is returned, without calls.
    """
    said = without_thinking(text)
    kept, calls, position = [text[: len(text) - len(said)]], [], 0
    while (start := said.find(_OPEN, position)) >= 0:
        try:
            call, end = _DECODER.raw_decode(said, _after_space(said, start + len(_OPEN)))
        except (ValueError, RecursionError):
            return text, []
        end = _after_space(said, end)
        if not said.startswith(_CLOSE, end) or not _is_call(call):
            return text, []
        calls.append(ToolCall(type="function", function=Function(name=call["name"], arguments=call["arguments"])))
        kept.append(said[position:start].removesuffix("\n"))
        position = end + len(_CLOSE)
    return "".join([*kept, said[position:]]), calls


def _after_space(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return found.end() if found else position


def _is_call(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("name"), str) and isinstance(value.get("arguments"), dict)


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
    try:
        renamed = [{"type": "function", "function": {**tool.get("function", tool), "name": PLACEHOLDER}} for tool in tools[:1]]
        return PLACEHOLDER in renderer(tokenizer, renamed)([{"role": "user", "content": "?"}])
    except Exception:  # the template does not accept declarations of this form
        return False
