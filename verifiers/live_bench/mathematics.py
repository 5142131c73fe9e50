"""Scores of LiveBench's category math: competitions, rearranged proofs, symbolic answers."""

import re
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

from .marks import Unreadable, integer, last_box, last_line, solutions, with_boxes, without

TOLERANCE = Fraction(1, 100_000)
"""Largest difference of two equal numbers in the task integrals_with_game."""
LARGEST_DENOMINATOR = 10_000_000
"""A decimal number is read as a fraction with at most this denominator."""
_SIZES = ("\\left", "\\right", "\\bigl", "\\bigr", "\\Bigl", "\\Bigr")
_HUGE = re.compile(r"e[-+]?\d{4}", re.IGNORECASE)
"""An exponent of so many digits that the number takes long to compute."""
_CONSTANTS = ("+C", "+ C", "+ c", "+c")


class Candidates(NamedTuple):
    """Answers of a response that still have to be compared with the gold answer. The response is correct if one equals it."""

    candidates: Sequence[str]
    otherwise: float
    """The score if none does."""


def amc(gold: str, option: str | None, text: str) -> float:
    """Scores a letter: between tags, four times in a row, in a box, or in the last line; or the text of the option at the end.

    Args:
        gold: the letter, A to E.
        option: the text of the correct option, if it is known.
        text: the response.
    """
    found, letter = solutions(text), gold.lower()
    if (found and _repeats(found[-1], letter)) or gold * 4 in text:
        return 1.0
    text = with_boxes(text)
    if without(last_box(text) or "", ("\\text{", "}", "\\")).lower() == letter:
        return 1.0
    if option and option in text[-20 - len(option) :]:
        return 1.0
    line = last_line(text)
    if line.strip().replace("*", "").lower() == letter:
        return 1.0
    return float("(" in line and ")" in line and line.split("(")[1].split(")")[0].lower() == letter)


def aime(gold: str, text: str) -> float:
    """Scores the digits of the gold answer within the last 50 characters."""
    found = solutions(text)
    return float(bool(found and _repeats(found[-1], gold.lower())) or gold in text[-50:])


def _repeats(text: str, letter: str) -> bool:
    """True if a text is one character, repeated, in upper or lower case."""
    return len(set(text)) == 1 and text[0].lower() == letter


def olympiad(gold: Sequence[int], text: str) -> float:
    """Scores the numbers of a proof's expressions in their order: 1 minus the edit distance as a share of the longer list."""
    found = _numbers(text)
    return 1 - edit_distance(found, gold) / max(len(found), len(gold))


def edit_distance(first: Sequence[object], second: Sequence[object]) -> int:
    """Returns the Levenshtein distance of two sequences."""
    row = list(range(len(second) + 1))
    for index, item in enumerate(first, start=1):
        diagonal, row[0] = row[0], index
        for place, other in enumerate(second, start=1):
            changed = diagonal if item == other else 1 + min(diagonal, row[place], row[place - 1])
            diagonal, row[place] = row[place], changed
    return row[-1]


def _numbers(text: str) -> Sequence[int | None]:
    """Returns the list of numbers from the first of four places that has one: "answer:", a box, the last line, the last
    "answer:". None stands for an entry that is no number."""
    places: tuple[Callable[[str], list[int | None]], ...] = (_after_answer, _in_box, _in_last_line)
    for read in places:
        found = read(text)
        if any(number is not None for number in found):
            return found
    return _anywhere(text)


def _after_answer(text: str) -> list[int | None]:
    lines = text.lower().strip().split("\n")
    index = max((number for number, line in enumerate(lines) if "answer:" in line), default=None)
    if index is None:
        return []
    entries = without(lines[index].split("answer:")[1], ("**", ".")).strip()
    if not entries and index + 1 < len(lines):
        entries = without(lines[index + 1], ("answer:", "**", ".")).strip()
    words = (entry.strip().split(" ")[-1] for entry in entries.split(","))
    return [integer(without(word, ("$", "{", "}", "\\", "boxed", "<", ">"))) for word in words]


