"""Reads calls in the prompt mode of the Berkeley Function-Calling Leaderboard, as its own code does.

The whole response must be a Python list of calls with named arguments, such as [cd(folder='a'), ls()]. Backticks around it and
missing brackets are accepted. Everything else is no call. The text is parsed to data and never evaluated.
"""

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

from .call import Malformed, ParsedCall

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


def read(response: str) -> list[ParsedCall]:
    """Returns the calls of a response. Positional arguments are left out, and names stay text.

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
        return [_call(call) for call in calls]
    except (ValueError, TypeError, SyntaxError, ArithmeticError, LookupError, RecursionError, MemoryError) as error:
        raise Malformed(str(error)) from None


def name_of(node: ast.expr) -> str:
    """Returns the name of the called function, with the names before its points."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join(reversed([*parts, node.id] if isinstance(node, ast.Name) else parts))


def _call(node: ast.expr) -> ParsedCall:
    if not isinstance(node, ast.Call):
        raise ValueError("not a call")
    return ParsedCall(name_of(node.func), {str(keyword.arg): _value(keyword.value) for keyword in node.keywords})


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
            call = _call(node)
            return {call.name: dict(call.arguments)}
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
