"""Science environments, and questions with options as problems (`verifiers/choice.py` judges them).

Forms of rows that are known:

    {"question": ..., "options": [...], "answer": "C" | 2 | an option's text}       SuperGPQA, MMLU-Pro; MMLU says "choices";
                                                                                    see `right_option.py`
    {"question": ..., "options": {"A": ..., "B": ...}, "answer": "A"}               its answer may be "answer_letter", too
    {"Question": ..., "Correct Answer": ..., "Incorrect Answer 1": ..., ...}        GPQA
"""

import hashlib
import random
from collections.abc import Mapping, Sequence
from typing import Any

from ..core import Message, Problem, UserError
from ..verifiers.choice import LETTERS
from . import right_option

ENVIRONMENTS: dict[str, dict[str, Any]] = {
    "tenfold/Science-v0": {
        "problems": "hf:m-a-p/SuperGPQA?split=train",
        "verifier": "science",
        "template": "{prompt}\n\nReason step by step and put the final answer, a letter where there are options, in \\boxed{}.",
    },
}


META = ("discipline", "field", "subfield", "subject", "category", "difficulty")
"""Columns that say what a question is about."""


def is_choice(row: Mapping[str, Any]) -> bool:
    """Whether a row is a question with options."""
    if {"Question", "Correct Answer", "Incorrect Answer 1"} <= row.keys():
        return True
    options = row.get("options", row.get("choices"))
    return "question" in row and isinstance(options, list | tuple | dict) and bool({"answer", "answer_letter"} & row.keys())


def problem_of(row: Mapping[str, Any], uri: str, name: str, shuffle: int | None = None) -> Problem:
    """A problem of such a row; with `shuffle`, its options in an order drawn from that seed and the question.

    Raises:
        UserError: the options or the answer are not of a known form.
    """
    try:
        question, options, right = _gpqa(row) if "Correct Answer" in row else _listed(row)
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise UserError(f"{uri}, {name}: no question with options: {error}") from None
    if not 2 <= len(options) <= len(LETTERS) or not all(options):
        raise UserError(f"{uri}, {name}: from 2 to {len(LETTERS)} options are expected, not {options!r:.200}")
    if shuffle is not None or "Correct Answer" in row:
        seed = hashlib.sha256(f"{shuffle or 0}\n{question}".encode()).hexdigest()
        order = random.Random(seed).sample(range(len(options)), len(options))
        options, right = [options[place] for place in order], order.index(right)
    listed = "\n".join(f"{letter}) {option}" for letter, option in zip(LETTERS, options, strict=False))
    meta = {column: row[column] for column in META if column in row} | {"solution": f"\\boxed{{{LETTERS[right]}}}"}
    id = str(row.get("id", row.get("uuid", row.get("Record ID", name))))
    prompt = (Message(role="user", content=f"{question}\n\n{listed}"),)
    return Problem(id, prompt, {"letter": LETTERS[right], "options": options}, uri, meta)


def _gpqa(row: Mapping[str, Any]) -> tuple[str, list[str], int]:
    wrong = [str(row[f"Incorrect Answer {number}"]).strip() for number in range(1, 10) if row.get(f"Incorrect Answer {number}")]
    return str(row["Question"]).strip(), [str(row["Correct Answer"]).strip(), *wrong], 0


def _listed(row: Mapping[str, Any]) -> tuple[str, list[str], int]:
    given: Sequence[Any] | Mapping[str, Any] = row.get("options", row.get("choices", ()))
    if isinstance(given, Mapping):
        if sorted(given) != list(LETTERS[: len(given)]):
            raise ValueError(f"options under {', '.join(map(str, given))}")
        given = [given[letter] for letter in sorted(given)]
    options = [str(option).strip() for option in given]
    return str(row["question"]).strip(), options, right_option.place(row, options)
