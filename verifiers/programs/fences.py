"""Fenced blocks of code in a text, as models write them.

    fenced("Here:\\n```python\\nx = 1\\n```\\n")     # [Block(language="python", body="x = 1")]

CommonMark's rules, and what models do beside them: a fence at the end of a line, a tag that says more than a language, a block
that the next one's fence closes, a last block without an end, a docstring that holds fences of its own.
"""

import re
from dataclasses import dataclass, field

from ..budget import in_time

LANGUAGES = {
    "python": "python3 python2 py py3 py2 ipython pypy pypy3 cpython",
    "cpp": "c++ cc cxx hpp g++ c++11 c++14 c++17 c++20",
    "c": "h c99 c11 c17",
    "javascript": "js node nodejs mjs cjs ecmascript",
    "typescript": "ts",
    "bash": "sh shell zsh",
    "java": "",
    "csharp": "cs c#",
    "go": "golang",
    "rust": "rs",
}
"""Names of programming languages, each with those that say the same."""
PLAIN = frozenset(("", "code", "text", "txt", "plain", "plaintext", "none"))
"""Tags that name no language."""
_CALLED = {other: name for name, others in LANGUAGES.items() for other in (name, *others.split())}
_MARKDOWN = frozenset(("markdown", "md"))
_MARGIN = r"[ \t>]{0,99}(?:(?:[-*+]|\d{1,9}[.)])[ \t]{1,9})?"
_OPENS = re.compile(rf"(?P<margin>{_MARGIN})(?P<fence>`{{3,}}|~{{3,}})[ \t]*(?P<info>[^`\n]*)\Z")
_OPENS_BEHIND_WORDS = re.compile(r"(?=[ \t]*[^`\s])[^`]+(?P<fence>`{3,})(?P<info>[\w+#.-]{0,20})[ \t]*\Z")
_CLOSES = re.compile(r"[ \t>]*(?P<fence>`{3,}|~{3,})[ \t]*\Z")
_ONE_LINE = re.compile(r"[ \t]*`{3,}(?:(?:python3?|py)[ \t]+)?(?P<code>[^`]+)`{3,}[ \t]*\Z")
_QUOTED = re.compile(r"\A[ \t]{0,9}(?:>[ ]?){1,9}")
_TAG = re.compile(r"[{\s]*[.]?(?:lang(?:uage)?[-=])?(?P<word>[A-Za-z][\w+#.-]*)")
_CODE_BEHIND_TAG = re.compile(r"(?:[A-Za-z]\w*[ \t]+)?(?P<code>(?:async[ \t]+def|def|class|import|from|#include)\b.*)")
_STRINGS = re.compile(r"\"\"\"|'''|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|#.*|\\.")
_ENDS = {quotes: re.compile(rf"\\.|{quotes}") for quotes in ('"""', "'''")}
MOST_RETRIES = 3
"""Blocks that are read again because a string in them never ends; so many times at most, so that reading stays linear."""


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block."""

    language: str
    """One of `LANGUAGES`, or the tag in lower case; empty where there is none."""
    body: str


@dataclass(slots=True)
class _Open:
    """A block that is being read."""

    start: int
    """The line behind its fence."""
    fence: str
    margin: str
    language: str
    first: tuple[str, ...] = ()
    """Code that stands behind the fence."""
    lines: list[str] = field(default_factory=list)
    string: str = ""
    """The quotes of a string over several lines that has begun and not ended."""

    def __post_init__(self) -> None:
        self.lines += self.first

    def block(self) -> Block:
        return Block(self.language, "\n".join(self.lines))


def language_of(tag: str) -> str:
    """The language that a fence's tag names: `Python`, `{.python}`, `python title="x"`, `solution.py` are python."""
    found = _TAG.match(tag)
    word = found["word"].lower() if found else ""
    if word not in _CALLED and "." in word:  # a file's name, or a version
        stem, _, extension = word.rpartition(".")
        word = extension if extension in _CALLED else re.sub(r"[\d.]+\Z", "", stem) or word
    return _CALLED.get(word, word)


