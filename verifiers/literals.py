"""Values written in Java or JavaScript: read from source text, and written to it.

    read('new ArrayList<>(Arrays.asList(1L, 2L))', "java").value     # two literals of kind "long"
    write([1, 2], "java", {"type": "ArrayList", "items": {"type": "long"}})

Text is parsed by tree-sitter's grammars and never run. What is no literal, a variable or a call, keeps its text.
"""

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tree_sitter
import tree_sitter_java
import tree_sitter_javascript

MAX_CHARACTERS = 20_000
"""Longest text that is parsed; a longer one counts as code."""

_LISTS = {"Arrays.asList", "List.of", "Set.of"}
_FRAMES = {"java": ("class A { Object x = ", "; }"), "javascript": ("(", ")")}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "0": "\0", "s": " "}


@dataclass(frozen=True, slots=True)
class Literal:
    """A value as it is written."""

    kind: str
    """int, long (a Bigint of JavaScript), float, double, string, char, boolean, null, list, map; code is everything else."""
    value: Any
    """A list of literals for a list, a dictionary of them for a map, the text itself for code."""
    text: str

    def plain(self) -> Any:
        """The value without its kinds: numbers, text, lists and dictionaries; code as its text."""
        if self.kind == "list":
            return [item.plain() for item in self.value]
        if self.kind == "map":
            return {key: item.plain() for key, item in self.value.items()}
        return self.value


def read(text: str, language: str) -> Literal:
    """The literal that a text is; one of kind "code" where it is none.

    Args:
        text: source text.
        language: java or javascript.
    """
    text = text.strip()
    before, after = _FRAMES[language]
    if len(text) > MAX_CHARACTERS:
        return Literal("code", text, text)
    source = f"{before}{text}{after}".encode(errors="replace")
    node: tree_sitter.Node | None = _parser(language).parse(source).root_node
    start, end = len(before), len(source) - len(after)
    if node is None or node.has_error:
        return Literal("code", text, text)
    while node is not None and (node.start_byte, node.end_byte) != (start, end):
        node = next((child for child in node.named_children if child.start_byte <= start and child.end_byte >= end), None)
    try:
        return _code(text) if node is None else _literal(node)
    except (RecursionError, ValueError):  # too deep, or a number of too many digits
        return _code(text)


@functools.lru_cache
def _parser(language: str) -> tree_sitter.Parser:
    grammar = {"java": tree_sitter_java, "javascript": tree_sitter_javascript}[language]
    return tree_sitter.Parser(tree_sitter.Language(grammar.language()))


def _code(text: str) -> Literal:
    return Literal("code", text, text)


def _literal(node: tree_sitter.Node) -> Literal:
    text = (node.text or b"").decode(errors="replace")
    children = node.named_children
    match node.type:
        case "decimal_integer_literal" | "decimal_floating_point_literal" | "number":
            return _number(text)
        case "unary_expression" if text.startswith("-") and children:
            inner = _literal(children[0])
            return Literal(inner.kind, -inner.value, text) if inner.kind in ("int", "long", "float", "double") else _code(text)
        case "string_literal" | "string" | "template_string" | "character_literal":
            if any(child.type == "template_substitution" for child in children):
                return _code(text)
            return Literal("char" if node.type == "character_literal" else "string", _unescaped(text[1:-1]), text)
        case "true" | "false":
            return Literal("boolean", node.type == "true", text)
        case "null" | "null_literal" | "undefined":
            return Literal("null", None, text)
        case "array" | "array_initializer":
            return Literal("list", [_literal(child) for child in children], text)
        case "object":
            return _object(children, text)
        case "array_creation_expression" if children and children[-1].type == "array_initializer":
            return Literal("list", _literal(children[-1]).value, text)
        case "method_invocation" if text.split("(", 1)[0].replace(" ", "") in _LISTS:
            return Literal("list", [_literal(child) for child in children[-1].named_children], text)
        case "method_invocation" if text.startswith("Map.of("):
            pairs = [_literal(child) for child in children[-1].named_children]
            return Literal("map", {str(key.value): item for key, item in zip(pairs[::2], pairs[1::2], strict=False)}, text)
        case "object_creation_expression" | "new_expression":
            return _created(node, text)
        case _:
            return _code(text)


