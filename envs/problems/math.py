"""Rows of GSM8K, SVAMP, CMATH, MATH and OlympiadBench as problems, and the problems of CHAMP. `verifiers/math.py` judges."""

import contextlib
import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from ...core import Message, Problem
from ...verifiers.answers.extraction.response import boxed
from . import cells


def is_math(row: Mapping[str, object]) -> bool:
    """True if a row has a known format.

    The formats are GSM8K (an answer that ends in `#### 42`), SVAMP, CMATH, MATH (a solution with a box or with an answer
    column) and OlympiadBench (a solution and a final answer).
    """
    if {"Body", "Question", "Answer"} <= row.keys() or ("golden" in row and {"input", "question"} & row.keys()):
        return True
    if "solution" in row and {"problem", "question"} & row.keys():
        if "final_answer" in row:
            return True
        return "problem" in row and ("answer" in row or bool(re.search(r"\\(?:boxed|fbox)(?![A-Za-z])", str(row["solution"]))))
    return {"question", "answer"} <= row.keys() and bool(re.search(r"(?:^|\n)#### [^\n]*\s*\Z", str(row["answer"])))


def problem_of(row: Mapping[str, Any], uri: str, name: str) -> Problem:
    """Returns the problem of a row, with its solution if the row has one.

    If the gold answer is not found, the problem's answer is None and `meta["invalid_gold"]` is the reason.

    Args:
        row: values by column.
        uri: the source of the row.
        name: id of the problem if the row has none.
    """
    solution: Any = None
    invalid = ""
    answer: Any
    if "Body" in row:
        number = row["Answer"]
        answer = int(number) if isinstance(number, float) and number.is_integer() else number
        prompt = f"{str(row['Body']).strip().rstrip('.')}. {str(row['Question']).strip()}"
        name = str(row.get("ID", name))
    elif "golden" in row:
        prompt, answer = row.get("question", row.get("input")), row["golden"]
    elif "solution" in row:
        prompt, solution = row.get("problem", row.get("question")), _joined(row["solution"])
        if not cells.is_missing(row.get("context")):  # text that several problems of OlympiadBench share
            prompt = f"{row['context']}\n\n{prompt}"
        answer = _answer_column(row)
        if answer is None:
            answer, invalid = boxed(solution), "the solution has no \\boxed answer"
    else:
        prompt, solution = row["question"], str(row["answer"])
        answer, invalid = solution.rsplit("####", 1)[1].strip(), "nothing follows the ####"
    meta = {column: row[column] for column in META if not cells.is_missing(row.get(column))}
    if solution:
        meta["solution"] = solution
    if cells.is_missing(answer):
        answer, meta["invalid_gold"] = None, invalid or "there is no answer"
    name = str(row.get("id", row.get("unique_id", name)))
    text = "" if prompt is None else str(prompt)
    return Problem(name, (Message(role="user", content=text),), answer if _is_composite(answer) else str(answer), uri, meta)


META = ("level", "type", "subject", "grade", "answer_type", "unit", "subfield")
"""Columns that describe a problem."""


def _is_composite(answer: object) -> bool:
    return answer is None or isinstance(answer, list | dict)


def _joined(solution: object) -> str:
    """Returns the solutions of a row as one text; some rows have several."""
    if isinstance(solution, list):
        return "\n\n".join(str(text) for text in solution if not cells.is_missing(text))
    return "" if cells.is_missing(solution) else str(solution)


def _answer_column(row: Mapping[str, Any]) -> Any:
    """Returns the answer that is in a column of its own, or None.

    OlympiadBench has a list of answers. With `is_multiple_answer` all of them are required, otherwise they are alternatives.
    Its `error` is an absolute tolerance; tenfold's tolerance is relative to the gold number. So `error` is used only if the
    answer is one number other than 0.
    """
    column = cells.first_present(row, ("answer", "final_answer"))
    if column is None or cells.is_missing(row[column]):
        return None
    answer = row[column]
    if isinstance(answer, list):
        answer = [part for part in answer if not cells.is_missing(part)]
        if row.get("is_multiple_answer") or len(answer) == 1:
            answer = ", ".join(str(part) for part in answer)
    error = row.get("error")
    if column == "final_answer" and not cells.is_missing(error) and isinstance(answer, str):
        with contextlib.suppress(ValueError, ArithmeticError):  # the answer is 0, or not a number; or the error is too large
            return {"gold": answer, "tolerance": float(Fraction(str(error)) / abs(Fraction(answer.strip().strip("$").strip())))}
    return answer


def champ(uri: str) -> Iterator[Problem]:
    """Yields the 270 competition problems of the package `champ-dataset` (Mao et al., 2024), with their solutions.

    The answers are prose with mathematics between `@@`; see `champ_gold`.
    """
    import champ_dataset

    for id, problem in champ_dataset.load("v0").problems.items():
        meta = {"solution": "\n".join(step.text for step in problem.solution.steps), "category": problem.category}
        yield Problem(id, (Message(role="user", content=problem.text),), champ_gold(problem._raw_answer), uri, meta)


def champ_gold(answer: str) -> list[str]:
    """Returns the alternatives in a CHAMP answer: "@@C(10, 5)@@, or equivalently @@252@@" has two."""
    answer = re.sub(r"\s*\((?:i\.e\.|no such|none of)[^()]*(?:\([^()]*\)[^()]*)*\)", "", answer)
    parts = re.split(r",? or (?:equivalently|an equivalent form such as) ", re.sub(r",? or approximately .*", "", answer))
    golds = []
    for part in parts:
        part = re.sub(r"^(?:The limit exists and is|The only possible value for the limit is)(?: equal to)? ", "", part)
        part = re.sub(r" (?:is the only possible value|times)$|^(?:At most|At least|Exactly) (?=\d)", "", part)
        golds.append(
            re.sub(
                r"(?<=\d) (?:integer-valued )?(?:values?|roots|zeros|pairs|inequalities|numbers?)$", "", part.replace("@@", "")
            )
        )
    return golds
