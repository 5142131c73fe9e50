"""Finds fenced blocks of code in a text, as models write them.

    fenced("Here:\\n```python\\nx = 1\\n```\\n")     # [Block(language="python", body="x = 1")]

Follows CommonMark, and accepts what models write beyond it: a fence at the end of a line, a tag with more than a language, a
block that is closed by the next block's fence, a last block without an end, and a docstring that contains fences.
"""

import re
from dataclasses import dataclass, field

from ..budget import check_time

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
"""Names of programming languages, each with its aliases."""
PLAIN = frozenset(("", "code", "text", "txt", "plain", "plaintext", "none"))
"""Tags that do not name a language."""
_LANGUAGE_OF_ALIAS = {alias: name for name, aliases in LANGUAGES.items() for alias in (name, *aliases.split())}
_MARKDOWN = frozenset(("markdown", "md"))
_MARGIN = r"[ \t>]{0,99}(?:(?:[-*+]|\d{1,9}[.)])[ \t]{1,9})?"
_OPENS = re.compile(rf"(?P<margin>{_MARGIN})(?P<fence>`{{3,}}|~{{3,}})[ \t]*(?P<info>[^`\n]*)\Z")
_OPENS_AFTER_WORDS = re.compile(r"(?=[ \t]*[^`\s])[^`]+(?P<fence>`{3,})(?P<info>[\w+#.-]{0,20})[ \t]*\Z")
_CLOSES = re.compile(r"[ \t>]*(?P<fence>`{3,}|~{3,})[ \t]*\Z")
_ONE_LINE = re.compile(r"[ \t]*`{3,}(?:(?:python3?|py)[ \t]+)?(?P<code>[^`]+)`{3,}[ \t]*\Z")
_QUOTED = re.compile(r"\A[ \t]{0,9}(?:>[ ]?){1,9}")
_TAG = re.compile(r"[{\s]*[.]?(?:lang(?:uage)?[-=])?(?P<word>[A-Za-z][\w+#.-]*)")
_CODE_AFTER_TAG = re.compile(r"(?:[A-Za-z]\w*[ \t]+)?(?P<code>(?:async[ \t]+def|def|class|import|from|#include)\b.*)")
_STRINGS = re.compile(r"\"\"\"|'''|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|#.*|\\.")
_ENDS = {quotes: re.compile(rf"\\.|{quotes}") for quotes in ('"""', "'''")}
MAX_RETRIES = 3
"""Maximum number of blocks that are read again because a string in them never ends. The limit keeps the time of reading linear.
Our choice."""


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block."""

    language: str
    """One of `LANGUAGES`, or the tag in lower case; empty without a tag."""
    body: str


@dataclass(slots=True)
class _Open:
    """A block that is being read."""

    start: int
    """Number of the line after its fence."""
    fence: str
    margin: str
    language: str
    first: tuple[str, ...] = ()
    """Code that follows the fence in its line."""
    lines: list[str] = field(default_factory=list)
    string: str = ""
    """The quotes of a multi-line string that has not ended yet; empty outside of such strings."""

    def __post_init__(self) -> None:
        self.lines += self.first

    def block(self) -> Block:
        return Block(self.language, "\n".join(self.lines))


def language_of(tag: str) -> str:
    """Returns the language that a fence's tag names. `Python`, `{.python}`, `python title="x"` and `solution.py` are python."""
    found = _TAG.match(tag)
    word = found["word"].lower() if found else ""
    if word not in _LANGUAGE_OF_ALIAS and "." in word:  # a file's name, or a version
        stem, _, extension = word.rpartition(".")
        word = extension if extension in _LANGUAGE_OF_ALIAS else re.sub(r"[\d.]+\Z", "", stem) or word
    return _LANGUAGE_OF_ALIAS.get(word, word)


def fenced(text: str, within: bool = False) -> list[Block]:
    """Returns the fenced blocks of a text, in order.

    Args:
        text: written by a model.
        within: the text begins inside a block that its prompt has opened.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    blocks: list[Block] = []
    opened = _Open(0, "```", "", "") if within else None
    track_strings, retries, number = True, 0, 0
    while number < len(lines) or (opened and opened.string and track_strings):
        if number == len(lines):  # the string never ends, so fences that seemed to be inside it are real
            assert opened is not None
            retries += 1
            track_strings, number = False, opened.start
            opened.lines, opened.string = list(opened.first), ""
            continue
        line = lines[number]
        number += 1
        if not number % 512:
            check_time()
        if opened is None:
            opened = _opened(line, number, blocks)
        elif (rest := _closing(line, opened)) is None:
            opened.lines.append(_inside(line, opened))
            if track_strings and opened.language in ("", "python"):
                opened.string = _string_at_end(line, opened.string)
        else:
            if rest:
                opened.lines.append(rest)
            blocks += _nested(opened)
            opened = _opened(line, number, blocks) if not rest and not _CLOSES.match(line) else None
            track_strings = retries < MAX_RETRIES
    return blocks + (_nested(opened) if opened else [])


def _opened(line: str, number: int, blocks: list[Block]) -> _Open | None:
    """Returns the block that a line opens. A block that begins and ends in the line is added to `blocks` instead."""
    found = _OPENS.match(line)
    if found is None:
        if whole := _ONE_LINE.match(line):
            blocks.append(Block("", whole["code"].strip()))
            return None
        found = _OPENS_AFTER_WORDS.match(line)
        return _Open(number, found["fence"], "", language_of(found["info"])) if found else None
    info = found["info"].strip()
    code = _CODE_AFTER_TAG.match(info)
    tag = info[: code.start("code")] if code else info
    return _Open(number, found["fence"], found["margin"], language_of(tag), (code["code"],) if code else ())


def _closing(line: str, opened: _Open) -> str | None:
    """Returns the text before the fence in a line that closes the block, often empty; None if the line does not close it."""
    sign = opened.fence[0]
    if opened.string or sign not in line:
        return None
    if (fence := _CLOSES.match(line)) is not None:
        # No line of a program looks like a fence, so in a program a fence of any length closes the block.
        in_program = opened.language in _LANGUAGE_OF_ALIAS
        return "" if fence["fence"].startswith(3 * sign if in_program else opened.fence) else None
    if (fence := _OPENS.match(line)) is not None and fence["fence"][0] == sign:
        names_language = language_of(fence["info"]) in _LANGUAGE_OF_ALIAS
        same = fence["fence"] == opened.fence and opened.language not in _MARKDOWN and names_language
        return "" if same or opened.language in _LANGUAGE_OF_ALIAS else None
    stripped = line.rstrip()
    before = stripped.rstrip(sign)
    ends = len(stripped) - len(before) >= len(opened.fence) and sign not in before and "#" not in before
    return before if ends and opened.language in ("", "python") and not _string_at_end(before, "") else None


def _inside(line: str, opened: _Open) -> str:
    """Returns a line of a block without the margin of the block's fence."""
    if ">" in opened.margin:
        return _QUOTED.sub("", line)
    blank = len(line) - len(line.lstrip(" \t"))
    return line[min(len(opened.margin), blank) :]


def _string_at_end(line: str, string: str) -> str:
    """Returns the quotes of the multi-line string that is open at a line's end. `string` has those open at the line's start."""
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
    """Returns the block, or the blocks inside it if it is a text that contains blocks."""
    block = opened.block()
    if (opened.language in _MARKDOWN or (len(opened.fence) > 3 and opened.language in PLAIN)) and (inner := fenced(block.body)):
        return inner
    return [block]
