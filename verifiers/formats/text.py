"""Verifier of a final answer that is text: a word, a number as written, or a list with commas.

The answer is the content of the last `\\boxed{...}` or `<answer>`, else what "the answer is" states, else the last line. White
space and quotation marks around the answer and its items, brackets around the answer, and a full stop at the end, do not count.
"""

import re

from ...core import Problem, Status, Verdict
from ...responses import without_thinking
from ..answers import final_answer
from ..answers.extraction.boxes import is_placeholder
from ..budget import SECONDS, limit
from ..verifier import as_verifier
from .marked import marked_answer

MAX_ANSWER = 10_000
"""Largest number of characters of an answer. Our choice."""
_SPACE = re.compile(r"\s+")
_AROUND = " `'\"“”‘’"


def invalid_gold(problem: Problem) -> str | None:
    """Returns why no response to the problem can be judged, or None."""
    if not isinstance(problem.answer, str | int):
        return "the gold answer is not text"
    gold = str(problem.answer)
    return "the gold answer is empty or a placeholder" if is_placeholder(gold) or not normal(gold) else None


@as_verifier(invalid_gold=invalid_gold, options={"case": True})
def verify(problem: Problem, response: str, case: bool = True) -> Verdict:
    """Scores 1 if the final answer is the gold answer, else 0.

    Args:
        problem: the problem; its answer is text.
        response: the response.
        case: if false, capital and small letters are equal.
    """
    if (reason := invalid_gold(problem)) is not None:
        return Verdict(Status.UNDECIDED, None, "text", reason)
    with limit(SECONDS):
        answers = [marked_answer(response)]
        text = without_thinking(response)
        if not any(sign in text for sign in ("\\boxed", "</answer>")) and (stated := final_answer(text)):
            # `stated` may be only a part of the answer. So a last line that contains it counts, too. Any other last line would
            # be a second answer.
            answers = [stated, *(answers if stated in answers[0] else [])]
    gold = normal(str(problem.answer), case)
    is_correct = any(normal(answer, case) == gold for answer in answers if len(answer) <= MAX_ANSWER)
    return Verdict(Status.SCORED, float(is_correct), "text", answers[0][:100])


def normal(text: str, case: bool = True) -> str:
    """Returns an answer in the form in which it is compared."""
    text = _SPACE.sub(" ", text if case else text.casefold()).strip().rstrip(" .")
    if text[:1] + text[-1:] in ("[]", "()", "{}"):
        text = text[1:-1]
    return ", ".join(item.strip(_AROUND) for item in text.split(","))
