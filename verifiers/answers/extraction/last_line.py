"""The result in the last line of a text without a marked or named answer: "So she has 5 apples left."."""

import re

from ..values import units
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
    stated_value,
    trimmed,
)

MAX_LINE = 400
"""Maximum length of a last line that can be a result, in characters."""
MAX_SENTENCE = 80
"""Maximum length of a sentence whose last word can be a result, in characters."""

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
    r"(?:is|are|would be|must be)\s+(?:(?:the|my|our)\s+(?:(?:final|correct|right|best)\s+)*(?:answer|option|choice)s?"
    r"|correct)[\s.!]*$",
    re.IGNORECASE,
)
"""Matches "5 is the answer."."""
_REMARK = re.compile(r"(?P<head>^.{1,400}?)\s+\((?P<words>[^()]{1,200})\)(?=[\s.!]*$)", re.DOTALL)
_RESTATED_VALUE = re.compile(
    r"(?:(?:or|i\.?e\.?|about|approximately|roughly|that is|equivalently)[,\s]+)?[^A-Za-z]*(?P<unit>[A-Za-z][A-Za-z ]*)?",
    re.IGNORECASE,
)
"""A value and its unit: "300 minutes"."""
_BECAUSE = re.compile(
    r"^(?P<head>[^\ue000\d]*[\d\ue000].*?),?\s+(?:because|since|rather than|instead of|(?<=,\s)(?:and )?not"
    r"|(?<=,\s)\w{1,9} of (?:which|whom|them))\s(?![^=]*(?:=|\b(?:so|thus|then|total)\b))"
)
"""A result, followed by a reason without a conclusion, or by a denied value."""
_DENIED_VALUE = re.compile(
    r"(?:\b(?:not|never|neither|nor|no|cannot)\b|n['’]t\b)(?![^,;=\d\ue000]{0,60}\b(?:so|but|is|are"
    r"|it['’]s)\s+[\d\ue000$])[^,;=\d\ue000]{0,60}"
    r"[\d\ue000][^,;=]{0,60}$|[\d\ue000]\s+(?:(?:is|are|was|were|does|do|can|could|will|did|must)\s+not|cannot"
    r"|\w+n['’]t)\b[^,;]{0,40}$",
    re.IGNORECASE,
)
_LAST_WORD = re.compile(r"\w\W*+\Z")
_RELATION = re.compile(r"(?<![A-Za-z/])([A-Za-z]\w{0,2}\s*(?:[<>=]=?|!=)\s*[^\s].*?)(?:\s+is\b.*)?[.\s]*$")
_ABSENT = re.compile(r"\b(does not exist|no (?:real |integer )?solutions?|infinitely many(?: solutions)?)\W*$", re.IGNORECASE)
_NO_ANSWER = re.compile(
    r"(?:\b(?:is|are)(?: not|n['’]t)|\bcannot be|\bcan['’]t be) (?:the|an?|my|our)?\s*(?:\w+ )?answers?\b"
    r"|\b(?:is|are|was|seems?|would be)\s+(?:(?:the|an?|clearly|also|definitely|obviously)\s+)*"
    r"(?:wrong|incorrect|false|impossible|invalid|excluded|ruled out)\b[^,;=]{0,30}$"
    r"|\banswer\s+(?:has|ends|lies|depends|contains|consists|starts|begins|involves|may|might|could)\b",
    re.IGNORECASE,
)
"""Matches "5 is not the answer", "5 is wrong", "the answer has 5 digits"."""


_ALTERNATIVES = re.compile(rf"({NUMBER.pattern})\s*(?:[A-Za-z]+\s+)?,?\s*(?:or|and/or)\s+({NUMBER.pattern})(?!.*\d)", re.DOTALL)
"""Two numbers between which a sentence does not decide: "40 or 41"."""
_IN_ALL = re.compile(r"^(?P<head>[^:=]*\d[^:=]*\b(?:in total|in all|altogether|total))\s*:\s+(?=[^=]*\d)[^=]*$")
"""A total, and after it its parts: "8 in total: 5 girls, 3 boys"."""


