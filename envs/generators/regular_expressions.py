"""Regular expressions: write a text that a pattern matches, or a pattern for a described form.

A form is a sequence of pieces. A pattern must match `TEXTS` texts of the form. It must not match `TEXTS` texts with a change in
one place, or texts in which one piece is too short, too long, or has a character of another kind. The prompt shows `SHOWN`
texts of the form and `SHOWN` with a change.
"""

import random
import re
import string
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ...core import Problem
from ..problems.parts import Draft, choices, distinct, integer
from .words import WORDS

URI = "generate:tenfold.envs.generators.regular_expressions:problems"
KINDS = ("text", "pattern")
TEXTS = 25
"""Number of texts that a pattern must match, and of texts with a random change that it must not match. Our choice."""
SHOWN = 3
"""Number of texts of each of these two kinds that the prompt shows. Our choice."""
TRIES = 10
"""Number of texts that are tried with the same wrong piece, because the other pieces may make the text right. Our choice."""
SIGNS = string.ascii_lowercase + string.ascii_uppercase + string.digits + "-:_/@#.+%!"
CHARACTERS = {
    "digits": ("[0-9]", string.digits),
    "lowercase letters": ("[a-z]", string.ascii_lowercase),
    "capital letters": ("[A-Z]", string.ascii_uppercase),
    "letters from a to f": ("[a-f]", "abcdef"),
    "even digits": ("[02468]", "02468"),
    "vowels (a, e, i, o, u)": ("[aeiou]", "aeiou"),
}
"""Classes of characters by their description: the pattern, and the characters."""
SEPARATORS = {"a hyphen": "-", "a colon": ":", "an underscore": "_", "a slash": "/", "an at sign": "@", "a number sign": "#"}


class Piece(NamedTuple):
    """One piece of a form: its description, its pattern, and the texts that it can be."""

    description: str
    pattern: str
    characters: str
    lengths: range
    choices: Sequence[str] = ()

    def text(self, rng: random.Random) -> str:
        """Returns a random text of this piece."""
        if self.choices:
            return rng.choice(self.choices)
        return "".join(rng.choices(self.characters, k=rng.choice(self.lengths)))


def problems(
    size: int = 500,
    seed: int = 0,
    part: str = "train",
    min_pieces: int = 2,
    max_pieces: int = 4,
    kinds: Sequence[str] = KINDS,
) -> Iterator[Problem]:
    """Yields problems.

    Args:
        size: number of problems.
        seed: seed of the random choices.
        part: all, train or held_out; see `parts.in_part`.
        min_pieces: smallest number of pieces of a form.
        max_pieces: largest number of pieces of a form.
        kinds: "text" (write a text that matches), "pattern" (write a pattern), or both.
    """
    integer("max_pieces", max_pieces, integer("min_pieces", min_pieces, 1), 20)
    kinds = choices("kinds", kinds, KINDS)

    def draw(rng: random.Random) -> Draft:
        # The first piece is not optional, so that no text is empty.
        pieces = [_piece(rng, may_be_empty=place > 0) for place in range(rng.randint(min_pieces, max_pieces))]
        pattern = "".join(piece.pattern for piece in pieces)
        if rng.choice(kinds) == "text":
            text = "".join(piece.text(rng) for piece in pieces)
            prompt = (
                "Write a text that this regular expression (in Python's syntax) matches from its first to its last character:"
                f"\n\n{pattern}"
            )
            return Draft(prompt, {"pattern": pattern}, {"solution": f"<answer>{text}</answer>"})
        match, reject = _texts(rng, pieces, pattern)
        described = "\n".join(f"{place}. {piece.description}" for place, piece in enumerate(pieces, start=1))
        prompt = (
            "Write a regular expression (in Python's syntax) that matches a text from its first to its last character if and "
            f"only if the text consists of these pieces, in this order, without spaces between them:\n\n{described}\n\n"
            f"It matches, for example: {', '.join(match[:SHOWN])}\nIt does not match: {', '.join(reject[:SHOWN])}"
        )
        answer = {"match": match, "reject": reject}
        return Draft(prompt, answer, {"solution": f"<answer>{pattern}</answer>"}, key=described)

    return distinct(URI, draw, size, seed, part)


def _piece(rng: random.Random, may_be_empty: bool) -> Piece:
    kind = rng.choice(("characters", "characters", "separator", "words", *(("optional",) if may_be_empty else ())))
    if kind == "separator":
        name = rng.choice([*SEPARATORS])
        return Piece(name, SEPARATORS[name], "", range(1), (SEPARATORS[name],))
    if kind == "words":
        words = rng.sample(WORDS, rng.randint(2, 3))
        return Piece(f"one of the words {', '.join(words)}", f"(?:{'|'.join(words)})", "", range(1), words)
    if kind == "optional":
        sign = rng.choice((".", "+", "%", "!"))
        return Piece(f'optionally the character "{sign}"', f"{re.escape(sign)}?", "", range(1), ("", sign))
    name = rng.choice([*CHARACTERS])
    pattern, characters = CHARACTERS[name]
    low = rng.randint(1, 4)
    high = low + rng.choice((0, 0, 1, 2))
    if low == high:
        return Piece(f"exactly {low} {name}", f"{pattern}{{{low}}}", characters, range(low, low + 1))
    return Piece(f"{low} to {high} {name}", f"{pattern}{{{low},{high}}}", characters, range(low, high + 1))


def _texts(rng: random.Random, pieces: Sequence[Piece], pattern: str) -> tuple[list[str], list[str]]:
    """Returns texts of a form, and texts that differ from such a text in one place or one piece and are not of the form.

    The pieces have at most a few characters, so that matching their pattern takes a bounded time.
    """
    match = ["".join(piece.text(rng) for piece in pieces) for _ in range(TEXTS)]
    reject: list[str] = []
    while len(reject) < TEXTS:
        text = rng.choice(match)
        place = rng.randrange(len(text) + 1)
        change = rng.choice(("delete", "insert", "replace", "double"))
        inserted = "" if change == "delete" else text[place : place + 1] * 2 if change == "double" else rng.choice(SIGNS)
        changed = text[:place] + inserted + text[place if change == "insert" else place + 1 :]
        if changed and re.fullmatch(pattern, changed) is None:
            reject.append(changed)
    for place, piece in enumerate(pieces):
        for wrong in _wrong_texts(rng, piece):
            for _ in range(TRIES):
                changed = "".join(wrong if other == place else each.text(rng) for other, each in enumerate(pieces))
                if changed and re.fullmatch(pattern, changed) is None:
                    reject.append(changed)
                    break
    return match, reject


def _wrong_texts(rng: random.Random, piece: Piece) -> Iterator[str]:
    """Yields texts that are nearly a text of a piece: too short, too long, or with a character of another kind."""
    if piece.choices:
        text = piece.choices[-1]
        yield from (text[:-1], text + text[-1], text[:-1] + rng.choice(SIGNS.replace(text[-1], "")))
        return
    short = "".join(rng.choices(piece.characters, k=piece.lengths[0] - 1))
    yield from (short, "".join(rng.choices(piece.characters, k=piece.lengths[-1] + 1)))
    for group in (string.ascii_lowercase, string.ascii_uppercase, string.digits):
        if others := [sign for sign in group if sign not in piece.characters]:
            yield short + rng.choice(others)
