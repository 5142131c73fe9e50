"""Parses calls of tools in the formats that chat templates teach models.

Supported formats, with the names that servers use for their parsers (vLLM's tool parsers):

    JSON in tags        <tool_call>{"name": "area", "arguments": {"base": 10}}</tool_call>    Hermes, Qwen; also <tool_calls>,
                        Granite's <|tool_call|>, Mistral's [TOOL_CALLS], Llama's <|python_tag|>, Phi's functools[...], ...
    XML                 <function=area><parameter=base>10</parameter></function>              Qwen3-Coder, Seed-OSS
                        <invoke name="area"><parameter name="base">10</parameter></invoke>    MiniMax, DeepSeek-V3.2, Step
                        <tool_call>area<arg_key>base</arg_key><arg_value>10</arg_value></tool_call>    GLM
    a name, then JSON   [TOOL_CALLS]area[ARGS]{"base": 10}, <function=area>{"base": 10}</function>, DeepSeek, Kimi, gpt-oss
    bare                JSON, or a list of Python calls: [area(base=10)]                      Llama, xLAM, Olmo
                        JSON in a fenced block (of several blocks the last one)

A value in XML is text. The declared type of its parameter decides its type: a string stays text, an integer is read as an
integer.
"""

import ast
import contextlib
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from ...responses import without_thinking, without_turn_end
from ..programs.fences import fenced
from .call import DeclaredFunctions, Malformed, ParsedCall, unique_names
from .xml import FUNCTION, INVOKE, read_pairs, read_xml

MAX_PYTHON = 20_000
"""Maximum length of text that is parsed as Python, in characters."""
_WRAPPED = {
    "<tool_call>": "</tool_call>",
    "<tool_calls>": "</tool_calls>",
    "<function_call>": "</function_call>",
    "<function_calls>": "</function_calls>",
    "<seed:tool_call>": "</seed:tool_call>",
    "<minimax:tool_call>": "</minimax:tool_call>",
    "<longcat_tool_call>": "</longcat_tool_call>",
    "<｜DSML｜function_calls>": "</｜DSML｜function_calls>",
    "<|tool_call|>": "<|/tool_call|>",
    "<|python_tag|>": "<|eom_id|>",
    "<|python_start|>": "<|python_end|>",
    "<|tools_prefix|>": "<|tools_suffix|>",
    "<|action_start|>": "<|action_end|>",
    "<|START_ACTION|>": "<|END_ACTION|>",
    "[TOOL_CALLS]": "[/TOOL_CALLS]",
    "functools[": "]\\Z",
}
"""Marks around calls. The second mark of a pair may be missing at the end of the text."""
_NAMED = re.compile(
    r"<｜tool▁call▁begin｜>(?:function<｜tool▁sep｜>)?\s*(?P<deepseek>[^\s<]+)\s*(?:<｜tool▁sep｜>)?\s*(?:```json)?"
    r"|<\|tool_call_begin\|>\s*(?P<kimi>[^\s<]+)\s*<\|tool_call_argument_begin\|>"
    r"|\bto=(?P<harmony>functions\.[^\s<{]{1,200}+)[^{}\n]{0,100}+(?=\{)"
    r"|\[TOOL_CALLS\]\s*(?P<mistral>[\w.-]+)(?:\[CALL_ID\]\w+)?(?:\[ARGS\])?(?=\s*\{)"
    r"|^>>>(?P<functionary>[\w.-]+)\s*(?=\{)",
    re.MULTILINE,
)
"""A call whose name precedes its JSON."""
_OPENS = re.compile("|".join(map(re.escape, _WRAPPED)))
MARKS = re.compile(
    "|".join(
        [
            _OPENS.pattern,
            r"</tool_call",
            r"<function=",
            r"<[\w｜:]{0,20}invoke\s",
            r"<arg_key>",
            r"tool▁calls?▁",
            r"tool_calls?_"
            r"(?:section_)?begin",
            r"\bto=functions\.",
            r"\[ARGS\]",
            r"<\|tool_call",
            r"<tool_code>",
            r"```tool_c",
        ]
    )
)
_FURTHER_MARKS = frozenset(_WRAPPED.values()) - {"<|eom_id|>"} | {"<｜tool▁sep｜>", "[CALL_ID]"}
"""Marks inside and after calls. <|eom_id|> is left out, because it ends the turn (`responses.without_turn_end`)."""
_FENCE = re.compile(r"\A```\w*\r?\n(.*?)\r?\n?```\Z", re.DOTALL)


