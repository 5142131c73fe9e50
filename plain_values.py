"""Which settings of another program, such as verl or vLLM, cannot name code, a file or a server.

A recipe is a file that may come from another person, so it may contain such settings only without naming code.
"""

import re
from collections.abc import Mapping

_WORD = re.compile(r"[A-Za-z0-9_+-]{0,64}|[+-]?\d*\.?\d+(?:[eE][+-]?\d+)?")
"""A number, or a word without a dot, colon or slash."""
_KEY = re.compile(r"\+{0,2}[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_LEADING = frozenset(
    "target path paths file files dir lib libs module modules custom class cls fqn function functions fn func manager plugin "
    "plugins import remote kwargs env proxy url uri addr address host ip port script command cmd exec hook hooks".split()
)
"""Words in names of settings whose values may name code, a file or a server, even if the value is a plain word."""


def is_plain(name: str, value: object) -> bool:
    """True if a setting is a number or a plain word. If a word of _LEADING is in its name, only a number is plain.

    Args:
        name: name of the setting, with dots between its parts.
        value: its value, which may be nested.
    """
    if not _KEY.fullmatch(name):
        return False
    if _LEADING & set(re.split(r"[._+]+", name.lower())):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return _is_plain_value(value)


def _is_plain_value(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and is_plain(key, item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_plain_value, value))
    return (
        _WORD.fullmatch(value) is not None if isinstance(value, str) else value is None or isinstance(value, bool | int | float)
    )
