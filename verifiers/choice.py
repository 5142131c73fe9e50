"""Which of the options does the response choose? By its letter, or by its words.

`problem.answer` is {"letter": "C", "options": ["...", ...]}: the right option's letter, and the options in the order in which
the problem showed them. A box or an `<answer>` tag counts before what the text says; where it holds no option (a formula of the
way there), what the text says counts. Rungs:

    extract   there is no answer in the response, or it names several options: wrong
    letter    a letter alone, or one with the option's own words behind it
    option    the words of exactly one option, or mathematics that equals exactly one
"""

import re
import string
from collections.abc import Mapping, Sequence

from ..core import Problem, Status, Verdict
from . import math
from .answers import Unreadable, comparison, final_answer, forms, read
from .answers.extraction.boxes import last_mark
from .answers.extraction.choices import apposition, asserted
from .answers.extraction.hedges import others
from .answers.extraction.letters import letter, letters, unwrapped
from .answers.extraction.markers import markers
from .answers.extraction.response import visible
from .answers.extraction.statements import sentence
from .answers.grammar.tree import Node
from .answers.values.exact import TooLarge
from .answers.values.identity import CannotTell
from .budget import SECONDS, in_time, limit
from .verifier import as_verifier

LETTERS = string.ascii_uppercase
REASON = 300

_DENIES = re.compile(r"\b(?:not|no|or|never|neither|nor|isn't|wrong|incorrect|except)\b", re.IGNORECASE)
_LOWER_LABEL = re.compile(r"[(\[]?([a-z])[)\].:]\s+(\S.*)")
"""A small letter that labels an option's words: "c) the integral diverges"."""
MAX_OPTIONS = 26


def invalid_gold(problem: Problem) -> str | None:
    """Why no answer to a problem could be judged, or None."""
    if not (isinstance(problem.answer, Mapping) and "options" in problem.answer):
        return math.invalid_gold(problem)
    try:
        _, options = _answer(problem.answer)
    except (KeyError, TypeError, ValueError) as error:
        return f"it wants a letter and options ({error})"
    if len({option.strip() for option in options}) < len(options):
        return "two of its options are the same"
    return None


@as_verifier(invalid_gold=invalid_gold)
def verify(problem: Problem, response: str) -> Verdict:
    """Judges which option `response` chooses; `problem.answer` as above."""
    try:
        letter, options = _answer(problem.answer)
    except (KeyError, TypeError, ValueError) as error:
        return Verdict(Status.UNDECIDED, None, "gold", f"no letter and options: {error}"[:REASON])
    with limit(SECONDS):
        method, chosen, said = _choice(response, options)
    if chosen is None:
        reason = f"{said[:100]} is none of the {len(options)} options" if said else "the response has no final answer"
        return Verdict(Status.SCORED, 0.0, method, reason[:REASON])
    return Verdict(Status.SCORED, float(LETTERS[chosen] == letter), method, f"{LETTERS[chosen]} against {letter}")


def _choice(response: str, options: Sequence[str]) -> tuple[str, int | None, str]:
    """The method by which a response chooses, the index of the option, and the words that say so."""
    text = visible(response)
    mark = last_mark(text)
    if mark is None:
        return _lettered(text, options) or _worded(text, options)
    content = mark[0].content
    if content is None:
        return "extract", None, ""
    inner = last_mark(content) if mark[1] else None
    if inner is not None and inner[0].content is not None:
        content = inner[0].content
    method, chosen = chosen_option(content, options)
    if chosen is not None or method != "option":
        return method, chosen, content
    # No option is marked: a sentence may be ("The answer is C"), or a formula of the way there, and the choice stands behind.
    return _lettered(content, options) or _lettered(text[mark[0].end :], options) or (method, None, content)


def _lettered(text: str, options: Sequence[str]) -> tuple[str, int | None, str] | None:
    """The choice of a text by an option's letter; None where no letter is asserted."""
    said = asserted(text, options)
    if len(said.letters) == 1:
        place = LETTERS.index(next(iter(said.letters)))
        return "letter", None if _are_others(said.words, place, options) else place, text[-100:]
    return ("extract", None, ", ".join(sorted(said.letters))) if said.letters else None


