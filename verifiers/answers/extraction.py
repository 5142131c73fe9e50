"""Which words of a response are its answer. One protocol, for every verifier of final answers:

1. Reasoning is set aside (`core.without_thinking`). A response that was cut while it reasoned has no answer.
2. The last mark: the last `\\boxed{...}` or `<answer>...</answer>`, whichever comes later (`boxes.py`). A box inside of a tag is
   the tag's answer. Boxes that only "and", "or", a comma or a few words join count as one list. A mark that opens and never
   closes was cut: no answer, whatever was marked before it.
3. Else the last answer line: what follows the last `####`, "answer is", "answer:", "A:" or "答案" (`statements.py`). A line that
   denies ("the answer is not 5", "the wrong answer is 5") or asks is no answer line.
4. Else the response's last line, where it states a result and nothing else: mathematics alone, or a short sentence that ends
   in a formula or number. A line of a longer response must conclude ("so", "therefore", ...) or be mathematics alone.
5. Else nothing.
"""

import re

from ...core import without_thinking
from .. import units
from .boxes import boxed, last_mark, last_tag
from .markers import ASKS, DENIES, MARKER, Marker, markers
from .statements import (
    CHANGES,
    LEAD,
    NEGATION,
    NUMBER,
    SENTENCE_END,
    formulas,
    is_prose,
    last_formula,
    masked,
    sentence,
    trimmed,
    value,
)

__all__ = ["boxed", "final_answer", "tagged", "visible"]

MAX_ANSWER = 2_000
"""Characters of a final answer that are looked at; a longer one is no answer."""
MAX_TAIL = 20_000
"""Characters at a response's end in which its answer is looked for."""
MAX_LINE = 400
"""Characters of a last line that can be a result."""
MAX_SENTENCE = 80
"""Characters of a sentence whose last word can be a result."""
MAX_GRID = 40
"""Characters of a line of a tag's content that can be a row of a table or grid."""

_RETRACTS = re.compile(
    r"\b(?:that|this|it|which)(?:['’]s|\s+(?:is|was))\s+(?:wrong|incorrect|not (?:right|correct)|a mistake)|\b(?:made|is) an? (?:mistake|error)\b"
    r"|^\W*(?:no\s{0,3}[,.!:—-]|no wait|wait\b|scratch that|correction\b|sorry\b|oops\b|actually\b|hmm\b)",
    re.IGNORECASE,
)
_INSTEAD = re.compile(
    r"(?:\b(?:(?:it|that|this|answer|value|result)(?:['’]s|\s+(?:is|should be|must be|will be))|make (?:it|that))\s+|[，,；。]\s*而?(?:应该?)?是\s*)(?!(?:wrong|incorrect|not|a mistake|right|correct)\b)(?=\S)",
    re.IGNORECASE,
)
_CONCLUDES = re.compile(
    r"^\W*(?:so|thus|therefore|hence|then|final(?:ly)?|in total|altogether|in conclusion|we (?:get|have|find|obtain|conclude)"
    r"|this gives|it follows)\b",
    re.IGNORECASE,
)
_DISCOURSE = re.compile(
    r"^\W*(?:(?:and\s+)?(?:so|thus|therefore|hence|then|finally|in conclusion)\b[\s,:]*)+(?=\S)", re.IGNORECASE
)
_REVERSED = re.compile(
    r"^\W*(?:(?:so|thus|therefore|hence|finally)\b,?\s*)?(?:(?:the\s+)?(?:option|choice|answer)\s+)?(?P<value>\S.{0,80}?)\s+"
    r"(?:is|are|would be|must be)\s+(?:(?:the|my|our)\s+(?:(?:final|correct|right|best)\s+)*(?:answer|option|choice)s?|correct)[\s.!]*$",
    re.IGNORECASE,
)
"""As in "5 is the answer."."""
_REMARK = re.compile(r"(?P<head>^.{1,400}?)\s+\((?P<words>[^()]{1,200})\)(?=[\s.!]*$)", re.DOTALL)
_AGAIN = re.compile(
    r"(?:(?:or|i\.?e\.?|about|approximately|roughly|that is|equivalently)[,\s]+)?[^A-Za-z]*(?P<unit>[A-Za-z][A-Za-z ]*)?",
    re.IGNORECASE,
)
"""A value, and its unit: "300 minutes"."""
_BECAUSE = re.compile(
    r"^(?P<head>[^\ue000\d]*[\d\ue000].*?),?\s+(?:because|since|rather than|instead of|(?<=,\s)(?:and )?not|(?<=,\s)\w{1,9} of (?:which|whom|them))\s(?![^=]*(?:=|\b(?:so|thus|then|total)\b))"
)
"""A result, and behind it a reason that concludes nothing, or what the result is not."""
_DENIED_VALUE = re.compile(
    r"(?:\b(?:not|never|neither|nor|no|cannot)\b|n['’]t\b)(?![^,;=\d\ue000]{0,60}\b(?:so|but|is|are|it['’]s)\s+[\d\ue000$])[^,;=\d\ue000]{0,60}"
    r"[\d\ue000][^,;=]{0,60}$|[\d\ue000]\s+(?:(?:is|are|was|were|does|do|can|could|will|did|must)\s+not|cannot|\w+n['’]t)\b[^,;]{0,40}$",
    re.IGNORECASE,
)
_ABSENT = re.compile(r"\b(does not exist|no (?:real |integer )?solutions?|infinitely many(?: solutions)?)\W*$", re.IGNORECASE)
_NO_ANSWER = re.compile(
    r"(?:\b(?:is|are)(?: not|n['’]t)|\bcannot be|\bcan['’]t be) (?:the|an?|my|our)?\s*(?:\w+ )?answers?\b"
    r"|\b(?:is|are|was|seems?|would be)\s+(?:(?:the|an?|clearly|also|definitely|obviously)\s+)*"
    r"(?:wrong|incorrect|false|impossible|invalid|excluded|ruled out)\b[^,;=]{0,30}$"
    r"|\banswer\s+(?:has|ends|lies|depends|contains|consists|starts|begins|involves|may|might|could)\b",
    re.IGNORECASE,
)
"""As in "5 is not the answer", "5 is wrong", "the answer has 5 digits"."""
_BOLD = re.compile(r"(?<![\w)\]}*])\*\*|\*\*(?![\w(\\*-])")
"""Two stars of bold type, not of a power."""
_TURN_END = re.compile(
    r"<\|(?:im_end|im_start|endoftext|end_of_text|eot_id|eom_id|end|return|user|assistant)\|>|<end_of_turn>|</s>|<｜[^｜<>]{1,30}｜>"
)
"""Marks of chat templates behind which another turn begins."""
_NEXT_PROBLEM = re.compile(r"^[ \t#*]{0,9}(?:Question|Problem|Exercise|Q|Human|User)\s?\d{0,3}\**\s?:", re.MULTILINE)
"""Where a model that was not stopped goes on to a problem of its own."""
_WRAPPER = re.compile(r"</?\s?(?:solution|final|result|output|conclusion|response)\s?>", re.IGNORECASE)
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
    answer = (answer or "").strip()
    return answer if 0 < len(answer) <= MAX_ANSWER else None


