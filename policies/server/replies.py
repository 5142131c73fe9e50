"""Parser of replies of OpenAI-compatible servers: text, reasoning, tool calls and finish reason.

Servers use different formats. A reply without an answer raises `InvalidReply` and no other error.
"""

import contextlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...core import Completion, Function, Message, ToolCall, message_text
from ...texts import without_surrogates

Fields = Mapping[str, Any]
"""A JSON object."""

MAX_COUNTED = 10_000_000
"""Token counts above this are ignored as invalid. Our choice."""
MAX_ROUNDING = 0.001
"""Log-probabilities above this are ignored as invalid. Our choice."""
_REFUSED = re.compile(
    r"filter|safety|prohibited|blocklist|spii|recitation|sensitive|refus|guardrail|moderation|policy|violation", re.IGNORECASE
)
_BROKEN = re.compile(r"error|abort|cancel|fail|insufficient|malformed|unexpected|^other$|unspecified", re.IGNORECASE)
_CUT = re.compile(r"length|max|limit|truncat|window|incomplete", re.IGNORECASE)


class InvalidReply(Exception):
    """A reply without an answer. The request may be sent again."""


class ErrorReply(InvalidReply):
    """A reply with an error in its body, under any HTTP status."""

    def __init__(self, error: object):
        """Sets the error, as it is in the body."""
        super().__init__(f"an error instead of an answer: {one_line(error)}")
        self.error = error
        code = error.get("code") if isinstance(error, Mapping) else None
        self.status: int | None = code if isinstance(code, int) and 400 <= code < 600 else None
        """The HTTP status in the error, if any."""


@contextlib.contextmanager
def _limited_nesting() -> Iterator[None]:
    """Raises `InvalidReply` if a reply is nested so deeply that Python cannot read it."""
    try:
        yield
    except RecursionError:
        raise InvalidReply("a reply that is nested too deeply") from None


def one_line(value: object, limit: int = 200) -> str:
    """Returns a part of a reply as one line of at most `limit` characters. For an error, only its message is returned."""
    if isinstance(value, Mapping):
        inner = value.get("error") or value
        value = inner.get("message") or inner if isinstance(inner, Mapping) else inner
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return without_surrogates(" ".join(text.split())[:limit])


@_limited_nesting()
def parsed(content: bytes) -> Fields:
    """Returns the JSON object of a reply.

    Raises:
        InvalidReply: the reply is not a JSON object, or it is an error.
    """
    text = content.decode("utf-8", "replace")
    try:
        reply = json.loads(text)
    except ValueError:
        raise InvalidReply(f"a reply that is not JSON: {one_line(text, 80)!r}" if text.strip() else "an empty reply") from None
    if not isinstance(reply, Mapping):
        raise InvalidReply(f"a reply that is not a JSON object: {one_line(text, 80)}")
    if not reply.get("choices") and (reply.get("error") or reply.get("object") == "error"):
        raise ErrorReply(reply.get("error") or reply)
    return reply


def first_choice(reply: Fields) -> Fields:
    """Returns the first choice of a reply.

    Raises:
        InvalidReply: the reply has no choices.
    """
    choices = reply.get("choices")
    choice = choices[0] if isinstance(choices, Sequence) and choices else None
    if not isinstance(choice, Mapping):
        raise InvalidReply(f"a reply without choices: {one_line(dict(reply), 120)}")
    if choice.get("error"):
        raise ErrorReply(choice["error"])
    return choice


@_limited_nesting()
def completion(reply: Fields, max_tokens: int) -> Completion:
    """Returns the sample in a reply of `/v1/chat/completions` or `/v1/completions`.

    Args:
        reply: see `parsed`.
        max_tokens: token limit of the sample. A sample with this many tokens and no finish reason counts as truncated.

    Raises:
        InvalidReply: the reply has no sample.
    """
    choice = first_choice(reply)
    reason, message = choice.get("finish_reason"), choice.get("message")
    logprobs = _logprobs(choice)
    usage = reply.get("usage")
    count = _count(usage.get("completion_tokens") if isinstance(usage, Mapping) else None, len(logprobs))
    finish_reason = _finish_reason(reason, count, max_tokens)
    plain = choice["text"] if isinstance(choice.get("text"), str) else None
    text = _text(message) if isinstance(message, Mapping) else plain
    if finish_reason == "refused":
        return Completion("", "refused", error=f"the server ended the sample with {one_line(reason)!r}")
    if text is None:
        raise InvalidReply(f"a choice without a message: {one_line(dict(choice), 120)}")
    return Completion(without_surrogates(text), finish_reason, tuple(range(count)), logprobs)


