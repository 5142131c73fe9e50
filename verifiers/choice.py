"""Which of the options does the response choose? By its letter, or by its words.

`problem.answer` is {"letter": "C", "options": ["...", ...]}: the right option's letter, and the options in the order in which
the problem showed them. Rungs:

    extract   there is no answer in the response, or it names several options: wrong
    letter    a letter alone, or one with the option's own words behind it
    option    the words of exactly one option, or mathematics that equals exactly one
"""

import re
import string
from collections.abc import Mapping, Sequence
from typing import Any

from ..core import Problem, Status, Verdict, without_thinking
from . import math
from .answers import Unreadable, comparison, final_answer, read
from .answers.evaluation import limit
from .answers.exact import TooLarge
from .answers.identity import CannotTell
from .answers.letters import letter, letters, unwrapped
from .verifier import as_verifier

LETTERS = string.ascii_uppercase
REASON = 300

_LAST_LINE = re.compile(r"(?:(?:^|\b(?:is|be|choose|select|pick|option|choice)\s*:?\s*)[(\[]?|[(\[])([A-Z])[)\].]*\s*$")
_DENIES = re.compile(r"\b(?:not|no|or|never|neither|nor|isn't|wrong|incorrect|except)\b", re.IGNORECASE)
MAX_OPTIONS = 26


@as_verifier(unreadable=lambda problem: unreadable(problem))
def verify(problem: Problem, response: str) -> Verdict:
    """Judges which option `response` chooses; `problem.answer` as above."""
    try:
        letter, options = _answer(problem.answer)
    except (KeyError, TypeError, ValueError) as error:
        return Verdict(Status.UNDECIDED, None, "gold", f"no letter and options: {error}"[:REASON])
    answer = final_answer(response) or _last_letter(response)
    if answer is None:
        return Verdict(Status.SCORED, 0.0, "extract", "the response has no final answer")
    rung, chosen = chosen_option(answer, options)
    if chosen is None:
        return Verdict(Status.SCORED, 0.0, rung, f"{answer[:100]} is none of the {len(options)} options"[:REASON])
    return Verdict(Status.SCORED, float(LETTERS[chosen] == letter), rung, f"{LETTERS[chosen]} against {letter}")


def unreadable(problem: Problem) -> str | None:
    """Why no answer to a problem could be judged, or None."""
    if not (isinstance(problem.answer, Mapping) and "options" in problem.answer):
        return math.unreadable(problem)
    try:
        _, options = _answer(problem.answer)
    except (KeyError, TypeError, ValueError) as error:
        return f"it wants a letter and options ({error})"
    if len({option.strip() for option in options}) < len(options):
        return "two of its options are the same"
    return None


@as_verifier(unreadable=unreadable)
def verify_any(problem: Problem, response: str) -> Verdict:
    """Judges a choice where the problem has options, and the final answer by `math.verify` where it has none."""
    has_options = isinstance(problem.answer, Mapping) and "options" in problem.answer
    return verify(problem, response) if has_options else math.verify(problem, response)


def _answer(answer: Any) -> tuple[str, Sequence[str]]:
    if not isinstance(answer, Mapping):
        raise TypeError(f"the answer is a {type(answer).__name__}")
    letter, options = str(answer["letter"]).strip().upper(), [str(option) for option in answer["options"]]
    if not 2 <= len(options) <= MAX_OPTIONS or letter not in LETTERS[: len(options)] or len(letter) != 1:
        raise ValueError(f"{letter!r} of {len(options)} options")
    return letter, options


def chosen_option(answer: str, options: Sequence[str]) -> tuple[str, int | None]:
    """Which option an answer names, by its place, and by which rung; None where it names none, or several."""
    text = unwrapped(answer)
    if letters(text) is not None:
        return "extract", None
    named = letter(text)
    if named and (place := LETTERS.find(named[0].upper())) < len(options):
        rest = _words(named[1])
        if not rest:
            return "letter", place
        # A letter with another option's words is two answers.
        meant = [index for index, option in enumerate(options) if _words(option) == rest]
        if meant:
            return "letter", place if meant == [place] else None
        if _DENIES.search(named[1]) or any(len(_words(option)) > 3 and _words(option) in rest for option in options):
            return "letter", None
        return "letter", place
    return "option", _by_content(text, options)


def _by_content(text: str, options: Sequence[str]) -> int | None:
    if (place := [index for index, option in enumerate(options) if option.strip() == text.strip(" .")]) and len(place) == 1:
        return place[0]  # its very letters: AA is not Aa
    words = _words(text)
    exact = [index for index, option in enumerate(options) if _words(option) == words]
    if words and len(exact) == 1:
        return exact[0]
    with limit(math.SECONDS):
        equal = [index for index, option in enumerate(options) if _equal(option, text)]
    return equal[0] if len(equal) == 1 else None


def _equal(option: str, text: str) -> bool:
    """Whether an option and an answer are the same mathematics; words only count letter by letter."""
    try:
        readings = [(a, b) for a in read(option) for b in read(text) if "text" not in (a.kind, b.kind)]
        return any(comparison.same(a, b) for a, b in readings)
    except (Unreadable, CannotTell, TooLarge, RecursionError):
        return False


def _words(text: str) -> str:
    """A text's letters, digits and signs, without case, spaces, an article before and punctuation behind."""
    plain = re.sub(r"[\s$]+", " ", text.casefold()).strip(" .,;:")
    return re.sub(r"^(?:an?|the) ", "", plain).replace(" ", "")


def _last_letter(response: str) -> str | None:
    """The letter that a response's last line ends with, as "I choose (B)."."""
    lines = without_thinking(response).strip().rsplit("\n", 1)
    line = lines[-1][-200:].replace("*", "").strip()
    found = _LAST_LINE.search(line)
    if not found or _DENIES.search(line) or len(re.findall(r"\b[A-Z]\b", line.replace("I ", " "))) > 1:
        return None
    return found[1]