def _worded(text: str, options: Sequence[str]) -> tuple[str, int | None, str]:
    """The choice of a text by an option's words: its last line's, or its final answer's."""
    last = text.rstrip().rsplit("\n", 1)[-1].strip(" -•>*\t")
    if (place := _by_words(last, options)) is not None:
        return "option", place, last
    if (labelled := _LOWER_LABEL.fullmatch(last)) and _by_words(labelled[2], options) == LETTERS.find(labelled[1].upper()):
        return "letter", LETTERS.find(labelled[1].upper()), last
    marker = next(markers(text), None)
    said = sentence(text[marker.end :].lstrip().split("\n", 1)[0]) if marker and not marker.denied else ""
    if said and (place := _by_words(said, options)) is not None:
        return "option", place, said  # as it stands: "the sky is blue" is no blue
    answer = final_answer(text)
    if answer is None:
        return "extract", None, ""
    method, chosen = chosen_option(answer, options)
    return method, chosen if method == "option" else None, answer


def _are_others(words: str, place: int, options: Sequence[str]) -> bool:
    """Whether the words behind a letter are another option's: a letter with another option's words is two answers."""
    told = _words(apposition(words))
    others = [_words(option) for index, option in enumerate(options) if index != place]
    own = _words(options[place])
    return (
        bool(told)
        and told != own
        and (told in others or any(len(other) > 3 and other in told and other not in own for other in others))
        and own not in told
    )


@as_verifier(invalid_gold=invalid_gold, values={"form": forms.FORMS})
def verify_any(problem: Problem, response: str, form: str = forms.FORMS[0]) -> Verdict:
    """Judges a choice where the problem has options, and the final answer as `math.verify` where it has none."""
    has_options = isinstance(problem.answer, Mapping) and "options" in problem.answer
    return verify(problem, response) if has_options else math.judged(problem, response, form)


def _answer(answer: object) -> tuple[str, Sequence[str]]:
    if not isinstance(answer, Mapping):
        raise TypeError(f"the answer is a {type(answer).__name__}")
    letter, options = str(answer["letter"]).strip().upper(), [str(option) for option in answer["options"]]
    if not 2 <= len(options) <= MAX_OPTIONS or letter not in LETTERS[: len(options)] or len(letter) != 1:
        raise ValueError(f"{letter!r} of {len(options)} options")
    return letter, options


def chosen_option(answer: str, options: Sequence[str]) -> tuple[str, int | None]:
    """Which option an answer names, by its place, and by which method; None where it names none, or several."""
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
        own = options[place] if place >= 0 else ""
        if others(named[1], frozenset(LETTERS[: len(options)]), own) or _DENIES.search(named[1]):
            return "letter", None
        if any(len(_words(option)) > 3 and _words(option) in rest for option in options):
            return "letter", None
        return "letter", place
    return "option", _by_content(text, options)


def _by_words(text: str, options: Sequence[str]) -> int | None:
    if (place := [index for index, option in enumerate(options) if option.strip() == text.strip(" .")]) and len(place) == 1:
        return place[0]  # its very letters: AA is not Aa
    words = _words(text)
    exact = [index for index, option in enumerate(options) if _words(option) == words]
    return exact[0] if words and len(exact) == 1 else None


def _by_content(text: str, options: Sequence[str]) -> int | None:
    if (place := _by_words(text, options)) is not None:
        return place
    try:
        answers = read(text)
    except (Unreadable, RecursionError):
        return None
    equal = [index for index, option in enumerate(options) if _equal(option, answers)]
    if len(equal) != 1:
        in_time()  # an option that was not compared in time is not known to differ
    return equal[0] if len(equal) == 1 else None


def _equal(option: str, answers: Sequence[Node]) -> bool:
    """Whether an option and an answer, as read, are the same mathematics; words only count letter by letter."""
    try:
        readings = [(a, b) for a in read(option) for b in answers if "text" not in (a.kind, b.kind)]
        return any(comparison.same(a, b) for a, b in readings)
    except (Unreadable, CannotTell, TooLarge, RecursionError):
        return False


def _words(text: str) -> str:
    """A text's letters, digits and signs, without case, spaces, an article before and punctuation behind."""
    plain = re.sub(r"[\s$]+", " ", text.casefold()).strip(" .,;:")
    return re.sub(r"^(?:an?|the) ", "", plain).replace(" ", "")
