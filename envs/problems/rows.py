"""Conversion of one row to a problem. Columns identify the formats of known benchmarks; URI options describe other rows."""

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ...core import Message, Problem, UserError, message_text
from ...policies.chat import tools
from . import cells, choice_rows, code, conversations, function_calls, instructions, judged, live_bench, math

PROMPT_COLUMNS = ("prompt", "question", "problem", "messages", "conversations", "conversation")
ANSWER_COLUMNS = (*code.ANSWER_COLUMNS, "solution")
TOOL_COLUMNS = ("tools", "functions")
"""Columns that declare the tools of a conversation."""
NO_ANSWER = "there is no answer"
"""`invalid_gold` of a row whose answer is null, NaN or blank."""
_CONVERSATIONS = ("messages", "conversations", "conversation")
"""Columns with turns, as a list or as JSON text. A further column `system` contains the system turn."""
_IDS = ("id", "unique_id", "uuid", "ID", "Record ID", "task_id", "question_id", "key", "index", "QUESTION_ID")
ID_COLUMNS = frozenset((*_IDS, "uid"))
"""Columns that the id of a problem may come from, whatever the format of its row."""

Row = Mapping[str, Any]


def problem_of(row: Row, uri: str, name: str, number: int, options: Mapping[str, str], shuffle: int | None = None) -> Problem:
    """Returns the problem of a row.

    Args:
        row: values by column.
        uri: the source of the row.
        name: id of the problem if the row has none.
        number: number of the row, from 1, for errors.
        options: options of the URI; see `sources.py`.
        shuffle: seed of the order of multiple-choice options.

    Raises:
        UserError: a column is missing, or a conversation cannot be read. The message names the row.
    """
    where = f"{uri}, row {number}"
    row = cells.plain(row)
    for option in ("prompt", "answer", "solution", "thinking", "id"):
        if option in options:
            find_column(row, options[option], (), where)
    id = row[options["id"]] if "id" in options else None
    row = {column: value for column, value in row.items() if column not in _IDS or not cells.is_missing(value)}
    choice: Row = row
    if "answer_after" not in options:
        choice = choice_rows.standard(row, options.get("prompt"), options.get("answer"))
    if convert := _converter(choice, shuffle, options):
        problem = convert(choice, uri, name)
    else:
        problem = _by_columns(row, uri, name, where, options)
    meta = {name: row[name] for name in ("thinking", "summary") if not cells.is_missing(row.get(name))} | dict(problem.meta)
    meta |= {option: row[options[option]] for option in ("solution", "thinking") if option in options}
    if "entry_point" in meta:  # a function, whose prompt may be empty, too
        meta["invalid_gold"] = NO_ANSWER
    elif not any(turn["content"].strip() or "tool_calls" in turn for turn in problem.prompt):
        meta["invalid_gold"] = "the prompt is empty"
    if "id" not in options:
        id = problem.id
    elif cells.is_missing(id):
        id = name
    gold = None if "invalid_gold" in meta else problem.answer
    return dataclasses.replace(problem, id=str(id), answer=gold, meta=meta)


def with_distinct_ids(problems: Iterable[Problem]) -> list[Problem]:
    """Returns problems with distinct ids: a repeated id gets a number. Samples are stored under the id of their problem."""
    used, repeats, distinct = set[str](), Counter[str](), []
    for problem in problems:
        id = problem.id
        while id in used:
            repeats[problem.id] += 1
            id = f"{problem.id}#{repeats[problem.id] + 1}"
        used.add(id)
        distinct.append(problem if id == problem.id else dataclasses.replace(problem, id=id))
    return distinct


def _converter(row: Row, shuffle: int | None, options: Mapping[str, str]) -> Callable[[Row, str, str], Problem] | None:
    """Returns the function for the row's format, or None. If the user names columns, only multiple-choice formats apply."""
    named = bool(options.keys() & {"prompt", "answer", "answer_after"})
    if not named and live_bench.is_live_bench(row):
        return live_bench.problem_of
    if not named and code.is_code(row):
        return code.problem_of
    if not named and function_calls.is_function_calls(row):
        return function_calls.problem_of
    if choice_rows.is_choice(row):
        keep = options.get("white_space") == "keep"
        return functools.partial(choice_rows.problem_of, shuffle=shuffle, keep_white_space=keep)
    if named:
        return None
    if instructions.is_instructions(row):
        return instructions.problem_of
    if judged.is_judged(row):
        return judged.problem_of
    return math.problem_of if math.is_math(row) else None


