"""Which option a row says is right: by its place, by its letter, by its text, or by several of them.

    "answer_index": 3, "answer": "D"       MMLU-Pro: the place, from 0, is never in doubt
    "answer_letter": "D", "answer": "..."  SuperGPQA: the letter, and the option's text
    "answer_idx": "D", "answer": "..."     MedQA: the same under another name
    "answer": 3                            MMLU: a number is a place, from 0
    "answer": "D"                          a letter alone, written as (D) or D. too, is a letter, also where an option reads "D"
    "answer": "iron", "answer": "1"        else a text is an option's: "1" is the option that reads 1, not a place
    "answer": "D) iron"                    a letter with that option's text behind it

What a row says twice has to agree. A text that is no option and no letter is refused, also a number in digits: whether it
counts from 0 or from 1 cannot be told.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ...verifiers.answers.extraction.letters import letter
from ...verifiers.choice import LETTERS

PLACES = ("answer_index", "answer_idx", "answer_letter")
"""Columns that tell nothing but the place: as a number from 0, or as a letter."""


def place(row: Mapping[str, Any], options: Sequence[str]) -> int:
    """The place of the right option, from 0.

    Args:
        row: what says so: `answer`, any of `PLACES`, or several of these.
        options: their texts in order, without white space around them.

    Raises:
        ValueError: it is not said, or what is said does not agree.
    """
    given = {column: row[column] for column in (*PLACES, "answer") if _is_said(row.get(column))}
    explicit = {column: _explicit(column, given[column], options) for column in PLACES if column in given}
    if len(set(explicit.values())) > 1:
        raise ValueError("; ".join(f"{column} is {given[column]!r}" for column in explicit) + ": these are different options")
    if not given:
        raise ValueError("nothing says which option is right")
    if not explicit:
        return _of_answer(given["answer"], options)[0]
    (found,) = set(explicit.values())
    if "answer" in given:
        try:
            meant = _of_answer(given["answer"], options)
        except ValueError:
            if not isinstance(given["answer"], str) or _lone_letter(given["answer"]):
                raise
            meant = [found]  # a text that is no option's contradicts none
        if found not in meant:
            column = next(iter(explicit))
            raise ValueError(f"{column}={given[column]!r} and answer={given['answer']!r:.80} are different options")
    return found


def _is_said(value: Any) -> bool:
    return value is not None and value == value and str(value).strip() != ""


def _explicit(column: str, value: Any, options: Sequence[str]) -> int:
    """A place as a number from 0, in digits too, or as a letter."""
    text = str(value).strip()
    number = _whole(value)
    if number is None and text.isascii() and text.isdigit():
        number = int(text)
    if number is not None:
        return _within(number, options)
    alone = _lone_letter(text)
    if alone is None:
        raise ValueError(f"{column}={value!r:.80} is no place and no letter")
    return _lettered(alone, options)


def _of_answer(value: Any, options: Sequence[str]) -> list[int]:
    """The places that an answer may mean, the likeliest first."""
    number = _whole(value)
    if number is not None:
        return [_within(number, options)]
    text = str(value).strip()
    of_text = [place for place, option in enumerate(options) if option == text]
    if not of_text:  # another case, or other white space
        of_text = [place for place, option in enumerate(options) if _plain(option) == _plain(text)]
    alone = _lone_letter(text)
    if alone is not None and (LETTERS.index(alone) < len(options) or not of_text):
        return [_lettered(alone, options), *of_text]
    if of_text:
        return of_text
    named = letter(text)
    if named is None or _plain(named[1]) not in ("", _plain(options[_lettered(named[0].upper(), options)])):
        raise ValueError(f"the answer {text[:80]!r} is no option and no letter of one")
    return [_lettered(named[0].upper(), options)]


def _whole(value: Any) -> int | None:
    """A whole number, also as the float that it is beside missing ones."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value or value % 1:
        return None
    return int(value)


def _within(number: int, options: Sequence[str]) -> int:
    if not 0 <= number < len(options):
        raise ValueError(f"there is no option {number}, from 0, of {len(options)}")
    return number


def _lone_letter(text: str) -> str | None:
    """The letter of a text that is nothing else: D, (D), D., option D."""
    named = letter(text.strip())
    return named[0].upper() if named and not named[1] else None


def _lettered(found: str, options: Sequence[str]) -> int:
    if LETTERS.index(found) >= len(options):
        raise ValueError(f"there is no option {found}: there are {len(options)}")
    return LETTERS.index(found)


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()
