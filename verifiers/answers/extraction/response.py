"""Which words of a response are its answer. One protocol, for every verifier of final answers:

1. Reasoning is set aside (`responses.without_thinking`). A response that was cut while it reasoned has no answer.
2. The last mark: the last `\\boxed{...}` or `<answer>...</answer>`, whichever comes later (`boxes.py`). A box inside of a
   tag is the tag's answer. Boxes that only "and", "or", a comma or a few words join count as one list. A mark that opens and
   never closes was cut: no answer, whatever was marked before it.
3. Else the last answer line: what follows the last `####`, "answer is", "answer:", "A:" or "答案" (`markers.py`,
   `statements.py`). A line that denies ("the answer is not 5", "the wrong answer is 5") or asks is none.
4. Else the response's last line, where it states a result and nothing else: mathematics alone, or a short sentence that ends
   in a formula or number. A line of a longer response must conclude ("so", "therefore", ...) or be mathematics alone.
5. Else nothing.
"""

import re

from ....responses import without_thinking
from ... import disguises
from ...budget import in_time
from .boxes import boxed, last_mark, last_tag
from .conclusions import concluded
from .hedges import alternative
from .markers import ASKS, DENIES, markers
from .statements import is_prose, sentence, value

__all__ = ["boxed", "final_answer", "tagged", "visible"]

MAX_ANSWER = 2_000
"""Characters of a final answer that are looked at; a longer one is no answer."""
MAX_TAIL = 20_000
"""Characters at a response's end in which its answer is looked for."""
MAX_BEHIND = 400
"""Characters behind an answer line in which it may be taken back."""
MAX_GRID = 40
"""Characters of a line of a tag's content that can be a row of a table or grid."""

