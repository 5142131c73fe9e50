"""Rows of the Berkeley Function-Calling Leaderboard as problems. `verifiers/function_calls.py` judges them."""

import dataclasses
import importlib.util
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ...core import Message, Problem, UserError
from ...golds import FunctionCalls
from ...policies.chat.tools import INSTRUCTION
from ...verifiers.function_calls import gold_response
from . import conversations

CATEGORIES = ("simple_python", "simple_java", "simple_javascript", "multiple", "parallel", "parallel_multiple", "irrelevance")
"""The categories of `bfcl:` without a location. The names of categories with problems from users begin with `live_`, such as
live_simple."""

SOURCE_TEXT = (
    "\n\nThey are functions of {language}: write each value as a JSON string that holds its source text in {language}."
)


def is_function_calls(row: Mapping[str, object]) -> bool:
    """True if a row has the leaderboard's fields, gold calls included."""
    return {"question", "function", "ground_truth"} <= row.keys()


class Prompt(Protocol):
    """Returns the prompt of a problem from the row's messages, the declared functions and their language."""

    def __call__(  # noqa: D102
        self, messages: Sequence[Message], functions: Sequence[Mapping[str, Any]], language: str
    ) -> tuple[Message, ...]: ...


def own_prompt(messages: Sequence[Message], functions: Sequence[Mapping[str, Any]], language: str) -> tuple[Message, ...]:
    """Returns the messages with the functions and our instruction at the start of the system turn."""
    instruction = INSTRUCTION.format(tools="\n".join(json.dumps(function, ensure_ascii=False) for function in functions))
    instruction += "" if language == "python" else SOURCE_TEXT.format(language={"java": "Java"}.get(language, "JavaScript"))
    return after_system(messages, instruction)


def after_system(messages: Sequence[Message], instruction: str) -> tuple[Message, ...]:
    """Returns the messages with an instruction after the text of their system turn."""
    rest = [*messages]
    if rest[0]["role"] == "system":
        instruction = f"{rest.pop(0)['content']}\n\n{instruction}"
    return (Message(role="system", content=instruction), *rest)


def problem_of(row: Mapping[str, Any], uri: str, name: str, prompt: Prompt = own_prompt) -> Problem:
    """Returns the problem of a row.

    Args:
        row: question (text or turns), function (declarations), ground_truth (gold calls), language, any_call.
        uri: the source of the row.
        name: id of the problem if the row has none.
        prompt: makes the prompt.

    Raises:
        UserError: the row has another form.
    """
    try:
        question, functions = row["question"], row["function"]
        turns = [{"role": "user", "content": question}] if isinstance(question, str) else question
        if isinstance(turns[0], list):
            if len(turns) > 1:
                raise ValueError("the question has several turns, but ground_truth has the calls of only one")
            turns = turns[0]
        language = str(row.get("language") or "python")
        answer: FunctionCalls = {"functions": functions, "calls": row["ground_truth"], "language": language}
        if row.get("any_call"):
            answer["any_call"] = True
        messages = prompt(conversations.messages(turns, f"{uri}, {name}"), functions, language)
        meta = {} if answer.get("any_call") else {"solution": gold_response(answer)}
        return Problem(str(row.get("id", name)), messages, answer, uri, meta)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise UserError(f"{uri}, {name}: expected a row with question, function and ground_truth ({error!r})") from None


def leaderboard(uri: str, categories: str, folder: str | None = None, prompt: Prompt = own_prompt) -> Iterator[Problem]:
    """Yields problems of the Berkeley Function-Calling Leaderboard, from the data of the package bfcl-eval.

    Args:
        uri: the problems' source.
        categories: names separated by commas; empty means `CATEGORIES`.
        folder: folder with BFCL_v4_CATEGORY.json and possible_answer/; the default is the package's own.
        prompt: makes the prompts.

    Raises:
        UserError: there is no such category, it has no gold calls, or a file cannot be read.
    """
    data = Path(folder) if folder else package_data(uri)
    for category in filter(None, categories.split(",")) if categories else CATEGORIES:
        file = data / f"BFCL_v4_{category}.json"
        if not file.is_file():
            names = sorted(path.stem.removeprefix("BFCL_v4_") for path in data.glob("BFCL_v4_*.json"))
            raise UserError(f"{uri}: no category {category!r} in {data}; the categories are {', '.join(names) or 'none'}")
        gold_file = data / "possible_answer" / file.name
        golds = {row["id"]: row.get("ground_truth") for row in rows(gold_file)} if gold_file.is_file() else {}
        language = category.removeprefix("simple_") if category.startswith("simple_") else "python"
        for number, row in enumerate(rows(file)):
            gold = [] if "relevance" in category else golds.get(row["id"])
            if not isinstance(gold, list):
                raise UserError(f"{uri}: {category} has no gold calls for {row['id']}; choose another category")
            further = {"ground_truth": gold, "language": language, "any_call": category == "live_relevance"}
            problem = problem_of(row | further, uri, f"{category}/{number}", prompt)
            yield dataclasses.replace(problem, meta={**problem.meta, "category": category})


def package_data(uri: str) -> Path:
    """Returns the folder `data` of the package bfcl-eval.

    Args:
        uri: the problems' source, for the error.

    Raises:
        UserError: the package is not installed.
    """
    package = importlib.util.find_spec("bfcl_eval")
    if package is None or not package.submodule_search_locations:
        raise UserError(f"{uri} needs the data of the package bfcl-eval: pip install --no-deps bfcl-eval")
    return Path(package.submodule_search_locations[0]) / "data"


def rows(file: Path) -> Iterator[dict[str, Any]]:
    """Yields the rows of a file of the leaderboard.

    Raises:
        UserError: a line is no JSON object with an id.
    """
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line.decode("utf-8-sig"))
            except ValueError as error:  # includes bytes that are not UTF-8
                raise UserError(f"{file}, line {number}: not JSON ({error})") from None
            if not isinstance(row, dict) or "id" not in row:
                raise UserError(f"{file}, line {number}: expected a JSON object with an id")
            yield row
