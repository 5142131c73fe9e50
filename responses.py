"""Functions that remove reasoning, chat-template marks and an incomplete last sentence from a response."""

import re

_THINKING = r"(?:think|thinking|thought|reasoning|seed:think)"
_CALL = r"assistant(?: to=[\w.]{1,100})?<\|channel\|>commentary(?!<\|message\|>)"
"""The start of a tool call of gpt-oss: the tool or the format follows the name of the channel "commentary". Any other text in
this channel is reasoning."""
_THINKING_MARK = re.compile(
    rf"(?P<close></{_THINKING}>|\[/THINK\]|◁/think▷|<\|channel\|>final(?: ?(?:<\|constrain\|>)?\w{{1,20}})?<\|message\|>"
    rf"|<\|end\|>(?=<\|start\|>{_CALL})|(?<!<\|start\|>)(?={_CALL}))"
    rf"|<{_THINKING}>|\[THINK\]|◁think▷|<\|channel\|>(?:analysis\b|commentary<\|message\|>)"
)
"""The final channel may name the format of its content. Decoding may remove the marks before "assistant"."""
_OPENING_ENDS = (">", "]", "▷", "analysis")
"""The ends of all marks that open reasoning."""


def without_thinking(response: str) -> str:
    """Returns the part of a response that is judged: the text after the reasoning.

    All verifiers call this function, so that they judge the same part of a response.

    Args:
        response: a policy's text. Reasoning is enclosed in `<think>` and `</think>`, or in the marks that other models use
            (`<thinking>`, `<thought>`, `<reasoning>`, `<seed:think>`, `[THINK]`, `◁think▷`, the channels of gpt-oss).

    Returns:
        The whole response if it has no marks, else the text after the last mark that closes reasoning. It is empty if reasoning
        is opened and not closed: the response was truncated during reasoning, and a draft is not an answer.
    """
    marks = list(_THINKING_MARK.finditer(response))
    if not marks:
        return response
    return response[marks[-1].end() :] if marks[-1]["close"] is not None else ""


_SENTENCE_END = re.compile(r"\n|。|[.!?](?:\n|(?=\s))")
_MARKED_ANSWER = re.compile(r"\\(?:boxed|fbox|framebox)\s{0,9}\{\s{0,9}[^\s}]|</answer>", re.IGNORECASE)
_NUMBER_ALONE = re.compile(r"\s{0,9}\d{1,9}(?:\.\n?|\n)")
"""A list number such as "3." whose entry is missing, or a line with only a number."""


_STEP = re.compile(r"\d[^=\n]{0,80}?(?:[-+*/×÷·−^]|\\(?:times|cdot|div)\b)[^=\n]{0,80}=(?!=)")
"""Arithmetic with a result: "7 + 2 = 9"."""
_CODE = re.compile(r"\s*(?:(?:return|print|assert|yield|if|elif|for|while|def)\b|[A-Za-z_][\w.\[\]\"', :]*\s*[-+*/]?=)")
_CONCLUDES = re.compile(r"\b(?:so|thus|hence|therefore|ans(?:wer)?|result|total|final(?:ly)?)\b|####", re.IGNORECASE)
_GOES_ON = re.compile(r"\W*?[-+*/=]|\W*(?:\d|(?:then|next|now|after|step|second|third|we)\b)", re.IGNORECASE)
"""A computation goes on: "9 - 4 =", "Then"."""


def complete_part(truncated: str) -> str:
    """Returns the part of a truncated text that is judged; see `Completion.scorable_text`.

    Two things are left out at the end. A number that stands alone may be the number of a list's next entry. A computation that
    goes on in the incomplete sentence is a step, and not the result: "7 + 2 = 9" before "9 - 4 =".
    """
    if _MARKED_ANSWER.search(without_thinking(truncated)):
        return truncated
    ends = [0, *(match.end() for match in _SENTENCE_END.finditer(truncated))]
    while len(ends) > 1 and _NUMBER_ALONE.fullmatch(truncated, ends[-2], ends[-1]):
        ends.pop()
    end = ends.pop()
    if truncated.count("```") % 2 == 0 and _GOES_ON.match(truncated, end):  # else it ends within a program
        stop = end
        while ends:
            start, sentence = ends[-1], truncated[ends[-1] : stop]
            if _is_step(sentence):
                end = start
            elif sentence.strip():
                break
            stop = ends.pop()
    return truncated[:end]


def _is_step(sentence: str) -> bool:
    """True if a sentence is a step of a computation."""
    return bool(_STEP.search(sentence)) and not _CODE.match(sentence) and not _CONCLUDES.search(sentence)


def complete_lines(truncated: str) -> str:
    """Returns a truncated text without its last line, which may be incomplete."""
    return truncated[: truncated.rfind("\n") + 1]


def complete_words(truncated: str) -> str:
    """Returns a truncated text without its last word or number, which may be incomplete: a score of 1 may be a part of 10."""
    return re.sub(r"\w+\Z", "", truncated)


_TURN_ENDS = (
    *(f"<|{name}|>" for name in "eot_id eom_id im_end end call return endoftext end_of_text".split()),
    *("</s>", "<end_of_turn>", "<｜end▁of▁sentence｜>"),
)


def without_turn_end(response: str) -> str:
    """Returns a response without the end-of-turn marks that decoding may leave at its end, such as `<|im_end|>` and `</s>`."""
    kept = end = len(response)
    while True:
        while end and response[end - 1].isspace():
            end -= 1
        mark = next((mark for mark in _TURN_ENDS if response.endswith(mark, 0, end)), None)
        if mark is None:
            return response[:kept]
        kept = end = end - len(mark)


def opened_thinking(prompt: str) -> str:
    """Returns the mark that opens reasoning if the prompt ends with one, else ""."""
    prompt = prompt.rstrip()
    if not prompt.endswith(_OPENING_ENDS):  # few prompts do, and a search takes longer
        return ""
    last = next((mark for mark in reversed([*_THINKING_MARK.finditer(prompt)])), None)
    return last[0] if last and last.end() == len(prompt) and last["close"] is None else ""