def last_line_result(text: str) -> str | None:
    """Returns the result that the last line of a text states."""
    lines = [line.strip() for line in text.strip().split("\n") if line.strip()]
    if not lines:
        return None
    if len(lines) > 1 and (block := _display(text.rstrip(" .\n"))) and not is_prose(block):
        return block
    line = lines[-1]
    if "=" not in line and _asks(line):
        return None
    if len(line) > MAX_LINE:  # for example a whole response in one line: its last sentence counts
        line = SENTENCE_END.split(line[-2 * MAX_LINE :])[-1]
        lines.append(line)
    if _NO_ANSWER.search(line):
        return None
    if reverse := _REVERSED.search(SENTENCE_END.split(line)[-1]):
        return None if NEGATION.search(reverse["value"]) else stated_value(reverse["value"])
    if not is_prose(line) and (len(lines) > 1 or not formulas(line)):
        return trimmed(LEAD.sub("", _DISCOURSE.sub("", line)))
    if len(lines) == 1 or _CONCLUDES.search(line):
        return _result(line)
    return None


def _asks(line: str) -> bool:
    """True if the punctuation at the end of a line contains a question mark without an exclamation mark before it."""
    word = _LAST_WORD.search(line)
    return re.search(r"[^!\s]\s?\?", line[word.start() :] if word else line) is not None


def _display(text: str) -> str | None:
    """Returns the displayed formula at the end of a text."""
    for opening, closing in (("\\[", "\\]"), ("$$", "$$")):
        if text.endswith(closing) and (start := text.rfind(opening, 0, len(text) - 2)) >= 0:
            return text[start + 2 : -2][:MAX_LINE]
    return None


def _result(line: str) -> str | None:
    """Returns the result that a sentence states: its last formula or number, else an option's letter or its last word."""
    line = _REMARK.sub(_without_remark, line, count=1)
    if total := _IN_ALL.match(line):
        line = total["head"]
    hidden = masked(line, formulas(line))
    if reason := _BECAUSE.search(hidden):
        line, hidden = line[: reason.end("head")], hidden[: reason.end("head")]
    if CHANGES.search(re.split(r"[,;]\s|=", hidden)[-1]) or _DENIED_VALUE.search(hidden):
        return None
    if formula := last_formula(line):
        return formula
    relation = _RELATION.search(line)
    if relation and not is_prose(relation[1].partition("=")[2]):
        return trimmed(relation[1])
    if "\\" in line:
        return None  # LaTeX without delimiters: which of its numbers is the answer is unknown
    sentences = [sentence for sentence in SENTENCE_END.split(line) if sentence.strip()]
    if numbers := NUMBER.findall(sentences[-1] if sentences else ""):
        if either := _ALTERNATIVES.search(sentences[-1]):
            return f"{either[1].strip()}, {either[2].strip()}"
        return numbers[-1].strip().rstrip(",")
    line = _DISCOURSE.sub("", line)
    if NEGATION.search(line) and line.strip(" .").casefold() != "no" and not _ABSENT.search(line):
        return None
    if found := re.search(r"\b(?:[Oo]ption|[Cc]hoice)\s*[(\[]?([A-J])\W*$", line):
        return found[1]
    return _last_words(trimmed(line))


def _without_remark(bracket: re.Match[str]) -> str:
    """Returns a line without the brackets at its end if they only remark on the value.

    "5 hours (300 minutes)" keeps its brackets, because they restate the value in a unit of the same dimension.
    "5 apples (3 red)" loses them.
    """
    head, words = bracket["head"], bracket["words"]
    if not re.search(r"[\d$]", head):
        return bracket[0]
    again = _RESTATED_VALUE.fullmatch(words.strip())
    if again is None or len(NUMBER.findall(words)) != 1:
        return head
    if again["unit"]:
        stated, same = units.unit(re.findall(r"\S+", head)[-1]), units.unit(again["unit"].strip())
        if stated is None or same is None or stated.dimension != same.dimension:
            return head
    return bracket[0]


def _last_words(line: str) -> str | None:
    """Returns the word that a short sentence ends with ("the function is even"), or a line of one or two words."""
    if len(line) > MAX_SENTENCE:
        return None
    if found := _ABSENT.search(line):
        return found[1]
    if found := re.search(r"(?:\b(?:is|are|be|was)|['’]s)\s+(?:an?\s+|the\s+)?([A-Za-z]+)$", line):
        return found[1]
    return line if len(line.split()) <= 2 and not _CONCLUDES.search(line) else None