_RETRACTS = re.compile(
    r"^\W*(?:no\s{0,3}[,.!:—-]|no wait|wait\b|scratch that|correction\b|sorry\b|oops\b|actually\b|hmm\b)"
    r"|^\W*(?:(?:but|no|wait|hmm|however),?\s+)*(?:(?:that|this|it|which)(?:['’]s|\s+(?:is|was))\s+(?:wrong|incorrect|a mistake"
    r"|not (?:right|correct))|i (?:have )?made an? (?:mistake|error)\b)",
    re.IGNORECASE,
)
_REFUSES = re.compile(r"\b(?:wrong|incorrect|mistake|error|not right|not correct)\b|^\W*no\s{0,3}[,.!:—-]", re.IGNORECASE)
"""What takes an answer back without giving another."""
_INSTEAD = re.compile(
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
"""Marks of chat templates behind which another turn begins."""
_NEXT_PROBLEM = re.compile(r"^[ \t#*]{0,9}(?:Question|Problem|Exercise|Q|Human|User)\s?\d{0,3}\**\s?:", re.MULTILINE)
"""Where a model that was not stopped goes on to a problem of its own."""
_WRAPPER = re.compile(r"</?\s?(?:solution|final|result|output|conclusion|response)\s?>", re.IGNORECASE)
_PREAMBLE = re.compile(r"(?:let['’]?s|let us|to (?:find|solve|determine)|first|we (?:need|have|know|are))\b", re.IGNORECASE)
_GLM_BOX = re.compile(r"<\|begin_of_box\|>(.{0,2000}?)<\|end_of_box\|>", re.DOTALL)
"""What a GLM model writes around its answer."""
_RULE = re.compile(r"\n[ \t]*(?:-{3,}|={3,}|\*{3,}|_{3,})[ \t]*(?=\n)")
"""A line that only underlines a heading, or parts sections."""
_HOPE = re.compile(r"I hope (?:it|this) is correct\.?\s*$")


def final_answer(response: str) -> str | None:
    """The answer that a response ends with, by the protocol above, or None."""
    text = visible(response)
    mark = last_mark(text)
    if mark is None:
        answer = _stated(text)
    elif mark[0].content is None:
        return None
    else:
        answer = _of_tag(mark[0].content) if mark[1] else mark[0].content
        if answer and (second := alternative(text[mark[0].end : mark[0].end + 200])):
            answer = f"{answer} or {second}"
    answer = (answer or "").strip()
    return answer if 0 < len(answer) <= MAX_ANSWER else None


def visible(response: str) -> str:
    """The end of a response in which its answer is looked for: no reasoning, no bold type, no turns or problems behind it."""
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
    return _HOPE.sub("", text) if "I hope" in text else text


def is_answered(text: str) -> bool:
    """Whether a text marks or states an answer."""
    return bool(re.search(r"\\(?:boxed|fbox)|</answer>|####", text, re.IGNORECASE) or next(markers(text), None))


def tagged(response: str) -> str | None:
    """What the last `<answer>...</answer>` of a response holds, as it is written; None where there is no such tag."""
    mark = last_tag(visible(response))
    return mark.content if mark else None


def _of_tag(content: str) -> str | None:
    """The answer inside of a tag: its box, its answer line, or all of it."""
    if (inner := last_mark(content)) and not inner[1]:
        return inner[0].content
    lines = [line.strip() for line in content.split("\n") if line.strip()]
    if "####" in content or next(markers(content), None):
        return _stated(content)
    if len(lines) == 1:
        return _stated(content) if is_prose(content) and len(content) > MAX_GRID else value(content[:MAX_ANSWER])
    if all(len(line) <= MAX_GRID and "=" not in line and not is_prose(line) for line in lines):
        return content
    return _stated(content)


def _stated(text: str) -> str | None:
    """The answer of a text without a mark."""
    if "####" in text:
        return value(text.rsplit("####", 1)[1].strip().split("\n", 1)[0][:MAX_ANSWER])
    decided, answer = _answer_line(text)
    return answer if decided else concluded(text)


def _answer_line(text: str) -> tuple[bool, str | None]:
    """Whether answer lines decide, and the answer that the last one asserts."""
    denied: set[str] = set()
    last = None
    for marker in markers(text):
        in_time()
        last = last or marker
        said = text[marker.end :].lstrip()
        if display := re.match(r"(?:\$\$|\\\[)(.{1,400}?)(?:\$\$|\\\])", said, re.DOTALL):
            return True, display[1]
        line = said.split("\n", 1)[0][:MAX_ANSWER]
        first = sentence(line)
        behind = said[len(first) : len(first) + MAX_BEHIND].strip()
        if ASKS.search(first):
            if instead := _instead(behind):
                return True, instead
            continue
        if marker.denied or DENIES.match(first):
            if instead := _not_this(first) or _instead(behind.split("\n", 1)[0]):
                return True, instead
            denied.add((value(DENIES.sub("", first, count=1)) or "").casefold())
            continue
        answer = None if _is_preamble(first) else value(line)
        if answer is not None:
            if second := alternative(said[len(first) :]):
                return True, f"{answer} or {second}"
            return True, None if answer.casefold() in denied else _unless_retracted(answer, behind)
    return (True, _after_denial(text[last.end :])) if denied and last else (False, None)


def _not_this(first: str) -> str | None:
    """What a sentence that denies says in the place of what it denies: "not 5 but 6", "not 5, it is 6"."""
    if not DENIES.match(first):
        return _instead(first)
    corrected = value(first)
    return corrected if corrected and not DENIES.match(corrected) else _instead(first)


def _unless_retracted(answer: str, behind: str) -> str | None:
    """The answer of a line, or what the next sentence says in its place: "No, wait, it is 6"."""
    following = sentence(behind)
    if not _RETRACTS.search(following):
        return answer
    return _instead(behind) or (None if _REFUSES.search(following) else answer)


def _after_denial(text: str) -> str | None:
    """What a text concludes behind a line that only denies."""
    rest = text.partition("\n")[2]
    return concluded("\n" + rest) if rest.strip() else None


def _instead(text: str) -> str | None:
    """What a text says in the place of what was denied: "No, it is 6"."""
    found = _INSTEAD.search(text)
    return value(text[found.end() :]) if found else None


def _is_preamble(first: str) -> bool:
    """Whether a sentence behind "Answer:" begins the reasoning: "Answer: Let's think step by step."."""
    return len(first.split()) > 3 and _PREAMBLE.match(first) is not None
