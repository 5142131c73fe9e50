"""What a sentence claims of options' letters, and what a text asserts in the end."""

from enum import Enum, auto
from typing import NamedTuple


class Kind(Enum):
    """What a sentence does with letters."""

    ANSWERS = auto()
    ASSERTS = auto()
    DENIES = auto()
    DOUBTS = auto()


class Claim(NamedTuple):
    """What a sentence says of letters."""

    kind: Kind
    letters: frozenset[str] = frozenset()
    words: str = ""
    """What stands behind the letter, where that may be the option's words: "the integral diverges"."""
    replaces: Kind | None = None
    """In whose place it stands: of earlier assertions ("So it is C"), or even of answers ("Actually, it is C")."""


class Asserted(NamedTuple):
    """What a text asserts in the end."""

    letters: frozenset[str]
    """One where the text chooses, several where it contradicts itself."""
    words: str


class Named(NamedTuple):
    """Letters at the beginning of a text."""

    letters: frozenset[str]
    asks: bool
    rest: str
