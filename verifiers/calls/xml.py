"""Parses calls in XML, as Qwen3-Coder, MiniMax, DeepSeek and GLM write them.

Values get the declared types of their parameters.
"""

import ast
import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from .call import DeclaredFunctions, Malformed, ParsedCall, unique_names

MAX_LITERAL = 20_000
"""Maximum length of a value that is parsed as Python, in characters."""
_JSON = json.JSONDecoder(object_pairs_hook=unique_names)
FUNCTION = re.compile(r"<function=(?P<quote>[\"']?)(?P<name>[^>\"'\n]{1,200})(?P=quote)\s*>")
INVOKE = re.compile(r"<(?:[\w｜]{1,20}:?)??invoke\s+name=(?P<quote>[\"']?)(?P<name>[^>\"'\n]{1,200}+)(?P=quote)[^>\n]{0,100}+>")
_PARAMETER = re.compile(
    r"<(?:[\w｜]{1,20}:?)??parameter(?:=|\s+name=)(?P<quote>[\"'])?"
    r"(?P<name>(?(quote)[^>\"'\n]{1,200}+|[ \t]{0,9}[^>\"'\s]{1,200}+))(?(quote)(?P=quote))(?:\s[^>\n]{0,100}+)?>"
)
_END_OF_PARAMETER = re.compile(r"</(?:[\w｜]{1,20}:?)??parameter>")
_END_OF_FUNCTION = re.compile(r"</(?:function|(?:[\w｜]{1,20}:?)??invoke)>")
_PAIR = re.compile(r"\s*<arg_key>(?P<name>[^<]{1,200})</arg_key>\s*<arg_value>")
_BLANK = re.compile(r"\s*\Z")
_END_OF_VALUE = "</arg_value>"
_TEXTS = frozenset(("string", "str", "text", "varchar", "char", "enum"))
_NUMBERS = ("int", "num", "float", "double", "long", "short")
_BOOLEANS = {"true": True, "false": False}


def read_xml(text: str, declared: DeclaredFunctions, typed: bool) -> Iterator[ParsedCall]:
    """Yields calls in the form <function=...> or <invoke name=...>, with parameters or JSON inside.

    Args:
        text: contains the calls.
        declared: the functions, for the types of values.
        typed: convert values to their declared types; otherwise they stay text.
    """
    pattern = FUNCTION if FUNCTION.search(text) else INVOKE
    starts = list(pattern.finditer(text))
    for number, start in enumerate(starts):
        name, limit = start["name"].strip(), starts[number + 1].start() if number + 1 < len(starts) else len(text)
        body = text[start.end() : limit]
        if body.lstrip().startswith("{"):
            begun = body.lstrip()
            try:
                arguments, _ = _JSON.raw_decode(begun)
            except (ValueError, RecursionError) as error:
                raise Malformed(f"the arguments of {name[:100]} are not valid JSON ({type(error).__name__})") from None
            yield ParsedCall(name, arguments)
            continue
        yield ParsedCall(name, _of_parameters(name, body, declared, typed))


def _of_parameters(name: str, body: str, declared: DeclaredFunctions, typed: bool) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    starts = list(_PARAMETER.finditer(body))
    for number, start in enumerate(starts):
        limit = starts[number + 1].start() if number + 1 < len(starts) else len(body)
        value = body[start.end() : limit]
        end = _END_OF_PARAMETER.search(value) or _END_OF_FUNCTION.search(value)
        if end is None and number + 1 == len(starts):
            raise Malformed(f"{name[:100]}: the value of {start['name'][:100]} has no end")
        value = value[: end.start()] if end else value
        _add(arguments, name, start["name"].strip(), value, declared, typed)
        if typed and value.strip().lower() == "null":  # whatever the declared type, because XML has no other way to write null
            arguments[start["name"].strip()] = None
    rest = body[: starts[0].start()] if starts else _END_OF_FUNCTION.split(body)[0]
    if rest.strip() and not starts:
        raise Malformed(f"{name[:100]}: the call contains text that is not a parameter")
    return arguments


def read_pairs(body: str, declared: DeclaredFunctions, typed: bool) -> ParsedCall:
    """Returns the call in GLM's form: a name, then keys and values.

    Args:
        body: the text between the marks of a call.
        declared: the functions, for the types of values.
        typed: convert values to their declared types; otherwise they stay text.
    """
    name = body.partition("<arg_key>")[0].strip()
    at, arguments = body.find("<arg_key>"), dict[str, Any]()
    while 0 <= at < len(body) and not _BLANK.match(body, at):
        pair = _PAIR.match(body, at)
        end = body.find(_END_OF_VALUE, pair.end()) if pair else -1
        if pair is None or end < 0:
            raise Malformed(f"{name[:100]}: a key without a value")
        _add(arguments, name, pair["name"].strip(), body[pair.end() : end], declared, typed)
        at = end + len(_END_OF_VALUE)
    if not re.fullmatch(r"[\w.:-]+", name):
        raise Malformed("the call has no name")
    return ParsedCall(name, arguments)


def _add(arguments: dict[str, Any], function: str, name: str, text: str, declared: DeclaredFunctions, typed: bool) -> None:
    if name in arguments:
        raise Malformed("a name occurs twice")
    text = text.removeprefix("\r").removeprefix("\n").removesuffix("\n").removesuffix("\r")
    arguments[name] = _value(text, declared.get(function, {}).get(name)) if typed else text


def _value(text: str, declared: object) -> Any:
    """Returns the value that a text stands for. The declared type decides how it is read.

    It is text for a string, and true or false for a boolean. For any other type, the text is read as JSON or as a literal of
    Python. The value may then have another type than the declared one. A text that cannot be read is the value itself.
    """
    kind = declared.get("type", "any") if isinstance(declared, Mapping) else "string"
    if isinstance(kind, list):
        kind = next((name for name in kind if name != "null"), "any")
    kind, plain = str(kind).lower(), text.strip()
    if kind in _TEXTS:
        return text
    if kind in ("boolean", "bool"):
        return _BOOLEANS.get(plain.lower(), text)
    with contextlib.suppress(ValueError, RecursionError):
        value = json.loads(plain.removeprefix("+"), object_pairs_hook=unique_names)
        return value if not isinstance(value, str) or kind == "any" else text
    if len(plain) <= MAX_LITERAL and not kind.startswith(_NUMBERS):
        with contextlib.suppress(ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            return ast.literal_eval(plain)
    return text
