"""Verifier of multiple-choice answers: the option that a response chooses, by its letter or by its text.

`problem.answer` is {"letter": "C", "options": ["...", ...]}: the letter of the correct option, and the options in the order in
which the prompt lists them. If the last box or `<answer>` tag holds an option, only this option counts. If it holds something
else, such as an intermediate formula, a letter that it or the text after it states counts. The text before it never counts.

The option `format` names a benchmark whose own code decides instead which letter counts (`answers/extraction/published.py`).

The methods of a verdict:

    extract   the response has no answer, or names several letters: incorrect
    letter    the response names a letter; incorrect, too, if the words after it deny it, name another letter, or contain
              another option's text
    option    the response has an option's text, or mathematics that equals it; incorrect if none or several options fit
"""

import re
import string
from collections.abc import Mapping, Sequence

from ..core import Problem, Status, Verdict
from ..responses import without_thinking
from . import math
from .answers import ParseError, comparison, final_answer, readings_of, worked_out
from .answers.extraction.boxes import last_mark
from .answers.extraction.choices import apposition, asserted_letters
from .answers.extraction.letters import leading_letter, listed_letters, unwrapped
from .answers.extraction.markers import markers
from .answers.extraction.published import PUBLISHED
from .answers.extraction.response import searched_text
from .answers.extraction.second_answers import letters_added_after_choice
from .answers.extraction.statements import sentence
from .answers.grammar.tree import Node
from .answers.values.exact import TooLarge
from .answers.values.identity import Undecided
from .budget import SECONDS, check_time, limit
from .verifier import MAX_REASON_CHARACTERS, as_verifier

LETTERS = string.ascii_uppercase
"""The letters of options, in order."""
MAX_OPTIONS = 26
"""Options of a problem."""
ANY = "any"
"""The `format` that reads every way to state a choice."""

_DENIES = re.compile(r"\b(?:not|no|or|never|neither|nor|isn't|wrong|incorrect|except)\b", re.IGNORECASE)
_SPACED_LABEL = re.compile(r"([A-Z])\s+(\S.*)", re.DOTALL)
"""A letter and a space before the text of an option: "C the integral diverges"."""
_LOWER_LABEL = re.compile(r"[(\[]?([a-z])[)\].:]\s+(\S.*)")
"""A lower-case letter before the text of an option: "c) the integral diverges"."""


def invalid_gold(problem: Problem) -> str | None:
    """Returns why no response to the problem can be judged by its letter and options, or None."""
    try:
        _, options = _letter_and_options(problem.answer)
    except (KeyError, TypeError, ValueError) as error:
        return f"the answer needs a letter and options ({error})"
    if len({option.strip() for option in options}) < len(options):
        return "two of the options are equal"
    return None


@as_verifier(invalid_gold=invalid_gold, values={"format": (ANY, *PUBLISHED)})
def verify(problem: Problem, response: str, format: str = ANY) -> Verdict:
    """Compares the option that `response` chooses with the correct one.

    Args:
        problem: the problem.
        response: the response.
        format: "any" way to state a choice, or the name of a benchmark in `PUBLISHED`, whose rule reads the response's letter.
    """
    return _verdict(problem, response, format)


def _verdict(problem: Problem, response: str, format: str) -> Verdict:
    try:
        letter, options = _letter_and_options(problem.answer)
    except (KeyError, TypeError, ValueError) as error:
        return Verdict(Status.UNDECIDED, None, "gold", f"no letter and options: {error}"[:MAX_REASON_CHARACTERS])
    if format != ANY:
        found = chosen_letter(response, options, format)
        if found is None:
            return Verdict(Status.SCORED, 0.0, "extract", f"{format} finds no letter")
        return Verdict(Status.SCORED, float(found == letter), "letter", f"{found} against {letter}")
    with limit(SECONDS):
        method, chosen, words = _choice(response, options)
    if chosen is None:
        reason = (
            f"{words[:100]} does not choose exactly one of the {len(options)} options"
            if words
            else "the response has no final answer"
        )
        return Verdict(Status.SCORED, 0.0, method, reason[:MAX_REASON_CHARACTERS])
    return Verdict(Status.SCORED, float(LETTERS[chosen] == letter), method, f"{LETTERS[chosen]} against {letter}")


