"""Multiple-choice rows as problems. `verifiers/choice.py` judges them.

Formats of rows:

    {"question": ..., "options": [...], "answer": "C" | 2 | an option's text}       SuperGPQA, MMLU-Pro; MMLU has "choices";
                                                                                    see `correct_option.py`
    {"question": ..., "options": {"A": ..., "B": ...}, "answer": "A"}               "answer_letter" is possible, too
    {"question": ..., "A": ..., "B": ..., "answer": "A"}                            C-Eval; CMMLU has "Question", "Answer"
    {"question": ..., "choices": {"text": [...], "label": ["A", ...]}, "answerKey": "A"}    ARC, CommonsenseQA, OpenBookQA
    {"Question": ..., "Correct Answer": ..., "Incorrect Answer 1": ..., ...}        GPQA
"""

import contextlib
import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from ...core import Message, Problem
from ...verifiers.choice import LETTERS
from . import cells, correct_option

META = ("discipline", "field", "subfield", "subject", "category", "difficulty")
"""Columns that describe a problem."""

OPTION_COLUMNS = ("options", "choices")
ANSWER_COLUMNS = ("answer", *correct_option.POSITION_COLUMNS, "answerKey", "Answer")
QUESTION_COLUMNS = ("question", "question_stem", "Question", "prompt", "problem")
GPQA = {"Question", "Correct Answer", "Incorrect Answer 1"}


def is_choice(row: Mapping[str, object]) -> bool:
    """True if a row from `standard` is a multiple-choice problem."""
    if row.keys() >= GPQA:
        return True
    options = row.get("options", row.get("choices"))
    return "question" in row and isinstance(options, list | tuple | dict) and bool({*ANSWER_COLUMNS} & row.keys())


def standard(row: Mapping[str, Any], question: str | None = None, answer: str | None = None) -> Mapping[str, Any]:
    """Returns a multiple-choice row with the column names of `problem_of`; any other row unchanged.

    Args:
        row: values by column. The options are a list, an object by letter, {"text": [...], "label": [...]} (ARC,
            CommonsenseQA), JSON text of one of these, or columns A, B, C, ... (C-Eval, CMMLU).
        question: the prompt's column if the user has named it.
        answer: the answer's column if the user has named it; other columns with the correct option are then ignored.
    """
    if row.keys() >= GPQA:
        named = {"Question": question, "Correct Answer": answer}
        return {**row, **{name: row[column] for name, column in named.items() if column and column in row}}
    question_column = question or next((name for name in QUESTION_COLUMNS if isinstance(row.get(name), str)), "")
    answer_column = answer or next((name for name in ANSWER_COLUMNS if not cells.is_missing(row.get(name))), "")
    options, labels = _options(row, answer_column)
    if options is None or not isinstance(row.get(question_column), str) or (answer and answer not in row):
        return row
    if not answer_column and not {*ANSWER_COLUMNS} & row.keys():
        return row
    columns = {name: value for name, value in row.items() if name not in (*OPTION_COLUMNS, *LETTERS)}
    columns = {name: int(value) if _is_index_as_float(name, value) else value for name, value in columns.items()}
    if answer or answer_column in ("", "answerKey", "Answer"):
        value = columns.get(answer_column)
        columns = {name: value for name, value in columns.items() if name not in ANSWER_COLUMNS}
        letter = labels.get(str(value).strip().upper())
        columns |= {"answer_letter": letter} if letter and answer_column == "answerKey" else {"answer": value}
    return {**columns, "question": row[question_column], "options": options}


def _is_index_as_float(column: str, value: object) -> TypeGuard[float]:
    """True if the index of an option is a float, as in pandas columns with missing values."""
    return column in ANSWER_COLUMNS and isinstance(value, float) and value.is_integer()


