"""Finds the correct option of a multiple-choice row.

    "answer_index": 3, "answer": "D"       MMLU-Pro: the index from 0, which is unambiguous
    "answer_letter": "D", "answer": "..."  SuperGPQA: the letter, and the text of the option
    "answer_idx": "D", "answer": "..."     MedQA: the same with another column name
    "answer": 3                            MMLU: a number is an index from 0
    "answer": "D"                          a letter, also (D) or D., names the fourth option, even if another has the text "D"
    "answer": "iron", "answer": "1"        any other text is that of an option: "1" is the option with the text 1
    "answer": "D) iron"                    a letter and the text of its option

If several columns name the option, they must agree. An answer that is neither an option nor a letter is rejected unless another
column names the option. In `answer`, a text of digits is not read as an index, because it may count from 0 or from 1.
"""

from collections.abc import Mapping, Sequence

from ...verifiers.answers.extraction.letters import leading_letter
from ...verifiers.choice import LETTERS

POSITION_COLUMNS = ("answer_index", "answer_idx", "answer_letter")
"""Columns that contain only the index (from 0) or the letter of the correct option."""


def correct_index(row: Mapping[str, object], options: Sequence[str]) -> int:
    """Returns the index of the correct option, from 0.

    Args:
        row: has `answer`, some of `POSITION_COLUMNS`, or both.
        options: texts of the options in order, without surrounding white space.

    Raises:
        ValueError: no column names the option, or the columns disagree.
    """
    values = {column: row[column] for column in (*POSITION_COLUMNS, "answer") if _is_present(row.get(column))}
    explicit = {column: _explicit(column, values[column], options) for column in POSITION_COLUMNS if column in values}
    if len(set(explicit.values())) > 1:
        raise ValueError("; ".join(f"{column} is {values[column]!r}" for column in explicit) + ": these are different options")
    if not values:
        raise ValueError("no column names the correct option")
    if not explicit:
        return _candidates(values["answer"], options)[0]
    (found,) = set(explicit.values())
    if "answer" in values:
        try:
            candidates = _candidates(values["answer"], options)
        except ValueError:
            if not isinstance(values["answer"], str) or _lone_letter(values["answer"]):
                raise
            candidates = [found]  # a text that is not an option does not disagree with the other column
        if found not in candidates:
            column = next(iter(explicit))
            raise ValueError(f"{column}={values[column]!r} and answer={values['answer']!r:.80} are different options")
    return found


def _is_present(value: object) -> bool:
    return value is not None and value == value and str(value).strip() != ""


def _explicit(column: str, value: object, options: Sequence[str]) -> int:
    """Returns the index that a position column contains, as a number or a letter."""
    text = str(value).strip()
    number = _integer(value)
    if number is None and text.isascii() and text.isdigit():
        number = int(text)
    if number is not None:
        return _within(number, options)
    alone = _lone_letter(text)
    if alone is None:
        raise ValueError(f"{column}={value!r:.80} is neither an index nor a letter")
    return _lettered(alone, options)


def _candidates(value: object, options: Sequence[str]) -> list[int]:
    """Returns the indices that an answer may mean, the most likely first."""
    number = _integer(value)
    if number is not None:
        return [_within(number, options)]
    text = str(value).strip()
    by_text = [index for index, option in enumerate(options) if option == text]
    if not by_text:  # compare without case and white space
        by_text = [index for index, option in enumerate(options) if _plain(option) == _plain(text)]
    alone = _lone_letter(text)
    if alone is not None and (LETTERS.index(alone) < len(options) or not by_text):
        return [_lettered(alone, options), *by_text]
    if by_text:
        return by_text
    named = leading_letter(text)
    if named is None or _plain(named[1]) not in ("", _plain(options[_lettered(named[0].upper(), options)])):
        raise ValueError(f"the answer {text[:80]!r} is neither an option nor the letter of one")
    return [_lettered(named[0].upper(), options)]


def _integer(value: object) -> int | None:
    """Returns an integer, also from a float, because pandas stores integers as floats in a column with missing values."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value or value % 1:
        return None
    return int(value)


def _within(number: int, options: Sequence[str]) -> int:
    if not 0 <= number < len(options):
        raise ValueError(f"there is no option with index {number}: there are {len(options)} options")
    return number


def _lone_letter(text: str) -> str | None:
    """Returns the letter of a text with nothing else: D, (D), D., option D."""
    named = leading_letter(text.strip())
    return named[0].upper() if named and not named[1] else None


def _lettered(found: str, options: Sequence[str]) -> int:
    if LETTERS.index(found) >= len(options):
        raise ValueError(f"there is no option {found}: there are {len(options)} options")
    return LETTERS.index(found)


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()
