"""Texts as they enter and leave the package: without lone surrogates, decoded if they are JSON, and without secrets."""

import json
import re
from typing import Any


def without_surrogates(text: str) -> str:
    """Returns text that UTF-8 can encode: surrogate pairs are joined, a lone surrogate becomes U+FFFD.

    JSON may contain a lone surrogate (`"\\ud800"`), which files, tokenizers and servers reject. Rows, prompts and responses
    pass through this function when they enter the package.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def json_or_text(text: str) -> Any:
    """Returns the value of a text that is JSON, such as 3, 0.5, true or [1, 2], else the text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # the first also for a number of more than 4,300 digits
        return text


_USERINFO = re.compile(r"(://)(?:[^\s@/?#]*:[^\s@]*|[^\s@/?#]*)(?=@)|(%3a%2f%2f)[^\s@/?#]*?(?=%40|@)", re.IGNORECASE)
_SECRET = re.compile(
    r"((?:[?&;]|%3f|%26)(?:[\w-]*[_.-])?(?:(?:api)?[_-]?key|token|secret|password|passwd|passphrase|pwd|auth|authorization"
    r"|signature|sig|credentials?)(?:=|%3d))(?:(?!%26)[^\s&'\"#])+",
    re.IGNORECASE,
)


def without_secrets(text: str) -> str:
    """Returns the text with user names, passwords and keys in URLs replaced by ***."""
    text = _USERINFO.sub(lambda match: f"{match[1] or match[2]}***", text)
    return _SECRET.sub(r"\1***", text)
