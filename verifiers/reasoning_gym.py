"""Verifier of reasoning-gym problems by the library's own scorers, in a worker process. Only a full score counts.

A few scorers give incorrect answers the full score. `_deserves_full_score` checks these answers again.

Some scorers pass the answer, or a field of the problem, to Python's `eval` or to sympy's parser, which calls `eval`. In the
worker these are replaced by functions that read only plain values and expressions (`_restrict_parsers`). An answer that calls,
imports or accesses anything else is incorrect.
"""

import ast
import functools
import json
import operator
import re
import sys
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, cast

from .. import extras
from ..core import Problem, Status, Verdict
from . import pool
from .answers import final_answer
from .answers.extraction.boxes import last_mark
from .answers.extraction.response import searched_text
from .answers.extraction.second_answers import second_value
from .budget import SECONDS, limit
from .verifier import MAX_REASON_CHARACTERS, as_verifier


def invalid_gold(problem: Problem) -> str | None:
    """Returns why no response to the problem can be judged, or None."""
    metadata = problem.meta.get("metadata")
    has_source = isinstance(metadata, Mapping) and "source_dataset" in metadata
    return None if has_source else "the problem does not come from a reasoning-gym generator"


def prepare() -> None:
    """Checks that a worker can import the generators.

    Raises:
        UserError: reasoning-gym is not installed.
    """
    extras.require("the verifier reasoning_gym", "reasoning_gym")


@as_verifier(invalid_gold=invalid_gold, prepare=prepare)
def verify(problem: Problem, response: str) -> Verdict:
    """Judges the final answer of `response` by the scorer of the generator that made `problem`.

    `problem.meta["metadata"]` must be the generator's metadata. The problem source `reasoning_gym:` stores it.
    """
    if (reason := invalid_gold(problem)) is not None:
        return Verdict(Status.UNDECIDED, None, "reasoning_gym", reason)
    metadata = cast(Mapping[str, Any], problem.meta["metadata"])
    with limit(SECONDS):
        whole = _in_tag(response)
        extracted = None if whole and "\n" in whole else final_answer(response)
    # Grids, programs and sentences are scored as they stand in the tag. Other answers are extracted as usual.
    answers = [*dict.fromkeys(_TEXT.sub(r"\1", answer) for answer in (whole, extracted) if answer is not None)]
    if not answers:
        return Verdict(Status.SCORED, 0.0, "extract", "the response has no final answer")
    entry = {"question": problem.prompt[-1]["content"], "answer": problem.answer, "metadata": dict(metadata)}
    entry = json.loads(json.dumps(entry, default=str))  # the metadata of some generators has fractions
    score, answer = 0.0, answers[0]
    try:
        for answer in answers:
            if (score := pool.shared("tenfold.verifiers.reasoning_gym:score").call(entry, answer)) >= 1:
                break
    except (pool.TimeLimit, pool.MemoryLimit) as error:
        return Verdict(Status.TIMEOUT, 0.0, "reasoning_gym", str(error))
    except pool.WorkerFault as error:
        return Verdict(Status.FAULT, None, "reasoning_gym", str(error)[:MAX_REASON_CHARACTERS])
    # Partial credit (0.01 for any text, for example) is meant for reward shaping, and is not a verdict.
    reason = f"{' '.join(answer.split())[:140]} scores {score:g}"
    return Verdict(Status.SCORED, float(score >= 1.0), "reasoning_gym", reason)


def _in_tag(response: str) -> str | None:
    """Returns the text in the last `<answer>` tag, with its quotation marks.

    None if there is no tag, if the tag contains a box, or if a box or a second answer follows the tag.
    """
    text = searched_text(response)
    mark = last_mark(text)
    if mark is None or not mark.is_tag or mark.content is None or "\\boxed" in mark.content:
        return None
    if second_value(text[mark.end : mark.end + 200]):
        return None
    between = _TAG.fullmatch(text[mark.start : mark.end])
    return between[1].strip() if between else mark.content


@functools.cache
def _scorer(generator: str) -> Callable[..., float]:
    """Returns a generator's scorer. Cached, because some generators read large files when they are created."""
    import reasoning_gym

    scorer: Callable[..., float] = reasoning_gym.get_score_answer_fn(generator)
    return scorer


def score(entry: dict[str, Any], answer: str) -> float:
    """Returns the score of the generator's own scorer, from 0 to 1; 0 for a full score that is not deserved.

    Runs in a worker.
    """
    metadata = entry["metadata"]
    if metadata["source_dataset"] in ("arc_agi", "rearc"):
        # These scorers compare with a grid of tuples, which problems stored as JSON do not have.
        entry = entry | {"metadata": metadata | {"output": tuple(map(tuple, metadata["output"]))}}
    scorer = _scorer(metadata["source_dataset"])
    _restrict_parsers()
    try:
        given = float(scorer(answer=answer, entry=entry))
        return given if given < 1 or _deserves_full_score(answer, entry) else 0.0
    except MemoryError:
        raise
    except Exception:
        scorer(answer=entry["answer"], entry=entry)  # raises if the entry is invalid; otherwise the answer is invalid
        return 0.0