def _in_box(text: str) -> list[int | None]:
    if "\\boxed" not in text:
        return []
    box = last_box(text)
    return [integer(entry) for entry in without(text if box is None else box, ("\\text{", "}", "\\")).strip().split(",")]


def _in_last_line(text: str) -> list[int | None]:
    digits = (_first_digits(entry) for entry in last_line(text.lower()).split(","))
    return [integer(entry) for entry in digits if entry]


def _anywhere(text: str) -> list[int | None]:
    numbers: list[int | None] = []
    for index, entry in enumerate(text.lower().split("answer:")[-1].split(",")):
        digits = _first_digits(stripped := entry.strip())
        if digits and digits != "₂":
            if (number := integer(digits)) is None:
                raise Unreadable("a digit that is no number")
            numbers.append(number)
        if index and len(digits) < len(stripped):
            break
    return numbers


def _first_digits(text: str) -> str:
    """Returns the first digits of a text that follow each other."""
    start = next((index for index, character in enumerate(text) if character.isdigit()), len(text))
    end = next((index for index in range(start, len(text)) if not text[index].isdigit()), len(text))
    return text[start:end]


def amps_hard(gold: str, text: str) -> Candidates:
    """Returns the expression in the last box, or between the last dollar signs. Without both, the text must end with the gold
    answer."""
    text = with_boxes(without(text, _CONSTANTS))
    text = without(text.replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac"), (*_SIZES, "\\,", "\\;", "\n"))
    text = text.replace("\\cdot", "*")
    box = last_box(text)
    found = _in_dollars(text) if box is None else box
    if found is not None:
        return Candidates([found.split("=")[-1]], 0.0)
    gold = without(gold, _SIZES[:2]).replace(" ^", "^").replace("\\ ", "*")
    return Candidates([], float(text.removesuffix(".").endswith(gold)))


def _in_dollars(text: str) -> str | None:
    if text.count("$") < 2:
        return None
    end = text.rindex("$")
    end -= text[end - 1] == "$"
    found = text[text.rfind("$", 0, end) + 1 : end]
    return found.split("\\quad \\text{or} \\quad")[-1].strip() if "=" not in found else found


def integrals_with_game(gold: str, text: str) -> Candidates:
    """Returns the answers in the last tag and in the last box. Numbers are compared here, and other answers are returned.

    The response is also correct if the gold answer is within its last 200 characters.
    """
    wanted, others = number(gold), []
    try:
        for answer in _game_answers(text):
            value = number(answer)
            if value is None or wanted is None:
                others += [answer] * ("," not in answer)  # sympy does not read 3,375
            elif abs(value - wanted) < TOLERANCE:
                return Candidates([], 1.0)
    except Unreadable:
        return Candidates(others, 0.0)
    return Candidates(others, float(_plain(gold) in _plain(text[-200:])))


def _game_answers(text: str) -> Iterator[str]:
    if (tags := solutions(text, lines=True, any_case=True)) and (answer := tags[-1].strip()):
        yield answer
    if (box := last_box(with_boxes(text))) is not None:
        yield box


def number(text: str) -> Fraction | None:
    """Returns the value of an integer, a fraction or a decimal number; None for anything else.

    What follows \\frac{1}{2} is not read, as in LiveBench's code.
    """
    text = _plain(text)
    if fraction := re.match(r"\\frac\{(\d+)\}\{(\d+)\}", text):
        text = f"{fraction[1]}/{fraction[2]}"
    if (whole := integer(text)) is not None:
        return Fraction(whole)
    if _HUGE.search(text):
        return None
    try:
        value = Fraction(text)
    except (ValueError, ZeroDivisionError):
        return None
    return value if "/" in text else value.limit_denominator(LARGEST_DENOMINATOR)


def _plain(text: str) -> str:
    text = text.strip().replace("\\\\", "\\").replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac")
    return without(without(text, _SIZES).replace("\\cdot", "*"), ("\\,", "\\;", "\n", " "))
