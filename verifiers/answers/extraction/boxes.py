"""Marked answers: `\\boxed{...}`, `\\fbox{...}` and similar boxes, and `<answer>...</answer>`.

An empty box or tag, or one with a placeholder ("\\boxed{}", "<answer> answer here </answer>"), only repeats the prompt and is
not a mark. The last mark counts. A mark that opens and never closes was truncated. It has no content, and earlier marks do not
count either.
"""

import re
from typing import NamedTuple

MAX_BOXES = 30
"""Maximum number of boxes that are examined, from the last one."""
MAX_TAGS = 100
"""Maximum number of closing tags that are examined, from the last one."""


class Mark(NamedTuple):
    """A marked part of a text."""

    start: int
    end: int
    content: str | None
    """None if the mark never closes, or if the text denies all boxes ("not \\boxed{5}")."""
    is_tag: bool = False


_BOX = re.compile(r"\\(?:boxed|framebox|fbox|fcolorbox|colorbox)(?![A-Za-z])")
_BARE_BOX = re.compile(r"(?<![A-Za-z\\])boxed(?=\{)")
"""A box without its backslash."""
_OPTION = re.compile(r"\s*\[[^\]\[{}\n]{0,20}\]")
"""The width and alignment of a \\framebox."""
_NUMBER_OR_LETTER = re.compile(
    r" ?(?:\$?(?P<number>[-+]?(?:\d+(?:,\d{3})*(?:\.\d+)?|\.\d+)(?:/\d+)?%?)(?![\w{]|[.,]\d)"
    r"|(?P<letter>[A-HJ-Za-z])(?=\s*[^\sA-Za-z({\[]|\s*$))"
)
"""An argument without braces: a number, or a letter that does not start a sentence."""
_COMMAND = re.compile(r" ?\\(?!text(?:bf|it)? )(?P<name>[A-Za-z]+)(?:\[[^\[\]{}\n]{0,20}\])?")
_ARGUMENTS = {"frac": 2, "dfrac": 2, "tfrac": 2, "cfrac": 2, "binom": 2, "sqrt": 1}
"""Numbers of arguments of commands that are often written without braces."""
_BARE_ARGUMENT = re.compile(r"\s{0,9}(?:\\[A-Za-z]{1,30}|[^\s{}\\$])")
_DIGIT = re.compile(r"\d")
_PLACEHOLDER = re.compile(
    r"(?:\\(?:text|mathrm|textbf|mathbf|emph)\s*\{)*[\s<\[({*]*"
    r"(?:(?:\\?[.…_\s]|\\[lc]?dots|~|\\q?quad|\\[,;:!])*"
    r"|(?=[\w\s]*(?:your|my|here|answer|option|choice|letter|number))(?:(?:your|the|my|insert|put|write|place|final|numerical|numeric|correct|single|here|option|choice|answer|letter"
    r"|number|of)"
    r"[\s_]*){1,6}|\?+)"
    r"[\s>\])}*.…]*",
    re.IGNORECASE,
)
"""A placeholder for an answer, as prompts contain it."""
_DENIED = re.compile(
    r"(?:\b(?:can)?not|n['’]t|\bnever|\brather than|\binstead of)\s+(?:equal to\s+|be\s+)?(?:\$+|\\\(|\\\[)?\s*$", re.IGNORECASE
)
_DENIALS = ("ot", "n't", "n’t", "ever", "rather", "instead")
"""Every denial contains one of these."""
_PERCENT = re.compile(r"\s*\$?\s*(\\?%|percent\b|pct\b)")
_SPACE = re.compile(r"\s{0,20}")
_BRACKETS = re.compile(r"\(([^()\n]{1,80})\)")
_BRACE = re.compile(r"\\.|[{}]")
_TAG = r"(?:answer|final_answer|finalanswer)"
_CLOSE = re.compile(rf"<\s?/\s?(?P<tag>{_TAG})\s?>|\[/(?P<bracket>{_TAG})\]", re.IGNORECASE)
_OPEN = re.compile(rf"<\s?{_TAG}\s?>|\[{_TAG}\]", re.IGNORECASE)
_RETRACTION_WORDS = frozenset(
    (
        "rather not no wait actually instead but correction check hmm however earlier wrong incorrect false so thus hence "
        "therefore"
    ).split()
)


