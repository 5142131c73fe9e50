"""Examples of a function's argument lists: calls in a text, such as a docstring, and those that a policy writes."""

import ast
import contextlib
import json
import re

from ...core import Conversation, Message
from ...responses import without_thinking
from ...verifiers.sandbox.inside.wire import encode

MAX_INPUT = 2_000
"""Maximal characters of an argument list. Our choice."""
Value = object
"""An argument of any type."""
MAX_WRITTEN = 50
"""Number of argument lists that are read from a policy's answer, the first ones. Our choice."""
_PROMPT = """Here is a Python program:

```python
{program}
```

Write 12 calls of the function `{entry_point}` to test it, one a line, and nothing else. Take ordinary values, edge cases, and
values that would expose a mistake. Every argument must be a literal, such as a number, a text or a list of these."""


def examples_in(text: str, function: str) -> list[list[Value]]:
    """Returns the argument lists of all calls of a function with literal arguments in a text, such as a docstring."""
    calls = []
    for match in re.finditer(rf"(?<![\w.]){re.escape(function)}\(", text):
        depth, quote, escaped = 0, "", False
        for end in range(match.end() - 1, min(len(text), match.end() + MAX_INPUT)):
            character = text[end]
            if quote:
                quote = "" if character == quote and not escaped else quote
                escaped = character == "\\" and not escaped
            elif character in "'\"":
                quote = character
            else:
                depth += (character in "([{") - (character in ")]}")
            if depth == 0:
                calls.append(text[match.start() : end + 1])
                break
    return [arguments for call in calls if (arguments := _literals(call)) is not None]


def _literals(call: str) -> list[Value] | None:
    """Returns the arguments of a call if all are literals and positional, else None."""
    try:
        node = ast.parse(call, mode="eval").body
        if not isinstance(node, ast.Call) or node.keywords:
            return None
        return [literal(argument) for argument in node.args]
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return None


def literal(source: str | ast.expr) -> Value:
    """Returns the value of a literal that a sandbox can receive and a file of JSON can contain.

    Raises:
        ValueError, SyntaxError, TypeError, RecursionError, MemoryError: it is no literal, or it contains `...`, an infinite
            number or a lone surrogate, or is nested too deeply.
    """
    value = ast.literal_eval(source)
    text = json.dumps(encode(value), allow_nan=False, ensure_ascii=False)
    text.encode()  # raises a ValueError for a lone surrogate
    if '{"object":' in text:  # `...`, for example in f([1, 2, ...])
        raise ValueError("the literal contains `...`")
    return value


def prompt(program: str, entry_point: str) -> Conversation:
    """Returns the prompt for argument lists of a function.

    Args:
        program: source of the program.
        entry_point: name of the function.
    """
    return [Message(role="user", content=_PROMPT.format(program=program, entry_point=entry_point))]


def read_written(text: str, entry_point: str) -> list[list[Value]]:
    """Returns the argument lists in a policy's answer: those of calls with literals or, without calls, lists of literals.

    All else is ignored. The answer is parsed and not evaluated.

    Args:
        text: the answer.
        entry_point: name of the function.
    """
    text = without_thinking(text)
    found = examples_in(text, entry_point) or [arguments for line in text.splitlines() if (arguments := _list(line))]
    return [arguments for arguments in found if arguments][:MAX_WRITTEN]


def _list(line: str) -> list[Value] | None:
    """Returns the list of literals in a line; None if there is none."""
    text = line.strip().strip("`").lstrip("-*0123456789. ")
    if not text.startswith("[") or len(text) > MAX_INPUT:
        return None
    with contextlib.suppress(SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        value = literal(text)
        return value if isinstance(value, list) else None
    return None
