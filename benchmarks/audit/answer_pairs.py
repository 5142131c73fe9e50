"""Pairs of gold answers and responses whose equality is known: what verifiers of answers are measured on."""

import json
from pathlib import Path
from typing import NamedTuple

import yaml

from ...core import UserError

HERE = Path(__file__).parent


class Pair(NamedTuple):
    """A gold answer, a response, and whether the response is right."""

    kind: str
    gold: str
    response: str
    equal: bool
    question: str = ""


def own_pairs() -> list[Pair]:
    """The pairs of `answer_pairs.yaml`, and of `more_answer_pairs.jsonl`, which was written without a look at the code."""
    return [*_by_hand(), *pairs_of(str(HERE / "more_answer_pairs.jsonl"))]


def _by_hand() -> list[Pair]:
    by_kind = yaml.safe_load((HERE / "answer_pairs.yaml").read_text())
    found = []
    for kind, rows in by_kind.items():
        for row in rows:
            for equal in (True, False):
                for answer in row["equal" if equal else "unequal"]:
                    response = answer if kind == "extraction" else f"So the answer is \\boxed{{{answer}}}."
                    found.append(Pair(kind, row["gold"], response, equal))
    return found


def pairs_of(path: str) -> list[Pair]:
    """Pairs out of a JSONL file with the fields gold, pred or response, equal, and kind and question where they are known.

    Raises:
        UserError: there is no such file, a line lacks one of them, or there is no line.
    """
    found: list[Pair] = []
    if not Path(path).is_file():
        raise UserError(f"there is no file {path}")
    for number, line in enumerate(Path(path).read_text().split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            response = row["response"] if "response" in row else row["pred"]
            found.append(
                Pair(
                    row.get("kind", Path(path).stem),
                    str(row["gold"]),
                    response,
                    bool(row["equal"]),
                    str(row.get("question", "")),
                )
            )
        except (ValueError, KeyError, TypeError):
            raise UserError(f"{path}, line {number}: gold, pred (or response) and equal are expected") from None
    if not found:
        raise UserError(f"{path} holds no pair")
    return found