def _number(text: str) -> Literal:
    digits = text.rstrip("lLfFdDn").replace("_", "")
    suffix = text[len(text.rstrip("lLfFdDn")) :].lower()
    if re.fullmatch(r"\d+", digits) and suffix in ("", "l", "n"):
        return Literal("long" if suffix else "int", int(digits), text)
    if re.fullmatch(r"(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", digits) and suffix in ("", "f", "d"):
        return Literal("float" if suffix == "f" else "double", float(digits), text)
    return _code(text)


def _unescaped(text: str) -> str:
    return re.sub(r"\\(u[0-9a-fA-F]{4}|.)", lambda found: _character(found.group(1)), text, flags=re.DOTALL)


def _character(escape: str) -> str:
    return chr(int(escape[1:], 16)) if len(escape) == 5 else _ESCAPES.get(escape, escape)


def _object(children: list[tree_sitter.Node], text: str) -> Literal:
    """An object of JavaScript."""
    items: dict[str, Literal] = {}
    for child in children:
        said = (child.text or b"").decode(errors="replace")
        if child.type == "shorthand_property_identifier":
            items[said] = _code(said)
        elif child.type == "pair":
            key, value = child.named_children[0], child.named_children[-1]
            name = (key.text or b"").decode(errors="replace")
            items[_unescaped(name[1:-1]) if key.type == "string" else name] = _literal(value)
        else:
            return _code(text)
    return Literal("map", items, text)


def _created(node: tree_sitter.Node, text: str) -> Literal:
    """new ArrayList<>(...), new HashMap<>() {{ put(...); }}, new Array(...)."""
    named = re.match(r"new\s+(?:java\.util\.)?(\w+)", text)
    kind = named.group(1) if named else ""
    arguments = next((child for child in node.named_children if child.type in ("argument_list", "arguments")), None)
    given = [_literal(child) for child in arguments.named_children] if arguments else []
    body = next((child for child in node.named_children if child.type == "class_body"), None)
    done = _statements(body) if body else []
    if kind == "Array":
        return Literal("list", given, text)
    if kind.endswith(("List", "Set", "Queue", "Deque", "Stack", "Vector")):
        if any(name not in ("add", "push") or len(values) != 1 for name, values in done):
            return _code(text)
        first = given[0].value if given and given[0].kind == "list" else []
        return Literal("list", [*first, *(values[0] for _, values in done)], text)
    if kind.endswith(("Map", "Hashtable")):
        if any(name != "put" or len(values) != 2 for name, values in done):
            return _code(text)
        first = given[0].value if given and given[0].kind == "map" else {}
        return Literal("map", {**first, **{str(key.value): value for _, (key, value) in done}}, text)
    return _code(text)


def _statements(body: tree_sitter.Node) -> list[tuple[str, list[Literal]]]:
    """The calls in an instance initializer, each with its arguments."""
    found: list[tuple[str, list[Literal]]] = []
    for block in body.named_children:
        for statement in block.named_children:
            call = statement.named_children[0] if statement.named_children else statement
            if call.type != "method_invocation":
                found.append((call.type, []))
                continue
            name = (call.named_children[0].text or b"").decode(errors="replace")
            found.append((name, [_literal(child) for child in call.named_children[-1].named_children]))
    return found


def write(value: Any, language: str, declared: Mapping[str, Any]) -> str:
    """A value as source text of a declared type, such as {"type": "ArrayList", "items": {"type": "long"}}.

    A text where another type is declared is written as it is: it names a variable.
    """
    kind, items = str(declared.get("type", "any")), declared.get("items") or {}
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, int | float):
        if kind in ("double", "float") and language == "java":
            return f"{float(value)}{'f' if kind == 'float' else ''}"
        return f"{value}{'L' if kind == 'long' else 'n' if kind == 'Bigint' else ''}"
    if isinstance(value, list):
        inner = ", ".join(_inside(item, language, items) for item in value)
        if language == "javascript":
            return f"[{inner}]"
        element = {"integer": "Integer", "long": "Long", "String": "String"}.get(items.get("type", ""), "Object")
        return (
            f"new {element.replace('Integer', 'int')}[]{{{inner}}}"
            if kind == "Array"
            else f"new ArrayList<{element}>(Arrays.asList({inner}))"
        )
    pairs = [(json.dumps(key), _inside(item, language, {})) for key, item in value.items()]
    if language == "javascript":
        return "{" + ", ".join(f"{key}: {item}" for key, item in pairs) + "}"
    return "new HashMap<String, Object>() {{ " + " ".join(f"put({key}, {item});" for key, item in pairs) + " }}"


def _inside(value: Any, language: str, declared: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else write(value, language, declared)
