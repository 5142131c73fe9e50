"""Extraction of an answer that is compared as text: the content of the last mark, or the last line."""

import re

from ...responses import without_thinking, without_turn_end
from ..answers.extraction.boxes import last_mark
from ..answers.extraction.response import MAX_TAIL

_TEXT = re.compile(r"\\(?:text|texttt|textbf|mathrm)\s?\{([^{}\\]{0,2000})\}")
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