def is_mark(text: str) -> bool:
    """True if a text, such as a special token, is a mark of a call."""
    return bool(MARKS.search(text)) or text in _FURTHER_MARKS


def read(response: str, declared: DeclaredFunctions, typed: bool = True) -> list[ParsedCall]:
    """Returns the calls in a response, without those in its reasoning; an empty list if it is prose.

    Args:
        response: a model's response.
        declared: the functions, for the types of values that are written as text.
        typed: convert such values to their declared types; otherwise they stay text.

    Raises:
        Malformed: the response contains a call in one of the formats above that cannot be parsed.
    """
    text = without_turn_end(without_thinking(response)).strip()
    if (calls := read_marked(text, declared, typed)) is not None:
        return calls
    whole = _FENCE.match(text)
    bare = whole[1].strip() if whole else text
    if bare.startswith(("[", "{")):
        with contextlib.suppress(ValueError, RecursionError):
            return list(_of_json(_several(bare)))
    if calls := _of_python(bare):
        return calls
    for block in reversed(fenced(text)):
        if block.language in ("json", "tool_call", "") and '"name"' in block.body:
            with contextlib.suppress(ValueError, RecursionError):
                return list(_of_json(_several(block.body.strip())))
    return []


def calls_in(response: str, declared: DeclaredFunctions) -> list[ParsedCall]:
    """Returns the calls in a response that may also be an answer; an empty list if it calls nothing.

    An answer such as f(2) or ["400"] is no call: it has no mark of a call, and names no declared function.

    Args:
        response: a model's response.
        declared: see `read`.

    Raises:
        Malformed: the response contains a mark of a call, and the call cannot be parsed.
    """
    is_marked = MARKS.search(without_thinking(response)) is not None
    try:
        calls = read(response, declared)
    except Malformed:
        if is_marked:
            raise
        return []
    return calls if is_marked or any(call.name in declared for call in calls) else []


def read_marked(text: str, declared: DeclaredFunctions, typed: bool = True) -> list[ParsedCall] | None:
    """Returns the calls inside marks of calls; None if there is no such mark. Raises `Malformed`.

    Args:
        text: a response, without its reasoning.
        declared: see `read`.
        typed: see `read`.
    """
    if first := _NAMED.search(text):
        return list(_of_names(text, first.start()))
    if _OPENS.search(text):
        bodies = [body for body in _bodies(text) if body.strip()]
        if not bodies:
            raise Malformed("the call is empty")
        return [call for body in bodies for call in _of_body(body.strip(), declared, typed)]
    if FUNCTION.search(text) or INVOKE.search(text):
        return list(read_xml(text, declared, typed))
    return None


def last_call(turn: str) -> tuple[str, str] | None:
    """Returns the tool and the code of a turn's last call; None without a call, empty texts if it cannot be parsed."""
    try:
        calls = read_marked(without_turn_end(without_thinking(turn)).strip(), {})
    except Malformed:
        return "", ""
    if not calls:
        return None
    source = calls[-1].arguments.get("code")
    return (calls[-1].name, source) if isinstance(source, str) else ("", "")


def _bodies(text: str) -> Iterator[str]:
    """Yields the texts between marks; the last may lack its second mark. A second mark inside a JSON string does not count."""
    at, ends = 0, dict[str, int]()
    while (opened := _OPENS.search(text, at)) is not None:
        start, end = opened.end(), _WRAPPED[opened[0]]
        if opened[0] == "functools[":
            yield text[start - 1 :]
            return
        if end not in ends or -1 < ends[end] < start:  # otherwise ends[end] is the next position, or -1 if there is none
            ends[end] = text.find(end, start)
        at = ends[end]
        with contextlib.suppress(ValueError, RecursionError):
            stop = next((stop for _, stop in _values(text, start) if text.startswith(end, stop)), -1)
            if stop >= 0:
                yield text[start:stop]
                at = stop
                continue
        stop = at if at >= 0 else len(text)
        if end.startswith("["):  # Mistral's calls may follow each other without a second mark
            following = _OPENS.search(text, start)
            stop = min(stop, following.start()) if following else stop
            at = stop
        yield text[start:stop]
        if at < 0:
            return


