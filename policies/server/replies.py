"""Replies of OpenAI-compatible servers, read: text, reasoning, tool calls, and why a sample ended.

Servers differ in how they say each. A reply that holds no answer is an `InvalidReply`, never another Python error.
"""

import contextlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...core import Completion, Function, Message, ToolCall, message_text, without_surrogates

Fields = Mapping[str, Any]

MAX_COUNTED = 10_000_000
"""Largest number of tokens that is believed."""
_REFUSED = re.compile(
    r"filter|safety|prohibited|blocklist|spii|recitation|sensitive|refus|guardrail|moderation|policy|violation", re.IGNORECASE
)
_BROKEN = re.compile(r"error|abort|cancel|fail|insufficient|malformed|unexpected|^other$|unspecified", re.IGNORECASE)
_CUT = re.compile(r"length|max|limit|truncat|window|incomplete", re.IGNORECASE)


class InvalidReply(Exception):
    """A reply that holds no answer. The request may be sent again."""


class ErrorReply(InvalidReply):
    """A reply that is an error, whatever its status says."""

    def __init__(self, error: Any):
        """Takes the error as the server gave it."""
        super().__init__(f"an error in place of an answer: {one_line(error)}")
        self.error = error
        code = error.get("code") if isinstance(error, Mapping) else None
        self.status: int | None = code if isinstance(code, int) and 400 <= code < 600 else None
        """The HTTP status that the error names, if it names one."""


def one_line(said: Any, most: int = 200) -> str:
    """What a server said, in one line: an error's message where it has one."""
    if isinstance(said, Mapping):
        inner = said.get("error", said)
        said = inner.get("message") or inner if isinstance(inner, Mapping) else inner
    text = said if isinstance(said, str) else json.dumps(said, default=str)
    return without_surrogates(" ".join(text.split())[:most])


def parsed(content: bytes) -> Fields:
    """The JSON object of a reply.

    Raises:
        InvalidReply: it is none, or it is an error.
    """
    text = content.decode("utf-8", "replace")
    try:
        reply = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidReply(f"a reply that is no JSON: {one_line(text, 80)!r}" if text.strip() else "an empty reply") from None
    if not isinstance(reply, Mapping):
        raise InvalidReply(f"a reply that is no JSON object: {one_line(text, 80)}")
    if not reply.get("choices") and (reply.get("error") or reply.get("object") == "error"):
        raise ErrorReply(reply.get("error") or reply)
    return reply


def first_choice(reply: Fields) -> Fields:
    """The reply's only choice.

    Raises:
        InvalidReply: it has none.
    """
    choices = reply.get("choices")
    choice = choices[0] if isinstance(choices, Sequence) and choices else None
    if not isinstance(choice, Mapping):
        raise InvalidReply(f"a reply without choices: {one_line(dict(reply), 120)}")
    if choice.get("error"):
        raise ErrorReply(choice["error"])
    return choice


def completion(reply: Fields, max_tokens: int) -> Completion:
    """The sample that a reply holds, of `/v1/chat/completions` or `/v1/completions`.

    Args:
        reply: see `parsed`.
        max_tokens: that the sample could have: a sample of as many tokens whose end is not explained was cut.

    Raises:
        InvalidReply: it holds none.
    """
    choice = first_choice(reply)
    reason, message = choice.get("finish_reason"), choice.get("message")
    logprobs = _logprobs(choice)
    usage = reply.get("usage")
    count = _count(usage.get("completion_tokens") if isinstance(usage, Mapping) else None, len(logprobs))
    finish = _finish_reason(reason, count, max_tokens)
    plain = choice["text"] if isinstance(choice.get("text"), str) else None
    text = _text(message) if isinstance(message, Mapping) else plain
    if finish == "refused":
        return Completion("", "refused", error=f"the server ended the sample with {one_line(reason)!r}")
    if text is None:
        raise InvalidReply(f"a choice without a message: {one_line(dict(choice), 120)}")
    return Completion(without_surrogates(text), finish, tuple(range(count)), logprobs)