def _options(row: Mapping[str, Any], answer_column: str) -> tuple[Any, Mapping[str, str]]:
    """Returns the options of a row (a list, an object by letter, or None), and the letter of each label."""
    options = next((row[name] for name in OPTION_COLUMNS if not cells.is_missing(row.get(name))), None)
    if isinstance(options, str) and options.lstrip()[:1] in ("[", "{"):
        with contextlib.suppress(ValueError, RecursionError):
            options = json.loads(options)
    if isinstance(options, Mapping) and isinstance(options.get("text"), list):
        labels = [str(label).strip().upper() for label in options.get("label") or ()]
        if len(labels) == len(options["text"]) <= len(LETTERS):  # some rows of ARC number their options from 1
            return options["text"], dict(zip(labels, LETTERS, strict=False))
        return options["text"], {}
    if isinstance(options, Mapping):
        by_letter = {str(key).strip("() .").upper(): value for key, value in options.items() if not cells.is_missing(value)}
        return (by_letter, {}) if by_letter and {*by_letter} <= {*LETTERS} else (None, {})
    if isinstance(options, list):
        return options, {}
    columns = {letter: row[letter] for letter in LETTERS if letter in row and not cells.is_missing(row[letter])}
    is_letter = str(row.get(answer_column)).strip().upper() in columns
    return (columns, {}) if is_letter and {"A", "B"} <= columns.keys() else (None, {})


def problem_of(
    row: Mapping[str, Any], uri: str, name: str, shuffle: int | None = None, keep_white_space: bool = False
) -> Problem:
    """Returns the problem of a row.

    If the options or the answer have an unknown form, the problem's answer is None and `meta["invalid_gold"]` is the reason.

    Args:
        row: values by column, from `standard`.
        uri: the source of the row.
        name: id of the problem if the row has none.
        shuffle: seed of the order of the options; the order also depends on the question. GPQA's options are always shuffled.
        keep_white_space: keep white space at the ends of the question and of the options.
    """
    id = str(row.get("id", row.get("uuid", row.get("Record ID", name))))
    meta = {column: row[column] for column in META if column in row}
    try:
        if all(cells.is_missing(row.get(column)) for column in (*ANSWER_COLUMNS, "Correct Answer")):
            raise ValueError("no column names the correct option")
        question, options, correct = _gpqa(row) if "Correct Answer" in row else _listed(row)
        if not question.strip():
            raise ValueError("the question is empty")
        if not 2 <= len(options) <= len(LETTERS) or not all(map(str.strip, options)) or _has_missing_option(row):
            raise ValueError(f"expected 2 to {len(LETTERS)} options, got {options!r:.200}")
    except (KeyError, ValueError, TypeError, IndexError) as error:
        prompt = str(row.get("question", row.get("Question")) or "")
        meta["invalid_gold"] = f"not a multiple-choice problem: {error}"
        return Problem(id, (Message(role="user", content=prompt),), None, uri, meta)
    if not keep_white_space:
        question, options = question.strip(), [option.strip() for option in options]
    if shuffle is not None or "Correct Answer" in row:
        seed = hashlib.sha256(f"{shuffle or 0}\n{question.strip()}".encode()).hexdigest()
        order = random.Random(seed).sample(range(len(options)), len(options))
        options, correct = [options[index] for index in order], order.index(correct)
    meta["solution"] = f"\\boxed{{{LETTERS[correct]}}}"
    messages = (Message(role="user", content=f"{question}\n\n{listed(options)}"),)
    return Problem(id, messages, {"letter": LETTERS[correct], "options": options}, uri, meta)


def listed(options: Sequence[str], mark: str = ") ") -> str:
    """Returns the options of a prompt, one a line. `mark` follows each letter."""
    return "\n".join(f"{letter}{mark}{option}" for letter, option in zip(LETTERS, options, strict=False))


def _has_missing_option(row: Mapping[str, Any]) -> bool:
    """True if an option is null. The text "NaN" is an option, because the answer of a computation may be NaN."""
    options = row.get("options", row.get("choices", ()))
    return any(option is None for option in (options.values() if isinstance(options, Mapping) else options))


def _gpqa(row: Mapping[str, Any]) -> tuple[str, list[str], int]:
    incorrect = [
        str(row[column])
        for column in (f"Incorrect Answer {number}" for number in range(1, 10))
        if row.get(column) not in (None, "")
    ]
    return str(row["Question"] or ""), [str(row["Correct Answer"]), *incorrect], 0


def _listed(row: Mapping[str, Any]) -> tuple[str, list[str], int]:
    values: Sequence[object] | Mapping[str, object] = row.get("options", row.get("choices", ()))
    if isinstance(values, Mapping):
        if sorted(values) != list(LETTERS[: len(values)]):
            raise ValueError(f"the letters of the options are {', '.join(map(str, values))}")
        values = [values[letter] for letter in sorted(values)]
    options = [str(option) for option in values]
    return str(row["question"]), options, correct_option.correct_index(row, [option.strip() for option in options])
