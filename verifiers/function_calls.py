"""Calls of declared functions, against gold calls: the form of the Berkeley Function-Calling Leaderboard (Patil et al., 2025).

A problem's answer:

    {"functions": [{"name": "area", "parameters": {"properties": {"base": {"type": "integer"}}, "required": ["base"]}}],
     "calls": [{"area": {"base": [10], "unit": ["cm", ""]}}],
     "language": "python"}

`calls` are the gold: for each parameter the values that are right, "" among them where it may be left out. No calls mean that
none of the functions fits, and calling none is right. Several are right in any order. `language` is python, java or javascript;
arguments for Java and JavaScript are source text of that language ("5L", "new int[]{1, 2}"), as the leaderboard has it.

A response calls as the chat templates of today's models write it; `tool_calls.py` lists the forms:

    <tool_call>{"name": "area", "arguments": {"base": 10}}</tool_call>
    <function=area><parameter=base>10</parameter></function>
    [area(base=10)]
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from ..core import Problem, Status, Verdict
from ..golds import Declaration, FunctionCalls, GoldCall
from ..responses import without_thinking
from .budget import SECONDS, limit
from .calls import formats, literals
from .calls.call import Malformed, Said
from .calls.declining import declines
from .verifier import as_verifier

MAX_CHARACTERS = 100_000
"""Longest response that is read."""
LEFT_OUT = ""
"""Stands among the right values of a parameter that may be left out."""
LANGUAGES = ("python", "java", "javascript")

Declared = Mapping[str, object]
"""The declaration of a parameter, as JSON Schema has it."""

_FLOATS = frozenset(("float", "double", "number"))
_KINDS = {
    "byte": ("int",),
    "short": ("int",),
    "integer": ("int",),
    "long": ("long",),
    "Bigint": ("long",),
    "float": ("float",),
    "double": ("int", "double"),
    "boolean": ("boolean",),
    "Boolean": ("boolean",),
    "char": ("char",),
    "dict": ("map",),
    "HashMap": ("map",),
    "Hashtable": ("map",),
    "array": ("list",),
    "Array": ("array",),
    "ArrayList": ("list",),
    "Set": ("set",),
    "Queue": ("list",),
    "Stack": ("list",),
}
"""Kinds of literal (see `literals.Literal`) that a type of Java or JavaScript takes."""


def invalid_gold(problem: Problem) -> str | None:
    """Why no response could be judged by the problem's functions and gold calls, or None."""
    try:
        return _unusable(problem.answer) or None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        return f"the answer is malformed: {error!r}"


@as_verifier(invalid_gold=invalid_gold)
def verify(problem: Problem, response: str) -> Verdict:
    """1 where the response makes the gold calls and no other, else 0."""
    if (wrong := invalid_gold(problem)) is not None:
        return Verdict(Status.UNDECIDED, None, "calls", wrong[:400])
    answer = cast(FunctionCalls, problem.answer)
    try:
        with limit(SECONDS):
            calls = said(response, answer["functions"], answer.get("language", "python"))
    except Malformed as why:
        return Verdict(Status.SCORED, 0.0, "extract", str(why)[:400])
    if (
        not answer["calls"]
        and not calls
        and not declines(without_thinking(response), [str(function["name"]) for function in answer["functions"]])
    ):
        return Verdict(Status.SCORED, 0.0, "calls", "it says nothing, or calls in a form that is none")
    try:
        mismatch = _compare(calls, answer)
    except (RecursionError, ValueError):  # of a number with too many digits to be written down
        mismatch = "arguments nested too deeply, or too long"
    return Verdict(Status.SCORED, float(mismatch is None), "calls", (mismatch or f"{len(calls)} calls, as wanted")[:400])


def said(response: str, functions: Sequence[Declaration] = (), language: str = "python") -> list[Said]:
    """The calls that a response makes, after its reasoning; none where it is prose.

    Args:
        response: of a model.
        functions: their declarations.
        language: of the functions; values for Java and JavaScript are source text.

    Raises:
        Malformed: it calls, and the call cannot be read.
    """
    if not isinstance(response, str) or len(response) > MAX_CHARACTERS:
        raise Malformed(f"no text of at most {MAX_CHARACTERS} characters")
    declared = {str(function["name"]): _parameters(function)[0] for function in functions}
    return formats.read(response, declared, typed=language == "python")