def last_mark(text: str) -> Mark | None:
    """Returns the last box or tag of a text. None if there is none.

    A box inside a tag belongs to the tag, and is found again in the tag's content.
    """
    box, tag = last_box(text), last_tag(text)
    if tag and (box is None or box.end <= tag.end):
        if tag.content is None and box is not None and box.content is not None and box.start > tag.start:
            return box  # the tag was truncated, but the box in it is complete
        return tag
    return box


def last_tag(text: str) -> Mark | None:
    """Returns the last `<answer>...</answer>` (or `[ANSWER]...[/ANSWER]`) that is not empty."""
    if "<" not in text and "[/" not in text:
        return None
    closed = list(_CLOSE.finditer(text))[-MAX_TAGS:]
    opened = list(_OPEN.finditer(text))[-2 * MAX_TAGS :]
    if opened and (not closed or opened[-1].end() > closed[-1].end()):
        rest = text[opened[-1].end() :]
        if not rest.strip() or (
            not _PLACEHOLDER.fullmatch(rest.strip()) and not re.match(r"[`'\"”]|\W*\b(?:tags?|and|elements?|blocks?)\b", rest)
        ):
            return Mark(opened[-1].start(), len(text), None, is_tag=True)
    for close in reversed(closed):
        before = [match for match in opened if match.end() <= close.start()]
        if not before and len(closed) > 1:
            continue
        # The prompt may already have opened the tag. Then the response up to the closing tag is its content.
        start, inside = (before[-1].start(), before[-1].end()) if before else (0, 0)
        close = next(match for match in closed if match.start() >= inside)
        content = text[inside : close.start()].strip()
        content = content.strip("`'\" ")
        if not is_placeholder(content) and content not in ("and", "or", "tag", "tags"):
            return Mark(start, close.end(), content, is_tag=True)
    return None


def is_placeholder(content: str) -> bool:
    """True if the content of a box or tag is empty, or a placeholder: "...", "your answer here"."""
    return len(content) < 80 and not _DIGIT.search(content) and _PLACEHOLDER.fullmatch(content.strip()) is not None


def boxed(text: str) -> str | None:
    """Returns the content of the last `\\boxed{...}`, or of the last adjacent ones as a list.

    None if there is no box, the last one never closes, or the text denies all of them.
    """
    found = last_box(text)
    return found.content if found else None


def last_box(text: str) -> Mark | None:
    """Returns the last box that is not denied ("not \\boxed{5}"), or the last adjacent ones as one mark."""
    found = _boxes(text)
    if not found or found[-1].content is None:
        return found[-1] if found else None
    kept = [box for box in found if not _is_denied(text[max(0, box.start - 40) : box.start])]
    if not kept:
        return Mark(found[-1].start, found[-1].end, None)
    adjacent = [kept[-1]]
    for box in reversed(kept[:-1]):
        if not _joins(text[box.end : adjacent[0].start]):
            break
        adjacent.insert(0, box)
    contents = [str(box.content) for box in adjacent]
    start, end = adjacent[0].start, adjacent[-1].end
    if len(set(contents)) > 1:
        return Mark(start, end, ", ".join(contents))
    # A percent sign stands as often after a box as inside it.
    after = _PERCENT.match(text, end, end + 40)
    return Mark(start, end, contents[-1] + (" percent" if after and contents[-1][-1:].isdigit() else ""))


def _is_denied(before: str) -> bool:
    """True if the words before a box deny its content."""
    return any(word in before for word in _DENIALS) and _DENIED.search(before) is not None