def likeliest(reply: Fields) -> tuple[str, list[tuple[str, float]]]:
    """The first token of a reply, and the tokens that the server says were likeliest there, with their log-probabilities.

    Raises:
        InvalidReply: it holds neither.
    """
    choice = first_choice(reply)
    message = choice.get("message")
    told: list[tuple[str, float]] = []
    for token in _listed(choice, "logprobs", "content")[:1]:
        for top in _listed(token, "top_logprobs"):
            name, logprob = (top.get("token"), _number(top.get("logprob"))) if isinstance(top, Mapping) else (None, None)
            if isinstance(name, str) and logprob is not None:
                told.append((name, logprob))
    text = _text(message) if isinstance(message, Mapping) else None
    if text is None and not told:
        raise InvalidReply(f"a choice without a message: {one_line(dict(choice), 120)}")
    return text or "", told


def _finish_reason(reason: Any, tokens: int, max_tokens: int) -> str:
    """ "stop", "length" or "refused".

    Raises:
        InvalidReply: the sample was broken off.
    """
    if not isinstance(reason, str) or not reason:
        return "length" if tokens >= max_tokens else "stop"
    if _REFUSED.search(reason):
        return "refused"
    if _BROKEN.search(reason):
        raise InvalidReply(f"a sample that was broken off ({one_line(reason)!r})")
    return "length" if _CUT.search(reason) else "stop"


def _text(message: Fields) -> str | None:
    """What a message says: reasoning in `<think>`, then the content, then tool calls; None where it says nothing at all.

    Reasoning without anything behind it was cut: it stays open. Tool calls that a server has parsed out of the text are
    written back, as `spoken` writes them: whoever judges reads the text alone.
    """
    content, thought = _parts(message.get("content"))
    reasoning = next((said for name in ("reasoning_content", "reasoning") if (said := _plain(message.get(name)))), "")
    reasoning = reasoning or _plain(message.get("reasoning_details")) or thought
    said = content or _plain(message.get("refusal"))
    calls = list(_calls(message))
    if calls:
        said = message_text(Message(role="assistant", content=said, tool_calls=calls))
    if not said and not reasoning:
        return "" if "content" in message and isinstance(message["content"], str | list | None) else None
    if not reasoning or reasoning.strip() in said:
        return said
    return f"<think>\n{reasoning}\n</think>\n{said}" if said else f"<think>\n{reasoning}"


def _parts(content: Any) -> tuple[str, str]:
    """The text of a content that may be a list of parts, and the reasoning among the parts."""
    if isinstance(content, str):
        return content, ""
    text, thought = "", ""
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, str):
            text += part
        elif isinstance(part, Mapping) and ("thinking" in part or part.get("type") in ("thinking", "reasoning")):
            thought += _plain(part)
        elif isinstance(part, Mapping):
            text += _plain(part)
    return text, thought


def _plain(said: Any) -> str:
    """The text of a value that may be text, a part, or a list of parts."""
    if isinstance(said, str):
        return said
    if isinstance(said, Mapping):
        names = ("text", "thinking", "summary", "reasoning", "refusal", "content")
        return next((found for name in names if (found := _plain(said.get(name)))), "")
    return "".join(map(_plain, said)) if isinstance(said, list) else ""


def _calls(message: Fields) -> Iterator[ToolCall]:
    """The tool calls of a message; arguments that are no JSON object stay as they were written."""
    given = message.get("tool_calls")
    given = given if isinstance(given, list) else []
    for call in [*given, {"function": message.get("function_call")}]:
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            continue
        arguments: Any = function.get("arguments") or {}
        if isinstance(arguments, str):
            with contextlib.suppress(ValueError, RecursionError):
                arguments = json.loads(arguments)
        yield ToolCall(type="function", function=Function(name=function["name"], arguments=arguments))


def _logprobs(choice: Fields) -> tuple[float, ...]:
    """Of every token; none at all where one is missing."""
    told = [
        _number(token.get("logprob")) if isinstance(token, Mapping) else None
        for token in _listed(choice, "logprobs", "content")
    ]
    numbers = tuple(number for number in told if number is not None)
    return numbers if len(numbers) == len(told) else ()


def _listed(fields: Any, *names: str) -> list[Any]:
    """The list under a path of names; empty where there is none."""
    for name in names:
        fields = fields.get(name) if isinstance(fields, Mapping) else None
    return fields if isinstance(fields, list) else []


def _number(given: Any) -> float | None:
    return float(given) if isinstance(given, int | float) and not isinstance(given, bool) and not math.isnan(given) else None


def _count(given: Any, otherwise: int) -> int:
    """A number of tokens; `otherwise` where it cannot be one."""
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        if 0 < (count := int(given)) <= MAX_COUNTED:
            return count
    return otherwise