def chosen_letter(response: str, options: Sequence[str], format: str = ANY) -> str | None:
    """Returns the letter of the option that a response chooses; None if it chooses none or several.

    Args:
        response: the response.
        options: the texts of the options.
        format: option of `verify`.
    """
    if format != ANY:
        return PUBLISHED[format](without_thinking(response), options)
    _, chosen, _ = _choice(response, options)
    return None if chosen is None else LETTERS[chosen]


def _choice(response: str, options: Sequence[str]) -> tuple[str, int | None, str]:
    """Returns the method, the index of the option that a response chooses, and the words that state the choice."""
    text = searched_text(response)
    mark = last_mark(text)
    if mark is None:
        return _by_letter(text, options) or _by_text(text, options)
    content = mark.content
    if content is None:
        return "extract", None, ""
    inner = last_mark(content) if mark.is_tag else None
    if inner is not None and inner.content is not None:
        content = inner.content
    method, chosen = chosen_option(content, options)
    if chosen is not None or method != "option":
        return method, chosen, content
    # The mark holds no option. It may hold a sentence ("The answer is C"), or an intermediate formula before the choice.
    return _by_letter(content, options) or _by_letter(text[mark.end :], options) or (method, None, content)


def _by_letter(text: str, options: Sequence[str]) -> tuple[str, int | None, str] | None:
    """Returns the choice that a text makes by a letter. None if it asserts no letter."""
    asserted = asserted_letters(text, options)
    if len(asserted.letters) == 1:
        (letter,) = asserted.letters
        index = LETTERS.index(letter)
        if _is_symbol(letter.lower(), options) and not re.search(
            rf"(?<![A-Za-z]){letter}(?![A-Za-z])|\b{letter.lower()}[)\]]", text
        ):
            return None
        return "letter", None if _is_another_option(asserted.words, index, options) else index, text[-100:]
    return ("extract", None, ", ".join(sorted(asserted.letters))) if asserted.letters else None


def _is_symbol(text: str, options: Sequence[str]) -> bool:
    """True if the text is a lower-case letter and the whole text of an option, such as the number e or the speed c."""
    return len(text) == 1 and text.islower() and text in [option.strip(" .$") for option in options]


def _by_text(text: str, options: Sequence[str]) -> tuple[str, int | None, str]:
    """Returns the choice that a text makes by an option's text, in its last line or its final answer."""
    last = text.rstrip().rsplit("\n", 1)[-1].strip(" -•>*\t")
    if (index := _index_of_text(last, options)) is not None:
        return "option", index, last
    if (labelled := _LOWER_LABEL.fullmatch(last)) and _index_of_text(labelled[2], options) == LETTERS.find(labelled[1].upper()):
        return "letter", LETTERS.find(labelled[1].upper()), last
    marker = next(markers(text), None)
    answer_line = sentence(text[marker.end :].lstrip().split("\n", 1)[0]) if marker and not marker.denied else ""
    if answer_line and (index := _index_of_text(answer_line, options)) is not None:
        return "option", index, answer_line  # before extraction, which shortens "the sky is blue" to "blue"
    answer = final_answer(text)
    if answer is None:
        return "extract", None, ""
    method, chosen = chosen_option(answer, options)
    return method, chosen if method == "option" else None, answer


def _is_another_option(words: str, index: int, options: Sequence[str]) -> bool:
    """True if the words after a letter are the text of another option. Such a response gives two answers."""
    stated = _normalized(apposition(words))
    others = [_normalized(option) for number, option in enumerate(options) if number != index]
    own = _normalized(options[index])
    return (
        bool(stated)
        and stated != own
        and (stated in others or any(len(other) > 3 and other in stated and other not in own for other in others))
        and own not in stated
    )


def invalid_gold_of_any(problem: Problem) -> str | None:
    """Returns why no response to the problem can be judged by `verify_any`, or None."""
    return invalid_gold(problem) if _has_options(problem) else math.invalid_gold(problem)


@as_verifier(invalid_gold=invalid_gold_of_any, values={"form": worked_out.FORMS})
def verify_any(problem: Problem, response: str, form: str = worked_out.FORMS[0]) -> Verdict:
    """Judges the choice if the problem has options, else the final answer like `math.verify`.

    Args:
        problem: The problem.
        response: The response.
        form: Option `form` of `math.verify`.
    """
    return _verdict(problem, response, ANY) if _has_options(problem) else math.verify_answer(problem, response, form)


