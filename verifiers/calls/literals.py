"""Reads and writes values as source text of Java or JavaScript.

    read('new ArrayList<>(Arrays.asList(1L, 2L))', "java").value     # two literals of kind "long"
    write([1, 2], "java", {"type": "ArrayList", "items": {"type": "long"}})

Text is parsed with tree-sitter's grammars and never executed. Anything that is not a literal, such as a variable or a call,
stays text.
"""

from __future__ import annotations

import functools
import importlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tree_sitter

MAX_CHARACTERS = 2_000
"""Maximum length of text that is parsed, in characters. Longer text counts as code."""

_FACTORIES = {("Arrays", "asList"): "list", ("List", "of"): "list", ("Set", "of"): "set", ("Map", "of"): "map"}
_CLASSES = {
    **dict.fromkeys(("ArrayList", "LinkedList", "Vector", "Stack", "ArrayDeque", "PriorityQueue"), "list"),
    **dict.fromkeys(("HashSet", "LinkedHashSet", "TreeSet"), "set"),
    **dict.fromkeys(("HashMap", "LinkedHashMap", "TreeMap", "Hashtable"), "map"),
}
_FRAMES = {"java": ("class A { Object x = ", "\n; }"), "javascript": ("(", "\n)")}
_PATHS = {
    "java": ("class_declaration", "class_body", "field_declaration", "variable_declarator"),
    "javascript": ("expression_statement", "parenthesized_expression"),
}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "0": "\0", "s": " "}


@dataclass(frozen=True, slots=True)
class Literal:
    """A value in source text."""

    kind: str
    """int, long (also JavaScript's Bigint), float, double, string, char, boolean, null, list, map; for Java also array and set.
    Everything else is code."""
    value: Any
    """A list of literals for a list, a dictionary of them for a map, the text itself for code."""
    text: str

    def plain(self) -> Any:
        """Returns the value without kinds, as numbers, text, lists and dictionaries; code becomes its text."""
        if self.kind in ("list", "array", "set"):
            return [item.plain() for item in self.value]
        if self.kind == "map":
            return {key: item.plain() for key, item in self.value.items()}
        return self.value


@functools.lru_cache(maxsize=4096)
def read(text: str, language: str) -> Literal:
    """Returns the literal that a text contains; one of kind "code" if it is not a literal.

    Args:
        text: source text.
        language: java or javascript.
    """
    text = text.strip()
    before, after = _FRAMES[language]
    if len(text) > MAX_CHARACTERS:
        return _code(text)
    root = parser(language).parse(f"{before}{text}{after}".encode(errors="replace")).root_node
    node = None if root.has_error else _framed(root, language)
    try:
        return _code(text) if node is None else _literal(node)
    except (RecursionError, ValueError):  # nested too deeply, or a number with too many digits
        return _code(text)


def _framed(root: tree_sitter.Node, language: str) -> tree_sitter.Node | None:
    """Returns the single expression inside the frame; None if the text is not a single expression."""
    node = root
    for kind in _PATHS[language]:
        inside = [child for child in _children(node) if child.type not in ("identifier", "type_identifier")]
        if len(inside) != 1 or inside[0].type != kind:
            return None
        node = inside[0]
    if language == "java":
        return node.child_by_field_name("value")
    inside = _children(node)
    return inside[0] if len(inside) == 1 else None


def _children(node: tree_sitter.Node) -> list[tree_sitter.Node]:
    """Returns a node's parts without comments."""
    return [child for child in node.named_children if not child.type.endswith("comment")]


@functools.lru_cache
def parser(language: str) -> tree_sitter.Parser:
    """Returns tree-sitter's parser of a language."""
    import tree_sitter  # takes a quarter of the time of importing the package, and few processes need it

    grammar = importlib.import_module(f"tree_sitter_{language}")
    return tree_sitter.Parser(tree_sitter.Language(grammar.language()))


def _code(text: str) -> Literal:
    return Literal("code", text, text)


def _literal(node: tree_sitter.Node) -> Literal:
    text = (node.text or b"").decode(errors="replace")
    children = _children(node)
    match node.type:
        case "parenthesized_expression" if len(children) == 1:
            return _literal(children[0])
        case "hex_integer_literal" | "decimal_integer_literal" | "decimal_floating_point_literal" | "number":
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
            commas = sum(child.type == "," for child in node.children)
            ends = node.children[-2].type == "," if len(node.children) > 1 else False
            if commas > len(children) or (commas == len(children) > 0 and not ends):  # an empty item
                return _code(text)
            return Literal("list" if node.type == "array" else "array", [_literal(child) for child in children], text)
        case "object":
            return _object(children, text)
        case "array_creation_expression" if children and children[-1].type == "array_initializer":
            items = _literal(children[-1])
            texts = [child.text for child in children[:2]] == [b"String", b"[]"]
            fitting = items.kind == "array" and all(
                item.kind in ("string", "code", "null") or not texts for item in items.value
            )
            return Literal("array", items.value, text) if fitting else _code(text)
        case "method_invocation":
            return _factory_call(node, text)
        case "object_creation_expression" | "new_expression":
            return _constructor_call(node, text)
        case _:
            return _code(text)


def _number(text: str) -> Literal:
    if prefixed := re.fullmatch(r"(0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+)([lLn]?)", text):
        return Literal("long" if prefixed[2] else "int", int(prefixed[1], 0), text)
    if re.fullmatch(r"0\d+", text):  # octal in JavaScript
        return _code(text)
    digits = text.rstrip("lLfFdDn").replace("_", "")
    suffix = text[len(text.rstrip("lLfFdDn")) :].lower()
    if re.fullmatch(r"\d+", digits) and suffix in ("", "l", "n"):
        return Literal("long" if suffix else "int", int(digits), text)
    if re.fullmatch(r"(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", digits) and suffix in ("", "f", "d"):
        return Literal("float" if suffix == "f" else "double", float(digits), text)
    return _code(text)


