"""Selects the code in a response that is judged.

A response may also contain output, an example of use, assertions, a shell's transcript or an earlier version. The last block
that defines the required function or class is selected. If a whole program is required, the last block that prints by itself
(and reads, if the tests have input) is selected. Blocks that it needs, such as imports or a helper, are added. The text is not
parsed here, because Python's parser may take very long for hostile text; it runs only in the sandbox.
"""

import functools
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ...golds import CodeTests
from ..budget import check_time
from .fences import PLAIN, Block, fenced, language_of
from .forms import undefined_calls
from .python_pieces import STRINGS, Piece

MAX_TAGGED = 3
"""Number of texts between tags such as <answer> that are read: the last ones."""
MAX_BLOCKS = 100
"""Number of a response's blocks that are read: the last ones."""
MAX_ROOTS = 20
"""Number of blocks that are tried as a whole program: the last ones."""
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
"""Patterns of whole programs in languages other than Python."""
_CODE_LINE = re.compile(
    r"[ \t]+\S|@\w|(?:async[ \t]+)?def[ \t]+\w|class[ \t]+\w+[ \t]*[(:{]|import[ \t]+[\w{*]|from[ \t]+[\w.]+[ \t]+import\b"
    r"|#include|(?:using|public|const|let|var|function|package|int)[ \t]|\"\"\"|'''"
    r"|\w+(?:[ \t]*,[ \t]*\w+)*[ \t]*(?::[^=\n]{0,99})?[-+*/|&]?=(?!=)|(?:if|for|while|try|with|print)\b.*[:)][ \t]*\Z"
)
"""The first line of a text that begins inside a block."""
_BEGINS = re.compile(
    r"^(?:(?:async[ \t]+)?def[ \t]+\w+[ \t]*\(|class[ \t]+\w+[ \t]*[(:]|@\w|import[ \t]+\w|from[ \t]+[\w.]+[ \t]+import\b)",
    re.MULTILINE,
)
_PROSE = re.compile(
    r"[-*•+][ \t]|\d{1,3}[.)][ \t]|\*\*|[A-Z][\w'’-]*[,:.!]?[ \t]+[\w`'’\"(*][^=]*\Z|[A-Z][\w'’]*(?::|[.!])[ \t]*\Z"
)
"""A line of words. No statement of Python begins with a capital letter and continues after a space without an =."""
_MISTAKEN = re.compile(
    r"^(?P<fence>'''|``)(?P<tag>python3?|py)[ \t]*\n(?P<body>(?:(?!'''|``)[^\n]*\n)*)(?P=fence)[ \t]*$", re.MULTILINE
)
"""A block whose fence has the wrong characters."""
_TAGGED = re.compile(
    r"^[ \t]*(?:<(?P<tag>answer|code|python|solution)>|\[(?P<mark>PYTHON|BEGIN|ANSWER)\])(?P<body>.*?)"
    r"(?:</(?P=tag)>|\[(?:/(?P=mark)|DONE)\]|\Z)",
    re.MULTILINE | re.DOTALL,
)
_FUTURE = re.compile(
    r"(?:[ \t]*(?:\#[^\n]*)?\n|[rRuU]?(?:\"\"\"(?:\\.|(?!\"\"\")[^\\])*\"\"\"|'''(?:\\.|(?!''')[^\\])*'''"
    r"|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*')[ \t]*\n"
    r"|from[ \t]+__future__[ \t]+import[ \t]+(?:\([^)]*\)|[^\n(;]+)(?:;[ \t]*|\n|\Z))*",
    re.DOTALL,
)
_NOT_NEWLINE = re.compile(r"[^\n]")
_CONSTRUCTED = re.compile(r"\b([A-Za-z_]\w*)\(\)\.")
"""The name of a class that the tests instantiate to call a method."""


