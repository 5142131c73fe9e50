"""Types for the claims of a sentence about the letters of options, and for the letters that a text asserts."""

from enum import Enum, auto
from typing import NamedTuple


class Kind(Enum):
    """The kind of a claim about letters. See `choices`."""

    ANSWERS = auto()
    ASSERTS = auto()
    DENIES = auto()
    DOUBTS = auto()


class Claim(NamedTuple):
    """A claim of a sentence about letters."""

    kind: Kind
    letters: frozenset[str] = frozenset()
    words: str = ""
    """The words after the letter if they may be the option's text: "the integral diverges"."""
    replaces: Kind | None = None
    """Kind of earlier claims that it replaces: assertions ("So it is C"), or also answers ("Actually, it is C")."""


class Asserted(NamedTuple):
    """The letters that a text asserts at its end."""

    letters: frozenset[str]
    """One letter if the text chooses an option, several if it contradicts itself."""
    words: str
    """The words after the chosen letter."""


class LeadingLetters(NamedTuple):
    """The letters at the beginning of a text."""

    letters: frozenset[str]
    asks: bool
    """True if a question mark follows."""
    rest: str