def _unescaped(text: str) -> str:
    escapes = r"\\(u[0-9a-fA-F]{4}|u\{[0-9a-fA-F]{1,6}\}|x[0-9a-fA-F]{2}|.)"
    plain = re.sub(escapes, lambda found: _character(found.group(1)), text, flags=re.DOTALL)
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # joins the two halves of a character


def _character(escape: str) -> str:
    return chr(int(escape[1:].strip("{}"), 16)) if len(escape) > 1 else _ESCAPES.get(escape, escape)


def _object(children: list[tree_sitter.Node], text: str) -> Literal:
    """Reads an object of JavaScript."""
    items: dict[str, Literal] = {}
    for child in children:
        source = (child.text or b"").decode(errors="replace")
        if child.type == "shorthand_property_identifier":
            items[source] = _code(source)
        elif child.type == "pair":
            key, value = child.named_children[0], child.named_children[-1]
            name = (key.text or b"").decode(errors="replace")
            items[_unescaped(name[1:-1]) if key.type == "string" else name] = _literal(value)
        else:
            return _code(text)
    return Literal("map", items, text) if len(items) == len(children) else _code(text)


def _factory_call(node: tree_sitter.Node, text: str) -> Literal:
    """Reads Arrays.asList(...), List.of(...), Set.of(...) and Map.of(...); any other method is code."""
    names = [part.text.decode() if part and part.text else "" for part in map(node.child_by_field_name, ("object", "name"))]
    arguments = node.child_by_field_name("arguments")
    kind = _FACTORIES.get((names[0].removeprefix("java.util."), names[1]))
    if kind is None or arguments is None:
        return _code(text)
    values = [_literal(child) for child in _children(arguments)]
    if kind != "map":
        return Literal(kind, values, text)
    return _map(list(zip(values[::2], values[1::2], strict=False)), text, len(values) % 2 == 0)


def _map(pairs: list[tuple[Literal, Literal]], text: str, whole: bool = True) -> Literal:
    """Returns a map of the pairs, or code if a key is not a simple literal or occurs twice."""
    keys = [str(key.value) for key, _ in pairs]
    if not whole or len(set(keys)) < len(keys) or any(key.kind in ("code", "list", "map", "array") for key, _ in pairs):
        return _code(text)
    return Literal("map", {name: value for name, (_, value) in zip(keys, pairs, strict=True)}, text)


def _constructor_call(node: tree_sitter.Node, text: str) -> Literal:
    """Reads new ArrayList<>(...), new HashMap<>() {{ put(...); }} and new Array(...)."""
    named = re.match(r"new\s+(?:java\.util\.)?(\w+)", text)
    name = named.group(1) if named else ""
    children = _children(node)
    arguments = next((child for child in children if child.type in ("argument_list", "arguments")), None)
    values = [_literal(child) for child in _children(arguments)] if arguments else []
    if node.type == "new_expression":  # in JavaScript, new Array(3) makes three empty items
        is_list = name == "Array" and not (len(values) == 1 and values[0].kind in ("int", "double"))
        return Literal("list", values, text) if is_list else _code(text)
    kind = _CLASSES.get(name)
    body = next((child for child in children if child.type == "class_body"), None)
    added = _statements(body) if body else []
    if kind is None or len(values) > 1 or (values and values[0].kind not in ("list", "set", "map")):
        return _code(text)
    if kind == "map":
        if any(method != "put" or len(items) != 2 for method, items in added) or (values and values[0].kind != "map"):
            return _code(text)
        put = _map([(items[0], items[1]) for _, items in added], text)
        return put if put.kind == "code" or not values else Literal("map", {**values[0].value, **put.value}, text)
    if any(method not in ("add", "push") or len(items) != 1 for method, items in added) or (values and values[0].kind == "map"):
        return _code(text)
    return Literal(kind, [*(values[0].value if values else []), *(items[0] for _, items in added)], text)


def _statements(body: tree_sitter.Node) -> list[tuple[str, list[Literal]]]:
    """Returns the calls in an instance initializer, each with its arguments."""
    found: list[tuple[str, list[Literal]]] = []
    for block in _children(body):
        for statement in _children(block):
            call = _children(statement)[0] if _children(statement) else statement
            on, name, arguments = (call.child_by_field_name(part) for part in ("object", "name", "arguments"))
            if call.type != "method_invocation" or (on is not None and on.text != b"this") or not name or not arguments:
                found.append((call.type, []))
                continue
            found.append(((name.text or b"").decode(errors="replace"), [_literal(child) for child in _children(arguments)]))
    return found


def write(value: Any, language: str, declared: Mapping[str, Any]) -> str:
    """Returns a value as source text.

    Args:
        value: numbers, text, lists and dictionaries. Text is source text already and is written unquoted, but inside a list
            or dictionary it is quoted.
        language: java or javascript.
        declared: the declared type, such as {"type": "ArrayList", "items": {"type": "long"}}.
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
        if kind == "Array":
            return f"new {element.replace('Integer', 'int')}[]{{{inner}}}"
        return f"new {'HashSet' if kind == 'Set' else 'ArrayList'}<{element}>(Arrays.asList({inner}))"
    pairs = [(json.dumps(key), _inside(item, language, {})) for key, item in value.items()]
    if language == "javascript":
        return "{" + ", ".join(f"{key}: {item}" for key, item in pairs) + "}"
    return "new HashMap<String, Object>() {{ " + " ".join(f"put({key}, {item});" for key, item in pairs) + " }}"


def _inside(value: object, language: str, declared: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else write(value, language, declared)
