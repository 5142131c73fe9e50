"""Scores of LiveBench's category reasoning."""

import itertools
import re
from collections.abc import Sequence

from .marks import between_closing_tags, integer, last_box, last_line, solutions, with_boxes, without

TRUTHS = ("yes", "no", "unknown")
_WORDS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
NUMBERS = {word: str(number) for number, word in enumerate(f"{_WORDS} eighteen nineteen twenty".split())}
SHAPES = ("tetrahedra", "tetrahedron", "triangle", "square")
"""Gold answers that a longer answer may contain, such as "two tetrahedra"."""


def web_of_lies_v2(gold: str, text: str) -> float:
    """Scores three words: between tags, else the last three in bold, else in a box, else the last three that commas join."""
    tags = solutions(text) or between_closing_tags(text)
    found = tags[-1] if tags else None
    if found is None and (words := [_word(word) for part in re.findall(r"\*\*(.*?)\*\*", text) for word in part.split()]):
        found = ", ".join([word for word in words if word in TRUTHS][-3:]) or None
    if found is None or not found.strip():
        text = _with_text_boxes(text)
        box = last_box(text)
        found = found if box is None else box
    if found is None:
        found = _last_truths(text)
    if not found:
        return 0.0
    is_one_answer = sum(map(found.count, TRUTHS)) == 3
    return float(found == gold.lower() or (is_one_answer and gold.lower() in found))


def web_of_lies_v3(gold: str, text: str) -> float:
    """Scores words between tags, else in a box, else the last three that commas join: the mean of the share that is correct and
    of whether all are."""
    tags = solutions(text)
    found = tags[-1] if tags else None
    if found is None or not found.strip():
        text = _with_text_boxes(text)
        box = last_box(text)
        found = found if box is None else without(box, ("\\text{", "}"))
    if found is None:
        found = _last_truths(text)
    return (
        0.0
        if found is None
        else _share_and_all(
            [word == wanted for word, wanted in zip(found.split(","), gold.split(","), strict=False)], len(gold.split(","))
        )
    )


def zebra_puzzle(gold: str, text: str) -> float:
    """Scores the answers between tags, else in a box, else in the last line: the mean of the share that is correct and of
    whether all are. An answer is correct if it contains the gold answer."""
    wanted = gold.split(",")
    found = solutions(text) or between_closing_tags(text)
    if not found and (box := last_box(text := with_boxes(text))) is not None:
        found = [without(box, ("\\text{", "}", "\\"))]
    if not found and (line := last_line(text)).count(",") == len(wanted) - 1:
        found = [line]
    if not found:
        return 0.0
    words = [word for part in found for word in part.split(",")]
    if len(found) > 1:
        words = words[-len(wanted) :]
    correct = [
        one.strip().lower().replace("-", " ") in word.strip().lower().replace("-", " ").replace("position", "")
        for one, word in zip(wanted, words, strict=False)
    ]
    return _share_and_all(correct, len(wanted))


def zebra_puzzle_bold(gold: str, text: str) -> float:
    """Scores the last word between three stars, else the last word: the rule of questions before 2024-11-25."""
    bold = re.findall(r"\*\*\*(\w+)\*\*\*", text)
    word = bold[-1] if bold else (re.findall(r"\b\w+\b", text) or [""])[-1]
    names = {digits: name for name, digits in NUMBERS.items() if digits in [*"123456789"]}
    return float(gold.lower() in (word.lower(), names.get(word), f"{word.lower()} movies"))


def spatial(gold: str, text: str) -> float:
    """Scores the last three texts in bold, of which one must be the gold answer, or the content of the last box."""
    if text == gold:
        return 1.0
    wanted = gold.strip().lower()
    for part in re.findall(r"\*\*([^*]+)\*\*", text)[-3:]:
        word = part.strip().lower()
        is_longer = wanted in SHAPES and wanted in word and len(word) < 2 * len(wanted) + 5
        if word == wanted or NUMBERS.get(word) == wanted or is_longer:
            return 1.0
    box = last_box(with_boxes(text))
    return float(box is not None and without(box, ("\\textbf{", "\\mathbf{", "\\text{", "}")) == gold)


def theory_of_mind(gold: str, text: str) -> float:
    """Scores the text between tags, else the last line, which must contain the gold answer."""
    found = solutions(text, lines=True, any_case=True) or between_closing_tags(text, lines=True, any_case=True)
    answer = found[-1] if found else last_line(text).strip()
    for prefix in () if found else ("Answer:", "answer:", "The answer is", "the answer is"):
        answer = answer.removeprefix(prefix).strip()
    return float(gold.strip().lower() in re.sub(r"[.,!?;:]", "", answer.strip().lower()).strip())


def logic_with_navigation(gold: Sequence[int], text: str) -> float:
    """Scores the first pair of integers between tags, one in parentheses if there is one."""
    found = solutions(text, lines=True, any_case=True)
    pair = r"\s*(-?\d+)\s*,\s*(-?\d+)\s*"
    answer = found[-1] if found else ""
    if (match := re.search(rf"\({pair}\)", answer) or re.search(pair, answer)) is None:
        return 0.0
    return float([integer(match[1]), integer(match[2])] == list(gold)[:2])


def sudoku(gold: str, text: str) -> float:
    """Scores the cells between the first tags, without white space."""
    found = solutions(text, lines=True, any_case=True)
    return float(bool(found) and "".join(found[0].split()) == "".join(gold.split()))


def house_traversal(gold: str, text: str) -> float:
    """Scores names in bold: the last parts in bold are the gold names, or the last part contains them in their order."""
    names = gold.lower().split(" ")
    parts = [part for _, part in re.findall(r"(\*{2,9})(.*?)\1", text.lower())]
    if not parts:
        return 0.0
    places = [parts[-1].find(name) for name in names]
    in_order = places[0] >= 0 and all(place < later for place, later in itertools.pairwise(places))
    return float(parts[-len(names) :] == names or in_order)


def _word(text: str) -> str:
    return without(text.lower().strip(), (",", "."))


def _with_text_boxes(text: str) -> str:
    text = text.replace("\\\\boxed{\\\\textbf{", "\\\\boxed{")
    return with_boxes(text).replace("\\textbf{", "\\boxed{")


def _last_truths(text: str) -> str | None:
    """Returns the combination of three words whose first occurrence is the last; None if there is none."""
    lowered = text.lower()
    combinations = (", ".join(words) for words in itertools.product(TRUTHS, repeat=3))
    places = {place: words for words in combinations if (place := lowered.find(words)) >= 0}
    return places[max(places)] if places else None


def _share_and_all(correct: Sequence[bool], total: int) -> float:
    return ((sum(correct) == total) + sum(correct) / total) / 2
