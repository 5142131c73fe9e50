"""Which of the code in a response is the program that is judged.

A response holds more than its answer: output, an example of use, assertions, a shell's transcript, an earlier version. The last
block that defines the wanted function or class is judged; of whole programs, the last that reads and prints by itself. Blocks
that it cannot do without, such as imports or a helper, belong to it. Nothing is parsed here: what Python's parser takes for a
hostile text is the sandbox's to bear.
"""

import functools
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ...golds import CodeTests
from ..budget import in_time
from .fences import PLAIN, Block, fenced, language_of
from .forms import called
from .python_pieces import STRINGS, Piece

MOST_TAGGED = 3
"""Texts between tags such as <answer> that are looked at, the last ones."""
MOST_BLOCKS = 100
"""Blocks of a response that are looked at, the last ones."""
MOST_ROOTS = 20
"""Blocks that are looked at for a whole program, the last ones."""
_READS = re.compile(
    r"\binput[ \t]*\(|\binput[ \t]*=|\([ \t]*input\b|\bstdin\b|\bfileinput\b|\bopen[ \t]*\([ \t]*0|\bread[ \t]*\([ \t]*0"
)
_WRITES = re.compile(r"\bprint[ \t]*\(|\bstdout\b|\bwrite[ \t]*\(|\([ \t]*print\b|=[ \t]*print\b")
_TRIES_OUT = re.compile(r"\bstdin[ \t]*=[ \t]*(?:io[ \t]*\.[ \t]*)?StringIO[ \t]*\([ \t]*[frb]{0,2}[\"']")
_WHOLE = {
    "c": r"\bmain[ \t]*\(",
    "cpp": r"\bmain[ \t]*\(",
    "java": r"\bmain[ \t]*\(",
    "csharp": r"\bMain[ \t]*\(|\bConsole\.",
    "go": r"\bfunc[ \t]+main\b",
    "rust": r"\bfn[ \t]+main\b",
    "javascript": r"\b(?:stdin|readline|readFileSync|readFile)\b",
    "bash": r"\b(?:read|cat|awk|stdin|sed|while|grep|tr|sort|bc|echo|printf)\b",
}
"""How a whole program of another language than Python is known."""
_CODE_LINE = re.compile(
    r"[ \t]+\S|@\w|(?:async[ \t]+)?def[ \t]+\w|class[ \t]+\w+[ \t]*[(:{]|import[ \t]+[\w{*]|from[ \t]+[\w.]+[ \t]+import\b"
    r"|#include|(?:using|public|const|let|var|function|package|int)[ \t]|\"\"\"|'''"
    r"|\w+(?:[ \t]*,[ \t]*\w+)*[ \t]*(?::[^=\n]{0,99})?[-+*/|&]?=(?!=)|(?:if|for|while|try|with|print)\b.*[:)][ \t]*\Z"
)
"""How a text begins that begins within a block."""
_BEGINS = re.compile(
    r"^(?:(?:async[ \t]+)?def[ \t]+\w+[ \t]*\(|class[ \t]+\w+[ \t]*[(:]|@\w|import[ \t]+\w|from[ \t]+[\w.]+[ \t]+import\b)",
    re.MULTILINE,
)
_PROSE = re.compile(
    r"[-*•+][ \t]|\d{1,3}[.)][ \t]|\*\*|[A-Z][\w'’-]*[,:]?[ \t]+[\w`'’\"(*][^=]*\Z|[A-Z][\w'’]*(?::|[.!])[ \t]*\Z"
)
"""A line of words: no statement of Python begins with a capital, and goes on behind a space without an =."""
_MISTAKEN = re.compile(
    r"^(?P<fence>'''|``)(?P<tag>python3?|py)[ \t]*\n(?P<body>(?:(?!'''|``)[^\n]*\n)*)(?P=fence)[ \t]*$", re.MULTILINE
)
"""A block whose fence is none."""
_TAGGED = re.compile(
    r"^[ \t]*(?:<(?P<tag>answer|code|python|solution)>|\[(?P<mark>PYTHON|BEGIN|ANSWER)\])(?P<body>.*?)"
    r"(?:</(?P=tag)>|\[(?:/(?P=mark)|DONE)\]|\Z)",
    re.MULTILINE | re.DOTALL,
)
_FUTURE = re.compile(
    r"(?:[ \t]*(?:\#[^\n]*)?\n|(?:\"\"\"(?:\\.|(?!\"\"\")[^\\])*\"\"\"|'''(?:\\.|(?!''')[^\\])*''')[ \t]*\n"
    r"|from[ \t]+__future__[ \t]+import[ \t]+(?:\([^)]*\)|[^\n(;]+)(?:;[ \t]*|\n|\Z))*",
    re.DOTALL,
)
_BLANKED = re.compile(r"[^\n]")
_MADE = re.compile(r"\b([A-Za-z_]\w*)\(\)\.")


