"""Converts rows of benchmarks with a judge (Arena-Hard, WritingBench, MultiChallenge) to problems.

{"uid", "category", "prompt"}                                     Arena-Hard: the answer is the baseline's response, if known
{"query", "checklist": [{"name", "criteria_description", ...}]}   WritingBench: the answer is the list of criteria
{"CONVERSATION", "TARGET_QUESTION", "PASS_CRITERIA", "AXIS"}      MultiChallenge: the answer is the question for the judge
                                                                  and the judge's answer that passes
"""

from collections.abc import Mapping
from typing import Any

from ...core import Message, Problem, UserError
from . import conversations

FORMS = ({"uid", "category", "prompt"}, {"query", "checklist"}, {"CONVERSATION", "TARGET_QUESTION"})


def is_judged(row: Mapping[str, object]) -> bool:
    """True if a row has one of these forms."""
    return any(columns <= row.keys() for columns in FORMS)


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
        if "uid" in row:
            meta = {column: row[column] for column in ("category", "subcategory") if column in row}
            prompt = (Message(role="user", content=str(row["prompt"])),)
            return Problem(str(row["uid"]), prompt, row.get("answer"), uri, meta)
        if "query" in row:
            criteria = [dict(criterion) for criterion in row["checklist"]]
            meta = {column: row[column] for column in ("domain1", "domain2") if column in row}
            return Problem(str(row.get("index", name)), (Message(role="user", content=str(row["query"])),), criteria, uri, meta)
        turns = conversations.messages(row["CONVERSATION"], f"{uri}, {name}")
        answer = {"question": str(row["TARGET_QUESTION"]), "passing_answer": str(row.get("PASS_CRITERIA", "YES")).upper()}
        return Problem(str(row.get("QUESTION_ID", name)), turns, answer, uri, {"axis": str(row.get("AXIS", ""))})
    except (TypeError, ValueError, KeyError) as error:
        raise UserError(f"{uri}, {name}: expected a row of a judged benchmark ({error!r})") from None
