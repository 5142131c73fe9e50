"""Verifies answers to reasoning-gym's problems with its own scorers, in a worker with limits. Only full marks score 1.

Some of its scorers pass the answer, or a field of the problem, to Python's `eval`, or to sympy's parser, which calls it. In the
worker both are replaced by functions that accept only plain values and expressions (`_allow_plain_only`). An answer that calls,
imports or accesses anything scores 0.
"""

import ast
import operator
import re
import sys
from collections.abc import Callable
from typing import Any

from .. import extras
from ..core import Problem, Status, Verdict
from . import pool
from .answers import final_answer
from .answers.extraction.response import tagged
from .budget import SECONDS, limit
from .verifier import as_verifier


def invalid_gold(problem: Problem) -> str | None:
    """Returns the reason why no response to the problem could be judged, or None."""
    known = "source_dataset" in problem.meta.get("metadata", {})
    return None if known else "the problem does not come from a reasoning-gym generator"


def prepare() -> None:
    """Checks that a worker can import the generators.

    Raises:
        UserError: the package is missing.
    """
    extras.need("the verifier reasoning_gym", "reasoning_gym")


@as_verifier(invalid_gold=invalid_gold, prepare=prepare)
def verify(problem: Problem, response: str) -> Verdict:
    """Scores the final answer of `response` with the scorer of the generator that made `problem`.

    `problem.meta["metadata"]` must be the generator's, as the `reasoning_gym:` problem source keeps it.
    """
    if (reason := invalid_gold(problem)) is not None:
        return Verdict(Status.UNDECIDED, None, "reasoning_gym", reason)
    metadata = problem.meta["metadata"]
    with limit(SECONDS):
        tag = tagged(response)
        # Grids and programs in an answer tag are judged line by line; all other answers are extracted as usual.
        answer = tag if tag and "\n" in tag and "\\boxed" not in tag else final_answer(response)
    if answer is None:
        return Verdict(Status.SCORED, 0.0, "extract", "the response has no final answer")
    entry = {"question": problem.prompt[-1]["content"], "answer": problem.answer, "metadata": dict(metadata)}
    try:
        score = pool.shared("tenfold.verifiers.reasoning_gym:score").call(entry, answer)
    except (pool.TimeLimit, pool.MemoryLimit) as error:
        return Verdict(Status.TIMEOUT, 0.0, "reasoning_gym", str(error))
    except pool.WorkerFault as error:
        return Verdict(Status.FAULT, None, "reasoning_gym", str(error))
    # Partial credit (for example 0.01 for any text) is reward shaping, not a score of correctness.
    return Verdict(Status.SCORED, float(score >= 1.0), "reasoning_gym", f"{answer} scores {score:g}")


def score(entry: dict, answer: str) -> float:
    """Returns the generator's own score, 0..1. Runs in a worker."""
    import reasoning_gym

    metadata = entry["metadata"]
    if metadata["source_dataset"] in ("arc_agi", "rearc"):
        # Their scorers compare with a grid of tuples, which JSON has stored as lists.
        entry = entry | {"metadata": metadata | {"output": tuple(map(tuple, metadata["output"]))}}
    scorer = reasoning_gym.get_score_answer_fn(metadata["source_dataset"])
    _allow_plain_only()
    try:
        return float(scorer(answer=answer, entry=entry))
    except MemoryError:
        raise
    except Exception:
        scorer(answer=entry["answer"], entry=entry)  # raises if the entry is broken; otherwise the answer is
        return 0.0


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


def _allow_plain_only() -> None:
    """Makes reasoning-gym's modules and sympy's parser accept only plain values and expressions, in this process."""
    from sympy.parsing import sympy_parser

    if sympy_parser.parse_expr is not _expression:
        _parsers.append(sympy_parser.parse_expr)
    for name, module in [*sys.modules.items()]:
        package = name.partition(".")[0]
        if package in ("reasoning_gym", "sympy") and vars(module).get("parse_expr") is _parsers[0]:
            vars(module)["parse_expr"] = _expression
        if package == "reasoning_gym":
            vars(module).update({"eval": _value, "exec": _refuse})


_parsers: list[Any] = []
"""sympy's own parser, after it has been replaced."""


def _value(text: object, *namespaces: object) -> Any:
    """Returns what Python's `eval` returns for numbers, texts, lists and sums of them.

    Raises:
        ValueError: the text is none of these.
    """
    return _evaluated(_tree(text).body)


def _evaluated(node: ast.expr | None) -> Any:
    match node:
        case ast.Constant(value):
            return value
        case ast.List(items):
            return [*map(_evaluated, items)]
        case ast.Tuple(items):
            return (*map(_evaluated, items),)
        case ast.Set(items):
            return {*map(_evaluated, items)}
        case ast.Dict(keys, values):
            return dict(zip(map(_evaluated, keys), map(_evaluated, values), strict=True))
        case ast.BinOp(left, sign, right):
            return _OPERATORS[type(sign)](_evaluated(left), _evaluated(right))
        case ast.UnaryOp(sign, inner):
            return _OPERATORS[type(sign)](_evaluated(inner))
    raise ValueError(f"not a plain value: {type(node).__name__}")


def _expression(text: object, *arguments: Any, **options: Any) -> Any:
    """Returns what sympy's parser returns for an expression of numbers, names and a few functions.

    Raises:
        ValueError: the text is not such an expression.
    """
    for node in ast.walk(_tree(text).body):
        number = isinstance(node, ast.Constant) and isinstance(node.value, int | float)
        named = isinstance(node, ast.Name) and _NAME.fullmatch(node.id)
        called = isinstance(node, ast.Call) and not node.keywords and getattr(node.func, "id", "") in _FUNCTIONS
        if not (number or named or called or isinstance(node, _SUMS)):
            raise ValueError(f"not a plain expression: {type(node).__name__}")
    return _parsers[0](text, *arguments, **options)


def _refuse(*arguments: object) -> None:
    raise ValueError("executing code is not allowed")


def _tree(text: object) -> ast.Expression:
    try:
        return ast.parse(str(text).strip(), mode="eval")
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"not an expression: {error}") from None
