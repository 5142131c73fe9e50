"""Questions with options as problems (`verifiers/choice.py` judges them).

Forms of rows that are known:

    {"question": ..., "options": [...], "answer": "C" | 2 | an option's text}       SuperGPQA, MMLU-Pro; MMLU says "choices";
                                                                                    see `correct_option.py`
    {"question": ..., "options": {"A": ..., "B": ...}, "answer": "A"}               its answer may be "answer_letter", too
    {"question": ..., "A": ..., "B": ..., "answer": "A"}                            C-Eval; CMMLU says "Question", "Answer"
    {"question": ..., "choices": {"text": [...], "label": ["A", ...]}, "answerKey": "A"}    ARC, CommonsenseQA, OpenBookQA
    {"Question": ..., "Correct Answer": ..., "Incorrect Answer 1": ..., ...}        GPQA
"""

import contextlib
import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

from ...core import Message, Problem
from ...verifiers.choice import LETTERS
from . import cells, correct_option

META = ("discipline", "field", "subfield", "subject", "category", "difficulty")
"""Columns that say what a question is about."""


OPTION_COLUMNS = ("options", "choices")
ANSWER_COLUMNS = ("answer", *correct_option.POSITION_COLUMNS, "answerKey", "Answer")
QUESTION_COLUMNS = ("question", "question_stem", "Question", "prompt", "problem")
GPQA = {"Question", "Correct Answer", "Incorrect Answer 1"}


def is_choice(row: Mapping[str, Any]) -> bool:
    """Whether a row, as `standard` writes it, is a question with options."""
    if row.keys() >= GPQA:
        return True
    options = row.get("options", row.get("choices"))
    return "question" in row and isinstance(options, list | tuple | dict) and bool({*ANSWER_COLUMNS} & row.keys())


def standard(row: Mapping[str, Any], question: str | None = None, answer: str | None = None) -> Mapping[str, Any]:
    """A question with options under the names that `problem_of` knows; any other row as it is.

    Args:
        row: its options are a list, an object by letter, {"text": [...], "label": [...]} (ARC, CommonsenseQA), JSON of one of
            them, or columns A, B, C, ... (C-Eval, CMMLU).
        question, answer: columns that the user has named; the answer's stands for all others that say which option is right.
    """
    if row.keys() >= GPQA:
        named = {"Question": question, "Correct Answer": answer}
        return {**row, **{name: row[column] for name, column in named.items() if column and column in row}}
    asked = question or next((name for name in QUESTION_COLUMNS if isinstance(row.get(name), str)), "")
    right = answer or next((name for name in ANSWER_COLUMNS if not cells.is_missing(row.get(name))), "")
    options, labels = _options(row, right)
    if options is None or not isinstance(row.get(asked), str) or (answer and answer not in row):
        return row
    if not right and not {*ANSWER_COLUMNS} & row.keys():
        return row
    told = {name: value for name, value in row.items() if name not in (*OPTION_COLUMNS, *LETTERS)}
    told = {name: int(value) if _is_whole(name, value) else value for name, value in told.items()}
    if answer or right in ("", "answerKey", "Answer"):
        says = told.get(right)
        told = {name: value for name, value in told.items() if name not in ANSWER_COLUMNS}
        label = labels.get(str(says).strip().upper())
        told |= {"answer_letter": label} if label and right == "answerKey" else {"answer": says}
    return {**told, "question": row[asked], "options": options}


def _is_whole(column: str, value: Any) -> bool:
    """Whether an option's number has become a float, as beside missing ones in pandas."""
    return column in ANSWER_COLUMNS and isinstance(value, float) and value.is_integer()


def _options(row: Mapping[str, Any], right: str) -> tuple[Any, Mapping[str, str]]:
    """The options of a row, a list or an object by letter, and the letter of each label; None where the row has none."""
    given = next((row[name] for name in OPTION_COLUMNS if not cells.is_missing(row.get(name))), None)
    if isinstance(given, str) and given.lstrip()[:1] in ("[", "{"):
        with contextlib.suppress(ValueError, RecursionError):
            given = json.loads(given)
    if isinstance(given, Mapping) and isinstance(given.get("text"), list):
        labels = [str(label).strip().upper() for label in given.get("label") or ()]
        if len(labels) == len(given["text"]) <= len(LETTERS):  # some rows of ARC count their options from 1
            return given["text"], dict(zip(labels, LETTERS, strict=False))
        return given["text"], {}
    if isinstance(given, Mapping):
        by_letter = {str(key).strip("() .").upper(): value for key, value in given.items() if not cells.is_missing(value)}
        return (by_letter, {}) if by_letter and {*by_letter} <= {*LETTERS} else (None, {})
    if isinstance(given, list):
        return given, {}
    columns = {letter: row[letter] for letter in LETTERS if not cells.is_missing(row.get(letter))}
    named = str(row.get(right)).strip().upper() in columns
    return (columns, {}) if named and {"A", "B"} <= columns.keys() else (None, {})


def problem_of(row: Mapping[str, Any], uri: str, name: str, shuffle: int | None = None) -> Problem:
    """A problem of such a row; with `shuffle`, its options in an order drawn from that seed and the question.

    Where the options or the answer are not of a known form, the problem has no answer, and `meta["invalid_gold"]` says why.
    """
    id = str(row.get("id", row.get("uuid", row.get("Record ID", name))))
    meta = {column: row[column] for column in META if column in row}
    try:
        if all(cells.is_missing(row.get(column)) for column in (*ANSWER_COLUMNS, "Correct Answer")):
            raise ValueError("nothing says which option is right")
        question, options, right = _gpqa(row) if "Correct Answer" in row else _listed(row)
        if not 2 <= len(options) <= len(LETTERS) or not all(options) or _lacks_one(row):
            raise ValueError(f"from 2 to {len(LETTERS)} options are expected, not {options!r:.200}")
    except (KeyError, ValueError, TypeError, IndexError) as error:
        asked = str(row.get("question", row.get("Question")) or "")
        meta["invalid_gold"] = f"no question with options: {error}"
        return Problem(id, (Message(role="user", content=asked),), None, uri, meta)
    if shuffle is not None or "Correct Answer" in row:
        seed = hashlib.sha256(f"{shuffle or 0}\n{question}".encode()).hexdigest()
        order = random.Random(seed).sample(range(len(options)), len(options))
        options, right = [options[place] for place in order], order.index(right)
    listed = "\n".join(f"{letter}) {option}" for letter, option in zip(LETTERS, options, strict=False))
    meta["solution"] = f"\\boxed{{{LETTERS[right]}}}"
    prompt = (Message(role="user", content=f"{question}\n\n{listed}"),)
    return Problem(id, prompt, {"letter": LETTERS[right], "options": options}, uri, meta)


def _lacks_one(row: Mapping[str, Any]) -> bool:
    """Whether an option is null."""
    options = row.get("options", row.get("choices", ()))
    return any(map(cells.is_missing, options.values() if isinstance(options, Mapping) else options))


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
    return str(row["question"]).strip(), options, correct_option.correct_index(row, options)
