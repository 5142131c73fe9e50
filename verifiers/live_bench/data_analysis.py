"""Scores of LiveBench's category data analysis, except for tables in another format (`tables.py`)."""

import ast
import json
import re
from collections.abc import Mapping, Sequence

import numpy as np

from .marks import Unreadable, last_box, solutions, without

KEY, VALUE = "user_id", "max_consecutive_growth_months"
"""Fields of an event of the task consecutive_events."""


def cta(gold: str, text: str) -> float:
    """Scores letters and digits in a box, else of the whole text, which must end with those of the gold answer."""
    answer = text
    if "\\boxed{" in text:
        if (box := last_box(text)) is None:
            raise Unreadable("the box has no end")
        answer = without(box, ("\\text{", "}", "\\"))
    return float(_letters(answer).endswith(_letters(gold)))


def _letters(text: str) -> str:
    return re.sub(r"[^\w]", "", text.lower().strip())


def tablejoin(gold: Mapping[str, object], text: str) -> float:
    """Scores a mapping of columns: the F1 score of its pairs, with two digits.

    A gold column that is mapped to another one counts as a wrong and as a missing pair.
    """
    given = _mapping(text)
    if not given:
        return 0.0
    known = {key: value for key, value in given.items() if gold.get(key)}
    correct = sum(gold[key] == value for key, value in known.items())
    wrong = len(given) - correct
    missing = len(known) - correct + sum(not given.get(key) for key in gold)
    return float(np.round(2 * correct / (2 * correct + wrong + missing), 2))


def _mapping(text: str) -> dict[str, object]:
    """Returns the dictionary in the last tags; else that of the text, of its last block of code, or of its last box.

    Empty if there is none. Pairs with None are left out.
    """
    if tags := solutions(text, lines=True):
        text = tags[-1].strip()
    found = _literal(text)
    if found is _NOTHING:
        found = _literal(_block(text).replace("null", "None"))
    return {key: value for key, value in found.items() if value is not None} if isinstance(found, dict) else {}


_NOTHING = object()


def _literal(text: str) -> object:
    """Returns the value of a literal of Python, `_NOTHING` if the text is none."""
    try:
        return ast.literal_eval(text)
    except Exception:  # it raises many kinds of errors, for example about too many brackets
        return _NOTHING


def _block(text: str) -> str:
    joined = text.replace("\n", "")
    for fence in ("```python", "```json", "```"):
        if blocks := re.findall(f"{fence}(.*?)```", joined):
            return str(blocks[-1])
    if "\\boxed" in text and (box := last_box(joined)) is not None:
        return re.sub(r"\\text{['|\"](.*?)['|\"]}", r"'\1'", box).replace("\\", "")
    return text


def consecutive_events(gold: Sequence[Mapping[str, object]], text: str) -> float:
    """Scores a JSON list of events between tags: the Jaccard index of its pairs of user and months, with four digits.

    A user with other months counts as a wrong and as a missing pair.
    """
    if not (tags := solutions(text, lines=True, any_case=True)):
        return 0.0
    try:
        events = json.loads(tags[-1].strip())
        if not events or not gold:
            return float(events is not None and not events and not gold)
        given = {event[KEY]: event.get(VALUE) for event in events if isinstance(event, dict) and KEY in event}
    except (TypeError, ValueError, RecursionError):  # no JSON, or a list as a user
        return 0.0
    wanted = {event[KEY]: event[VALUE] for event in gold}
    correct = sum(user in given and given[user] == months for user, months in wanted.items())
    return round(correct / (len(given) + len(wanted) - correct), 4)
