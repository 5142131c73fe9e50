"""What a push sends: files, and the card that describes them."""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ...core import UserError
from .contents import CARD, File, LeftOut, of_bytes

_START, _END = "<!-- files -->\n```text\n", "```\n"
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")
KIND_KEY = "tenfold_kind"
"""Name in the card's metadata of the kind of what is shared."""
MAX_FILES = 10_000
"""Largest number of files of a repository. Our choice."""


@dataclass(frozen=True)
class Parcel:
    """What one push sends."""

    kind: str
    """checkpoint, pages or environment."""
    type: str
    """Type of the repository: model or dataset."""
    files: tuple[File, ...]
    """The files without the card."""
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]
    """Lines for the user."""
    card: str
    """Text of README.md."""

    @property
    def all_files(self) -> tuple[File, ...]:
        """The files with the card, which is the first."""
        return (of_bytes(CARD, self.card.encode()), *self.files)


def listing(files: "list[File]") -> str:
    """Returns the section of a card with the digests of the files."""
    lines = "".join(f"{file.sha256}  {file.path}\n" for file in sorted(files, key=lambda file: file.path))
    return (
        "## Files\n\nThe SHA-256 of each file, which `tenfold pull` checks. These lines are a list for `sha256sum --check`.\n\n"
        f"{_START}{lines}{_END}"
    )


def listed(card: str) -> dict[str, str]:
    """Returns the digests that a card lists, by the file's path.

    Raises:
        ValueError: the card has no list, or one of another form.
    """
    start = card.rfind(_START)
    end = card.find(_END, start + len(_START))
    if start < 0 or end < 0:
        raise ValueError("the card has no list of files")
    found: dict[str, str] = {}
    for line in card[start + len(_START) : end].splitlines():
        match = _LINE.fullmatch(line)
        if match is None or match[2] in found or len(found) == MAX_FILES:
            raise ValueError("the card's list of files has an unexpected form")
        found[match[2]] = match[1]
    return found


def without(files: list[File], patterns: list[str]) -> tuple[list[File], list[LeftOut]]:
    """Returns the files that no pattern of the user's names, and the others.

    Raises:
        UserError: a pattern names no file.
    """
    for pattern in patterns:
        if not any(fnmatchcase(file.path, pattern) for file in files):
            raise UserError(f"--without {pattern}: no file matches; --dry-run lists the files")
    named = [file for file in files if any(fnmatchcase(file.path, pattern) for pattern in patterns)]
    return [file for file in files if file not in named], [LeftOut(file.path, "--without") for file in named]
