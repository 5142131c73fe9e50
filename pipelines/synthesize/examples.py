"""Examples of a function's argument lists: calls in a text, such as a docstring, and those that a model writes."""

import ast
import contextlib
import json
import re
from collections.abc import Callable

from ...verifiers.sandbox.inside.wire import encode

MAX_INPUT = 2_000
"""Maximal characters of an argument list. Our choice."""
Value = object
"""An argument of any type."""
Model = Callable[[str], str]
"""A function from a prompt to the model's answer."""
_PROMPT = """Here is a Python program:

```python
{program}
```

Write argument lists to test `{entry_point}` with: ordinary ones, edge cases, and some that would expose a mistake. One Python
list of literals a line, such as [[1, 2], "a"], and nothing else."""


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
    """Returns the value of a literal that a sandbox can receive.

    Raises:
        ValueError, SyntaxError, TypeError, RecursionError, MemoryError: it is no literal, or contains `...`.
    """
    value = ast.literal_eval(source)
    if '{"object":' in json.dumps(encode(value)):  # `...`, for example in f([1, 2, ...])
        raise ValueError("the literal contains `...`")
    return value


def ask_model(model: Model, program: str, entry_point: str) -> list[list[Value]]:
    """Asks a model for argument lists of a function, and returns them. Lines that are not lists of literals are ignored.

    Args:
        model: answers the prompt.
        program: source of the program.
        entry_point: name of the function.
    """
    examples = []
    for line in model(_PROMPT.format(program=program, entry_point=entry_point)).splitlines():
        text = line.strip().strip("`").lstrip("-*0123456789. ")
        if not text.startswith("[") or len(text) > MAX_INPUT:
            continue
        with contextlib.suppress(SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
            arguments = literal(text)
            examples += [arguments] if isinstance(arguments, list) else []
    return examples
