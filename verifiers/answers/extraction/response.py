"""The protocol that extracts the final answer from a response. All verifiers of final answers use it.

1. Reasoning is removed (`responses.without_thinking`). A response that was truncated during its reasoning has no answer.
2. The last mark counts: the last `\\boxed{...}` or `<answer>...</answer>`, whichever comes later (`boxes.py`). A box inside a
   tag is the tag's answer. Boxes count as one list if nothing is between them, or at most five words with "and", "or", a comma
   or a semicolon. A mark that opens and never closes was truncated. Then there is no answer, even if an earlier mark is
   complete.
3. Without a mark, the last answer line counts: the text after the last `####`, "answer is", "answer:", "A:" or "答案是"
   (`markers.py`, `statements.py`). A denial ("the answer is not 5", "the wrong answer is 5") or a question does not count.
4. Without an answer line, the last line counts if it is mathematics alone, or a sentence with a result: its last formula or
   number, else an option's letter or the last word ("the function is even"). In a response of several lines it must conclude
   ("so", "therefore", ...) or be mathematics alone.
5. Otherwise there is no answer.
"""

import re

from ....responses import without_thinking
from ... import disguises
from ...budget import check_time
from .boxes import boxed, last_mark, last_tag
from .last_line import last_line_result
from .markers import ASKS, DENIAL, markers
from .second_answers import second_value
from .statements import is_prose, sentence, stated_value

__all__ = ["boxed", "final_answer", "searched_text", "tagged"]

MAX_ANSWER = 2_000
"""Maximum length of a final answer, in characters. A longer text is not an answer."""
MAX_TAIL = 20_000
"""Number of characters at the end of a response that are searched for its answer."""
MAX_BEHIND = 400
"""Number of characters after an answer line that are searched for a retraction."""
MAX_GRID = 40
"""Maximum length of a line in a tag that can be a row of a table or grid, in characters."""

_RETRACTS = re.compile(
    r"^\W*(?:no\s{0,3}[,.!:—-]|no wait|wait\b|scratch that|correction\b|sorry\b|oops\b|actually\b|hmm\b)"
    r"|^\W*(?:(?:but|no|wait|hmm|however),?\s+)*(?:(?:that|this|it|which)(?:['’]s|\s+(?:is|was))\s+(?:wrong|incorrect|a mistake"
    r"|not (?:right|correct))|i (?:have )?made an? (?:mistake|error)\b)",
    re.IGNORECASE,
)
_NOT = re.compile(r"n['’]t\b|not\b", re.IGNORECASE)
_REFUSES = re.compile(r"\b(?:wrong|incorrect|mistake|error|not right|not correct)\b|^\W*no\s{0,3}[,.!:—-]", re.IGNORECASE)
"""Words that retract an answer without giving another one."""
_REPLACEMENT = re.compile(
    r"(?:\b(?:(?:it|that|this|answer|value|result)(?:['’]s|\s+(?:is|should be|must be|will be))|make (?:it|that))\s+"
    r"|[，,；。]\s*而?(?:应该?)?是\s*)(?!(?:wrong|incorrect|not|a mistake|right|correct)\b)(?=\S)",
    re.IGNORECASE,
)
_BOLD = re.compile(r"(?<![\w)\]}*])\*\*|\*\*(?![\w(\\*-])")
"""Two stars of bold type, not of a power."""
_TURN_END = re.compile(
    r"<\|(?:im_end|im_start|endoftext|end_of_text|eot_id|eom_id|end|return|user|assistant)\|>|<end_of_turn>|</s>"
    r"|<｜[^｜<>]{1,30}｜>"
)
"""Tokens of chat templates that end the turn."""
_NEXT_PROBLEM = re.compile(r"^[ \t#*]{0,9}(?:Question|Problem|Exercise|Q|Human|User)\s?\d{0,3}\**\s?:", re.MULTILINE)
"""Start of another problem, written by a model that was not stopped."""
_WRAPPER = re.compile(r"</?\s?(?:solution|final|result|output|conclusion|response)\s?>", re.IGNORECASE)
_PREAMBLE = re.compile(r"(?:let['’]?s|let us|to (?:find|solve|determine)|first|we (?:need|have|know|are))\b", re.IGNORECASE)
_GLM_BOX = re.compile(r"<\|begin_of_box\|>(.{0,2000}?)<\|end_of_box\|>", re.DOTALL)
"""The box around an answer of a GLM model."""
_RULE = re.compile(r"\n[ \t]*(?:-{3,}|={3,}|\*{3,}|_{3,})[ \t]*(?=\n)")
"""A line that underlines a heading or separates sections."""
_CLOSING_REMARK = re.compile(r"I hope (?:it|this) is correct\.?\s*$")


def final_answer(response: str) -> str | None:
    """Returns the final answer of a response by the protocol above, or None."""
    text = searched_text(response)
    mark = last_mark(text)
    if mark is None:
        answer = _unmarked_answer(text)
    elif mark.content is None:
        return None
    else:
        answer = _answer_in_tag(mark.content) if mark.is_tag else mark.content
        if answer and (second := second_value(text[mark.end : mark.end + 200])):
            answer = f"{answer} or {second}"
    answer = (answer or "").strip()
    return answer if 0 < len(answer) <= MAX_ANSWER else None


