"""The marks of reasoning and of chat templates in a response: what of it is judged."""

import re

_THINKING = r"(?:think|thinking|thought|reasoning|seed:think)"
_THINKING_MARK = re.compile(
    rf"(?P<close></{_THINKING}>|\[/THINK\]|◁/think▷|<\|channel\|>final<\|message\|>"
    r"|<\|end\|>(?=<\|start\|>assistant(?: to=[\w.]{1,100})?<\|channel\|>commentary(?!<\|message\|>)))"
    rf"|<{_THINKING}>|\[THINK\]|◁think▷|<\|channel\|>(?:analysis\b|commentary<\|message\|>)"
)
"""In gpt-oss's channel "commentary" a call of a tool names what it calls or its format; anything else there is no answer."""


def without_thinking(response: str) -> str:
    """The part of a response that is judged: what follows its reasoning.

    Every verifier calls this function, so that a response gets the same verdict whoever asks.

    Args:
        response: a policy's text. Reasoning stands between `<think>` and `</think>`, or between the marks that other models
            use (`<thinking>`, `<thought>`, `<reasoning>`, `<seed:think>`, `[THINK]`, `◁think▷`, the channels of gpt-oss).

    Returns:
        The text behind the last mark that closes reasoning. It is empty if reasoning is opened and not closed: the response
        was cut while it reasoned, and a draft in it is no answer.
    """
    marks = list(_THINKING_MARK.finditer(response))
    if not marks:
        return response
    return response[marks[-1].end() :] if marks[-1]["close"] else ""


_TURN_ENDS = (
    *(f"<|{name}|>" for name in "eot_id eom_id im_end end call return endoftext end_of_text".split()),
    *("</s>", "<end_of_turn>", "<｜end▁of▁sentence｜>"),
)


def without_turn_end(response: str) -> str:
    """A response without the marks of chat templates behind it, which decoding may leave: `<|im_end|>`, `</s>`."""
    kept = end = len(response)
    while True:
        while end and response[end - 1].isspace():
            end -= 1
        mark = next((mark for mark in _TURN_ENDS if response.endswith(mark, 0, end)), None)
        if mark is None:
            return response[:kept]
        kept = end = end - len(mark)


def opened_thinking(prompt: str) -> str:
    """The mark that opens reasoning, where a prompt ends with one: the policy's turn then begins within its reasoning."""
    prompt = prompt.rstrip()
    last = next((mark for mark in reversed([*_THINKING_MARK.finditer(prompt)])), None)
    return last[0] if last and last.end() == len(prompt) and not last["close"] else ""