def program_of(text: str, answer: CodeTests) -> str:
    """The code in a text that is judged; all of the text where nothing shows which part that is.

    Args:
        text: of a response, after its reasoning.
        answer: the tests, in one of the forms that `code.py` lists: they say what the program is to define.
    """
    text = text.replace("\r\n", "\n").removeprefix("\ufeff")
    if "```" not in text and "~~~" not in text:
        text = _MISTAKEN.sub(r"```\g<tag>\n\g<body>```", text)
    language = language_of(str(answer.get("language") or "python"))
    choose: Callable[[Sequence[Block]], str | None]
    if language != "python":
        choose = functools.partial(_of_language, language=language)
    elif "stdin" in answer:
        choose = functools.partial(_whole, answer=answer)
    else:
        choose = functools.partial(_function, wanted=_wanted(answer))
    tagged = [found["body"] for found in _TAGGED.finditer(text)][-MOST_TAGGED:]
    for piece in (*reversed(tagged), text):
        for blocks in _readings(piece):
            in_time()
            fitting = [block for block in blocks if block.language in (*PLAIN, language) and block.body.strip()]
            if (found := choose(fitting[-MOST_BLOCKS:])) is not None:
                return found
        if language == "python" and (found := choose([Block("", _unfenced(_outside(piece)))])) is not None:
            return found
    return _last(tagged[-1] if tagged and tagged[-1].strip() else text, language, bool(answer.get("header")))


def _readings(text: str) -> Iterable[list[Block]]:
    """The blocks of a text that begins outside of a block, or within one, what is likelier first."""
    begins = _begins_within(text)
    if begins is None:
        return (fenced(text),)
    return (fenced(text, within=begins), fenced(text, within=not begins))


def _begins_within(text: str) -> bool | None:
    """Whether a text is likely to begin within a block; None where it cannot, as its first fence opens one."""
    at = min((at for at in (text.find("```"), text.find("~~~")) if at >= 0), default=-1)
    if at < 0:
        return None
    line = text[: end if (end := text.find("\n", at)) >= 0 else len(text)].rstrip(" \t")
    lead = line.rstrip("`~")
    if not line.endswith(("```", "~~~")):
        return None
    lines = [line for line in lead.split("\n") if line.strip() and not line.startswith("#")]
    return bool(lines) and bool(_CODE_LINE.match(lines[0]))


def _last(text: str, language: str, completes: bool) -> str:
    """The code of a text in which nothing shows what is asked for: its last block, else all."""
    for blocks in _readings(text):
        known = [block for block in blocks if block.language in (*PLAIN, language)]
        begun = [block for block in known if continues(block.body)] if completes else []
        named = [block for block in known if block.language == language]
        if chosen := begun or named or known:
            return chosen[-1].body
    return _unfenced(text) if language == "python" else text


