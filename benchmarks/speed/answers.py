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
    """Pairs out of a JSONL file with the fields gold, pred or response, equal, and kind where it is known.

    Raises:
        UserError: a line lacks one of them.
    """
    found = []
    for number, line in enumerate(Path(path).read_text().splitlines(), start=1):
        try:
            row = json.loads(line)
            response = row["response"] if "response" in row else row["pred"]
            found.append(Pair(row.get("kind", Path(path).stem), str(row["gold"]), response, bool(row["equal"])))
        except (ValueError, KeyError, TypeError):
            raise UserError(f"{path}, line {number}: gold, pred (or response) and equal are expected") from None
    return found