@_limited_nesting()
def first_token(reply: Fields) -> tuple[str, list[tuple[str, float]]]:
    """Returns the text of a reply of one token, and the most likely tokens with their log-probabilities.

    Raises:
        InvalidReply: the reply has neither.
    """
    choice = first_choice(reply)
    message = choice.get("message")
    top_tokens: list[tuple[str, float]] = []
    for token in _listed(choice, "logprobs", "content")[:1]:
        for top in _listed(token, "top_logprobs"):
            name, logprob = (top.get("token"), _logprob(top.get("logprob"))) if isinstance(top, Mapping) else (None, None)
            if isinstance(name, str) and logprob is not None:
                top_tokens.append((name, logprob))
    text = _text(message) if isinstance(message, Mapping) else None
    if text is None and not top_tokens:
        raise InvalidReply(f"a choice without a message: {one_line(dict(choice), 120)}")
    return text or "", top_tokens


def _finish_reason(reason: object, tokens: int, max_tokens: int) -> str:
    """Returns "stop", "length" or "refused".

    Raises:
        InvalidReply: the sample was aborted.
    """
    if not isinstance(reason, str) or not reason:
        return "length" if tokens >= max_tokens else "stop"
    if _REFUSED.search(reason):
        return "refused"
    if _BROKEN.search(reason):
        raise InvalidReply(f"a sample that was aborted ({one_line(reason)!r})")
    return "length" if _CUT.search(reason) else "stop"


def _text(message: Fields) -> str | None:
    """Returns the text of a message: reasoning in `<think>`, then the content, then tool calls.

    None if the message has none of these and no field `content`. If no text follows the reasoning, the reasoning was truncated
    and is not closed. Tool calls that the server has parsed are converted back to text by `message_text`, because verifiers
    read only text.
    """
    content, thought = _parts(message.get("content"))
    reasoning = next((text for name in ("reasoning_content", "reasoning") if (text := _plain(message.get(name)))), "")
    reasoning = reasoning or _plain(message.get("reasoning_details")) or thought
    answer = content or _plain(message.get("refusal"))
    calls = list(_calls(message))
    if calls:
        answer = message_text(Message(role="assistant", content=answer, tool_calls=calls))
    if not answer and not reasoning:
        return "" if "content" in message and isinstance(message["content"], str | list | None) else None
    if not reasoning or reasoning.strip() in answer:
        return answer
    return f"<think>\n{reasoning}\n</think>\n{answer}" if answer else f"<think>\n{reasoning}"


def _parts(content: object) -> tuple[str, str]:
    """Returns the text and the reasoning of a content, which may be a list of parts."""
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


def _plain(value: object) -> str:
    """Returns the text of a value: a text, a part, or a list of parts."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        names = ("text", "thinking", "summary", "reasoning", "refusal", "content")
        return next((found for name in names if (found := _plain(value.get(name)))), "")
    return "".join(map(_plain, value)) if isinstance(value, list) else ""


def _calls(message: Fields) -> Iterator[ToolCall]:
    """Yields the tool calls of a message. Arguments that are not valid JSON stay text."""
    listed = message.get("tool_calls")
    listed = listed if isinstance(listed, list) else []
    for call in [*listed, {"function": message.get("function_call")}]:
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            continue
        arguments: Any = function.get("arguments") or {}
        if isinstance(arguments, str):
            with contextlib.suppress(ValueError, RecursionError):
                arguments = json.loads(arguments)
        yield ToolCall(type="function", function=Function(name=function["name"], arguments=arguments))


def _logprobs(choice: Fields) -> tuple[float, ...]:
    """Returns the log-probability of each token; empty if one is missing.

    `/v1/chat/completions` lists tokens with their log-probabilities, and `/v1/completions` only lists the log-probabilities.
    """
    values = [
        _logprob(token.get("logprob")) if isinstance(token, Mapping) else None
        for token in _listed(choice, "logprobs", "content")
    ] or [*map(_logprob, _listed(choice, "logprobs", "token_logprobs"))]
    numbers = tuple(number for number in values if number is not None)
    return numbers if len(numbers) == len(values) else ()


def _listed(fields: object, *names: str) -> list[Any]:
    """Returns the list at a path of names; empty if there is none."""
    for name in names:
        fields = fields.get(name) if isinstance(fields, Mapping) else None
    return fields if isinstance(fields, list) else []


def _logprob(value: object) -> float | None:
    """Returns a log-probability, or None if the value is not one. A rounding error above 0 becomes 0."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not value <= MAX_ROUNDING:  # also for NaN
        return None
    with contextlib.suppress(OverflowError):
        return min(float(value), 0.0)
    return None


def _count(value: Any, default: int) -> int:
    """Returns a token count, or `default` if the value is not a valid one."""
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        if 0 < (count := int(value)) <= MAX_COUNTED:
            return count
    return default
