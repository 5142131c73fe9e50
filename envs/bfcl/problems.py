"""The problems of BFCL-V4 with the leaderboard's own prompts, from the data of the package bfcl-eval."""

import dataclasses
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from ...core import Message, Problem, UserError
from ...golds import BFCLTurn, BFCLTurns, FunctionCalls
from ...policies.chat import tools
from ...verifiers.function_calls import gold_response
from ..problems import function_calls
from ..text import with_system
from . import prompt_formats, services, texts

CATEGORIES = ("multi_turn_base", "multi_turn_miss_func", "multi_turn_miss_param", "multi_turn_long_context")
URI = "generate:tenfold.envs.bfcl.problems:multi_turn"
SINGLE_URI = "generate:tenfold.envs.bfcl.problems:single_turn"
FORMAT_URI = "generate:tenfold.envs.bfcl.problems:format_sensitivity"


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
            yield _with_tool_names(problem) if mode == "tools" else _with_list(problem)


def format_sensitivity(each: int | None = None) -> Iterator[Problem]:
    """Yields the problems of the format sensitivity: 200 problems with one turn, each in all prompt formats.

    The category of a problem is the name of its format (`prompt_formats.py`).

    Args:
        each: number of problems of each category of the leaderboard, the first ones; default: all.

    Raises:
        UserError: the package is not installed.
    """
    file = function_calls.package_data("BFCL-V4") / "BFCL_v4_format_sensitivity.json"
    chosen: dict[str, list[str]] = json.loads(file.read_text(encoding="utf-8"))
    numbers = itertools.count()
    for category, ids in chosen.items():
        found = function_calls.leaderboard(FORMAT_URI, category, prompt=_without_functions)
        for problem in itertools.islice((problem for problem in found if problem.id in ids), each):
            for configuration in prompt_formats.CONFIGURATIONS:
                yield _in_format(problem, configuration, next(numbers))


def _in_format(problem: Problem, configuration: prompt_formats.Configuration, number: int) -> Problem:
    answer = cast(FunctionCalls, problem.answer)
    # The leaderboard adds the hint of the language twice here.
    functions = [texts.documented(dict(each)) for each in answer["functions"]]
    changed: FunctionCalls = {**answer, "format": configuration.returns, "tagged": configuration.tagged}
    return Problem(
        f"format_sensitivity_{number}:{configuration.name}:{problem.id}",
        with_system(texts.system_prompt(functions, configuration=configuration), problem.prompt),
        changed,
        FORMAT_URI,
        {"category": configuration.name, "problem": problem.id, "solution": gold_response(changed)},
    )


def _without_functions(messages: Sequence[Message], functions: object, language: str) -> tuple[Message, ...]:
    return (*messages,)


def _in_system_turn(messages: Sequence[Message], functions: Sequence[Mapping[str, Any]], language: str) -> tuple[Message, ...]:
    return with_system(texts.system_prompt([dict(each) for each in functions], language), messages)


def _by_tools(messages: Sequence[Message], functions: Sequence[Mapping[str, Any]], language: str) -> tuple[Message, ...]:
    return tuple(tools.joined([texts.tool(dict(each), language) for each in functions], messages))


def _with_list(problem: Problem) -> Problem:
    """Returns a problem whose solution is a list of calls."""
    answer = cast(FunctionCalls, problem.answer)
    if "solution" not in problem.meta or not answer["calls"]:
        return problem
    listed: FunctionCalls = {**answer, "format": answer.get("language", "python")}
    return dataclasses.replace(problem, meta={**problem.meta, "solution": gold_response(listed)})


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