def _unusable(answer: Any) -> str:
    """Why nothing can be judged by this answer; empty where it can."""
    if not isinstance(answer, Mapping) or not isinstance(answer.get("functions"), Sequence) or "calls" not in answer:
        return "the answer wants functions and calls"
    if answer.get("language", "python") not in LANGUAGES:
        return f"no language {answer['language']!r}; there are {', '.join(LANGUAGES)}"
    if not isinstance(answer["calls"], list):
        return "calls are a list"
    functions = {function["name"]: _parameters(function) for function in answer["functions"]}
    if any(not isinstance(declared, Mapping) for properties, _ in functions.values() for declared in properties.values()):
        return "a parameter's declaration is an object"
    for gold in answer["calls"]:
        ((name, wanted),) = gold.items()
        if any(not isinstance(values, list) for values in wanted.values()):
            return f"the gold lists the right values of each parameter of {name}"
        if name not in functions:
            return f"the gold calls {name}, which is not declared"
        properties, required = functions[name]
        for parameter, values in wanted.items():
            if parameter not in properties and LEFT_OUT not in values:
                return f"the gold gives {name} a parameter {parameter}, which is not declared"
        if lacking := [parameter for parameter in required if parameter not in wanted]:
            return f"the gold leaves out {lacking[0]}, which {name} requires"
    return ""


def _parameters(function: Declaration) -> tuple[Mapping[str, Declared], Sequence[str]]:
    """A declaration's properties, and which of them are required."""
    parameters = function.get("parameters") or {}
    return parameters.get("properties") or {}, parameters.get("required") or ()


def _compare(calls: Sequence[Said], answer: FunctionCalls) -> str | None:
    """Why the calls are not the gold calls; None where they are, in whatever order."""
    golds, language = answer["calls"], answer.get("language", "python")
    if len(calls) != len(golds):
        return f"{len(calls)} calls where {len(golds)} are wanted"
    if not golds:
        return None
    functions = {function["name"]: function for function in answer["functions"]}
    why = [[_mismatch(call, gold, functions, language) for call in calls] for gold in golds]
    if len(golds) == 1:
        return why[0][0]
    left = _unmatched([[number for number, reason in enumerate(row) if reason is None] for row in why])
    return (
        None if left is None else next((reason for reason in why[left] if reason), "a call that is wanted twice is made once")
    )


def _unmatched(fits: Sequence[Sequence[int]]) -> int | None:
    """The first gold call that finds no call of its own (by augmenting paths); None where each has one.

    Args:
        fits: for each gold call, the calls that are it.
    """
    gold_of: dict[int, int] = {}

    def place(gold: int, tried: set[int]) -> bool:
        for call in fits[gold]:
            if call not in tried:
                tried.add(call)
                if call not in gold_of or place(gold_of[call], tried):
                    gold_of[call] = gold
                    return True
        return False

    return next((gold for gold in range(len(fits)) if not place(gold, set())), None)


def _mismatch(call: Said, gold: GoldCall, functions: Mapping[str, Declaration], language: str) -> str | None:
    """Why a call is not this gold call; None where it is."""
    ((name, wanted),) = gold.items()
    if call.name != name:
        return f"it calls {call.name} where {name} is wanted"
    properties, required = _parameters(functions[name])
    for parameter, values in wanted.items():
        if parameter not in call.arguments and (parameter in required or LEFT_OUT not in values):
            return f"{name} lacks {parameter}"
    for parameter, value in call.arguments.items():
        if parameter not in wanted or parameter not in properties:
            return f"{name} is given {parameter}, which it does not want"
        declared = properties[parameter]
        readings = [value] if language == "python" else _readings(value, declared, language)
        if not any(_allowed(reading, wanted[parameter], declared) for reading in readings):
            return f"{name} is given {parameter}={_shown(value)}"
    return None


def _shown(value: object) -> str:
    try:
        return json.dumps(value, default=repr)[:100]
    except (TypeError, ValueError, RecursionError):
        return f"a {type(value).__name__}"


def _readings(text: object, declared: Declared, language: str) -> list[object]:
    """What an argument in source text of Java or JavaScript may mean where this type is declared; none where it is no text."""
    if not isinstance(text, str):
        return []
    kind = _type(declared)
    literal = literals.read(text, language)
    if kind in ("String", "any"):
        return [text, *([literal.plain()] if literal.kind == "string" or kind == "any" else [])]
    return [_fitted(literal, declared, language)]