def _has_options(problem: Problem) -> bool:
    return isinstance(problem.answer, Mapping) and "options" in problem.answer


def _letter_and_options(answer: object) -> tuple[str, Sequence[str]]:
    if not isinstance(answer, Mapping):
        raise TypeError(f"the answer is a {type(answer).__name__}")
    if isinstance(answer["options"], str | Mapping):
        raise TypeError(f"the options must be a list of texts, and are a {type(answer['options']).__name__}")
    letter, options = str(answer["letter"]).strip().upper(), [str(option) for option in answer["options"]]
    if not 2 <= len(options) <= MAX_OPTIONS or letter not in LETTERS[: len(options)] or len(letter) != 1:
        raise ValueError(f"{letter!r} of {len(options)} options")
    return letter, options


def chosen_option(answer: str, options: Sequence[str]) -> tuple[str, int | None]:
    """Returns the method and the index of the option that an answer names. The index is None for no or several options."""
    text = unwrapped(answer)
    leading = leading_letter(text)
    if listed_letters(text) is not None:  # "A, C", or an option's text: "RNA", "D. A and C"
        if (same := _index_of_text(text, options)) is not None:
            return "option", same
        if leading is None or _index_of_text(leading[1], options) != LETTERS.find(leading[0].upper()):
            return "extract", None
    if _is_symbol(text.strip(" ."), options):
        return "option", _index_of_content(text, options)
    if leading and 0 <= (index := LETTERS.find(leading[0].upper())) < len(options):
        words = _normalized(leading[1])
        if not words:
            return "letter", index
        # A letter with the text of another option gives two answers.
        matching = [number for number, option in enumerate(options) if _normalized(option) == words]
        if matching:
            return "letter", index if matching == [index] else None
        denies = _DENIES.search(leading[1]) and not (len(words) > 3 and _normalized(options[index]).startswith(words))
        if denies or letters_added_after_choice(leading[1], frozenset(LETTERS[: len(options)]), options[index]):
            return "letter", None
        if any(len(_normalized(option)) > 3 and _normalized(option) in words for option in options):
            return "letter", None
        return "letter", index
    method, chosen = "option", _index_of_content(text, options)
    if (
        chosen is None
        and (spaced := _SPACED_LABEL.fullmatch(text))
        and _index_of_text(spaced[2], options) == LETTERS.find(spaced[1])
    ):
        return "letter", LETTERS.find(spaced[1])
    return method, chosen


def _index_of_text(text: str, options: Sequence[str]) -> int | None:
    """Returns the index of the only option with this text."""
    if (same := [index for index, option in enumerate(options) if option.strip() == text.strip(" .")]) and len(same) == 1:
        return same[0]  # compared with case first, because the options may be AA and Aa
    words = _normalized(text)
    equal = [index for index, option in enumerate(options) if _normalized(option) == words]
    return equal[0] if words and len(equal) == 1 else None


def _index_of_content(text: str, options: Sequence[str]) -> int | None:
    """Returns the index of the only option with this text or an equal mathematical value."""
    if (index := _index_of_text(text, options)) is not None:
        return index
    try:
        answers = readings_of(text)
    except (ParseError, RecursionError):
        return None
    equal = [index for index, option in enumerate(options) if _equal(option, answers)]
    if len(equal) != 1:
        check_time()  # raises if the time ran out, because then some options were not compared
    return equal[0] if len(equal) == 1 else None


def _equal(option: str, answers: Sequence[Node]) -> bool:
    """True if an option equals a reading of the answer as mathematics. Words are compared elsewhere."""
    try:
        pairs = [
            (reading, answer)
            for reading in readings_of(option)
            for answer in answers
            if "text" not in (reading.kind, answer.kind)
        ]
        return any(comparison.equivalent(reading, answer) for reading, answer in pairs)
    except (ParseError, Undecided, TooLarge, RecursionError):
        return False


def _normalized(text: str) -> str:
    """Returns the text without case, spaces, dollar signs, a leading article, and punctuation at either end."""
    plain = re.sub(r"[\s$]+", " ", text.casefold()).strip(" .,;:")
    return re.sub(r"^(?:an?|the) ", "", plain).replace(" ", "")