def _of_body(body: str, declared: DeclaredFunctions, typed: bool) -> Iterator[ParsedCall]:
    """Yields the calls between two marks."""
    if body.startswith("<|plugin|>"):
        body = body.removeprefix("<|plugin|>").strip()
    if body.startswith("{") or re.match(r"\[\s*(?:[{\]]|\Z)", body):  # otherwise it is a list of Python calls
        try:
            yield from _of_json(_several(body))
        except (ValueError, RecursionError) as error:
            raise Malformed(f"the call is not valid JSON ({type(error).__name__})") from None
    elif FUNCTION.search(body) or INVOKE.search(body):
        yield from read_xml(body, declared, typed)
    elif "<arg_key>" in body or re.fullmatch(r"[\w.-]+", body):
        yield read_pairs(body, declared, typed)
    else:
        lines = [line.strip() for line in body.splitlines() if line.strip()]
        read = [_of_python(body)] if _of_python(body) else [_of_python(line) for line in lines]
        if not all(read):
            raise Malformed("the call is not JSON, XML or Python")
        yield from (call for calls in read for call in calls)


# --- JSON ---


_JSON = json.JSONDecoder(object_pairs_hook=unique_names)


def _values(text: str, at: int) -> Iterator[tuple[Any, int]]:
    """Yields each JSON value from a position on, and where the next one may start: after spaces, commas and semicolons.

    Raises ValueError, RecursionError.
    """
    while text[at : at + 1].isspace():
        at += 1
    while at < len(text):
        value, at = _JSON.raw_decode(text, at)
        while at < len(text) and text[at] in " \t\r\n,;":
            at += 1
        yield value, at


def _several(text: str) -> list[Any]:
    """Returns the JSON values of a text, with the items of a list in place of the list. Raises ValueError, RecursionError."""
    found: list[Any] = []
    for value, _ in _values(text, 0):
        found += value if isinstance(value, list) else [value]
    return found


def _of_json(objects: Sequence[Any]) -> Iterator[ParsedCall]:
    """Reads {"name": ..., "arguments": {...}}. Arguments may be called parameters, or be JSON in a string."""
    for call in objects:
        if isinstance(call, dict) and isinstance(call.get("tool_calls"), list):
            yield from _of_json(call["tool_calls"])
            continue
        if isinstance(call, dict) and isinstance(call.get("function"), dict):
            call = call["function"]
        if not isinstance(call, dict):
            raise Malformed("a call must be an object with name and arguments")
        name, arguments = call.get("name", call.get("tool_name")), call.get("arguments", call.get("parameters", {}))
        if isinstance(arguments, str):
            arguments = _parsed(arguments)
        if not isinstance(name, str) or not isinstance(arguments, dict):
            raise Malformed("a call must be an object with name and arguments")
        yield ParsedCall(name, arguments)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=unique_names)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"the call is not valid JSON ({type(error).__name__})") from None


def _of_names(text: str, at: int) -> Iterator[ParsedCall]:
    """Reads calls that consist of a name and JSON."""
    while (found := _NAMED.search(text, at)) is not None:
        name = next(filter(None, found.groups()))
        start = re.compile(r"\s*").match(text, found.end())
        assert start is not None
        try:
            arguments, at = _JSON.raw_decode(text, start.end())
        except (ValueError, RecursionError) as error:
            raise Malformed(f"the arguments of {name[:100]} are not valid JSON ({type(error).__name__})") from None
        if not isinstance(arguments, dict):
            raise Malformed(f"the arguments of {name[:100]} are not an object")
        if not found["mistral"] and not found["functionary"]:
            name = re.sub(r":\d+\Z", "", name).removeprefix("functions.")
        yield ParsedCall(name, arguments)


# --- Python ---


def _of_python(text: str) -> list[ParsedCall]:
    """Reads [f(x=1), g(y="a")], or a single call. Text that is not Python is prose."""
    if len(text) > MAX_PYTHON or not text.endswith((")", "]")):
        return []
    try:
        tree = ast.parse(text, mode="eval").body
        calls = tree.elts if isinstance(tree, ast.List) else [tree]
        if not all(isinstance(call, ast.Call) for call in calls):
            return []
        return [_python_call(call) for call in calls if isinstance(call, ast.Call)]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []


def _python_call(call: ast.Call) -> ParsedCall:
    names = [keyword.arg for keyword in call.keywords]
    if call.args or None in names or len(set(names)) < len(names):
        raise Malformed("arguments must be given by name, each once")
    arguments = {str(keyword.arg): _python_value(keyword.value) for keyword in call.keywords}
    return ParsedCall(ast.unparse(call.func), arguments)


def _python_value(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        return ast.unparse(node)  # a variable or another expression
