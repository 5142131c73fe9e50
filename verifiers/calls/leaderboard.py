"""Reads and writes calls in the return formats of the Berkeley Function-Calling Leaderboard, as its own code does.

    python         [area(base=10)]
    json           [{"function": "area", "parameters": {"base": 10}}]
    concise_xml    <functions><function name="area"><param name="base" type="integer">10</param></function></functions>
    verbose_xml    the same with <params> around the parameters: <params><param name="base" value="10" type="integer"/></params>

    java           [area(base=10L)], see `leaderboard_source.py`; also javascript

With a tag, the calls are inside <TOOLCALL>...</TOOLCALL>, and other text is ignored. In JSON and XML, text around the calls is
ignored without a tag, too.
"""

import ast
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from . import leaderboard_source, python_list
from .call import Malformed, ParsedCall

PYTHON_FORMATS = ("python", "json", "verbose_xml", "concise_xml")
"""The formats of calls of Python functions."""
FORMATS = (*PYTHON_FORMATS, "java", "javascript")
_TAG, _END_OF_TAG = "<TOOLCALL>", "</TOOLCALL>"
_ROOT, _END_OF_ROOT = "<functions>", "</functions>"
_FIRST_OBJECT, _LAST_OBJECT = re.compile(r"\[\s*\{"), re.compile(r"\}\s*\]")
"""Start and end of a list of objects."""
_TYPES = {str: "string", bool: "boolean", int: "integer", float: "float", list: "array", dict: "dict", type(None): "null"}


def read(response: str, format: str, tagged: bool) -> list[ParsedCall]:
    """Returns the calls of a response.

    Args:
        response: a response without its reasoning.
        format: one of `FORMATS`.
        tagged: the calls must be inside of the tag.

    Raises:
        Malformed: the response contains no calls in this format, or is too long.
    """
    if len(response) > python_list.MAX_CHARACTERS:
        raise Malformed("too long")
    if format in ("java", "javascript"):
        return leaderboard_source.read(response, format)
    text = python_list.bracketed(response)
    try:
        if tagged:
            text = _between(text, _TAG, _END_OF_TAG).strip()
        if format == "python":
            return python_list.parse(text)
        return _of_json(text) if format == "json" else _of_xml(text, verbose=format == "verbose_xml")
    except (ValueError, TypeError, SyntaxError, LookupError, AttributeError, RecursionError, MemoryError) as error:
        raise Malformed(f"{type(error).__name__}: {error}") from None


def write(calls: Sequence[tuple[str, Mapping[str, object]]], format: str, tagged: bool) -> str:
    """Returns the text of calls.

    Args:
        calls: for each call the name of the function and its arguments; for Java and JavaScript, these are source text.
        format: one of `FORMATS`.
        tagged: put the tag around the calls.
    """
    if format in ("python", "java", "javascript"):
        text_of = repr if format == "python" else str
        written = (f"{name}({', '.join(f'{key}={text_of(value)}' for key, value in given.items())})" for name, given in calls)
        text = f"[{', '.join(written)}]"
    elif format == "json":
        text = json.dumps([{"function": name, "parameters": given} for name, given in calls], ensure_ascii=False)
    else:
        root = ElementTree.Element("functions")
        for name, given in calls:
            parent = ElementTree.SubElement(root, "function", name=name)
            parent = ElementTree.SubElement(parent, "params") if format == "verbose_xml" else parent
            for key, value in given.items():
                element = ElementTree.SubElement(parent, "param", name=key, type=_TYPES[type(value)])
                if format == "verbose_xml":
                    element.set("value", str(value))
                else:
                    element.text = str(value)
        text = ElementTree.tostring(root, encoding="unicode")
    return f"{_TAG}{text}{_END_OF_TAG}" if tagged else text


def _between(text: str, start: str, end: str) -> str:
    """Returns the text between the first start and the next end."""
    _, found, rest = text.partition(start)
    inside, ended, _ = rest.partition(end)
    if not found or not ended:
        raise Malformed(f"there is no {start}...{end}")
    return inside


def _of_json(text: str) -> list[ParsedCall]:
    """Reads a list of objects. Text that is not JSON, and items that are not objects, call nothing."""
    first, last = text.find("["), text.rfind("]")
    text = text[first : last + 1] if -1 < first < last else text
    if (start := _FIRST_OBJECT.search(text)) and (end := _LAST_OBJECT.search(text, start.end())):
        text = text[start.start() : end.end()]
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        return []
    return [_call(each["function"], each["parameters"]) for each in found if isinstance(each, dict)]


def _call(name: object, arguments: object) -> ParsedCall:
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise Malformed("a call must have the name of a function and an object of parameters")
    return ParsedCall(name, arguments)


def _of_xml(text: str, verbose: bool) -> list[ParsedCall]:
    # An element without a document type: it declares no entities, so that its size is limited.
    root = ElementTree.fromstring(f"{_ROOT}{_between(text, _ROOT, _END_OF_ROOT)}{_END_OF_ROOT}")
    return [ParsedCall(function.attrib["name"], _parameters(function, verbose)) for function in root.findall("function")]


def _parameters(function: ElementTree.Element, verbose: bool) -> dict[str, Any]:
    if not verbose:
        return {param.attrib["name"]: _value((param.text or "").strip(), param) for param in function.findall("param")}
    container = function.find("params")
    params = (function if container is None else container).findall("param")
    return {param.attrib.get("name", ""): _value(param.attrib.get("value", ""), param) for param in params}


def _value(text: str, param: ElementTree.Element) -> object:
    """Returns the value of a parameter. Its type is what the response says."""
    match param.attrib.get("type", "string"):
        case "integer":
            return int(text)
        case "float":
            return float(text)
        case "boolean":
            return text.lower() == "true"
        case "null":
            return None
        case "array" | "tuple" | "object" | "dict":
            return ast.literal_eval(text)
    return text