def visible(response: str) -> str:
    """The end of a response in which its answer is looked for: without reasoning, bold type, and turns or problems behind it."""
    text = without_thinking(response)[-MAX_TAIL:]
    text = _TURN_END.split(text, maxsplit=1)[0]
    if (following := _NEXT_PROBLEM.search(text)) and is_answered(text[: following.start()]):
        text = text[: following.start()]
    return _HOPE.sub("", _WRAPPER.sub("\n", _BOLD.sub("", text)))


def is_answered(text: str) -> bool:
    """Whether a text marks or states an answer."""
    return bool(re.search(r"\\(?:boxed|fbox)|</answer>|####", text, re.IGNORECASE) or MARKER.search(text))


def tagged(response: str) -> str | None:
    """What the last `<answer>...</answer>` of a response holds, as it is written; None where there is no such tag."""
    mark = last_tag(visible(response))
    return mark.content if mark else None


def _of_tag(content: str) -> str | None:
    """The answer inside of a tag: its box, its answer line, or all of it."""
    if (inner := last_mark(content)) and not inner[1]:
        return inner[0].content
    lines = [line.strip() for line in content.split("\n") if line.strip()]
    if "####" in content or MARKER.search(content):
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
    if found := markers(text):
        decided, answer = _answer_line(text, found)
        if decided:
            return answer
    return _concluded(text)


def _answer_line(text: str, found: list[Marker]) -> tuple[bool, str | None]:
    """Whether answer lines decide, and the answer that the last one asserts."""
    denied: set[str] = set()
    for marker in reversed(found):
        said = text[marker.end :]
        if display := re.match(r"\s*(?:\$\$|\\\[)(.{1,400}?)(?:\$\$|\\\])", said, re.DOTALL):
            return True, display[1]
        line = said.lstrip().split("\n", 1)[0][:MAX_ANSWER]
        first = sentence(line)
        behind = line.strip()[len(first) :][:MAX_LINE]
        if ASKS.search(first):
            if instead := _instead(behind):
                return True, instead
            continue
        denial = DENIES.match(first)
        if marker.denied or denial:
            rest = first[denial.end() :] if denial else first
            if (
                denial
                and (corrected := value(first))
                and not DENIES.match(corrected)
                and corrected not in first[: len(corrected) + 5]
            ):
                return True, corrected
            if instead := _instead(behind) or _instead(rest):
                return True, instead
            denied.add((value(rest) or "").casefold())
            continue
        if _is_preamble(first):
            continue
        answer = value(line)
        if answer is None:
            continue
        if answer.casefold() in denied:
            return True, None
        if _RETRACTS.search(behind.strip()):
            instead = _instead(behind)
            if instead or not re.match(r"\W*(?:wait|hmm|actually)", behind, re.IGNORECASE) or "wrong" in behind:
                return True, instead
        return True, answer
    if denied:
        return True, _after_denial(text[found[-1].end :])
    return False, None


