"""Extraction of an answer that is text: words, a pattern, JSON, a query."""

import re

from ...responses import without_thinking, without_turn_end
from ..answers.extraction.boxes import last_mark
from ..answers.extraction.response import MAX_TAIL

_TEXT = re.compile(r"\\(?:text|texttt|textbf|mathrm)\s?\{([^{}\\]{0,2000})\}")
_BLOCK = re.compile(
    r"```(?:[a-zA-Z0-9+#]{0,10}[ \t]*\r?\n|(?:json|sqlite|sql|regex)\b[ \t]*)?(.*?)```", re.DOTALL | re.IGNORECASE
)
"""A code block. A line end follows the name of its language. After json, sqlite, sql or regex, code may follow in the line."""
MAX_BLOCK_TAIL = 200_000
"""Number of characters, from the end of a response, in which a code block is searched. Our choice."""
_AROUND = " \t\n\r`*\"'“”‘’$"
"""Characters that often surround an answer and are not part of it."""


def marked_answer(response: str) -> str:
    """Returns the answer of a response: the content of its last `\\boxed{...}` or `<answer>`, else its last line.

    Only the end of a response is searched (`MAX_TAIL` characters). The answer is empty if the last mark never closes, or if the
    response consists of reasoning.
    """
    text = without_turn_end(without_thinking(response))[-MAX_TAIL:]
    mark = last_mark(text)
    answer = next((line for line in reversed(text.splitlines()) if line.strip()), "") if mark is None else mark.content or ""
    return _TEXT.sub(r"\1", answer).strip(_AROUND)


def exact_answer(response: str) -> str:
    """Returns the answer of a response, for answers in which every character counts, such as a regular expression.

    It is the content of the last `<answer>`, else of the last `\\boxed{...}`, else a code block at the end, else the last line.
    White space, backticks and the fences of a code block around it are not part of it.
    """
    text = without_turn_end(without_thinking(response))[-MAX_TAIL:]
    closed = text.rfind("</answer>")
    opened = text.rfind("<answer>", 0, max(closed, 0))
    if opened >= 0:
        answer = text[opened + len("<answer>") : closed]
    else:
        mark = last_mark(text)
        lines = [line for line in text.splitlines() if line.strip()]
        answer = (lines[-1] if lines else "") if mark is None else mark.content or ""
        if mark is None and answer.strip() == "```" and (blocks := _BLOCK.findall(text)):
            return str(blocks[-1]).strip()
    answer = answer.strip()
    block = _BLOCK.fullmatch(answer)
    return (block and block[1].strip()) or answer.strip("`").strip()


def block_answer(response: str) -> str:
    """Returns the program or data in a response: the last code block, else the last mark's content, else the whole text."""
    text = without_turn_end(without_thinking(response))[-MAX_BLOCK_TAIL:].strip()
    if blocks := _BLOCK.findall(text):
        return str(blocks[-1]).strip()
    mark = last_mark(text)
    return text if mark is None else (mark.content or "").strip()