def _deserves_full_score(answer: str, entry: Mapping[str, Any]) -> bool:
    """False for an incorrect answer to which a scorer of reasoning-gym 0.1.25 gives the full score."""
    match entry["metadata"]["source_dataset"]:
        case "coin_flip":  # accepts a prefix of the digits, and 0 for every small probability
            gold = Fraction(entry["answer"].replace(",", ""))
            return abs(Fraction(answer.replace(",", "")) - gold) <= min(Fraction("1e-4"), gold / 100)
        case "complex_arithmetic":  # accepts nan
            return "nan" not in answer.lower()
        case "game_of_life_halting":  # accepts every text
            return answer.strip().lower() == entry["answer"].lower()
        case "puzzle24":  # accepts other numbers, and every value from 24 to 25
            used = sorted(map(int, re.findall(r"\d+", answer)))
            is_plain = re.fullmatch(r"[-+*/()\d\s]+", answer) is not None and re.search(r"\*\s*\*|/\s*/", answer) is None
            return is_plain and used == sorted(entry["metadata"]["numbers"]) and _expression(answer) == 24
    return True


_TEXT = re.compile(r"\A\\(?:text|textbf|mathrm)\{([^{}]*)\}\Z")
_TAG = re.compile(r"<[^>]{1,20}>(.*)<[^>]{1,20}>", re.DOTALL)
_SUMS = (ast.BinOp, ast.UnaryOp, ast.operator, ast.unaryop, ast.expr_context)
_OPERATORS: dict[type, Callable[..., Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.Div: operator.truediv, ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
    ast.Pow: operator.pow, ast.MatMult: operator.matmul, ast.LShift: operator.lshift,
    ast.RShift: operator.rshift, ast.BitOr: operator.or_, ast.BitXor: operator.xor,
    ast.BitAnd: operator.and_, ast.UAdd: operator.pos, ast.USub: operator.neg,
    ast.Invert: operator.invert, ast.Not: operator.not_,
}  # fmt: skip
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{0,15}")
_FUNCTIONS = frozenset(
    "sin cos tan sec csc cot asin acos atan sinh cosh tanh exp log ln sqrt abs Abs factorial binomial Rational Integer".split()
)
"""Functions that an expression may call."""


def _restrict_parsers() -> None:
    """Replaces `eval`, `exec` and sympy's parser in reasoning-gym's modules of this process."""
    from sympy.parsing import sympy_parser

    if sympy_parser.parse_expr is not _expression:
        _parsers.append(sympy_parser.parse_expr)
    for name, module in [*sys.modules.items()]:
        package = name.partition(".")[0]
        if package in ("reasoning_gym", "sympy") and vars(module).get("parse_expr") is _parsers[0]:
            vars(module)["parse_expr"] = _expression
        if package == "reasoning_gym":
            vars(module).update({"eval": _value, "exec": _refuse})


_parsers: list[Callable[..., object]] = []
"""Contains sympy's own parser after it has been replaced; empty before."""


def _value(text: object, *namespaces: object) -> Any:
    """Evaluates numbers, strings, collections and arithmetic like Python's `eval`.

    Raises:
        ValueError: The text contains anything else.
    """
    return _evaluate(_tree(text).body)


def _evaluate(node: ast.expr | None) -> Any:
    match node:
        case ast.Constant(value):
            return value
        case ast.List(items):
            return [*map(_evaluate, items)]
        case ast.Tuple(items):
            return (*map(_evaluate, items),)
        case ast.Set(items):
            return {*map(_evaluate, items)}
        case ast.Dict(keys, values):
            return dict(zip(map(_evaluate, keys), map(_evaluate, values), strict=True))
        case ast.BinOp(left, sign, right):
            return _OPERATORS[type(sign)](_evaluate(left), _evaluate(right))
        case ast.UnaryOp(sign, inner):
            return _OPERATORS[type(sign)](_evaluate(inner))
    raise ValueError(f"not a plain value: {type(node).__name__}")


def _expression(text: object, *positional: object, **options: object) -> object:
    """Parses an expression of numbers, names and a few functions like sympy's `parse_expr`.

    Raises:
        ValueError: The text contains anything else.
    """
    for node in ast.walk(_tree(text).body):
        is_number = isinstance(node, ast.Constant) and isinstance(node.value, int | float)
        is_name = isinstance(node, ast.Name) and _NAME.fullmatch(node.id)
        is_call = isinstance(node, ast.Call) and not node.keywords and getattr(node.func, "id", "") in _FUNCTIONS
        if not (is_number or is_name or is_call or isinstance(node, _SUMS)):
            raise ValueError(f"not a plain expression: {type(node).__name__}")
    return _parsers[0](text, *positional, **options)


def _refuse(*arguments: object) -> None:
    raise ValueError("exec is not allowed here")


def _tree(text: object) -> ast.Expression:
    try:
        return ast.parse(str(text).strip(), mode="eval")
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"not an expression: {error}") from None
