"""Names of benchmark tasks that are environments: env:ID, with keyword arguments as in env:ID?NAME=VALUE."""

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlencode

from ..texts import json_or_text

PREFIX = "env:"
_REFERENCE = re.compile(r"%7Bstage%3A\w[\w.-]*%7D")
"""{stage:NAME} in a query."""


def with_options(name: str, options: Mapping[str, object]) -> str:
    """Returns the name with further keyword arguments of the environment. A value that is no text is written as JSON.

    A reference to a stage of a recipe, {stage:NAME}, stays readable in the name.
    """
    texts = {key: value if _is_plain(value) else json.dumps(value) for key, value in options.items()}
    query = _REFERENCE.sub(lambda encoded: unquote_plus(encoded[0]), urlencode(texts))
    return f"{name}{'&' if '?' in name else '?'}{query}" if query else name


def parse(name: str) -> tuple[str, dict[str, Any]]:
    """Returns the environment id and the keyword arguments. A value that is JSON is decoded."""
    id, _, query = name.removeprefix(PREFIX).partition("?")
    return id, {key: json_or_text(text) for key, text in parse_qsl(query, keep_blank_values=True)}


def _is_plain(value: object) -> bool:
    """True for a text that is read back as the same text."""
    return isinstance(value, str) and json_or_text(value) == value
