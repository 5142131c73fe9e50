"""A row of a data set as a problem: the forms of known benchmarks by their columns, and any other row by its options."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...core import Message, Problem, UserError, message_text
from . import cells, code, conversations, function_calls, instructions, judged, math, science

PROMPT_COLUMNS = ("prompt", "question", "problem", "messages", "conversations", "conversation")
ANSWER_COLUMNS = ("answer", "gold", "final_answer", "target", "solution")
TOOL_COLUMNS = ("tools", "functions")
"""Columns that declare the tools of a conversation."""
NO_ANSWER = "there is no answer"
"""Why a row cannot be judged whose answer is null, NaN or blank."""
_CONVERSATIONS = ("messages", "conversations", "conversation")
"""Columns that hold turns, at times as JSON; a column `system` beside them holds the system turn."""
_IDS = ("id", "unique_id", "uuid", "ID", "Record ID", "task_id", "question_id", "key", "index", "QUESTION_ID")

Row = Mapping[str, Any]


def problem_of(row: Row, uri: str, name: str, number: int, options: Mapping[str, str], shuffle: int | None = None) -> Problem:
    """The problem of a row.

    Args:
        row: columns by their names.
        uri: where it came from.
        name: its id where the row has none.
        number: of the row, from 1, for errors.
        options: see `problems.py`.
        shuffle: seed of the order of a question's options.

    Raises:
        UserError: a column is not there, or a conversation cannot be read; it names the row.
    """
    where = f"{uri}, row {number}"
    row = cells.plain(row)
    row = {column: value for column, value in row.items() if column not in _IDS or not cells.is_missing(value)}
    for option in ("prompt", "answer", "solution", "thinking"):
        if option in options:
            column(row, options[option], (), where)
    asked, answer = options.get("prompt"), options.get("answer")
    choice = row if "answer_after" in options else science.standard(row, asked, answer)
    if kind := _kind(choice, shuffle, bool(options.keys() & {"prompt", "answer", "answer_after"})):
        problem = kind(choice, uri, name)
    else:
        problem = _by_columns(row, uri, name, where, options)
    meta = dict(problem.meta)
    meta |= {option: row[options[option]] for option in ("solution", "thinking") if option in options}
    if not any(turn["content"].strip() or "tool_calls" in turn for turn in problem.prompt):
        meta["invalid_gold"] = "the prompt is empty"
    id = row.get(options["id"], name) if "id" in options else problem.id
    gold = None if "invalid_gold" in meta else problem.answer
    return dataclasses.replace(problem, id=str(id), answer=gold, meta=meta)


def _kind(row: Row, shuffle: int | None, named: bool) -> Callable[[Row, str, str], Problem] | None:
    """What makes a problem of a row that has fields of its own kind; where the user names columns, only its options count."""
    if not named and code.is_code(row):
        return code.problem_of
    if not named and function_calls.is_function_calls(row):
        return function_calls.problem_of
    if science.is_choice(row):
        return functools.partial(science.problem_of, shuffle=shuffle)
    if named:
        return None
    if instructions.is_instructions(row):
        return instructions.problem_of
    if judged.is_judged(row):
        return judged.problem_of
    return math.problem_of if math.is_math(row) else None


def _by_columns(row: Row, uri: str, name: str, where: str, options: Mapping[str, str]) -> Problem:
    """A problem by the names of its columns, or a conversation whose last turn of the assistant is the answer."""
    asked = column(row, options.get("prompt"), PROMPT_COLUMNS, where)
    turns, meta = _conversation(row, asked, where, sparse=uri.startswith(("parquet:", "hf:")))
    stated = options.get("answer") or cells.first_present(row, ANSWER_COLUMNS)
    said = _answered(turns)
    answer: Any
    if said is not None and "answer" not in options and (stated is None or cells.is_missing(row[stated])):
        answer = message_text(turns[said])
        if "tool_calls" in turns[said]:
            meta["final_turn"] = turns[said]
        turns = turns[:said]
    else:
        answer = _present(row[column(row, stated, ANSWER_COLUMNS, where)])
    meta |= {told: row[told] for told in ("thinking", "summary") if not cells.is_missing(row.get(told))}
    if mark := options.get("answer_after"):
        if mark in str(answer):
            meta["solution"], answer = answer, str(answer).rsplit(mark, 1)[1].strip()
        else:
            answer, meta["invalid_gold"] = None, f"the answer has no {mark!r}"
    if cells.is_missing(answer):
        meta.setdefault("invalid_gold", NO_ANSWER)
    return Problem(str(row.get("id", name)), turns, answer, uri, meta)


def _conversation(row: Row, asked: str, where: str, sparse: bool) -> tuple[tuple[Message, ...], dict[str, Any]]:
    """The turns that a column holds, and the tools that the row declares for them."""
    prompt = row[asked]
    if isinstance(prompt, str) and asked in _CONVERSATIONS:
        prompt = conversations.parse_if_json(prompt)
    if prompt is None or isinstance(prompt, str):
        return (Message(role="user", content=prompt or ""),), {}
    turns = conversations.messages(prompt, where, sparse)
    system = row.get("system")
    if asked in _CONVERSATIONS and isinstance(system, str) and system.strip() and turns and turns[0]["role"] != "system":
        turns = (Message(role="system", content=system), *turns)
    declared = next((row[one] for one in TOOL_COLUMNS if not cells.is_missing(row.get(one))), None)
    tools = conversations.tools(declared, where, sparse)
    return turns, {"tools": tools} if tools else {}


def _answered(turns: Sequence[Message]) -> int | None:
    """The assistant's last turn, where nothing but replies of tools follows it: from those nothing is learnt."""
    places = [place for place, turn in enumerate(turns) if turn["role"] == "assistant"]
    if not places or not places[-1] or any(turn["role"] != "tool" for turn in turns[places[-1] + 1 :]):
        return None
    return places[-1]


def _present(answer: Any) -> Any:
    """An answer without the values of a list that say nothing; None where {"gold": ...} says nothing."""
    if isinstance(answer, list):
        return [one for one in answer if not cells.is_missing(one)]
    if isinstance(answer, Mapping) and "gold" in answer and cells.is_missing(answer["gold"]):
        return None
    return answer


def column(row: Row, named: str | None, defaults: Sequence[str], where: str) -> str:
    """The column of that name, or the first of the usual ones that says something.

    Raises:
        UserError: there is none.
    """
    if named and named in row:
        return named
    if not named and (found := cells.first_present(row, defaults)):
        return found
    wanted = repr(named) if named else f"any of {', '.join(defaults)}"
    raise UserError(f"{where}: there is no column {wanted}; the columns are {', '.join(map(str, row))}")