def program_of(text: str, answer: CodeTests) -> str:
    """Returns the code in a text that is judged.

    If no part of the text looks like a program, it is the last block. Without a block it is all of the text; for Python, lines
    of words are left out.

    Args:
        text: a response without its reasoning.
        answer: the tests, in one of the forms that `code.py` lists. They determine what the program must define.
    """
    text = text.replace("\r\n", "\n").replace("<|python_tag|>", "").removeprefix("\ufeff")  # the mark of Llama's programs
    if "```" not in text and "~~~" not in text:
        text = _MISTAKEN.sub(r"```\g<tag>\n\g<body>```", text)
    language = language_of(str(answer.get("language") or "python"))
    choose: Callable[[Sequence[Block]], str | None]
    if language != "python":
        choose = functools.partial(_of_language, language=language)
    elif "stdin" in answer:
        choose = functools.partial(_whole, answer=answer)
    else:
        choose = functools.partial(_function, target=_target(answer))
    tagged = [found["body"] for found in _TAGGED.finditer(text)][-MAX_TAGGED:]
    for piece in (*reversed(tagged), text):
        for blocks in _readings(piece):
            check_time()
            fitting = [block for block in blocks if block.language in (*PLAIN, language) and block.body.strip()]
            if (found := choose(fitting[-MAX_BLOCKS:])) is not None:
                return found
        if language == "python" and (found := choose([Block("", _unfenced(_outside(piece)))])) is not None:
            return found
    return _last(tagged[-1] if tagged and tagged[-1].strip() else text, language, bool(answer.get("header")))


def _readings(text: str) -> Iterable[list[Block]]:
    """Returns the blocks of a text, read as beginning outside or inside a block; the more likely reading comes first."""
    begins = _begins_within(text)
    if begins is None:
        return (fenced(text),)
    return (fenced(text, within=begins), fenced(text, within=not begins))


def _begins_within(text: str) -> bool | None:
    """True if a text probably begins inside a block; None if it cannot, because its first fence opens one."""
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
    """Returns the code of a text without a recognizable program: its last block, or all of it."""
    for blocks in _readings(text):
        known = [block for block in blocks if block.language in (*PLAIN, language)]
        begun = [block for block in known if is_function_body(block.body)] if completes else []
        named = [block for block in known if block.language == language]
        if chosen := begun or named or known:
            return chosen[-1].body
    return _unfenced(text) if language == "python" else text


# --- a function or a class ---


@dataclass(frozen=True, slots=True)
class _Target:
    """What a program must define: each of these functions, or one of the classes that have them as methods."""

    functions: tuple[str, ...]
    classes: frozenset[str]


def _target(answer: CodeTests) -> _Target:
    entry = answer.get("entry_point")
    names: Sequence[str] | None = [entry] if isinstance(entry, str) else answer.get("functions")
    if not names and isinstance(answer.get("asserts"), list | tuple):
        try:
            names = undefined_calls("\n".join(map(str, [answer.get("setup") or "", *answer["asserts"]])))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            names = []
    return _Target(tuple(map(str, names or ())), frozenset(_CONSTRUCTED.findall(str(answer.get("footer", "")))))


def _function(blocks: Sequence[Block], target: _Target) -> str | None:
    """Returns the program that defines the target; None if these blocks do not define it."""
    parts = [Piece(_flush_left(block.body, target)) for block in blocks]
    roots: set[int] = set()
    for name in target.functions:
        defining = [
            number for number, part in enumerate(parts) if name in part.defines or part.has_method(name, target.classes)
        ]
        whole = [number for number in defining if not parts[number].has_stub(name)]
        found = whole or [number for number, part in enumerate(parts) if name in part.assigns] or defining
        if not found:
            return None
        roots.add(found[-1])
    if not roots:
        return None
    chosen = _with_needed(roots, parts)
    defined = frozenset().union(*(parts[number].defines for number in chosen))
    # Later blocks that only redefine a helper are corrections of it.
    chosen |= {
        number
        for number in range(max(roots) + 1, len(parts))
        if parts[number].is_pure
        and parts[number].defines & defined
        and not parts[number].defines & {*target.functions, *target.classes}
    }
    return _joined(parts[number].body for number in sorted(chosen))


def _flush_left(body: str, target: _Target) -> str:
    """Returns a block dedented if each of its lines is indented and the target's definition then begins a line."""
    moved = _moved(body)
    return moved if moved != body and {*target.functions, *target.classes} & Piece(moved).defines else body


def _with_needed(roots: set[int], parts: Sequence[Piece]) -> set[int]:
    """Returns these parts and those that define what they need: the last one before the part, or the first one after it."""
    providers: dict[str, list[int]] = {}
    for number, part in enumerate(parts):
        for name in part.provides:
            providers.setdefault(name, []).append(number)
    chosen, waiting = set(roots), sorted(roots)
    available = {name for number in roots for name in parts[number].provides | parts[number].assigns}
    last = max(roots, default=0)
    chosen |= {number for number, part in enumerate(parts[:last]) if "*" in part.imports and part.is_pure and not part.defines}
    while waiting:
        number = waiting.pop()
        for name in parts[number].needs - available:
            if name not in providers:
                continue
            before = [provider for provider in providers[name] if provider < number]
            provider = before[-1] if before else providers[name][0]
            available |= parts[provider].provides
            if provider not in chosen:
                chosen.add(provider)
                waiting.append(provider)
    return chosen


