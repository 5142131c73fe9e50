"""Rows of GSM8K's, SVAMP's, CMATH's, MATH's and OlympiadBench's form as problems, which
`verifiers/math.py` judges."""

import contextlib
import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from ...core import Message, Problem
from ...verifiers.answers.extraction.response import boxed
from . import cells


def is_math(row: Mapping[str, Any]) -> bool:
    """Whether a row has GSM8K's form (an answer that ends in `#### 42`), SVAMP's, CMATH's, MATH's (a boxed solution) or
    OlympiadBench's (a final answer beside the solution)."""
    if {"Body", "Question", "Answer"} <= row.keys() or ("golden" in row and {"input", "question"} & row.keys()):
        return True
    if "solution" in row and {"problem", "question"} & row.keys():
        if "final_answer" in row:
            return True
        return "problem" in row and ("answer" in row or bool(re.search(r"\\(?:boxed|fbox)(?![A-Za-z])", str(row["solution"]))))
    return {"question", "answer"} <= row.keys() and "\n#### " in str(row["answer"])


def problem_of(row: Mapping[str, Any], uri: str, name: str) -> Problem:
    """A problem of such a row, with the worked solution where there is one.

    A row whose answer cannot be found is a problem without one; `meta["invalid_gold"]` says why.
    """
    solution: Any = None
    lacks = ""
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
        if not cells.is_missing(row.get("context")):  # what several questions of OlympiadBench have in common
            prompt = f"{row['context']}\n\n{prompt}"
        answer = _stated(row)
        if answer is None:
            answer, lacks = boxed(solution), "the solution has no \\boxed answer"
    else:
        prompt, solution = row["question"], str(row["answer"])
        answer, lacks = solution.rsplit("####", 1)[1].strip(), "nothing follows the ####"
    meta = {column: row[column] for column in META if not cells.is_missing(row.get(column))}
    if solution:
        meta["solution"] = solution
    if cells.is_missing(answer):
        answer, meta["invalid_gold"] = None, lacks or "there is no answer"
    name = str(row.get("id", row.get("unique_id", name)))
    text = "" if prompt is None else str(prompt)
    return Problem(name, (Message(role="user", content=text),), answer if _composed(answer) else str(answer), uri, meta)


META = ("level", "type", "subject", "grade", "answer_type", "unit", "subfield")
"""Columns that say what a problem is about."""


def _composed(answer: Any) -> bool:
    return answer is None or isinstance(answer, list | dict)


def _joined(solution: Any) -> str:
    """A solution as one text; some rows list several."""
    if isinstance(solution, list):
        return "\n\n".join(str(one) for one in solution if not cells.is_missing(one))
    return "" if cells.is_missing(solution) else str(solution)


def _stated(row: Mapping[str, Any]) -> Any:
    """The answer that stands beside the solution, None where none does.

    OlympiadBench's is a list. With `is_multiple_answer` all of it is wanted; without, each is a way to write the answer. Its
    `error` is how far a number may lie off; ours is relative to the gold number.
    """
    column = cells.first_present(row, ("answer", "final_answer"))
    if column is None or cells.is_missing(row[column]):
        return None
    given = row[column]
    if isinstance(given, list):
        given = [one for one in given if not cells.is_missing(one)]
        if row.get("is_multiple_answer") or len(given) == 1:
            given = ", ".join(str(one) for one in given)
    off = row.get("error")
    if column == "final_answer" and not cells.is_missing(off) and isinstance(given, str):
        with contextlib.suppress(ValueError, ZeroDivisionError):  # several numbers, or none
            return {"gold": given, "tolerance": float(Fraction(str(off)) / abs(Fraction(given.strip().strip("$").strip())))}
    return given


def champ(uri: str) -> Iterator[Problem]:
    """The 270 competition problems that the package `champ-dataset` ships (Mao et al., 2024), with their solutions.

    Their answers are prose around mathematics between `@@`; see `champ_gold`.
    """
    import champ_dataset

    for id, problem in champ_dataset.load("v0").problems.items():
        meta = {"solution": "\n".join(step.text for step in problem.solution.steps), "category": problem.category}
        yield Problem(id, (Message(role="user", content=problem.text),), champ_gold(problem._raw_answer), uri, meta)


def champ_gold(answer: str) -> list[str]:
    """What CHAMP's answer says, and what it calls equivalent: "@@C(10, 5)@@, or equivalently @@252@@" says two things."""
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
