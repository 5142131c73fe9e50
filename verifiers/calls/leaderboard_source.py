"""Reads calls in Java and JavaScript, and their values, as the code of the Berkeley Function-Calling Leaderboard does.

    read('[area(base=10L, names=new ArrayList<>(Arrays.asList("a")))]', "java")
    convert("10L", "java", "long", None)    # 10

The calls are parsed with tree-sitter's grammars. A response has one call with arguments by name; further calls are ignored.
Values are converted by patterns that do not cover the languages: a value that has no known form stays text. Nothing runs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from . import literals, python_list
from .call import Malformed, ParsedCall

if TYPE_CHECKING:
    import tree_sitter

MAX_CHARACTERS = 20_000
"""Limit of the length of a response that is parsed. Our choice."""
MAX_VALUE = 2_000
"""Limit of the length of a value that is converted. Longer values stay text. Our choice."""
JAVA_TYPES: Mapping[str, type] = {
    **dict.fromkeys(("byte", "short", "integer", "long"), int),
    **dict.fromkeys(("float", "double"), float),
    **dict.fromkeys(("char", "String", "any"), str),
    **dict.fromkeys(("Array", "ArrayList", "Queue", "Stack"), list),
    **dict.fromkeys(("HashMap", "Hashtable"), dict),
    "boolean": bool,
    "Set": set,
}
JAVASCRIPT_TYPES: Mapping[str, type] = {
    **dict.fromkeys(("integer", "Bigint"), int),
    **dict.fromkeys(("String", "any"), str),
    **{"float": float, "Boolean": bool, "dict": dict, "array": list},
}
_FRACTION, _EXPONENT = r"(?:\.\d+)?", r"(?:[eE][+-]?\d+)?"
_NUMBERS: Mapping[tuple[str, str], tuple[str, Callable[[str], object]]] = {
    **dict.fromkeys((("java", "byte"), ("java", "short"), ("java", "integer"), ("javascript", "integer")), (r"(-?\d+)$", int)),
    ("java", "long"): (r"(-?\d+)[lL]$", int),
    ("java", "float"): (rf"(-?\d+{_FRACTION}{_EXPONENT})[fF]$", float),
    ("java", "double"): (rf"(-?\d+{_FRACTION}{_EXPONENT})$", float),
    ("javascript", "float"): (rf"(-?\d+{_FRACTION})$", float),
    ("javascript", "Bigint"): (r"(-?\d+)n$", int),
}
"""For the types of numbers: what a value looks like, and the type of the number in it."""


def read(response: str, language: str) -> list[ParsedCall]:
    """Returns the call of a response, with values as source text.

    Args:
        response: a response without its reasoning.
        language: java or javascript.

    Raises:
        Malformed: the response is not source text, is too long, or calls nothing.
    """
    if len(response) > MAX_CHARACTERS:
        raise Malformed("too long")
    source = python_list.bracketed(response)[1:-1]
    root = literals.parser(language).parse(source.encode(errors="replace")).root_node
    try:
        if root.has_error and any(node.is_error for node in _all(root)):  # a missing semicolon is no error
            raise Malformed(f"the response is not {language}")
        call = _java_call(root, source) if language == "java" else _javascript_call(root)
    except (AttributeError, IndexError, RecursionError) as error:  # forms that the leaderboard's code does not know
        raise Malformed(f"{type(error).__name__}: {error}") from None
    if call is None:
        raise Malformed("the response calls nothing")
    return [call]


def convert(text: str, language: str, kind: str, items: str | None) -> object:
    """Returns the value of a parameter.

    Args:
        text: source text.
        language: java or javascript.
        kind: the declared type.
        items: the declared type of the items of a list.

    Raises:
        ValueError: the leaderboard's code has no conversion for this type.
    """
    if len(text) > MAX_VALUE:
        return text
    if (language, kind) in _NUMBERS:
        pattern, number = _NUMBERS[language, kind]
        found = re.match(pattern, text)
        return number(found[1]) if found else text
    match language, kind:
        case ("java", "boolean") | ("javascript", "Boolean"):
            return {"true": True, "false": False}.get(text, text)
        case ("java", "ArrayList"):
            return _java_list(text, items)
        case ("java", "Array"):
            return _java_array(text, items)
        case ("java", "HashMap"):
            return _java_map(text)
        case ("javascript", "array"):
            return _javascript_array(text.strip(), items)
        case ("javascript", "dict"):
            return _javascript_object(text.strip())
        case ("javascript", "String"):
            return _unquoted(text)
        case ("java", "char" | "String" | "any") | ("javascript", "any"):
            return text
    raise ValueError(f"no conversion for {kind}")


def _named(pairs: Iterator[tuple[str, str]]) -> dict[str, str]:
    """Returns arguments by name. An argument without a name has the name ""."""
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise Malformed("a name occurs twice")
        found[name] = value
    return found


# --- calls in Java ---


def _java_call(root: tree_sitter.Node, source: str) -> ParsedCall | None:
    """Returns the first call in the source. As on the leaderboard, positions in bytes select characters."""

    def text(node: tree_sitter.Node | None) -> str:
        if node is None:
            raise Malformed("a part of the call is missing")
        return source[node.start_byte : node.end_byte]

    def value(node: tree_sitter.Node | None, is_inside: bool = True) -> str:
        """Returns a value without spaces and class bodies. Only a whole value that is quoted loses its quotation marks."""
        if node is None:
            raise Malformed("a value has no known form")
        match node.type:
            case "string_literal" | "character_literal":
                return text(node) if is_inside else text(node)[1:-1]
            case "identifier" | "class_literal" | "type_identifier" | "method_invocation":
                return text(node)
            case "array_creation_expression":
                return f"new {value(node.child_by_field_name('type'))}[]{value(node.child_by_field_name('value'))}"
            case "object_creation_expression":
                given = node.child_by_field_name("arguments")
                parts = [value(child) for child in given.children if child.type not in (",", "(", ")")] if given else []
                return f"new {value(node.child_by_field_name('type'))}({', '.join(parts)})"
        return "".join(map(value, node.children)) if node.child_count else text(node)

    def arguments(nodes: Sequence[tree_sitter.Node]) -> Iterator[tuple[str, str]]:
        for node in nodes:
            if node.type == "assignment_expression":
                yield text(node.children[0]), value(node.children[2], is_inside=False)
            elif node.type in ("identifier", "class_literal"):
                yield "", text(node)

    for node in _all(root):
        if node.type == "method_invocation":
            on, given = node.child_by_field_name("object"), node.child_by_field_name("arguments")
            name = text(node.child_by_field_name("name"))
            return ParsedCall(f"{text(on)}.{name}" if on else name, _named(arguments(given.children if given else [])))
    return None


def _all(root: tree_sitter.Node) -> Iterator[tree_sitter.Node]:
    """Yields a node and all nodes inside it, in the order of the text."""
    stack = [root]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(node.children))


# --- calls in JavaScript ---


def _javascript_call(root: tree_sitter.Node) -> ParsedCall | None:
    """Returns the first statement that is a call."""

    def text(node: tree_sitter.Node) -> str:
        return (node.text or b"").decode(errors="replace")

    def arguments(nodes: Sequence[tree_sitter.Node]) -> Iterator[tuple[str, str]]:
        for node in nodes:
            if node.type == "assignment_expression":
                yield text(node.children[0]), _unquoted(text(node.children[2]))
            elif node.type in ("identifier", "true"):
                yield "", text(node)

    statements = [child for child in root.children if child.type == "expression_statement"]
    calls = [child for statement in statements for child in statement.children if child.type == "call_expression"]
    if root.type != "program" or not calls:
        return None
    return ParsedCall(text(calls[0].children[0]), _named(arguments(calls[0].children[1].children)))


def _unquoted(text: str) -> str:
    return text[1:-1] if text[:1] in ('"', "'") and text.endswith(text[:1]) else text


# --- values in Java ---


def _java_list(text: str, items: str | None) -> object:
    """Reads new ArrayList<>(Arrays.asList(...)), new ArrayList<>() {{ add(...); }} and new ArrayList<>()."""
    parts: list[str] | None = None
    if found := re.search(r"new\s+ArrayList<\w*>\(Arrays\.asList\((.+?)\)\)", text):
        parts = found[1].split(",")
    elif found := re.search(r"new\s+ArrayList<\w*>\(\)\s*\{\{(.+?)\}\}", text, re.DOTALL):
        parts = re.findall(r"add\((.+?)\)", found[1])
    elif re.search(r"new\s+ArrayList<\w*>\(\)", text):
        parts = []
    if parts is None:
        return text
    return [_java_item(part.strip(), items, is_quoted=items in ("char", "String")) for part in parts]


def _java_array(text: str, items: str | None) -> object:
    """Reads new int[]{...}. Items of the type String keep their quotation marks."""
    found = re.search(r"new\s+\w+\[\]\s*\{(.*?)\}", text)
    return [_java_item(part.strip(), items) for part in found[1].split(",") if part.strip()] if found else text


def _java_item(text: str, items: str | None, is_quoted: bool = False) -> object:
    if is_quoted:
        return text[1:-1]
    return convert(text, "java", items, None) if items else _java_value(text)


def _java_map(text: str) -> object:
    """Reads new HashMap<>() {{ put("a", 1); }} and new HashMap<>()."""
    start = re.search(r"new\s+HashMap<.*?>\s*\(\)\s*\{\s*\{?", text, re.DOTALL)
    end = text.find("}", start.end()) if start else -1
    if start and end >= 0:
        pairs = re.findall(r'put\("(.*?)",\s*(.*?)\)', text[start.end() : end])
        return {key: _java_value(value.strip()) for key, value in pairs}
    return {} if re.search(r"new\s+HashMap<.*?>\s*\(\)", text) else text


def _java_value(text: str) -> object:
    """Returns a value whose type is not declared."""
    if text.startswith('"') and text.endswith('"'):
        return text[1:-1]
    for kind in ("long", "float"):
        if (value := convert(text, "java", kind, None)) is not text:
            return value
    return _plain_value(text)


def _plain_value(text: str) -> object:
    if text in ("true", "false"):
        return text == "true"
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


# --- values in JavaScript ---


def _javascript_array(text: str, items: str | None) -> object:
    """Reads [...] and new Array(...), with one or two dimensions."""
    if (end := _end_of_rows(text)) is not None:
        rows = [row.strip() for row in re.findall(r"\[(.*?)\]", text[:end])]
        rows[0] = rows[0].removeprefix("[")
        return [[*map(_javascript_value, row.split(","))] for row in rows]
    found = re.match(r"\[(.*?)\]|new\s+Array\((.*?)\)", text)
    if not found:
        return text
    inside = (found[1] if found[1] is not None else found[2]).strip()
    parts = [part.strip() for part in inside.split(",")] if inside else []
    try:
        return [convert(part, "javascript", items, None) if items else _javascript_value(part) for part in parts]
    except ValueError:
        return text


def _end_of_rows(text: str) -> int | None:
    """Returns the end of a list of lists at the start of a text, [[1], [2]] or new Array([1], [2]); None if there is none.

    The leaderboard's pattern takes exponential time. This is the same in linear time: a row lies on one line, and the first end
    of a row that is followed by the end of the list ends it.
    """
    opened = re.match(r"\[\s*\[|new\s+Array\(\s*\[", text)
    if opened is None:
        return None
    closing = "]" if opened[0].startswith("[") else ")"
    start = at = opened.end()
    while (end := text.find("]", at)) >= 0 and "\n" not in text[start:end]:
        at = end + 1
        after = text[at:].lstrip()
        if after.startswith(closing):
            return len(text) - len(after) + 1
        if following := re.match(r",\s*\[", after):
            start = at = len(text) - len(after) + following.end()
    return None


def _javascript_object(text: str) -> object:
    """Reads {a: 1, "b": [2]}, up to the first closing brace."""
    if text == "{}":
        return {}
    found = re.match(r"\{(.*?)\}", text)
    if not found:
        return text
    pairs = re.findall(r"([^:]+):\s*(.*?)(?:,\s*(?=[^,]+:)|$)", found[1])
    return {key.strip().strip("'\""): _javascript_part(value.strip()) for key, value in pairs}


def _javascript_part(text: str) -> object:
    if text.startswith("[") and text.endswith("]"):
        return _javascript_array(text, None)
    if text.startswith("{") and text.endswith("}"):
        return _javascript_object(text)
    return _javascript_value(text.strip("'\""))


def _javascript_value(text: str) -> object:
    """Returns a value whose type is not declared."""
    text = text.strip()
    if text and text[0] in ('"', "'") and text.endswith(text[0]):
        return text[1:-1]
    return _plain_value(text)