def first_defining(blocks: Sequence[Block], names: frozenset[str]) -> str | None:
    """Returns the first block of Python that defines one of these names, with the blocks that it needs; None if none does."""
    parts = [Piece(block.body) for block in blocks[:MAX_BLOCKS]]
    first = next((number for number, part in enumerate(parts) if part.defines & names), None)
    if first is None:
        return None
    return _joined(parts[number].body for number in sorted(_with_needed({first}, parts)))


def _moved(body: str) -> str:
    """Returns a block dedented if each of its lines is indented."""
    return textwrap.dedent(body) if body.lstrip("\n").startswith((" ", "\t")) else body


# --- a whole program ---


def _whole(blocks: Sequence[Block], answer: CodeTests) -> str | None:
    """Returns the last block that is a whole program alone, or the last that is one together with other blocks, or None."""
    parts = [Piece(_moved(block.body)) for block in blocks]
    tests = answer["stdin"] if isinstance(answer["stdin"], list | tuple) else ()
    reads = any(isinstance(test, Mapping) and str(test.get("input", "")).strip() for test in tests)
    runnable = [number for number, part in enumerate(parts) if part.runs and not _TRIES_OUT.search(part.body)]
    together = {number: _with_needed({number}, parts) for number in runnable[-MAX_ROOTS:]}
    for alone in (True, False):
        for number in reversed(together):
            chosen = [parts[other] for other in sorted(together[number])]
            complete = any(_WRITES.search(part.bare) for part in chosen)
            if reads:
                complete = complete and any(_READS.search(part.bare) or "/dev/stdin" in part.body for part in chosen)
            if complete and (len(chosen) == 1 or not alone):
                return _joined(part.body for part in chosen)
    return None


def _of_language(blocks: Sequence[Block], language: str) -> str | None:
    """Returns the last block that is a whole program in the language. Blocks tagged with the language have precedence."""
    pattern = _WHOLE.get(language)
    named = [block for block in blocks if block.language == language]
    return next((block.body for block in reversed(named or blocks) if pattern and re.search(pattern, block.body)), None)


# --- texts ---


def _outside(text: str) -> str:
    """Returns the lines of a text that are outside of its fences."""
    kept, inside = [], False
    for line in text.split("\n"):
        if re.match(r"[ \t]*(?:`{3,}|~{3,})", line):
            inside = not inside
        elif not inside:
            kept.append(line)
    return "\n".join(kept)


def _unfenced(text: str) -> str:
    """Returns the code in a text without fences: all lines except those of words.

    If there are words before the first definition, only lines of code are returned from the part before it. If nothing remains,
    all of the text is returned.
    """
    begins = _BEGINS.search(text)
    lead = text.count("\n", 0, begins.start()) if begins else 0
    lines, bare = text.split("\n"), STRINGS.sub(_without_lines_of_strings, text).split("\n")
    words = {number for number, line in enumerate(bare) if _PROSE.match(line)}
    if any(number < lead for number in words):
        words |= {number for number, line in enumerate(bare[:lead]) if line.strip(" \t_") and not _CODE_LINE.match(line)}
    kept = [line for number, line in enumerate(lines) if number not in words]
    return "\n".join(kept) if any(line.strip() for line in kept) else text


def _without_lines_of_strings(found: re.Match[str]) -> str:
    """Replaces a multi-line string by underscores, so that its words are not taken for the text's."""
    return _NOT_NEWLINE.sub("_", found[0]) if "\n" in found[0] else found[0]


def _joined(bodies: Iterable[str]) -> str:
    """Returns blocks as one program."""
    first, *others = bodies
    return functools.reduce(concatenated, others, first)


def is_function_body(code: str) -> bool:
    """True if code is the rest of a function: its first line that is not a comment is indented."""
    lines = (line for line in code.split("\n") if line.strip() and not line.lstrip().startswith("#"))
    return next(lines, "").startswith((" ", "\t"))


def concatenated(first: str, code: str) -> str:
    """Returns two pieces of Python as one. Imports from `__future__` come first, as Python requires."""
    found = _FUTURE.match(code)
    head = code[: found.end()] if found else ""
    return f"{head.rstrip()}\n{first}\n\n{code[len(head) :]}" if "__future__" in head else f"{first}\n\n{code}"