def fenced(text: str, within: bool = False) -> list[Block]:
    """The fenced blocks of a text, in order.

    Args:
        text: of a model.
        within: the text begins inside of a block, which its prompt had opened.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    blocks: list[Block] = []
    opened = _Open(0, "```", "", "") if within else None
    heeds_strings, retries, number = True, 0, 0
    while number < len(lines) or (opened and opened.string and heeds_strings):
        if number == len(lines):  # the string never ends: what looked like a fence in it was one
            assert opened is not None
            retries += 1
            heeds_strings, number = False, opened.start
            opened.lines, opened.string = list(opened.first), ""
            continue
        line = lines[number]
        number += 1
        if not number % 512:
            in_time()
        if opened is None:
            opened = _opened(line, number, blocks)
        elif (rest := _closing(line, opened)) is None:
            opened.lines.append(_inside(line, opened))
            if heeds_strings and opened.language in ("", "python"):
                opened.string = _string_at_end(line, opened.string)
        else:
            if rest:
                opened.lines.append(rest)
            blocks += _nested(opened)
            opened = _opened(line, number, blocks) if not rest and not _CLOSES.match(line) else None
            heeds_strings = retries < MOST_RETRIES
    return blocks + (_nested(opened) if opened else [])


def _opened(line: str, number: int, blocks: list[Block]) -> _Open | None:
    """The block that a line opens; one that begins and ends in the line is put to the others at once."""
    found = _OPENS.match(line)
    if found is None:
        if one := _ONE_LINE.match(line):
            blocks.append(Block("", one["code"].strip()))
            return None
        found = _OPENS_BEHIND_WORDS.match(line)
        return _Open(number, found["fence"], "", language_of(found["info"])) if found else None
    info = found["info"].strip()
    code = _CODE_BEHIND_TAG.match(info)
    tag = info[: code.start("code")] if code else info
    return _Open(number, found["fence"], found["margin"], language_of(tag), (code["code"],) if code else ())


def _closing(line: str, opened: _Open) -> str | None:
    """What stands before the fence in a line that closes the block, often nothing; None where the line does not close it."""
    sign = opened.fence[0]
    if opened.string or sign not in line:
        return None
    if (fence := _CLOSES.match(line)) is not None:
        # No line of a program looks like a fence, however long.
        return "" if fence["fence"].startswith(opened.fence if opened.language not in _CALLED else 3 * sign) else None
    if (fence := _OPENS.match(line)) is not None and fence["fence"][0] == sign:
        same = fence["fence"] == opened.fence and opened.language not in _MARKDOWN and language_of(fence["info"]) in _CALLED
        return "" if same or opened.language in _CALLED else None
    stripped = line.rstrip()
    before = stripped.rstrip(sign)
    ends = len(stripped) - len(before) >= len(opened.fence) and sign not in before and "#" not in before
    return before if ends and opened.language in ("", "python") and not _string_at_end(before, "") else None


def _inside(line: str, opened: _Open) -> str:
    """A line of a block, without the margin that its fence has, too."""
    if ">" in opened.margin:
        return _QUOTED.sub("", line)
    blank = len(line) - len(line.lstrip(" \t"))
    return line[min(len(opened.margin), blank) :]


def _string_at_end(line: str, string: str) -> str:
    """The quotes of the string that stands open at the end of a line of Python, `string` being open at its start."""
    at = 0
    while True:
        if string:
            for found in _ENDS[string].finditer(line, at):
                if found[0] == string:
                    string, at = "", found.end()
                    break
            else:
                return string
        else:
            for found in _STRINGS.finditer(line, at):
                if found[0] in _ENDS:
                    string, at = found[0], found.end()
                    break
            else:
                return ""


def _nested(opened: _Open) -> list[Block]:
    """A block; or, of one that is a text with blocks, those."""
    block = opened.block()
    if (opened.language in _MARKDOWN or (len(opened.fence) > 3 and opened.language in PLAIN)) and (inner := fenced(block.body)):
        return inner
    return [block]
