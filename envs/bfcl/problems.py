"""The problems of BFCL-V4 with the leaderboard's own prompts, from the data of the package bfcl-eval."""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from ...core import Message, Problem, UserError
from ...golds import BFCLTurn, BFCLTurns, FunctionCalls
from ...policies.chat import tools
from ...verifiers.function_calls import gold_response
from ..problems import function_calls
from ..text import with_system
from . import services, texts

CATEGORIES = ("multi_turn_base", "multi_turn_miss_func", "multi_turn_miss_param", "multi_turn_long_context")
URI = "generate:tenfold.envs.bfcl.problems:multi_turn"
SINGLE_URI = "generate:tenfold.envs.bfcl.problems:single_turn"


def multi_turn(categories: str = ",".join(CATEGORIES), each: int | None = None) -> Iterator[Problem]:
    """Yields the problems of some categories.

    Args:
        categories: names separated by commas.
        each: number of problems of each category, the first ones; default: all.

    Raises:
        UserError: there is no such category, or the package is not installed.
    """
    for category in categories.split(","):
        if category not in CATEGORIES:
            raise UserError(f"BFCL-V4 has no category {category!r} with several turns; use {', '.join(CATEGORIES)}")
        data = function_calls.package_data("BFCL-V4")
        file = f"BFCL_v4_{category}.json"
        golds = {row["id"]: row["ground_truth"] for row in function_calls.rows(data / "possible_answer" / file)}
        for row in itertools.islice(function_calls.rows(data / file), each):
            yield _problem(row, golds[row["id"]], category)


def single_turn(categories: str, mode: str = "prompt", each: int | None = None) -> Iterator[Problem]:
    """Yields problems with one turn, for the verifier `function_calls`.

    Args:
        categories: names separated by commas, such as "simple_python,live_multiple"; see `envs/problems/function_calls.py`.
        mode: "prompt": the functions are in the system turn; "tools": they are tools of the chat template or of the request.
        each: number of problems of each category, the first ones; default: all.

    Raises:
        UserError: there is no such category, or the package is not installed.
    """
    if mode not in ("prompt", "tools"):
        raise UserError(f"mode: expected prompt or tools, got {mode!r:.80}")
    for category in categories.split(","):
        found = function_calls.leaderboard(SINGLE_URI, category, prompt=_by_tools if mode == "tools" else _in_system_turn)
        for problem in itertools.islice(found, each):
            yield _with_tool_names(problem) if mode == "tools" else problem


def _in_system_turn(messages: Sequence[Message], functions: Sequence[Mapping[str, Any]], language: str) -> tuple[Message, ...]:
    return with_system(texts.system_prompt([dict(each) for each in functions], language), messages)


def _by_tools(messages: Sequence[Message], functions: Sequence[Mapping[str, Any]], language: str) -> tuple[Message, ...]:
    return tuple(tools.joined([texts.tool(dict(each), language) for each in functions], messages))


def _with_tool_names(problem: Problem) -> Problem:
    """Returns a problem whose gold answer has the names of the tools."""
    answer = cast(FunctionCalls, problem.answer)
    functions = [{**each, "name": texts.tool_name(str(each["name"]))} for each in answer["functions"]]
    named = [{texts.tool_name(name): arguments for name, arguments in call.items()} for call in answer["calls"]]
    changed = cast(FunctionCalls, {**answer, "functions": functions, "calls": named})
    solution = {"solution": gold_response(changed)} if "solution" in problem.meta else {}
    return dataclasses.replace(problem, answer=changed, meta={**problem.meta, **solution})


def _problem(row: dict[str, Any], gold: list[list[str]], category: str) -> Problem:
    declarations = [declaration for name in row["involved_classes"] for declaration in texts.functions(name)]
    added: dict[int, list[texts.Declaration]] = {}
    for turn, names in row.get("missed_function", {}).items():
        added[int(turn)] = [declaration for name in names for declaration in declarations if declaration["name"] == name]
        declarations = [declaration for declaration in declarations if declaration["name"] not in names]
    turns = [
        BFCLTurn(
            user=said[0]["content"] if said else texts.added_functions(added[number]),
            functions=added.get(number, []),
            calls=calls,
        )
        for number, (said, calls) in enumerate(zip(row["question"], gold, strict=True))
    ]
    answer = BFCLTurns(
        classes=row["involved_classes"],
        config=row["initial_config"],
        functions=declarations,
        turns=turns,
        long_context=category == "multi_turn_long_context",
        code=services.digest(row["involved_classes"]),
    )
    return Problem(row["id"], (Message(role="user", content=turns[0]["user"]),), answer, URI, {"category": category})
