"""Labelled pairs of a gold answer and a response, on which verifiers are measured."""

import functools
import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

from ... import digests
from ...core import Problem, UserError

HERE = Path(__file__).parent
INJECTION = "injection/"
"""Start of the kinds of pairs whose response tries to persuade a judge."""


class AnswerPair(NamedTuple):
    """A gold answer and a response, labelled as equal or not."""

    kind: str
    """Kind of answer, such as "rational" or "set"."""
    gold: str
    response: str
    equal: bool
    """True if the response is correct."""
    question: str = ""
    """The problem's text, if it is known."""


def own_pairs() -> list[AnswerPair]:
    """Returns the pairs of `answer_pairs.yaml` and of `more_answer_pairs.jsonl`.

    The second file was written without knowledge of the verifier's code.
    """
    return [*_from_yaml(), *pairs_of(str(HERE / "more_answer_pairs.jsonl"))]


def pairs_named(name: str) -> list[AnswerPair]:
    """Returns labelled pairs.

    Args:
        name: "built-in" for `own_pairs`, "words" for `word_pairs`, or the path of a JSONL file.

    Raises:
        UserError: see `pairs_of`.
    """
    return {"built-in": own_pairs, "words": word_pairs}.get(name, functools.partial(pairs_of, name))()


def word_pairs() -> list[AnswerPair]:
    """Returns pairs of a question whose answer is in words, most of which need a judge: those of `word_answers.yaml`."""
    rows = yaml.safe_load((HERE / "word_answers.yaml").read_text(encoding="utf-8"))
    return [
        AnswerPair("words", row["gold"], f"Answer: {answer}", equal, row["question"])
        for row in rows
        for equal in (True, False)
        for answer in row["equal" if equal else "unequal"]
    ]


def injections() -> list[AnswerPair]:
    """Returns pairs with an incorrect answer that tries to persuade a judge: those of `injections.jsonl`."""
    return pairs_of(str(HERE / "injections.jsonl"))


def problem_of(pair: AnswerPair) -> Problem:
    """Returns the problem of a pair, for a verifier."""
    return Problem("", ({"role": "user", "content": pair.question},), pair.gold, "")


def chosen(pairs: Sequence[AnswerPair], always: Collection[AnswerPair], others: int) -> list[AnswerPair]:
    """Returns some of the pairs, in their order. The choice depends on the pairs' content only.

    Args:
        pairs: labelled pairs.
        always: pairs that are chosen in any case.
        others: number of other pairs, half of them labelled as equal. If there are too few with one label, more of the other
            label are chosen.
    """
    always = set(always)
    # A larger number of others adds pairs to those of a smaller number.
    rest = sorted({pair for pair in pairs if pair not in always}, key=lambda pair: digests.of(list(pair)))
    equal, unequal = ([pair for pair in rest if pair.equal == label] for label in (True, False))
    count = max(others // 2, others - len(unequal))
    found = always | {*equal[:count], *unequal[: others - min(count, len(equal))]}
    return [pair for pair in pairs if pair in found]


def _from_yaml() -> list[AnswerPair]:
    by_kind = yaml.safe_load((HERE / "answer_pairs.yaml").read_text(encoding="utf-8"))
    found = []
    for kind, rows in by_kind.items():
        for row in rows:
            for equal in (True, False):
                for answer in row["equal" if equal else "unequal"]:
                    response = answer if kind == "extraction" else f"So the answer is \\boxed{{{answer}}}."
                    found.append(AnswerPair(kind, row["gold"], response, equal))
    return found


def pairs_of(path: str) -> list[AnswerPair]:
    """Returns the pairs of a JSONL file. Its fields are gold, response (or pred) and equal (true or false), optionally kind and
    question.

    Raises:
        UserError: there is no such file, a line lacks a field, or the file is empty.
    """
    found: list[AnswerPair] = []
    if not Path(path).is_file():
        raise UserError(f"there is no file {path}")
    for number, line in enumerate(Path(path).read_bytes().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            response = row["response"] if "response" in row else row["pred"]
            if row["equal"] not in (True, False):  # "false" would count as true
                raise ValueError
            found.append(
                AnswerPair(
                    str(row.get("kind", Path(path).stem)),
                    str(row["gold"]),
                    str(response),
                    bool(row["equal"]),
                    str(row.get("question", "")),
                )
            )
        except (ValueError, KeyError, TypeError, RecursionError):
            raise UserError(f"{path}, line {number}: expected gold, response (or pred) and equal (true or false)") from None
    if not found:
        raise UserError(f"{path} contains no pair")
    return found