def _by_columns(row: Row, uri: str, name: str, where: str, options: Mapping[str, str]) -> Problem:
    """Returns a problem from the named columns. Without an answer column the last assistant turn is the answer."""
    prompt_column = find_column(row, options.get("prompt"), PROMPT_COLUMNS, where)
    turns = conversation(row, prompt_column, where, sparse=uri.startswith(("parquet:", "hf:")))
    meta: dict[str, object] = {}
    answer_column = options.get("answer") or cells.first_present(row, ANSWER_COLUMNS)
    last = _final_assistant_turn(turns)
    answer: object
    if last is not None and "answer" not in options and (answer_column is None or cells.is_missing(row[answer_column])):
        answer = message_text(turns[last])
        if "tool_calls" in turns[last]:
            meta["final_turn"] = turns[last]
        turns = turns[:last]
    else:
        answer = _without_missing(row[find_column(row, answer_column, ANSWER_COLUMNS, where)])
    if mark := options.get("answer_after"):
        if mark in str(answer):
            meta["solution"], answer = answer, str(answer).rsplit(mark, 1)[1].strip()
        else:
            answer, meta["invalid_gold"] = None, f"the answer does not contain {mark!r}"
    if cells.is_missing(answer):
        meta.setdefault("invalid_gold", NO_ANSWER)
    return Problem(str(row.get("id", name)), turns, answer, uri, meta)


def conversation(row: Row, prompt_column: str, where: str, sparse: bool) -> tuple[Message, ...]:
    """Returns the turns of a column, with the system turn of the column `system` and the tools that the row declares.

    Args:
        row: values by column.
        prompt_column: the column with text, or with turns as a list or as JSON text.
        where: name of the row, for errors.
        sparse: see `conversations.messages`.

    Raises:
        UserError: a turn or a tool cannot be read.
    """
    prompt = row[prompt_column]
    if isinstance(prompt, str) and prompt_column in _CONVERSATIONS:
        prompt = conversations.parse_if_json(prompt)
    if prompt is None or isinstance(prompt, str):
        return (Message(role="user", content=prompt or ""),)
    turns = conversations.messages(prompt, where, sparse)
    system = row.get("system")
    system_text = system if isinstance(system, str) and prompt_column in _CONVERSATIONS else ""
    if system_text.strip() and turns and turns[0]["role"] != "system":
        turns = (Message(role="system", content=system_text), *turns)
    declared = next((row[name] for name in TOOL_COLUMNS if not cells.is_missing(row.get(name))), None)
    return tuple(tools.joined(conversations.tools(declared, where, sparse), turns))


def _final_assistant_turn(turns: Sequence[Message]) -> int | None:
    """Returns the index of the last assistant turn; None if it is the first turn, or if another turn than a tool's follows."""
    indices = [index for index, turn in enumerate(turns) if turn["role"] == "assistant"]
    if not indices or not indices[-1] or any(turn["role"] != "tool" for turn in turns[indices[-1] + 1 :]):
        return None
    return indices[-1]


def _without_missing(answer: object) -> object:
    """Returns an answer without missing values in its list; None if its `gold` is missing."""
    if isinstance(answer, list):
        return [value for value in answer if not cells.is_missing(value)]
    if isinstance(answer, Mapping) and "gold" in answer and cells.is_missing(answer["gold"]):
        return None
    return answer


def find_column(row: Row, named: str | None, defaults: Sequence[str], where: str) -> str:
    """Returns the name of the column to read.

    Args:
        row: values by column.
        named: the column that the user has named, if any.
        defaults: columns to use otherwise; the first one with a value is used.
        where: name of the row, for errors.

    Raises:
        UserError: there is no such column.
    """
    if named and named in row:
        return named
    if not named and (found := cells.first_present(row, defaults)):
        return found
    expected = repr(named) if named else " or ".join(defaults)
    raise UserError(f"{where}: there is no column {expected}; the columns are {', '.join(map(str, row))}")
