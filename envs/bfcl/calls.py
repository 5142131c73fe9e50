"""Calls as text, in the form that the leaderboard executes. Here the text is parsed to data (`parsed`) and never evaluated."""

import ast
from collections.abc import Mapping
from typing import Any

from ...verifiers.calls import python_list
from ...verifiers.calls.call import Malformed

Encoded = list[Any]
"""A call as JSON data: its name, positional arguments, and arguments by name. An argument is ["value", Python literal] or
["call", call]."""


def in_prompt_mode(response: str) -> list[str]:
    """Returns the calls of a response as text. See `verifiers/calls/python_list.py`.

    Raises:
        Malformed: the response is no list of calls.
    """
    try:
        return [_text(call.name, call.arguments) for call in python_list.read(response)]
    except (ValueError, RecursionError) as error:  # also for a number with too many digits
        raise Malformed(str(error)) from None


def of_data(name: str, arguments: Mapping[str, object]) -> str:
    """Returns the text of a call that is data, as with declared tools.

    Raises:
        ValueError, RecursionError: a value is too long or nested too deeply.
    """
    return f"{name}({','.join(f'{key}={value!r}' for key, value in arguments.items())})"


def parsed(text: str) -> Encoded:
    """Returns a call as data.

    Raises:
        Malformed: the text is no call.
    """
    try:
        node = ast.parse(text, mode="eval").body
        if not isinstance(node, ast.Call):
            raise Malformed("invalid syntax")
        return _encoded(node)
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise Malformed(str(error).partition(" (")[0]) from None


def parsed_or_error(text: str) -> Encoded | str:
    """Returns a call as data, or the error message of a text that is no call."""
    try:
        return parsed(text)
    except Malformed as error:
        return str(error)


def _encoded(node: ast.Call) -> Encoded:
    if any(keyword.arg is None for keyword in node.keywords):
        raise Malformed("invalid syntax")
    named = {str(keyword.arg): _argument(keyword.value) for keyword in node.keywords}
    return [python_list.name_of(node.func), [*map(_argument, node.args)], named]


def _argument(node: ast.expr) -> list[Any]:
    return ["call", _encoded(node)] if isinstance(node, ast.Call) else ["value", ast.unparse(node)]


def _text(name: str, arguments: Mapping[Any, object]) -> str:
    return f"{name}({', '.join(f'{key}={_nested(value)}' for key, value in arguments.items())})"


def _nested(value: object) -> str:
    """Returns a value as text. A dictionary of dictionaries counts as a call, as in the leaderboard's code."""
    if not isinstance(value, dict):
        return repr(value)
    if not value:
        raise ValueError("an empty dictionary")
    if all(isinstance(item, dict) for item in value.values()):
        name, arguments = next(iter(value.items()))
        return _text(str(name), arguments)
    return "{" + ", ".join(f"'{key}': {_nested(item)}" for key, item in value.items()) + "}"
