"""The agentic problems of BFCL-V4, from the data of the package bfcl-eval."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...core import Message, Problem, UserError
from ...golds import BFCLAnswers
from ..problems import function_calls
from . import memory_services, texts

URI = "generate:tenfold.envs.bfcl.agentic_problems"
BACKENDS = ("kv", "vector", "rec_sum")
"""The kinds of memory. The category of each is memory_BACKEND."""
SCENARIOS = ("customer", "healthcare", "finance", "student", "notetaker")
"""Whose memory it is."""
WEB_SEARCH = ("web_search_base", "web_search_no_snippet")


def memory(backend: str, scenarios: str = ",".join(SCENARIOS)) -> Iterator[Problem]:
    """Yields the questions about earlier conversations, which the policy can only answer from its memory.

    Args:
        backend: kind of the memory: kv (keys and values), vector or rec_sum (one text).
        scenarios: names separated by commas.

    Raises:
        UserError: there is no such kind or scenario, or a package is not installed.
    """
    category, data, chosen = _category(backend), function_calls.package_data("BFCL-V4"), scenarios.split(",")
    if unknown := {*chosen} - {*SCENARIOS}:
        raise UserError(f"BFCL-V4 has no scenario {min(unknown)!r} with memory; use {', '.join(SCENARIOS)}")
    golds = _golds(data, "memory")
    for row in function_calls.rows(data / "BFCL_v4_memory.json"):
        if row["scenario"] not in chosen:
            continue
        answer = _memory_answer(row, category, golds[row["id"]])
        yield _problem(row["id"].replace("memory", category, 1), row["question"][0], answer, f"{URI}:memory", category)


def conversations(backend: str) -> Iterator[Problem]:
    """Yields the conversations from which the policy must remember facts. Those of a scenario follow in their order.

    Args:
        backend: see `memory`.
    """
    category, data = _category(backend), function_calls.package_data("BFCL-V4")
    for file in sorted((data / "memory_prereq_conversation").glob("memory_*.json")):
        for row in function_calls.rows(file):
            said = [turn[0]["content"] for turn in row["question"]]
            answer = _memory_answer(row, category, ())
            answer["turns"] = said[1:]
            messages = (Message(role="user", content=said[0]),)
            id = row["id"].replace("memory", category, 1)
            yield Problem(id, messages, answer, f"{URI}:conversations", {"category": category})


def web_search(categories: str = ",".join(WEB_SEARCH)) -> Iterator[Problem]:
    """Yields the questions that need a web search.

    Args:
        categories: names separated by commas. In web_search_no_snippet, search results contain no part of the page.

    Raises:
        UserError: there is no such category, or the package is not installed.
    """
    data = function_calls.package_data("BFCL-V4")
    golds = _golds(data, "web_search")
    for category in categories.split(","):
        if category not in WEB_SEARCH:
            raise UserError(f"BFCL-V4 has no category {category!r} with web search; use {', '.join(WEB_SEARCH)}")
        for row in function_calls.rows(data / "BFCL_v4_web_search.json"):
            answer = BFCLAnswers(
                answers=golds[row["id"]],
                service="WebSearchAPI",
                functions=texts.functions("WebSearchAPI"),
                code="",
                snippets=category == "web_search_base",
            )
            id = row["id"].replace("web_search", category, 1)
            yield _problem(id, row["question"][0], answer, f"{URI}:web_search", category)


def _category(backend: str) -> str:
    if backend not in BACKENDS:
        raise UserError(f"backend: BFCL-V4 has no memory {backend!r}; use {', '.join(BACKENDS)}")
    return f"memory_{backend}"


def _golds(data: Path, name: str) -> Mapping[str, Sequence[str]]:
    return {row["id"]: row["ground_truth"] for row in function_calls.rows(data / "possible_answer" / f"BFCL_v4_{name}.json")}


def _memory_answer(row: Mapping[str, Any], category: str, answers: Sequence[str]) -> BFCLAnswers:
    name = f"MemoryAPI_{category.removeprefix('memory_')}"
    return BFCLAnswers(
        answers=answers,
        service=name,
        functions=texts.functions(name),
        code=memory_services.digest(name),
        scenario=row["scenario"],
    )


def _problem(id: str, asked: Sequence[Message], answer: BFCLAnswers, source: str, category: str) -> Problem:
    messages = (Message(role="system", content=texts.answer_format()), *asked)
    return Problem(id, messages, answer, source, {"category": category})
