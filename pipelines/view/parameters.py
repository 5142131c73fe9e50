"""Parameters of requests, which may be any text."""

import re
from collections.abc import Mapping
from typing import TypedDict

MAX_LIMIT = 1_000
"""Largest number of rows of an answer. Our choice."""


class InvalidRequestError(Exception):
    """A parameter of a request is invalid. Its text is one line."""


class Page(TypedDict):
    """The part of a list that is asked for."""

    offset: int
    limit: int


def whole(query: Mapping[str, str], name: str) -> int | None:
    """Returns a parameter that is a whole number; None if it is missing.

    Raises:
        InvalidRequestError: it is none, or too large.
    """
    text = query.get(name, "")
    if not text:
        return None
    if not re.fullmatch(r"-?\d{1,15}", text, re.ASCII):
        raise InvalidRequestError(f"{name}: expected a whole number")
    return int(text)


def real(query: Mapping[str, str], name: str) -> float | None:
    """Returns a parameter that is a number; None if it is missing.

    Raises:
        InvalidRequestError: it is none.
    """
    text = query.get(name, "")
    if not text:
        return None
    if not re.fullmatch(r"-?\d{1,15}(\.\d{1,20})?(e-?\d{1,2})?", text, re.ASCII):
        raise InvalidRequestError(f"{name}: expected a number")
    return float(text)


def page(query: Mapping[str, str]) -> Page:
    """Returns `offset` and `limit`.

    Raises:
        InvalidRequestError: one of them is no number, or too large.
    """
    offset, limit = whole(query, "offset") or 0, whole(query, "limit")
    limit = 50 if limit is None else limit
    if offset < 0 or not 0 <= limit <= MAX_LIMIT:
        raise InvalidRequestError(f"expected offset of at least 0 and limit of at most {MAX_LIMIT}")
    return Page(offset=offset, limit=limit)