def _after_denial(text: str) -> str | None:
    """What a text concludes behind a line that only denies."""
    line, _, rest = text.partition("\n")
    return _concluded("\n" + rest) if rest.strip() else None


def _instead(text: str) -> str | None:
    """What a text says in the place of what was denied: "No, it is 6"."""
    found = _INSTEAD.search(text)
    return value(text[found.end() :]) if found else None


def _is_preamble(first: str) -> bool:
    """Whether a sentence behind "Answer:" begins the reasoning: "Answer: Let's think step by step."."""
    return (
        len(first.split()) > 3
        and re.match(
            r"(?:let['’]?s|let us|to (?:find|solve|determine)|first|we (?:need|have|know|are))\b", first, re.IGNORECASE
        )
        is not None
    )


def _concluded(text: str) -> str | None:
    """The result that a text's last line states."""
    lines = [line.strip() for line in text.strip().split("\n") if line.strip()]
    if not lines:
        return None
    if len(lines) > 1 and (block := _display(text.rstrip(" .\n"))) and not is_prose(block):
        return block
    line = lines[-1]
    if "=" not in line and re.search(r"[^!\s]\s?\?\W*$", line):
        return None
    if len(line) > MAX_LINE:  # the whole response in one line, say: its last sentence counts
        line = SENTENCE_END.split(line[-2 * MAX_LINE :])[-1]
        lines.append(line)
    if _NO_ANSWER.search(line):
        return None
    if reverse := _REVERSED.search(SENTENCE_END.split(line)[-1]):
        return None if NEGATION.search(reverse["value"]) else value(reverse["value"])
    if not is_prose(line) and (len(lines) > 1 or not formulas(line)):
        return trimmed(LEAD.sub("", _DISCOURSE.sub("", line)))
    if len(lines) == 1 or _CONCLUDES.search(line):
        return _result(line)
    return None


def _display(text: str) -> str | None:
    """The displayed formula that a text ends with."""
    for opening, closing in (("\\[", "\\]"), ("$$", "$$")):
        if text.endswith(closing) and (start := text.rfind(opening, 0, len(text) - 2)) >= 0:
            return text[start + 2 : -2][:MAX_LINE]
    return None


def _result(line: str) -> str | None:
    """The formula or number that a short sentence ends in."""
    line = _REMARK.sub(_remark, line, count=1)
    hidden = masked(line, formulas(line))
    if reason := _BECAUSE.search(hidden):
        line, hidden = line[: reason.end("head")], hidden[: reason.end("head")]
    if CHANGES.search(re.split(r"[,;]\s|=", hidden)[-1]) or _DENIED_VALUE.search(hidden):
        return None
    if formula := last_formula(line):
        return formula
    if relation := re.search(r"(?<![A-Za-z/])([A-Za-z]\w{0,2}\s*(?:[<>=]=?|!=)\s*[^\s].*?)(?:\s+is\b.*)?[.\s]*$", line):
        if not is_prose(relation[1].partition("=")[2]):
            return trimmed(relation[1])
    if "\\" in line:
        return None  # LaTeX that no delimiter sets off: which of its numbers is the answer nobody can say
    sentences = [sentence for sentence in SENTENCE_END.split(line) if sentence.strip()]
    if numbers := NUMBER.findall(sentences[-1] if sentences else ""):
        return numbers[-1].strip().rstrip(",")
    if NEGATION.search(line) and line.strip(" .").casefold() != "no" and not _ABSENT.search(line):
        return None
    if found := re.search(r"\b(?:[Oo]ption|[Cc]hoice)\s*[(\[]?([A-J])\W*$", line):
        return found[1]
    return _last_words(trimmed(line))


def _remark(bracket: re.Match[str]) -> str:
    """A line without the bracket at its end, where that remarks on the value, and with it, where it says the value again.

    "5 hours (300 minutes)" says the same twice, in units of one dimension; "5 apples (3 red)" does not.
    """
    head, words = bracket["head"], bracket["words"]
    if not re.search(r"[\d$]", head):
        return bracket[0]
    again = _AGAIN.fullmatch(words.strip())
    if again is None or len(NUMBER.findall(words)) != 1:
        return head
    if again["unit"]:
        stated, same = units.unit(re.findall(r"\S+", head)[-1]), units.unit(again["unit"].strip())
        if stated is None or same is None or stated.dimension != same.dimension:
            return head
    return bracket[0]


def _last_words(line: str) -> str | None:
    """The word that a short sentence says of something ("the function is even"), or the few words that it is."""
    if len(line) > MAX_SENTENCE:
        return None
    if found := _ABSENT.search(line):
        return found[1]
    if found := re.search(r"\b(?:is|are|be|was)\s+(?:an?\s+|the\s+)?([A-Za-z]+)$", line):
        return found[1]
    return line if len(line.split()) <= 2 and not _CONCLUDES.search(line) else None
