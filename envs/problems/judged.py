"""Converts rows of benchmarks with a judge (Arena-Hard, WritingBench, MultiChallenge, Humanity's Last Exam) to problems.

{"uid", "category", "prompt"}                                     Arena-Hard: the answer is the baseline's response, if known
{"query", "checklist": [{"name", "criteria_description", ...}]}   WritingBench: the answer is the list of criteria
{"CONVERSATION", "TARGET_QUESTION", "PASS_CRITERIA", "AXIS"}      MultiChallenge: the answer is the question for the judge
                                                                  and the judge's answer that passes
{"question", "answer", "answer_type", "rationale", "raw_subject"} Humanity's Last Exam: the answer is the gold answer, as text
"""

from collections.abc import Mapping
from typing import Any

from ...core import Problem, UserError
from . import conversations

FORMS = (
    {"query", "checklist"},
    {"CONVERSATION", "TARGET_QUESTION"},
    {"question", "answer", "answer_type", "rationale", "raw_subject"},
    {"uid", "category", "prompt"},
)
OTHER_ANSWERS = {"gold", "final_answer", "target", "solution"}
"""Columns with a gold answer, which rows of Arena-Hard do not have."""


def is_judged(row: Mapping[str, object]) -> bool:
    """True if a row has one of these forms."""
    form = next((columns for columns in FORMS if columns <= row.keys()), None)
    return form is not None and (form is not FORMS[-1] or not OTHER_ANSWERS & row.keys())


def problem_of(row: Mapping[str, Any], uri: str, name: str) -> Problem:
    """Returns the problem of a row.

    Args:
        row: values by column; see the module's docstring.
        uri: the source of the row.
        name: id of the problem if the row has none.

    Raises:
        UserError: a field has an unexpected type.
    """
    try:
        if FORMS[0] <= row.keys():
            criteria = [dict(criterion) for criterion in row["checklist"]]
            meta = {column: row[column] for column in ("domain1", "domain2") if column in row}
            prompt = conversations.messages(row["query"] or "", f"{uri}, {name}")
            return Problem(str(row.get("index", name)), prompt, criteria, uri, meta)
        if FORMS[1] <= row.keys():
            turns = conversations.messages(row["CONVERSATION"], f"{uri}, {name}")
            answer = {"question": str(row["TARGET_QUESTION"]), "passing_answer": str(row.get("PASS_CRITERIA") or "YES").upper()}
            return Problem(str(row.get("QUESTION_ID", name)), turns, answer, uri, {"axis": str(row.get("AXIS", ""))})
        if FORMS[2] <= row.keys():
            if row["answer"] is None:
                raise ValueError("there is no answer")
            meta = {column: row[column] for column in ("category", "raw_subject", "answer_type") if column in row}
            prompt = conversations.messages(row["question"] or "", f"{uri}, {name}")
            return Problem(str(row.get("id", name)), prompt, str(row["answer"]), uri, meta)
        meta = {column: row[column] for column in ("category", "subcategory") if column in row}
        prompt = conversations.messages(row["prompt"] or "", f"{uri}, {name}")
        return Problem(str(row["uid"]), prompt, row.get("answer"), uri, meta)
    except (TypeError, ValueError, KeyError) as error:
        raise UserError(f"{uri}, {name}: expected a row of a judged benchmark ({error!r})") from None
