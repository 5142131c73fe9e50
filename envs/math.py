"""Mathematics environments, and rows of GSM8K's, SVAMP's and MATH's form as problems (`verifiers/math.py` judges them)."""

import dataclasses
import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..core import Message, Problem, UserError
from ..verifiers.answers.extraction import boxed

BOXED = "{prompt}\n\nReason step by step and put the final answer in \\boxed{}."

ENVIRONMENTS: dict[str, dict[str, Any]] = {
    "tenfold/ChainSum-v0": {
        "problems": "reasoning_gym:chain_sum?part=train&size=1000&seed=2&min_terms=3&max_terms=4&min_digits=1&max_digits=1",
        "verifier": "math",
    },
    "tenfold/BasicArithmetic-v0": {
        "problems": "reasoning_gym:basic_arithmetic?part=train&size=500&min_terms=2&max_terms=2&min_digits=1&max_digits=1",
        "verifier": "math",
    },
    "tenfold/GSM8K-v0": {
        "problems": "hf:openai/gsm8k?name=main&split=train&answer_after=%23%23%23%23",
        "verifier": "math",
        "template": BOXED,
    },
    "tenfold/Math-v0": {"problems": "champ:", "verifier": "math", "template": BOXED},
    "tenfold/MathPython-v0": {"entry_point": "tenfold.envs.tools:with_python", "environment": "tenfold/Math-v0"},
}


def is_math(row: Mapping[str, Any]) -> bool:
    """Whether a row has GSM8K's form (an answer that ends in `#### 42`), SVAMP's, CMATH's or MATH's (a boxed solution)."""
    if {"Body", "Question", "Answer"} <= row.keys() or ("golden" in row and {"input", "question"} & row.keys()):
        return True
    if {"problem", "solution"} <= row.keys():
        return "answer" in row or "\\boxed" in str(row["solution"])
    return {"question", "answer"} <= row.keys() and "\n#### " in str(row["answer"])


def problem_of(row: Mapping[str, Any], uri: str, name: str) -> Problem:
    """A problem of such a row, with the worked solution where there is one.

    A solution without a box that closes gives the gold answer "", which no verifier can read: the environment's `unreadable`
    says what becomes of such a problem.
    """
    solution: Any = None
    if "Body" in row:
        number = row["Answer"]
        answer = str(int(number)) if isinstance(number, float) and number.is_integer() else str(number)
        prompt = f"{str(row['Body']).strip().rstrip('.')}. {str(row['Question']).strip()}"
        name = str(row.get("ID", name))
    elif "golden" in row:
        prompt, answer = str(row.get("question", row.get("input"))), str(row["golden"])
    elif "problem" in row:
        prompt, solution = str(row["problem"]), str(row["solution"])
        gold = row["answer"] if row.get("answer") not in (None, "") else boxed(solution)
        answer = "" if gold is None else str(gold)
    else:
        prompt, solution = str(row["question"]), str(row["answer"])
        answer = solution.rsplit("####", 1)[1].strip()
    meta = {column: row[column] for column in ("level", "type", "subject", "grade") if column in row}
    if solution is not None:
        meta["solution"] = solution
    name = str(row.get("id", row.get("unique_id", name)))
    return Problem(name, (Message(role="user", content=prompt),), answer, uri, meta)


def champ(uri: str) -> Iterator[Problem]:
    """The 270 competition problems that the package `champ-dataset` ships (Mao et al., 2024), with their solutions.

    Their answers are prose around mathematics between `@@`; see `champ_gold`.
    """
    try:
        import champ_dataset
    except ImportError:
        raise UserError(f"{uri} wants the package champ-dataset: pip install champ-dataset") from None
    for id, problem in champ_dataset.load("v0").problems.items():
        meta = {"solution": "\n".join(step.text for step in problem.solution.steps), "category": problem.category}
        yield Problem(id, (Message(role="user", content=problem.text),), champ_gold(problem._raw_answer), uri, meta)


def champ_gold(answer: str) -> list[str]:
    """What CHAMP's answer says, and what it calls equivalent: "@@C(10, 5)@@, or equivalently @@252@@" says two things."""
    answer = re.sub(r"\s*\((?:i\.e\.|no such|none of)[^()]*(?:\([^()]*\)[^()]*)*\)", "", answer)
    parts = re.split(r",? or (?:equivalently|an equivalent form such as) ", re.sub(r",? or approximately .*", "", answer))
    golds = []
    for part in parts:
        part = re.sub(r"^(?:The limit exists and is|The only possible value for the limit is)(?: equal to)? ", "", part)
        part = re.sub(r" (?:is the only possible value|times)$|^(?:At most|At least|Exactly) (?=\d)", "", part)
        golds.append(
            re.sub(
                r"(?<=\d) (?:integer-valued )?(?:values?|roots|zeros|pairs|inequalities|numbers?)$", "", part.replace("@@", "")
            )
        )
    return golds


def chain_sums_with_solutions(
    size: int = 1000,
    seed: int = 0,
    worked: float = 1.0,
    min_terms: int = 3,
    max_terms: int = 4,
    digits: int = 1,
    thinking: bool = False,
) -> Iterator[Problem]:
    """reasoning-gym's chain sums of the training part, with solutions to learn from: a source for `generate:`.

    Args:
        size: problems.
        seed: of the generator.
        worked: share of the solutions that add the terms up one by one; the others only state the result. Which is
            which depends on the problem's own text.
        min_terms, max_terms: terms of a sum.
        digits: digits of a term.
        thinking: the solutions state the result, and what adds the terms up is kept apart, as thinking, with a summary.
    """
    from . import problems

    uri = (
        f"reasoning_gym:chain_sum?part=train&size={size}&seed={seed}&min_terms={min_terms}&max_terms={max_terms}"
        f"&min_digits={digits}&max_digits={digits}"
    )
    for problem in problems.load(uri):
        share = int(hashlib.sha256(f"worked {problem.id}".encode()).hexdigest()[:8], 16) / 16**8
        steps = "\n".join(_running_sums(problem.meta["metadata"]["expression"]))
        told = {"solution": steps if share < worked else problem.answer}
        if thinking:
            told = {"solution": problem.answer, "thinking": steps, "summary": "Add the terms up from left to right."}
        yield dataclasses.replace(problem, meta={**problem.meta, **told})


def _running_sums(expression: str) -> Iterator[str]:
    """ "8 - 9 + 8" as "8-9=-1", "-1+8=7"."""
    first, *rest = expression.split()
    total = int(first)
    for sign, term in zip(rest[::2], rest[1::2], strict=True):
        before = total
        total += int(term) if sign == "+" else -int(term)
        yield f"{before}{sign}{term}={total}"
