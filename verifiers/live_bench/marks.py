"""Answers in tags and boxes, as LiveBench's code finds them.

LiveBench scores 0 if its code raises an error. In these cases the functions raise `Unreadable`.
"""

import re
from collections.abc import Iterable


class Unreadable(ValueError):
    """The response's answer cannot be read, so it scores 0."""


def solutions(text: str, *, lines: bool = False, any_case: bool = False, closing: bool = False) -> list[str]:
    """Returns the texts between the tags <solution> and </solution>, in time linear in the length of the text.

    Args:
        text: the text.
        lines: the text between the tags may have several lines.
        any_case: the tags may be in upper case.
        closing: the first tag is a closing one, too, which is a common mistake of models.
    """
    tags = list(re.finditer(r"</?solution>", text, re.IGNORECASE if any_case else 0))
    ends = (tag for tag in tags if tag[0][1] == "/")
    end, newline, used, found = next(ends, None), -1, 0, []
    for begin in (tag.end() for tag in tags if (tag[0][1] == "/") == closing):
        if begin < used:
            continue
        while end is not None and end.start() < begin:
            end = next(ends, None)
        if end is None:
            break
        if newline < begin:
            newline = text.find("\n", begin)
            newline = len(text) if newline < 0 else newline
        if lines or end.start() <= newline:
            found.append(text[begin : end.start()])
            used = end.end() + closing  # a tag belongs to one text
    return found


def between_closing_tags(text: str, *, lines: bool = False, any_case: bool = False) -> list[str]:
    """Returns the texts between two tags </solution>. The arguments are those of `solutions`."""
    return solutions(text, lines=lines, any_case=any_case, closing=True)


def last_box(text: str) -> str | None:
    r"""Returns the content of the last \boxed{...}, or of the last \fbox{...} if there is no other; None if there is none.

    A box without braces, as in \boxed 4, has precedence. It ends at the next dollar sign.

    Raises:
        Unreadable: the box has a form that LiveBench's code does not expect.
    """
    command = "\\boxed "
    if command in text:
        return text.rpartition(command)[2].partition("$")[0]
    start = text.rfind("\\boxed")
    start = text.rfind("\\fbox") if start < 0 else start
    end = _closing_brace(text, start) if start >= 0 else None
    if end is None:
        return None
    box = text[start : end + 1].replace("$", "").replace("fbox", "boxed")
    if command in box:  # after the removal of a dollar sign
        if not box.startswith(command):
            raise Unreadable("the box cannot be read")
        return box.removeprefix(command)
    if not box.startswith("\\boxed{"):
        raise Unreadable("the box cannot be read")
    return box.removeprefix("\\boxed{")[:-1]


def _closing_brace(text: str, start: int) -> int | None:
    """Returns the position of the first brace from `start` that closes as many braces as are open; None if there is none."""
    depth = 0
    for brace in re.finditer(r"[{}]", text[start:]):
        depth += 1 if brace[0] == "{" else -1
        if brace[0] == "}" and depth == 0:
            return start + brace.start()
    return None


def with_boxes(text: str) -> str:
    r"""Returns a text in which \\fbox{, with two backslashes, is \\boxed{."""
    return text.replace("\\\\fbox{", "\\\\boxed{")


def without(text: str, parts: Iterable[str]) -> str:
    """Returns a text without these parts, which are removed in their order."""
    for part in parts:
        text = text.replace(part, "")
    return text


def last_line(text: str) -> str:
    """Returns the last line of a text without white space at its ends."""
    return text.strip().split("\n")[-1]


def integer(text: str) -> int | None:
    """Returns the integer that a text consists of, None if it is something else."""
    try:
        return int(text)
    except ValueError:
        return None
