"""Joins code and its tests to one program, in languages where one text after the other is no program: Go, Java and PHP.

FullStack-Bench joins them in the same way, with patterns that fail on some correct programs. These functions accept more.
"""

import re
from collections.abc import Iterator, Sequence

from ..budget import check_time

_GO_PACKAGE = re.compile(r"^[ \t]*package[ \t]+(\w+)[^\n]*$", re.MULTILINE)
_GO_PATH = re.compile(r'(?:(?<![\w.])[\w.]++[ \t]++)?(?:"[^"\n]*"|`[^`\n]*`)')
_GO_IMPORT = re.compile(
    r'(?:^|(?<=;))[ \t]*+import\b[ \t]*+(?:\(((?:"[^"\n]*"|`[^`\n]*`|//[^\n]*|[^()"`])*+)\)'
    rf"|({_GO_PATH.pattern}))[ \t]*+(?:;|//[^\n]*)?",
    re.MULTILINE,
)
_JAVA_TOKEN = re.compile(
    r'"""(?:\\.|[^\\"]|"(?!""))*+(?:""")?|"(?:\\.|[^"\\\n])*+"?|\'(?:\\.|[^\'\\\n])*+\'?'
    r"|//[^\n]*+|/\*(?:[^*]|\*(?!/))*+(?:\*/)?|[{}();]",
    re.DOTALL,
)
_PHP_START = re.compile(r"\A\s*+<\?php\b")
MAX_FILES = 1 << 20
"""Characters of the files of a Java program. Our choice."""
_JAVA_NAME = re.compile(r"\b(?:class|interface|enum|record)\s+(\w+)")
_JAVA_COMMENT = re.compile(r"//[^\n]*+|/\*(?:[^*]|\*(?!/))*+(?:\*/)?")
_JAVA_ARGUMENTS = re.compile(r"(@[\w.]++)\s*+\((?:[^()]|\([^()]*+\))*+\)")
_JUNIT_IMPORTS = "import org.junit.jupiter.api.Test;\nimport static org.junit.jupiter.api.Assertions.*;\n"


class TooLong(ValueError):
    """The code becomes files that are too long."""


def go(program: str, package: str) -> str:
    """Returns a Go program whose package clauses and imports may stand anywhere, with one of each at its start.

    Args:
        program: code and tests.
        package: name of the package; other names in the program are dropped.
    """
    paths: dict[str, None] = {}
    for several, one in _GO_IMPORT.findall(program):
        paths |= dict.fromkeys([" ".join(one.split())] if one else _GO_PATH.findall(re.sub(r"//[^\n]*", "", several)))
    body = _GO_PACKAGE.sub("", _GO_IMPORT.sub("", program))
    return "\n".join([f"package {package}", *(f"import {path}" for path in paths), body])


def go_package(text: str) -> str | None:
    """Returns the name in the first package clause of a text."""
    found = _GO_PACKAGE.search(text)
    return found[1] if found else None


def php(program: str) -> str:
    """Returns a PHP program with an opening tag."""
    program = program.lstrip()
    return program if program.startswith("<?php") else f"<?php\n{program}"


def php_code(text: str) -> str:
    """Returns PHP code without the tags around it, so that what follows it is code, too."""
    code = _PHP_START.sub("", text)
    code = code.rstrip().removesuffix("?>")
    return f"{code}\n<?php\n" if code.rfind("?>") > code.rfind("<?") else code


def java(texts: Sequence[str]) -> dict[str, str]:
    """Returns a file for each type that the texts declare, by file name.

    Each file has the imports of its text and those of JUnit. A later type replaces an earlier one of the same name. Package
    clauses, and code outside of types, are dropped.

    Raises:
        TooLong: the files have more than `MAX_FILES` characters, because each of many types repeats many imports.
    """
    files: dict[str, str] = {}
    for text in texts:
        pieces = list(_java_pieces(text))
        found = (piece.strip() for piece in pieces if _without_comments(piece).split(None, 1)[:1] == ["import"])
        imports, size = "".join(f"{line}\n" for line in dict.fromkeys(found)), 0
        for piece in pieces:
            check_time()
            if piece.endswith("}") and (name := _JAVA_NAME.search(_declaration(piece))):
                size += len(imports) + len(piece)
                if size > MAX_FILES:
                    raise TooLong(f"files of more than {MAX_FILES} characters")
                files[f"{name[1]}.java"] = f"{_JUNIT_IMPORTS}{imports}{piece}\n"
    return files


def _java_pieces(text: str) -> Iterator[str]:
    """Yields the pieces of a Java text that end with a semicolon or a closing brace outside of all braces and parentheses."""
    depth = inside = start = 0
    for number, token in enumerate(_JAVA_TOKEN.finditer(text)):
        if not number % 512:
            check_time()
        depth += {"{": 1, "}": -1}.get(token[0], 0)
        inside = max(0, inside + {"(": 1, ")": -1}.get(token[0], 0))  # an annotation may have braces in its parentheses
        if depth <= 0 and not inside and token[0] in "};":
            yield text[start : token.end()]
            depth, start = 0, token.end()


def _declaration(piece: str) -> str:
    """Returns the text of a type before its body, without comments and the arguments of annotations."""
    return _JAVA_ARGUMENTS.sub("", _without_comments(piece)).partition("{")[0]


def _without_comments(piece: str) -> str:
    return _JAVA_COMMENT.sub("", piece).strip()
