"""Converts rows of LiveBench to problems. `verifiers/live_bench/` judges them.

    {"question_id", "category", "task", "turns": [TEXT], "ground_truth", "livebench_release_date", ...}

The task, and for some tasks the release, decide by which rule the answer is judged. `meta` has the task as "category", so that
results have a score for each task.
"""

import ast
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from ....core import Message, Problem, UserError
from .. import cells, code

COLUMNS = {"question_id", "category", "task", "turns"}
RELEASED = "livebench_release_date"
"""Column with the date of the release that has added the question."""
TAGS = "2024-11-25"
"""Release since which zebra puzzles and connections have answers in tags."""
TABLES = "2025-04-25"
"""Release since which tables have another prompt and other rules."""
IFBENCH = "2025-11-25"
"""Release since which instructions are those of IFBench."""
GRACE = 5.0
"""Seconds that unit tests may take in addition to those that a question expects."""
FORMATS = ("json", "jsonl", "html", "csv", "markdown", "tsv")
PLAIN = frozenset(
    "consecutive_events cta house_traversal integrals_with_game logic_with_navigation plot_unscrambling spatial sudoku "
    "theory_of_mind typos web_of_lies_v2 web_of_lies_v3".split()
)
"""Tasks whose rule has the task's name and needs the gold answer alone."""
_OPTION = re.compile(r"\\textbf\{\(([A-E])\)\s?\}(.*?)(?:\\qquad|\$)")
"""An option of a question of a competition, with its letter."""


class _NotScored(ValueError):
    """The question cannot be judged here."""


def is_live_bench(row: Mapping[str, object]) -> bool:
    """True if a row has LiveBench's fields."""
    return row.keys() >= COLUMNS and isinstance(row["turns"], list)


