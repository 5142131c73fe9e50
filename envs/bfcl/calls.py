"""Calls in a response of the leaderboard's prompt mode, read as its own code reads them.

The whole response must be a Python list of calls with named arguments, such as [cd(folder='a'), ls()]. Everything else is no
call. A call is kept as text, in the form that the leaderboard executes. Here the text is parsed to data (`parsed`) and never
evaluated.
"""

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

from ...verifiers.calls.call import Malformed

MAX_CHARACTERS = 100_000
"""Limit of the length of a response that is parsed. Our choice."""
MAX_BITS = 4_096
"""Limit of the size of a computed number, and of the length of a computed text. Our choice."""
_OPERATORS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}

Encoded = list[Any]
"""A call as JSON data: its name, positional arguments, and arguments by name. An argument is ["value", Python literal] or
["call", call]."""


def in_prompt_mode(response: str) -> list[str]:
    """Returns the calls of a response as text.

    Raises:
        Malformed: the response is no list of calls, so it is an answer to the user.
    """
    text = response.strip("`\n ")
    text = text if text.startswith("[") else f"[{text}"
    text = text if text.endswith("]") else f"{text}]"
    try:
        if len(text) > MAX_CHARACTERS:
            raise ValueError("too long")
        body = ast.parse(text.strip().strip("'"), mode="eval").body
        calls = body.elts if isinstance(body, ast.List | ast.Tuple) else [body]
        return [_text(*_call(call)) for call in calls]
    except (ValueError, TypeError, SyntaxError, ArithmeticError, LookupError, RecursionError, MemoryError) as error:
        raise Malformed(str(error)) from None


def of_data(name: str, arguments: Mapping[str, object]) -> str:
    """Returns the text of a call that is data, as in the tool-calling mode."""
    return f"{name}({','.join(f'{key}={value!r}' for key, value in arguments.items())})"


def parsed(text: str) -> Encoded:
    """Returns a call as data.

    Raises:
        Malformed: the text is no call.
    """
    try:
        node = ast.parse(text, mode="eval").body
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise Malformed(str(error).partition(" (")[0]) from None
    if not isinstance(node, ast.Call):
        raise Malformed("invalid syntax")
    return _encoded(node)


def _encoded(node: ast.Call) -> Encoded:
    if any(keyword.arg is None for keyword in node.keywords):
        raise Malformed("invalid syntax")
    named = {str(keyword.arg): _argument(keyword.value) for keyword in node.keywords}
    return [_name(node.func), [*map(_argument, node.args)], named]


def _argument(node: ast.expr) -> list[Any]:
    return ["call", _encoded(node)] if isinstance(node, ast.Call) else ["value", ast.unparse(node)]


def _name(node: ast.expr) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join(reversed([*parts, node.id] if isinstance(node, ast.Name) else parts))


def _call(node: ast.expr) -> tuple[str, dict[Any, object]]:
    """Returns the name and the named arguments of a call. Positional arguments are left out."""
    if not isinstance(node, ast.Call):
        raise ValueError("not a call")
    return _name(node.func), {keyword.arg: _value(keyword.value) for keyword in node.keywords}


def _value(node: ast.expr | None) -> object:
    """Returns the value of an argument. Names, subscripts and calls without named arguments are text."""
    match node:
        case ast.Constant(value=value):
            return "..." if value is Ellipsis else value
        case ast.UnaryOp(operand=ast.Constant(value=value)):
            return -value  # type: ignore[operator]  # also for "+" and "not"; a text raises TypeError
        case ast.List(elts=elements):
            return [*map(_value, elements)]
        case ast.Tuple(elts=elements):
            return (*map(_value, elements),)
        case ast.Dict(keys=keys, values=values):
            return {_value(key): _value(value) for key, value in zip(keys, values, strict=True)}
        case ast.BinOp():
            return _computed(node)
        case ast.Name(id=name):
            return name
        case ast.Call(keywords=[]) | ast.Subscript():
            return ast.unparse(node)
        case ast.Call():
            name, arguments = _call(node)
            return {name: arguments}
    raise ValueError("not a value")


def _computed(node: ast.expr) -> Any:
    """Returns the result of arithmetic with literals."""
    match node:
        case ast.Constant(value=int() | float() | str() as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_computed(operand)
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _OPERATORS:
            first, second = _computed(left), _computed(right)
            numbers = [value for value in (first, second) if isinstance(value, int)]
            if isinstance(sign, ast.Mult | ast.Pow | ast.Mod) and (
                isinstance(first, str)
                or isinstance(second, str)
                or (isinstance(sign, ast.Pow) and len(numbers) == 2 and first.bit_length() * abs(second) > MAX_BITS)
                or any(number.bit_length() > MAX_BITS for number in numbers)
            ):
                raise ValueError("too large")
            return _OPERATORS[type(sign)](first, second)
    raise ValueError("not arithmetic")


def _text(name: str, arguments: Mapping[Any, object]) -> str:
    return f"{name}({', '.join(f'{key}={_nested(value)}' for key, value in arguments.items())})"


def _nested(value: object) -> str:
    """Returns a value as text. A dictionary of dictionaries counts as a call, as in the leaderboard's code."""
    if not isinstance(value, dict):
        return repr(value)
    if all(isinstance(item, dict) for item in value.values()):
        name, arguments = next(iter(value.items()), (None, None))
        if name is None:
            raise ValueError("an empty dictionary")
        return _text(str(name), arguments)  # type: ignore[arg-type]
    return "{" + ", ".join(f"'{key}': {_nested(item)}" for key, item in value.items()) + "}"
