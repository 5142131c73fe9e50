"""Reads calls in the prompt mode of the Berkeley Function-Calling Leaderboard, as its own code does.

The whole response must be a Python list of calls with named arguments, such as [cd(folder='a'), ls()]. Backticks around it and
missing brackets are accepted. Everything else is no call. The text is parsed to data and never evaluated.
"""

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

from .call import Malformed, ParsedCall

MAX_CHARACTERS = 100_000
"""Limit of the length of a response that is parsed. Our choice."""
MAX_SIZE = 4_096
"""Limit of the bits of a computed number, and of the length of a computed text or list. Our choice."""
_OPERATORS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
}
_SIGNS: Mapping[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Invert: operator.invert,
    ast.Not: operator.not_,
}


def read(response: str) -> list[ParsedCall]:
    """Returns the calls of a response. Positional arguments are dropped. A name that is used as a value becomes a text.

    Raises:
        Malformed: the response cannot be parsed as such a list, or is too long.
    """
    return parse(bracketed(response))


def bracketed(response: str) -> str:
    """Returns a response without the backticks around it, and with brackets."""
    text = response.strip("`\n ")
    text = text if text.startswith("[") else f"[{text}"
    return text if text.endswith("]") else f"{text}]"


def parse(text: str) -> list[ParsedCall]:
    """Returns the calls of a list, or a single call. See `read`.

    Raises:
        Malformed: the text cannot be parsed, or is too long.
    """
    try:
        if len(text) > MAX_CHARACTERS:
            raise ValueError("too long")
        body = ast.parse(text.strip().strip("'"), mode="eval").body
        calls = body.elts if isinstance(body, ast.List | ast.Tuple | ast.Set) else [body]
        return [_call(call) for call in calls]
    except (ValueError, TypeError, SyntaxError, ArithmeticError, LookupError, RecursionError, MemoryError) as error:
        raise Malformed(str(error)) from None


def name_of(node: ast.expr) -> str:
    """Returns the name of the called function, which may be dotted."""
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
        case ast.Call(keywords=[]):
            return ast.unparse(node)
        case ast.Subscript(value=value, slice=index):
            return f"{ast.unparse(value)}[{ast.unparse(index)}]"
        case ast.Call():
            call = _call(node)
            return {call.name: dict(call.arguments)}
    raise ValueError("not a value")


def _computed(node: ast.expr) -> Any:
    """Returns the result of arithmetic with literals. Formatted texts ("%s" % x) are not computed."""
    match node:
        case ast.Constant(value=int() | float() | str() as value):
            return value
        case ast.List() | ast.Tuple():
            return _value(node)
        case ast.UnaryOp(op=sign, operand=operand) if type(sign) in _SIGNS:
            return _SIGNS[type(sign)](_computed(operand))
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _OPERATORS:
            first, second = _computed(left), _computed(right)
            if _size(first, sign, second) > MAX_SIZE:
                raise ValueError("too large")
            return _OPERATORS[type(sign)](first, second)
    raise ValueError("not arithmetic")


def _size(first: Any, sign: ast.operator, second: Any) -> float:
    """Returns at least the size of a result: the bits of a number, or the length of a text or a list."""
    sizes = [*map(_own_size, (first, second))]
    if isinstance(sign, ast.Mod) and isinstance(first, str):
        return math.inf
    if isinstance(sign, ast.Mult) and not all(isinstance(value, int | float) for value in (first, second)):
        (count,) = [value for value in (first, second) if isinstance(value, int)] or [0]
        return max(sizes) * abs(count)
    if isinstance(sign, ast.Pow) and isinstance(first, int) and isinstance(second, int):
        return sizes[0] * abs(second)
    if isinstance(sign, ast.LShift) and isinstance(second, int):
        return sizes[0] + abs(second)
    return sum(sizes)


def _own_size(value: Any) -> int:
    if isinstance(value, int):
        return value.bit_length()
    return 64 if isinstance(value, float) else len(value)