def problem_of(row: Mapping[str, Any], uri: str, name: str) -> Problem:
    """Returns the problem of a row. A question that cannot be judged here has no answer; `meta["invalid_gold"]` says why.

    Args:
        row: values by column.
        uri: the source of the row.
        name: id of the problem if the row has none.

    Raises:
        UserError: a field has an unexpected form, or the rule depends on the release and the row has no date.
    """
    task, released = str(row["task"]), cells.date_of(row.get(RELEASED))
    day = released.date().isoformat() if released else ""
    meta: dict[str, object] = {"category": task, "section": row["category"], "released": day}
    system = [Message(role="system", content=row["system_prompt"])] if row.get("system_prompt") else []
    answer: dict[str, object] | None = None
    try:
        if len(row["turns"]) != 1:
            raise _NotScored(f"the question has {len(row['turns'])} turns")
        answer = _answer(row, task, f"{uri}, {name}")
    except _NotScored as reason:
        meta["invalid_gold"] = str(reason)
    except (SyntaxError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{uri}, {name}: expected a row of LiveBench ({error!r:.200})") from None
    prompt = (*system, *(Message(role="user", content=str(turn)) for turn in row["turns"][:1]))
    return Problem(str(row.get("question_id", name)), prompt, answer, uri, meta)


def _is_since(row: Mapping[str, Any], release: str, where: str) -> bool:
    """True if a question was added by a release or a later one.

    Args:
        row: values by column.
        release: the date of the release.
        where: name of the row, for errors.

    Raises:
        UserError: the row has no date.
    """
    released = cells.date_of(row.get(RELEASED))
    if released is None:
        need = f"the rule of LiveBench's task {row['task']} depends on the release and needs"
        raise UserError(f"{where}: {need} a date in the column {RELEASED}, got {row.get(RELEASED)!r:.100}")
    return released.date().isoformat() >= release


def _answer(row: Mapping[str, Any], task: str, where: str) -> dict[str, object]:
    """Returns the gold answer: the rule by which LiveBench's code judges the question, and what the rule needs.

    Args:
        row: values by column.
        task: LiveBench's task.
        where: name of the row, for errors.
    """
    if row["category"] == "instruction_following":
        return _instructions(row, where)
    if task in _PROGRAMS:
        return _PROGRAMS[task](row)
    gold, question, kind = row.get("ground_truth"), str(row["turns"][0]), str(row.get("subtask") or task)
    words = kind.split("_")
    if words[0] in ("amc", "smc") or words[1:2] == ["amc"]:
        option = dict(_OPTION.findall(question)).get(str(gold), "").strip().strip("$").strip("~")
        return {"rule": "amc", "gold": gold, "option": option}
    if words[0] == "aime":
        return {"rule": "aime", "gold": gold}
    if words[0] in ("imo", "usamo"):
        return {"rule": "olympiad", "gold": [int(number) for number in str(gold).split(",")]}
    if "amps_hard" in (kind + task).lower():
        return {"rule": "amps_hard", "gold": gold[-1] if isinstance(gold, list) else gold}
    if kind == "tablereformat":
        is_changed = _is_since(row, TABLES, where)
        found = _format(question, is_changed)
        return {"rule": kind, "gold": gold, "format": found, "version": 2 if is_changed else 1}
    if kind == "tablejoin":
        return {"rule": kind, "gold": gold if isinstance(gold, Mapping) else ast.literal_eval(str(gold))}
    if "zebra_puzzle" in kind or kind == "connections":
        rule = "connections" if kind == "connections" else "zebra_puzzle"
        return {"rule": rule if _is_since(row, TAGS, where) else f"{rule}_bold", "gold": gold}
    if kind in PLAIN:
        is_json = kind in ("consecutive_events", "logic_with_navigation") and isinstance(gold, str)
        return {"rule": kind, "gold": json.loads(str(gold)) if is_json else gold}
    raise _NotScored(f"LiveBench's task {kind} cannot be scored here")


def _format(question: str, is_changed: bool) -> str:
    """Returns the format to which a question wants a table to be converted."""
    if is_changed:
        found = [line for line in question.split("\n") if "Target Format" in line][-1].split("Target Format: ")[1].strip()
    else:
        found = question.split("Please convert the Input Table from ")[1].split("format to ")[1].split(" format")[0]
    if found.lower() not in FORMATS:
        raise _NotScored(f"{found.lower()!r} is no format of a table: {', '.join(FORMATS)} are")
    return found.lower()


def _instructions(row: Mapping[str, Any], where: str) -> dict[str, object]:
    if _is_since(row, IFBENCH, where):
        raise _NotScored("the instructions are those of IFBench, which cannot be scored here")
    arguments = [{key: value for key, value in (kwargs or {}).items() if value is not None} for kwargs in row["kwargs"]]
    names = [str(name) for name in row["instruction_id_list"]]
    return {"rule": "instructions", "instructions": {"instructions": names, "arguments": arguments}}


def _live_code_bench(row: Mapping[str, Any]) -> dict[str, object]:
    original = row.get("original_json") or {}
    metadata = (json.loads(original) if isinstance(original, str) else original).get("metadata")
    tests = {name: row[name] for name in ("public_test_cases", "private_test_cases")}
    found = code.problem_of({"question_content": "", "metadata": metadata, **tests}, "", str(row["question_id"])).answer
    start = row.get("partial_solution") or ""
    return {"rule": "live_code_bench", "tests": found, "start": start}


def _unit_tests(row: Mapping[str, Any]) -> dict[str, object]:
    given = {name: str(row.get(column) or "") for name, column in (("start", "partial_solution"), ("code", "code_prompt"))}
    imported = {name for text in (row["tests"], *given.values(), row.get("solution") or "") for name in code.imported(text)}
    entry = {"entry_point": str(row.get("entry_point") or "")}
    limit = {"seconds": float(row["expected_time"]) + GRACE} if row.get("expected_time") else {}
    return {"rule": "unit_tests", "unit_tests": row["tests"], "imports": sorted(imported), **limit, **entry, **given}


_PROGRAMS: dict[str, Callable[[Mapping[str, Any]], dict[str, object]]] = {
    "LCB_generation": _live_code_bench,
    "coding_completion": _live_code_bench,
    "code_generation": _unit_tests,
    "code_completion": _unit_tests,
}
