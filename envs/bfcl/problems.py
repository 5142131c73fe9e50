"""The multi-turn problems of BFCL-V4, from the data of the package bfcl-eval."""

import json
from collections.abc import Iterator
from typing import Any

from ...core import Message, Problem, UserError
from ...golds import BFCLTurn, BFCLTurns
from . import services, texts

CATEGORIES = ("multi_turn_base", "multi_turn_miss_func", "multi_turn_miss_param", "multi_turn_long_context")
URI = "generate:tenfold.envs.bfcl.problems:multi_turn"


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
        golds = {row["id"]: row["ground_truth"] for row in _rows(f"possible_answer/BFCL_v4_{category}.json")}
        for row in _rows(f"BFCL_v4_{category}.json")[:each]:
            yield _problem(row, golds[row["id"]], category)


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


def _rows(name: str) -> list[dict[str, Any]]:
    text = (services.package() / "data" / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines() if line.strip()]
