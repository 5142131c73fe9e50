"""Rows of benchmarks that a model judges, as problems: Arena-Hard's, WritingBench's and MultiChallenge's form.

{"uid", "category", "prompt"}                                     Arena-Hard: the answer is what a baseline said, if it is known
{"query", "checklist": [{"name", "criteria_description", ...}]}   WritingBench: the answer is the list of criteria
{"CONVERSATION", "TARGET_QUESTION", "PASS_CRITERIA", "AXIS"}      MultiChallenge: the answer is the question for the judge
"""

from collections.abc import Mapping
from typing import Any

from ...core import Message, Problem, UserError
from . import conversations

FORMS = ({"uid", "category", "prompt"}, {"query", "checklist"}, {"CONVERSATION", "TARGET_QUESTION"})


def is_judged(row: Mapping[str, Any]) -> bool:
    """Whether a row is of one of these forms."""
    return any(columns <= row.keys() for columns in FORMS)


def problem_of(row: Mapping[str, Any], uri: str, name: str) -> Problem:
    """A problem of such a row.

    Raises:
        UserError: a field is not of its kind.
    """
    try:
        if "uid" in row:
            meta = {column: row[column] for column in ("category", "subcategory") if column in row}
            prompt = (Message(role="user", content=str(row["prompt"])),)
            return Problem(str(row["uid"]), prompt, row.get("answer"), uri, meta)
        if "query" in row:
            criteria = [dict(criterion) for criterion in row["checklist"]]
            meta = {column: row[column] for column in ("domain1", "domain2") if column in row}
            return Problem(str(row.get("index", name)), (Message(role="user", content=str(row["query"])),), criteria, uri, meta)
        turns = conversations.messages(row["CONVERSATION"], f"{uri}, {name}")
        asked = {"question": str(row["TARGET_QUESTION"]), "right": str(row.get("PASS_CRITERIA", "YES")).upper()}
        return Problem(str(row.get("QUESTION_ID", name)), turns, asked, uri, {"axis": str(row.get("AXIS", ""))})
    except (TypeError, ValueError, KeyError) as error:
        raise UserError(f"{uri}, {name}: no row of a judged benchmark ({error!r})") from None
