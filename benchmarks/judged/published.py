"""Texts from files of a benchmark's repository: its prompts for the judge, and its system prompt for the policy.

The files are read and not run. They are the user's copies; this package contains none of their texts.
"""

import ast
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ... import disk
from ...core import UserError

Text = str | Mapping[str, "Text"]
"""A text, or texts by name."""


def files(folder: str | Path | None, names: Sequence[str]) -> dict[str, str] | None:
    """Returns the contents of files in a folder, by name; None if one of them is missing.

    Args:
        folder: the folder; None: there is none.
        names: names of the files.

    Raises:
        UserError: a file is not text.
    """
    paths = [Path(folder) / name for name in names] if folder else []
    if not paths or not all(path.is_file() for path in paths):
        return None
    found = {}
    for path in paths:
        with disk.reading(path, "download it again"):
            found[path.name] = path.read_text(encoding="utf-8")
    return found


def constants(name: str, source: str) -> dict[str, Text]:
    """Returns the texts that a Python file assigns to names at its top level, and its mappings from texts to texts.

    Args:
        name: name of the file, for errors.
        source: its content.

    Raises:
        UserError: the content is not Python.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # such as a backslash that escapes nothing
            statements = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UserError(f"{name} is not a Python file ({error}); download it again") from None
    found: dict[str, Text] = {}
    for statement in statements:
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1 and isinstance(statement.targets[0], ast.Name):
            value = _value(statement.value, found)
            if value is not None:
                found[statement.targets[0].id] = value
    return found


def text(name: str, files: Mapping[str, str], constant: str) -> str:
    """Returns a text that a Python file assigns to a name.

    Args:
        name: name of the file.
        files: contents of the benchmark's files, by name.
        constant: the name.

    Raises:
        UserError: the file does not have it.
    """
    found = constants(name, files[name]).get(constant)
    if not isinstance(found, str):
        raise UserError(f"{name} does not have {constant}; download it again")
    return found


def system(metadata: Mapping[str, Any], folder: str | Path | None) -> str | None:
    """Returns the published system prompt of the policy; None if the task names no file with it, or the folder lacks the file.

    Args:
        metadata: the task's `metadata`. `system_file` is the name of the file; it assigns the prompt to SYSTEM_PROMPT.
        folder: the folder; None: there is none.

    Raises:
        UserError: the file does not have the prompt.
    """
    name = str(metadata.get("system_file") or "")
    found = files(folder, [name]) if name else None
    if found is None:
        return None
    prompt = constants(name, found[name]).get("SYSTEM_PROMPT")
    if not isinstance(prompt, str):
        raise UserError(f"{name} does not have SYSTEM_PROMPT; download it again")
    return prompt


def _value(node: ast.expr | None, known: Mapping[str, Text]) -> Text | None:
    """Returns the value of a text, a name, a mapping, or a text with `.strip()`; None for any other expression."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "strip" and not node.args:
        text = _value(node.func.value, known)
        return text.strip() if isinstance(text, str) else None
    if isinstance(node, ast.Dict):
        pairs = [(_value(key, known), _value(value, known)) for key, value in zip(node.keys, node.values, strict=True)]
        return {key: value for key, value in pairs if isinstance(key, str) and value is not None}
    return None