def _boxes(text: str) -> list[Mark]:
    """Returns the last boxes of a text without nested ones. Only the last one if that never closes."""
    found: list[Mark] = []
    unclosed: Mark | None = None
    if "box" not in text:
        return found
    for match in (list(_BOX.finditer(text)) or list(_BARE_BOX.finditer(text)))[-MAX_BOXES:]:
        if found and match.start() < found[-1].end:
            continue
        argument = _argument(text, match)
        if argument is None:
            continue
        start, end = argument
        if end is None:
            found, unclosed = [], Mark(match.start(), len(text), None)
            continue
        inside = _without_spaces(text[start:end])
        content = _unwrapped(inside)
        if inside and not is_placeholder(content):
            found.append(Mark(match.start(), min(len(text), end + (text[end : end + 1] in ("}", ")"))), content))
            unclosed = None  # a later box is complete, so the text was not truncated
    return [unclosed] if unclosed else found


def _without_spaces(content: str) -> str:
    """Returns the content without surrounding spaces and LaTeX spaces at its end: `~`, `\\,`, `\\ `."""
    end = len(content)
    while end:
        escaped = end > 1 and content[end - 2] == "\\" and content[end - 3 : end - 2] != "\\"
        if content[end - 1] == "~":
            end -= 1
        elif escaped and (content[end - 1].isspace() or content[end - 1] in ",;:!"):
            end -= 2
        else:
            break
    return content[:end].strip()


def _unwrapped(content: str) -> str:
    """Returns the content without boxes around all of it."""
    for _ in range(4 if "box" in content else 0):
        match = _BOX.match(content)
        argument = _argument(content, match) if match else None
        if argument is None or argument[1] is None or content[argument[1] :].strip() not in ("}", ""):
            break
        content = content[argument[0] : argument[1]].strip()
    return content


def _argument(text: str, box: re.Match[str]) -> tuple[int, int | None] | None:
    """Returns the start and end of a box's argument. The end is None if it never closes. None if there is no argument."""
    start = box.end()
    colours = {"\\colorbox": 1, "\\fcolorbox": 2}.get(box[0], 0)
    if box[0] == "\\framebox":
        for _ in range(2):
            option = _OPTION.match(text, start)
            start = option.end() if option else start
    space = _SPACE.match(text, start)
    at = space.end() if space else start
    for _ in range(colours):
        end = closing(text, at) if text[at : at + 1] == "{" else None
        if end is None:
            return None
        at = end
    if text[at : at + 1] == "{":
        end = closing(text, at)
        return at + 1, None if end is None else end - 1
    if text[at : at + 1] == "(" and at == start:
        inner = _BRACKETS.match(text, at)
        return (at + 1, inner.end() - 1) if inner else None
    if lone := _NUMBER_OR_LETTER.match(text, start):
        return lone.start("number" if lone["number"] else "letter"), lone.end()
    command = _COMMAND.match(text, start)
    if command is None or _BOX.match(command[0].strip()):
        return None
    return command.start(), _end_of_command(text, command)


def _end_of_command(text: str, command: re.Match[str]) -> int | None:
    """Returns the position after a command and its arguments, braced or bare (`\\frac12`). None if one never closes."""
    end, missing_arguments = command.end(), _ARGUMENTS.get(command["name"], 0)
    while text[end : end + 1] == "{" or missing_arguments > 0:
        argument = _BARE_ARGUMENT.match(text, end)
        closed = closing(text, end) if text[end : end + 1] == "{" else argument and argument.end()
        if closed is None:
            return None
        end, missing_arguments = closed, missing_arguments - 1
    return end


def closing(text: str, start: int) -> int | None:
    """Returns the position after the brace that closes the one at `start`."""
    depth = 0
    for brace in _BRACE.finditer(text, start):
        depth += {"{": 1, "}": -1}.get(brace[0], 0)
        if depth == 0:
            return brace.end()
    return None


def _joins(between: str) -> bool:
    """True if the text between two boxes joins them to one answer."""
    if len(between) > 80 or "\n\n" in between.strip("\n"):
        return False
    words = re.findall(r"[A-Za-z']+", re.sub(r"\\(?:text|mathrm|q?quad|mbox)", " ", between))
    if _RETRACTION_WORDS & {word.lower() for word in words}:
        return False
    joins = {"and", "or"} & {word.lower() for word in words} or "," in between or ";" in between
    return len(words) <= 5 if joins else not words and not between.strip(" $\\()[]\n.")
