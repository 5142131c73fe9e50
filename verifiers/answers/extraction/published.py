"""The letter of an option as the code of multiple-choice benchmarks extracts it from a response.

    simple_evals   GPQA in simple-evals: the first "Answer: C"
    supergpqa      SuperGPQA: "the answer is C", "Answer: C", or a line that starts with a letter. The last line is searched for
                   all three, then the whole text. If there is no letter, the same with the text of an option.
    mmlu_pro       MMLU-Pro: the first "answer is (C)", else the last "answer: C" of the first line with one, else the last
                   letter that stands alone

Their patterns accept LaTeX and Markdown around a letter. Those below match the same texts in time that is linear in the length:
the original ones of SuperGPQA repeat repetitions. A lower-case letter that they find is no option and hence incorrect.
"""

import re
from collections.abc import Callable, Mapping, Sequence

_COMMAND = r"\\(?:boxed|mathbf|mathrm|text)\{"
_OPENING = r"[*$\\{(\[]"
"""A character that may precede a letter."""
_CLOSED = r"(?=[\\}$)\]]*(?:[\s:.*)]|\Z))"
"""What must follow a letter: closing brackets, then a space, a mark or the end."""
_NOUN = r"[Tt]he\s++(?:\w++\s++)?(?:answer|option)(?:\w++\s)?\s++"
"""The start of "the correct answer is"."""
_LETTER = rf"(?:{_COMMAND}|{_OPENING})*+\s*+([A-J]){_CLOSED}"
_LETTERS = tuple(
    re.compile(before + _LETTER, re.IGNORECASE)
    for before in (
        rf"{_NOUN}is?:?\s*+",
        r"answer[*\s]*+:\s*+",
        rf"\A(?:[^\w\r\n\\]|(?!{_COMMAND})\\)*+",
    )
)
_TOKEN = rf"(?:{_OPENING}|{_COMMAND})"
_BEFORE_TEXT = (
    rf"{_NOUN}is:?\s*(?:{_TOKEN}+?\s*)??",
    rf"(?i:answer)\s*(?:{_TOKEN}+?\s*)??",
    rf"\A[^\w\r\n]*(?:(?:[\r\n]\s*)?|{_COMMAND}{_TOKEN}*?\s*)",
)
"""What precedes the text of an option; in `_LETTERS`, a letter."""


def simple_evals(response: str, options: Sequence[str]) -> str | None:
    """Returns the letter as simple-evals (`gpqa_eval.py` of github.com/openai/simple-evals, commit ee3b0318)."""
    last = chr(ord("A") + len(options) - 1)
    found = re.search(rf"Answer[ \t]*+:[ \t]*+\$?([A-{last}])", response, re.IGNORECASE)
    return found[1] if found else None


def supergpqa(response: str, options: Sequence[str]) -> str | None:
    """Returns the letter as SuperGPQA (`eval/eval.py` of github.com/SuperGPQA/SuperGPQA, commit 03a3e278, mode zero-shot)."""
    text = response.rstrip()
    parts = (text.split("\n")[-1], text)
    for part in parts:
        for pattern in _LETTERS:
            if found := pattern.search(part):
                return found[1]
    stated = rf"({'|'.join(map(re.escape, options))}){_CLOSED}"
    patterns = [re.compile(before + stated) for before in _BEFORE_TEXT]
    for part in parts:
        for pattern in patterns:
            if found := pattern.search(part):
                return chr(ord("A") + list(options).index(found[1])) if found[1] else None
    return None


def mmlu_pro(response: str, options: Sequence[str]) -> str | None:
    """Returns the letter as MMLU-Pro (`evaluate_from_api.py` of github.com/TIGER-AI-Lab/MMLU-Pro, commit f418b116).

    A letter need not be that of an option, and None is incorrect. There, a random option replaces a missing letter.
    """
    text = response.replace("**", "")
    if found := re.search(r"answer is \(?([A-J])", text):
        return found[1]
    if found := re.search(r"^.*[aA]nswer:\s*+([A-J])", text, re.MULTILINE):
        return found[1]
    alone = re.findall(r"\b[A-J]\b", text)
    return alone[-1] if alone else None


PUBLISHED: Mapping[str, Callable[[str, Sequence[str]], str | None]] = {
    "simple_evals": simple_evals,
    "supergpqa": supergpqa,
    "mmlu_pro": mmlu_pro,
}
"""The functions by the name of the format."""