def _fitted(literal: literals.Literal, declared: Declared, language: str) -> object:
    """A literal's value where it is of the declared type, else its text: an expression, or a mistake."""
    kind = _type(declared)
    if kind == "any":
        return literal.plain()
    if kind == "String":
        return literal.value if literal.kind == "string" else literal.text
    if literal.kind not in (("int", "double") if kind == "float" and language == "javascript" else _KINDS.get(kind, ())):
        return literal.text
    if literal.kind in ("list", "array", "set"):
        return [_fitted(item, _items(declared), language) for item in literal.value]
    return literal.plain()


def _type(declared: Declared) -> str:
    """A declaration's type; of several, as JSON Schema has them, the first that is not null."""
    kind = declared.get("type", "any")
    return next((one for one in kind if one != "null"), "any") if isinstance(kind, list) else str(kind)


def _items(declared: Declared) -> Declared:
    items = declared.get("items")
    return items if isinstance(items, Mapping) else {}


def _allowed(value: object, values: Sequence[object], declared: Declared) -> bool:
    """Whether a value is one of the right ones."""
    if value == LEFT_OUT:
        return LEFT_OUT in values and _type(declared) in ("string", "String", "any")
    return any(_fits(value, right, declared) for right in values if right != LEFT_OUT)


def _fits(value: object, right: object, declared: Declared) -> bool:
    """Whether a value is the right one; in a right dictionary each key lists its own right values."""
    if isinstance(right, dict) and isinstance(value, dict):
        listed = _listed(right)
        given = all(key in listed and any(_same(item, one, {}) for one in listed[key]) for key, item in value.items())
        return given and all(key in value or LEFT_OUT in values for key, values in listed.items())
    if isinstance(right, list) and isinstance(value, list | tuple):
        return len(right) == len(value) and all(_fits(a, b, _items(declared)) for a, b in zip(value, right, strict=True))
    return _same(value, right, declared)


def _listed(right: Mapping[str, object]) -> dict[str, list[object]]:
    """A right dictionary with the right values of each key in a list, as some golds have them and some do not."""
    return {key: values if isinstance(values, list) else [values] for key, values in right.items()}


def _same(value: object, right: object, declared: Declared) -> bool:
    """Whether two values are equal and of one type; text compares loosely, and JSON may write a float without its fraction."""
    if isinstance(right, bool) or isinstance(value, bool) or right is None or value is None:
        return value is right
    if isinstance(right, str) and isinstance(value, str):
        return _plain_text(value) == _plain_text(right) and _number(value) == _number(right)
    if isinstance(right, int | float) and isinstance(value, int | float):
        wide = type(right) is float or _type(declared) in _FLOATS
        return value == right and (wide or type(value) is type(right))
    if isinstance(right, list) and isinstance(value, list | tuple):
        return len(right) == len(value) and all(_same(a, b, {}) for a, b in zip(value, right, strict=True))
    if isinstance(right, dict) and isinstance(value, dict):
        return right.keys() == value.keys() and all(_same(value[key], item, {}) for key, item in right.items())
    return False


def _plain_text(text: str) -> str:
    """Without case, spaces and the marks in which writers differ (April 1, 2024 and april 1 2024): the leaderboard's rule."""
    return re.sub(r"[ ,./\-_*^]", "", text).lower().replace("'", '"')


def _number(text: str) -> float | None:
    """The number that a text is: there a point or a minus is no matter of style."""
    return float(text) if re.fullmatch(r"\s*[+-]?\d{1,300}(\.\d{1,300})?\s*", text) else None


def gold_response(answer: FunctionCalls) -> str:
    """The gold calls as a response, each parameter with its first right value."""
    functions = {function["name"]: _parameters(function) for function in answer["functions"]}
    language, blocks = answer.get("language", "python"), []
    for gold in answer["calls"]:
        ((name, wanted),) = gold.items()
        properties, required = functions[name]
        arguments: dict[str, object] = {}
        for parameter, values in wanted.items():
            given = [value for value in values if value != LEFT_OUT] or [value for value in values if parameter in required]
            if given and parameter in properties:
                value = _first(given[0])
                arguments[parameter] = value if language == "python" else literals.write(value, language, properties[parameter])
        blocks.append(f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments}, ensure_ascii=False)}\n</tool_call>")
    return "\n".join(blocks) or "None of these functions can do that."


def _first(right: object) -> object:
    """A right value with one choice taken wherever it lists several."""
    if isinstance(right, list):
        return [_first(item) for item in right]
    if not isinstance(right, dict):
        return right
    chosen = {key: [value for value in values if value != LEFT_OUT] for key, values in _listed(right).items()}
    return {key: values[0] for key, values in chosen.items() if values}
