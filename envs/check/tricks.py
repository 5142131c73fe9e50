"""Responses that must not win, because whoever writes them has not solved the problem; `no_op.py` plays them."""

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from ...core import Problem
from ...golds import Options
from ..gold import gold_response
from . import hard_coded
from .finding import Level

CONSTANTS = ("0", "1", "A", "yes", "I do not know.")
"""Constant responses, beside the most frequent gold answer. Our choice."""
FLOOD = 20_000
"""Length of the text after an answer, in characters. Our choice."""
LONGEST_LIST = 5_000
"""Length of a list of answers or numbers, in characters. Our choice."""
LONGEST_OTHER = 200
"""Length of an answer that such a text states, in characters. Our choice."""
_NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?![\w.]*\w)")


@dataclass(frozen=True, slots=True)
class Posed:
    """A problem as the checks play it."""

    index: int
    prompt: str
    problem: Problem | None
    """None if the environment has no list of `Problem`."""
    gold: str | None
    """A correct response, or None; see `gold_response`."""

    @property
    def options(self) -> Options | None:
        """The options of a multiple-choice problem, or None."""
        answer = None if self.problem is None else self.problem.answer
        is_choice = isinstance(answer, Mapping) and "letter" in answer and isinstance(answer.get("options"), list | tuple)
        return cast(Options, answer) if is_choice else None

    @property
    def answer(self) -> str | None:
        """The gold answer as text, if it is a text, a number, a list of these, or a letter."""
        if self.options is not None:
            return str(self.options["letter"])
        answer = None if self.problem is None else self.problem.answer
        if isinstance(answer, list | tuple) and answer:
            answer = answer[0]
        return str(answer) if isinstance(answer, str | int | float) else None


def posed(index: int, prompt: str, problem: Problem | None) -> Posed:
    """Returns a problem as the checks play it. A problem that cannot be used has no correct response."""
    if problem is None or "invalid_gold" in problem.meta:
        return Posed(index, prompt, problem, None)
    choice = Posed(index, prompt, problem, None)
    return Posed(index, prompt, problem, choice.answer if choice.options is not None else gold_response(problem))


Responses = dict[str, list[str | None]]
"""Responses to the problems by a description of them. None: there is no such response to this problem."""


@dataclass(frozen=True, slots=True)
class Trick:
    """A way to respond without solving the problem."""

    name: str
    respond: Callable[[Sequence[Posed]], Responses]
    absent: str
    """Why it cannot be played, if there is no such response to any problem."""
    remedy: str
    guesses: bool = True
    """True if such a response may be right by chance, where there are few answers to choose from."""
    most: Level = Level.FAILS
    """The most serious level of a finding, unless the check is strict."""


def _written(text: str, prompt: str) -> str:
    """Returns an answer in the form that the prompt asks for: in a box, in a tag, or as it is."""
    if "\\boxed" in prompt:
        return f"\\boxed{{{text}}}"
    return f"<answer>{text}</answer>" if "<answer>" in prompt else text


def _empty(problems: Sequence[Posed]) -> Responses:
    return {"an empty response": [""] * len(problems)}


def _echo(problems: Sequence[Posed]) -> Responses:
    return {"the prompt": [each.prompt for each in problems]}


def _constant(problems: Sequence[Posed]) -> Responses:
    golds = Counter(each.gold for each in problems if each.gold is not None)
    responses: Responses = {f"always {text!r:.42}": [_written(text, each.prompt) for each in problems] for text in CONSTANTS}
    for gold, _ in golds.most_common(1):
        responses[f"always {gold!r:.42}, the most frequent gold answer,"] = [gold] * len(problems)
    return responses


def _swapped(problems: Sequence[Posed]) -> Responses:
    responses: list[str | None] = []
    for number, each in enumerate(problems):
        others = (*problems[number + 1 :], *problems[:number])
        other = next((other.gold for other in others if other.gold not in (None, each.gold)), None)
        responses.append(None if each.gold is None else other)
    return {"another problem's gold answer": responses}


def _options(problems: Sequence[Posed]) -> Responses:
    responses: Responses = {"all letters": [], "all letters, in the form that the prompt asks for,": [], "all options": []}
    for each in problems:
        if each.options is None:
            written: tuple[str | None, ...] = (None, None, None)
        else:
            texts = [str(option) for option in each.options["options"]]
            letters = [chr(ord("A") + number) for number in range(len(texts))]
            listed = ", ".join(letters)
            lines = "\n".join(f"{letter}) {text}" for letter, text in zip(letters, texts, strict=True))
            written = (listed, _written(listed, each.prompt), lines)
        for texts_so_far, text in zip(responses.values(), written, strict=True):
            texts_so_far.append(text)
    return responses