def searched_text(response: str) -> str:
    """Returns the part of a response that is searched: without reasoning, bold type, and later turns or problems."""
    text = disguises.visible(without_thinking(response)[-MAX_TAIL:])
    if "<" in text:
        text = _GLM_BOX.sub(lambda found: rf"\boxed{{{found[1]}}}", text)
        text = _WRAPPER.sub("\n", _TURN_END.split(text, maxsplit=1)[0])
    following = _NEXT_PROBLEM.search(text) if "\n" in text and ":" in text else None
    if following and is_answered(text[: following.start()]):
        text = text[: following.start()]
    if "---" in text or "===" in text or "***" in text or "___" in text:
        text = _RULE.sub("\n", text)
    if "**" in text:
        text = _BOLD.sub("", text)
    return _CLOSING_REMARK.sub("", text) if "I hope" in text else text


def is_answered(text: str) -> bool:
    """True if a text marks or states an answer."""
    return bool(re.search(r"\\(?:boxed|fbox)|</answer>|####", text, re.IGNORECASE) or next(markers(text), None))


def tagged(response: str) -> str | None:
    """Returns the content of the last `<answer>...</answer>` of a response. None if there is no such tag.

    Bold type, and quotes, backticks and spaces around the content are removed. No answer is extracted from the content, unlike
    in `final_answer`.
    """
    mark = last_tag(searched_text(response))
    return mark.content if mark else None


def _answer_in_tag(content: str) -> str | None:
    """Returns the answer in a tag: its box, its answer line, or its whole content."""
    if (inner := last_mark(content)) and not inner.is_tag:
        return inner.content
    lines = [line.strip() for line in content.split("\n") if line.strip()]
    if "####" in content or next(markers(content), None):
        return _unmarked_answer(content)
    if len(lines) == 1:
        return (
            _unmarked_answer(content) if is_prose(content) and len(content) > MAX_GRID else stated_value(content[:MAX_ANSWER])
        )
    if all(len(line) <= MAX_GRID and "=" not in line and not is_prose(line) for line in lines):
        return content
    return _unmarked_answer(content)


def _unmarked_answer(text: str) -> str | None:
    """Returns the answer of a text without a mark."""
    if "####" in text:
        return stated_value(text.rsplit("####", 1)[1].strip().split("\n", 1)[0][:MAX_ANSWER])
    decided, answer = _answer_line(text)
    return answer if decided else last_line_result(text)


def _answer_line(text: str) -> tuple[bool, str | None]:
    """Returns whether an answer line decides, and the answer that the last one states."""
    denied: set[str] = set()
    last = None
    for marker in markers(text):
        check_time()
        last = last or marker
        following = text[marker.end :].lstrip()
        if display := re.match(r"(?:\$\$|\\\[)(.{1,400}?)(?:\$\$|\\\])", following, re.DOTALL):
            return True, display[1]
        line = following.split("\n", 1)[0][:MAX_ANSWER]
        first = sentence(line)
        after = following[len(first) : len(first) + MAX_BEHIND].strip()
        if ASKS.search(first):
            if replacement := _replacement(after):
                return True, replacement
            continue
        if marker.denied or DENIAL.match(first):
            verb_denies = marker.denied and _NOT.search(text, marker.start, marker.end)
            if replacement := _correction(f"not {first}" if verb_denies else first) or _replacement(after.split("\n", 1)[0]):
                return True, replacement
            denied.add((stated_value(DENIAL.sub("", first, count=1)) or "").casefold())
            continue
        answer = None if _is_preamble(first) else stated_value(line)
        if answer is not None:
            if second := second_value(following[len(first) :]):
                return True, f"{answer} or {second}"
            return True, None if answer.casefold() in denied else _unless_retracted(answer, after)
    return (True, _after_denial(text[last.end :])) if denied and last else (False, None)


def _correction(first: str) -> str | None:
    """Returns the corrected value of a sentence that denies: "not 5 but 6", "not 5, it is 6"."""
    if not DENIAL.match(first):
        return _replacement(first)
    corrected = stated_value(first)
    return corrected if corrected and not DENIAL.match(corrected) else _replacement(first)


def _unless_retracted(answer: str, after: str) -> str | None:
    """Returns the answer of a line, or the value that the next sentence replaces it with: "No, wait, it is 6"."""
    following = sentence(after)
    if not _RETRACTS.search(following):
        return answer
    return _replacement(after) or (None if _REFUSES.search(following) else answer)


def _after_denial(text: str) -> str | None:
    """Returns the result after an answer line that only denies."""
    rest = text.partition("\n")[2]
    return last_line_result("\n" + rest) if rest.strip() else None


def _replacement(text: str) -> str | None:
    """Returns the value that replaces a denied one: "No, it is 6"."""
    found = _REPLACEMENT.search(text)
    return stated_value(text[found.end() :]) if found else None


def _is_preamble(first: str) -> bool:
    """True if the sentence after "Answer:" starts the reasoning: "Answer: Let's think step by step."."""
    return len(first.split()) > 3 and _PREAMBLE.match(first) is not None