# --- a function or a class ---


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a program is to define: each of these functions, or one of the classes that have them for methods."""

    functions: tuple[str, ...]
    classes: frozenset[str]


def _wanted(answer: CodeTests) -> _Wanted:
    entry = answer.get("entry_point")
    names: Sequence[str] | None = [entry] if isinstance(entry, str) else answer.get("functions")
    if not names and isinstance(answer.get("asserts"), list | tuple):
        try:
            names = called("\n".join(map(str, [answer.get("setup") or "", *answer["asserts"]])))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            names = []
    return _Wanted(tuple(map(str, names or ())), frozenset(_MADE.findall(str(answer.get("footer", "")))))


def _function(blocks: Sequence[Block], wanted: _Wanted) -> str | None:
    """The program that defines what is wanted; None where these blocks do not."""
    parts = [Piece(_flush_left(block.body, wanted)) for block in blocks]
    roots: set[int] = set()
    for name in wanted.functions:
        defining = [
            number for number, part in enumerate(parts) if name in part.defines or part.has_method(name, wanted.classes)
        ]
        whole = [number for number in defining if not parts[number].has_stub(name)]
        found = whole or [number for number, part in enumerate(parts) if name in part.assigns] or defining
        if not found:
            return None
        roots.add(found[-1])
    if not roots:
        return None
    chosen = _with_needed(roots, parts)
    given = frozenset().union(*(parts[number].defines for number in chosen))
    # A helper that is mended behind it.
    chosen |= {
        number
        for number in range(max(roots) + 1, len(parts))
        if parts[number].is_pure
        and parts[number].defines & given
        and not parts[number].defines & {*wanted.functions, *wanted.classes}
    }
    return _joined(parts[number].body for number in sorted(chosen))


def _flush_left(body: str, wanted: _Wanted) -> str:
    """A block whose every line is indented, set to the left where the definition stands there."""
    moved = _moved(body)
    return moved if moved != body and {*wanted.functions, *wanted.classes} & Piece(moved).defines else body


def _with_needed(roots: set[int], parts: Sequence[Piece]) -> set[int]:
    """These parts, and those that define what they need: of several the last before, else the first behind."""
    places: dict[str, list[int]] = {}
    for number, part in enumerate(parts):
        for name in part.gives:
            places.setdefault(name, []).append(number)
    chosen, waiting = set(roots), sorted(roots)
    given = {name for number in roots for name in parts[number].gives | parts[number].assigns}
    last = max(roots, default=0)
    chosen |= {number for number, part in enumerate(parts[:last]) if "*" in part.imports and part.is_pure and not part.defines}
    while waiting:
        number = waiting.pop()
        for name in parts[number].needs - given:
            if name not in places:
                continue
            before = [place for place in places[name] if place < number]
            place = before[-1] if before else places[name][0]
            given |= parts[place].gives
            if place not in chosen:
                chosen.add(place)
                waiting.append(place)
    return chosen


def first_of(blocks: Sequence[Block], names: frozenset[str]) -> str | None:
    """The first block of Python that defines one of these names, with the blocks that it needs; None where there is none."""
    parts = [Piece(block.body) for block in blocks[:MOST_BLOCKS]]
    first = next((number for number, part in enumerate(parts) if part.defines & names), None)
    if first is None:
        return None
    return _joined(parts[number].body for number in sorted(_with_needed({first}, parts)))


def _moved(body: str) -> str:
    """A block whose every line is indented, set to the left."""
    return textwrap.dedent(body) if body.lstrip("\n").startswith((" ", "\t")) else body


# --- a whole program ---


def _whole(blocks: Sequence[Block], answer: CodeTests) -> str | None:
    """The last of these blocks that is a program by itself, else the last that is one with others; None where there is none."""
    parts = [Piece(_moved(block.body)) for block in blocks]
    tests = answer["stdin"] if isinstance(answer["stdin"], list | tuple) else ()
    reads = any(isinstance(test, Mapping) and str(test.get("input", "")).strip() for test in tests)
    begun = [number for number, part in enumerate(parts) if part.runs and not _TRIES_OUT.search(part.body)]
    together = {number: _with_needed({number}, parts) for number in begun[-MOST_ROOTS:]}
    for alone in (True, False):
        for number in reversed(together):
            chosen = [parts[other] for other in sorted(together[number])]
            does = any(_WRITES.search(part.bare) for part in chosen)
            does = does and (not reads or any(_READS.search(part.bare) or "/dev/stdin" in part.body for part in chosen))
            if does and (len(chosen) == 1 or not alone):
                return _joined(part.body for part in chosen)
    return None


def _of_language(blocks: Sequence[Block], language: str) -> str | None:
    """The last of these blocks that is a whole program of another language, of those with its name if there are any."""
    sign = _WHOLE.get(language)
    named = [block for block in blocks if block.language == language]
    return next((block.body for block in reversed(named or blocks) if sign and re.search(sign, block.body)), None)


# --- texts ---


def _outside(text: str) -> str:
    """What of a text stands outside of its fences."""
    kept, inside = [], False
    for line in text.split("\n"):
        if re.match(r"[ \t]*(?:`{3,}|~{3,})", line):
            inside = not inside
        elif not inside:
            kept.append(line)
    return "\n".join(kept)


def _unfenced(text: str) -> str:
    """Code that stands in a text without fences: without lines of words, and before its first definition with lines of code
    only. All of the text where it has neither."""
    begins = _BEGINS.search(text)
    lead = text.count("\n", 0, begins.start()) if begins else 0
    lines, bare = text.split("\n"), STRINGS.sub(_without_lines_of_strings, text).split("\n")
    words = {number for number, line in enumerate(bare) if _PROSE.match(line)}
    if any(number < lead for number in words):
        words |= {number for number, line in enumerate(bare[:lead]) if line.strip(" \t_") and not _CODE_LINE.match(line)}
    kept = [line for number, line in enumerate(lines) if number not in words]
    return "\n".join(kept) if any(line.strip() for line in kept) else text


def _without_lines_of_strings(found: re.Match[str]) -> str:
    """A string over several lines blanked out, so that its words are none of the text's."""
    return _BLANKED.sub("_", found[0]) if "\n" in found[0] else found[0]


def _joined(bodies: Iterable[str]) -> str:
    """Blocks as one program."""
    first, *others = bodies
    return functools.reduce(behind, others, first)


def continues(code: str) -> bool:
    """Whether code is the rest of a function: its first line, but for comments, is indented."""
    lines = (line for line in code.split("\n") if line.strip() and not line.lstrip().startswith("#"))
    return next(lines, "").startswith((" ", "\t"))


def behind(first: str, code: str) -> str:
    """Two pieces of Python as one: imports from `__future__`, which have to come first, stay first."""
    found = _FUTURE.match(code)
    head = code[: found.end()] if found else ""
    return f"{head.rstrip()}\n{first}\n\n{code[len(head) :]}" if "__future__" in head else f"{first}\n\n{code}"
