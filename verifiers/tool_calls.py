"""Calls of tools as chat templates of today write them: JSON between <tool_call> and </tool_call>."""

import contextlib
import json

from ..core import without_thinking

_TAG, _END_TAG = "<tool_call>", "</tool_call>"
_DECODER = json.JSONDecoder()


def tagged(response: str) -> list[str]:
    """What stands in a response's <tool_call> tags, after its thinking; the last may lack its end."""
    text, found, at = without_thinking(response), [], 0
    while (start := text.find(_TAG, at)) >= 0:
        start += len(_TAG)
        at = text.find(_END_TAG, start)
        body = text[start : at if at >= 0 else len(text)]
        with contextlib.suppress(ValueError, RecursionError):  # the tag's end may stand in a text of the call's
            begun = len(text[start:]) - len(text[start:].lstrip())
            _, length = _DECODER.raw_decode(text[start + begun :])
            end = start + begun + length
            if text[end:].lstrip().startswith(_END_TAG):
                body, at = text[start:end], text.find(_END_TAG, end)
        found.append(body)
        if at < 0:
            break
    return found


def called(turn: str) -> tuple[str, str] | None:
    """The tool and the code of a turn's last tool call: None where there is no call, empty where it cannot be read."""
    calls = tagged(turn)
    if not calls:
        return None
    try:
        call = json.loads(calls[-1])
        tool, source = call["name"], call["arguments"]["code"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return "", ""
    return (tool, source) if isinstance(tool, str) and isinstance(source, str) else ("", "")
