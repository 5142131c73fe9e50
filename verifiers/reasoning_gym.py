"""reasoning-gym's own scoring of its own problems, in a killable worker; full marks or none.

Some of its scorers hand the answer, or a field of the problem, to Python's `eval` or to sympy's parser, which is one. In the
worker these read plain values and expressions alone (`_plain_only`): an answer that calls, imports or reaches into something is
wrong.
"""

import ast
import operator
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, cast

from .. import extras
from ..core import Problem, Status, Verdict
from . import pool
from .answers import final_answer
from .answers.extraction.response import tagged
from .budget import SECONDS, limit
from .verifier import as_verifier


def invalid_gold(problem: Problem) -> str | None:
    """Why no response to the problem could be judged, or None."""
    known = "source_dataset" in cast(Mapping[str, object], problem.meta.get("metadata", {}))
    return None if known else "the problem does not come from a reasoning-gym generator"


def prepare() -> None:
    """Makes sure that a worker can import the generators.

    Raises:
        UserError: it cannot.
    """
    extras.require("the verifier reasoning_gym", "reasoning_gym")


@as_verifier(invalid_gold=invalid_gold, prepare=prepare)
def verify(problem: Problem, response: str) -> Verdict:
    """Judges the final answer of `response` by the generator that posed `problem`.

    `problem.meta["metadata"]` must be the generator's, as the `reasoning_gym:` problem source keeps it.
    """
    if (lacks := invalid_gold(problem)) is not None:
        return Verdict(Status.UNDECIDED, None, "reasoning_gym", lacks)
    metadata = cast(Mapping[str, Any], problem.meta["metadata"])
    with limit(SECONDS):
        tag = tagged(response)
        # Grids and programs are judged as they stand in the tag, line by line; a box or a sentence is read as everywhere.
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
    # Its partial credit (0.01 for any text, say) is a shaping choice, not a judgement.
    return Verdict(Status.SCORED, float(score >= 1.0), "reasoning_gym", f"{answer} scores {score:g}")


def score(entry: dict, answer: str) -> float:
    """The generator's own score, 0..1. Runs in a worker."""
    import reasoning_gym

    metadata = entry["metadata"]
    if metadata["source_dataset"] in ("arc_agi", "rearc"):
        # These compare with a grid of tuples, which a problem stored as JSON no longer has.
        entry = entry | {"metadata": metadata | {"output": tuple(map(tuple, metadata["output"]))}}
    scorer = reasoning_gym.get_score_answer_fn(metadata["source_dataset"])
    _plain_only()
    try:
        return float(scorer(answer=answer, entry=entry))
    except MemoryError:
        raise
    except Exception:
        scorer(answer=entry["answer"], entry=entry)  # it raises where the entry is broken; else the answer is
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
"""What an expression may call."""


def _plain_only() -> None:
    """Has reasoning-gym's modules and sympy's parser read plain values and expressions alone, in this process."""
    from sympy.parsing import sympy_parser

    if sympy_parser.parse_expr is not _expression:
        _parsers.append(sympy_parser.parse_expr)
    for name, module in [*sys.modules.items()]:
        room = name.partition(".")[0]
        if room in ("reasoning_gym", "sympy") and vars(module).get("parse_expr") is _parsers[0]:
            vars(module)["parse_expr"] = _expression
        if room == "reasoning_gym":
            vars(module).update({"eval": _value, "exec": _nothing})


_parsers: list[Any] = []
"""sympy's own parser, once it was replaced."""


def _value(text: Any, *names: Any) -> Any:
    """What Python's `eval` gives for numbers, texts, lists and sums of them.

    Raises:
        ValueError: the text is none of these.
    """
    return _worth(_tree(text).body)


def _worth(node: ast.expr | None) -> Any:
    match node:
        case ast.Constant(value):
            return value
        case ast.List(items):
            return [*map(_worth, items)]
        case ast.Tuple(items):
            return (*map(_worth, items),)
        case ast.Set(items):
            return {*map(_worth, items)}
        case ast.Dict(keys, values):
            return dict(zip(map(_worth, keys), map(_worth, values), strict=True))
        case ast.BinOp(left, sign, right):
            return _OPERATORS[type(sign)](_worth(left), _worth(right))
        case ast.UnaryOp(sign, inner):
            return _OPERATORS[type(sign)](_worth(inner))
    raise ValueError(f"no plain value: {type(node).__name__}")


def _expression(text: Any, *given: Any, **options: Any) -> Any:
    """What sympy's parser gives for an expression of numbers, names and a few functions.

    Raises:
        ValueError: the text is none.
    """
    for node in ast.walk(_tree(text).body):
        number = isinstance(node, ast.Constant) and isinstance(node.value, int | float)
        named = isinstance(node, ast.Name) and _NAME.fullmatch(node.id)
        called = isinstance(node, ast.Call) and not node.keywords and getattr(node.func, "id", "") in _FUNCTIONS
        if not (number or named or called or isinstance(node, _SUMS)):
            raise ValueError(f"no plain expression: {type(node).__name__}")
    return _parsers[0](text, *given, **options)


def _nothing(*given: Any) -> None:
    raise ValueError("nothing is run here")


def _tree(text: Any) -> ast.Expression:
    try:
        return ast.parse(str(text).strip(), mode="eval")
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"no expression: {error}") from None