def _listed(problems: Sequence[Posed]) -> Responses:
    golds = dict.fromkeys(each.answer for each in problems if each.options is None and each.answer is not None)
    if len(golds) < 2:
        return {}
    text = ", ".join(map(str, golds))[:LONGEST_LIST]
    has = [each.options is None and each.answer is not None for each in problems]
    return {
        "a list of the gold answers of all problems": [text if one else None for one in has],
        "such a list, in the form that the prompt asks for,": [
            _written(text, each.prompt) if one else None for each, one in zip(problems, has, strict=True)
        ],
    }


def _flood(problems: Sequence[Posed]) -> Responses:
    golds = [*dict.fromkeys(each.answer for each in problems if each.answer is not None)]
    return {
        f"the gold answer before {FLOOD:,} characters about other answers": [
            None if each.answer is None else f"{each.answer}\n\n{_other_answers(each.answer, golds)}" for each in problems
        ]
    }


def _other_answers(answer: str, golds: Sequence[str]) -> str:
    """Returns a long text that states other answers: those of other problems, and numbers if the answer has digits or signs."""
    others = [gold for gold in golds if gold.casefold() != answer.casefold() and len(gold) <= LONGEST_OTHER]
    if answer.isalpha():
        source: Iterator[str] = itertools.cycle(others or ["something else"])
    else:
        source = itertools.chain(others, (str(number) for number in itertools.count(2) if str(number) != answer))
    sentences: list[str] = []
    length = 0
    while length < FLOOD:
        sentences.append(f"It may also be {next(source)}.")
        length += len(sentences[-1]) + 1
    return " ".join(sentences)


def _numbers(problems: Sequence[Posed]) -> Responses:
    lists = [numbers if len(numbers := [*dict.fromkeys(_NUMBER.findall(each.prompt))]) > 1 else [] for each in problems]
    texts = [", ".join(numbers)[:LONGEST_LIST] or None for numbers in lists]
    marked = [text and _written(text, each.prompt) for text, each in zip(texts, problems, strict=True)]
    return {"a list of the prompt's numbers": texts, "such a list, in the form that the prompt asks for,": marked}


def _visible(problems: Sequence[Posed]) -> Responses:
    return {
        "a program that has the outputs of the visible tests as constants": [
            None if each.problem is None else hard_coded.response(each.problem, each.prompt) for each in problems
        ]
    }


NO_TEXTS = "no gold answers that are texts or numbers"
_COMPARE = "compare the final answer with the gold answer: do not search for the gold answer in the response"
TRICKS = (
    Trick("empty", _empty, "", "give an empty response the score 0", guesses=False),
    Trick(
        "echo",
        _echo,
        "",
        "give a repetition of the prompt the score 0: the prompt must not contain what the verifier looks for",
    ),
    Trick(
        "constant",
        _constant,
        "",
        "a policy can learn this constant instead of the task: balance the gold answers",
        most=Level.WARNING,
    ),
    Trick(
        "swapped",
        _swapped,
        "the gold answers are not known, or all equal",
        "see whether the verifier is too lenient; several correct answers to one problem are no defect",
        guesses=False,
        most=Level.WARNING,
    ),
    Trick("options", _options, "no multiple-choice problems", "accept a response only if it chooses exactly one option"),
    Trick("listed", _listed, NO_TEXTS, _COMPARE),
    Trick("flood", _flood, NO_TEXTS, _COMPARE, guesses=False),
    Trick("numbers", _numbers, "no prompt with two numbers", _COMPARE),
    Trick(
        "visible",
        _visible,
        "no visible tests of programs",
        "add tests that the prompt does not show",
        guesses=False,
    ),
)
"""The tricks, in the order in which they are played."""


def chance(trick: Trick, problems: Sequence[Posed]) -> float:
    """Returns the share of problems that a response of this kind is expected to win by chance.

    A guess wins one of the options of a multiple-choice problem, and one of the gold answers if these repeat. A constant and a
    list of gold answers, of which a verifier reads one, win at least the problem with that gold answer.

    Args:
        trick: the trick.
        problems: the problems that are played.
    """
    if not trick.guesses or not problems:
        return 0.0
    counts = [len(each.options["options"]) for each in problems if each.options is not None]
    if counts:
        return sum(1 / count for count in counts) / len(problems)
    golds = [each.gold for each in problems if each.gold is not None]
    different = len(set(golds))
    if different < 2 or (2 * different > len(golds) and trick.name not in ("constant", "listed")):
        return 0.0
    return 1 / different


def near_misses(problem: Problem | None) -> Iterator[str]:
    """Yields the incorrect responses that a problem names, in its field `near_misses`."""
    listed = None if problem is None else problem.meta.get("near_misses")
    if isinstance(listed, list | tuple):
        yield from map(str, listed)
