"""Compares a response's calls of declared functions with gold calls.

The format is that of the Berkeley Function-Calling Leaderboard (Patil et al., 2025).

A problem's answer:

    {"functions": [{"name": "area", "parameters": {"properties": {"base": {"type": "integer"}}, "required": ["base"]}}],
     "calls": [{"area": {"base": [10], "unit": ["cm", ""]}}],
     "language": "python"}

`calls` are the gold calls. They list for each parameter the correct values, with "" if the parameter may be omitted. An empty
list means that none of the functions fits and that the response must call none; with `"any_call": true` it means that the
response must call at least one of them, with any arguments. With `"format": "json"`, only calls in that format count
(`calls/leaderboard.py`), and with `"tagged": true` only inside <TOOLCALL>...</TOOLCALL>. Several calls may come in any order.
`language` is python, java or javascript; arguments for Java and JavaScript are source text in that language ("5L",
"new int[]{1, 2}"), as in the leaderboard.

A response may call in any of the formats of chat templates that `calls/formats.py` lists:

    <tool_call>{"name": "area", "arguments": {"base": 10}}</tool_call>
    <function=area><parameter=base>10</parameter></function>
    [area(base=10)]
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import cast

from ..core import Problem, Status, Verdict
from ..golds import Declaration, FunctionCalls, GoldCall
from ..responses import without_thinking
from .budget import SECONDS, limit
from .calls import formats, leaderboard, leaderboard_values, literals
from .calls.call import Malformed, ParsedCall
from .calls.declining import declines
from .verifier import MAX_REASON_CHARACTERS, as_verifier

MAX_CHARACTERS = 100_000
"""Maximum length of a response, in characters. A longer one scores 0. Our choice."""
OMITTED = ""
"""In the list of a parameter's correct values: the parameter may be omitted."""
LANGUAGES = ("python", "java", "javascript")
"""Languages of functions."""

DeclaredParameter = Mapping[str, object]
"""The declaration of a parameter, as in JSON Schema."""

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
    """Returns the reason why no response could be judged by the problem's functions and gold calls, or None."""
    try:
        return _unusable(problem.answer) or None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        return f"malformed answer: {error!r}"


@as_verifier(invalid_gold=invalid_gold, values={"format": ("any", "list")})
def verify(problem: Problem, response: str, unreadable_declines: bool = False, format: str = "any") -> Verdict:
    """Scores 1 if the response makes the gold calls and no others, else 0.

    Args:
        problem: the problem.
        response: a model's response.
        unreadable_declines: if no function fits, accept an empty response and a call that cannot be read, as the leaderboard
            does. By default the response must be a text that calls nothing in any form.
        format: "any" format that `calls/formats.py` lists, or "list": as in the prompt mode of the leaderboard, the whole
            response must be a list of calls in the language of the functions (`calls/python_list.py`,
            `calls/leaderboard_source.py`). The values are then compared as there (`calls/leaderboard_values.py`). Calls of
            declared tools (`policies/chat/tools.py`) may have any format.
    """
    if (reason := invalid_gold(problem)) is not None:
        return Verdict(Status.UNDECIDED, None, "calls", reason[:MAX_REASON_CHARACTERS])
    answer = cast(FunctionCalls, problem.answer)
    must_decline = not answer["calls"] and not answer.get("any_call")
    try:
        with limit(SECONDS):
            language = answer.get("language", "python")
            answer_format = answer.get("format")
            if format == "list" and not any("tools" in turn for turn in problem.prompt):
                answer_format = answer_format or language
            if answer_format and isinstance(response, str):
                calls = leaderboard.read(without_thinking(response), answer_format, answer.get("tagged", False))
            else:
                calls = parse_calls(response, answer["functions"], language)
    except Malformed as error:
        declined = must_decline and unreadable_declines
        return Verdict(Status.SCORED, float(declined), "extract", str(error)[:MAX_REASON_CHARACTERS])
    if answer.get("any_call"):
        names = {function["name"] for function in answer["functions"]}
        called = any(format == "list" or call.name in names for call in calls)  # the leaderboard accepts every name
        return Verdict(Status.SCORED, float(called), "calls", "a function is called" if called else "no function is called")
    if (
        must_decline
        and not calls
        and not unreadable_declines
        and not declines(without_thinking(response), [str(function["name"]) for function in answer["functions"]])
    ):
        return Verdict(Status.SCORED, 0.0, "calls", "the response is empty or contains a call in an unknown format")
    try:
        is_leaderboard = format == "list" or "format" in answer
        mismatch = leaderboard_values.mismatch(calls, answer) if is_leaderboard else _compare(calls, answer)
    except (RecursionError, ValueError):  # ValueError: a number has too many digits to be written
        mismatch = "arguments that are nested too deeply or too long"
    reason = mismatch or f"all {len(calls)} calls are correct"
    return Verdict(Status.SCORED, float(mismatch is None), "calls", reason[:MAX_REASON_CHARACTERS])


def parse_calls(response: str, functions: Sequence[Declaration] = (), language: str = "python") -> list[ParsedCall]:
    """Returns the calls in a response, without those in its reasoning; an empty list if it is prose.

    Args:
        response: a model's response.
        functions: declarations of the functions.
        language: the functions' language. Values for Java and JavaScript are source text.

    Raises:
        Malformed: the response contains a call that cannot be parsed.
    """
    if not isinstance(response, str) or len(response) > MAX_CHARACTERS:
        raise Malformed(f"the response is not text of at most {MAX_CHARACTERS} characters")
    declared = {str(function["name"]): _parameters(function)[0] for function in functions}
    return formats.read(response, declared, typed=language == "python")


def _unusable(answer: object) -> str:
    """Returns the reason why nothing can be judged by this answer; empty if it is usable."""
    if not isinstance(answer, Mapping) or not isinstance(answer.get("functions"), Sequence) or "calls" not in answer:
        return "the answer needs functions and calls"
    if answer.get("language", "python") not in LANGUAGES:
        return f"language: expected one of {', '.join(LANGUAGES)}, got {answer['language']!r}"
    language = answer.get("language", "python")
    known = leaderboard.PYTHON_FORMATS if language == "python" else (language,)
    if "format" in answer and answer["format"] not in known:
        return f"format: expected one of {', '.join(known)}, got {answer['format']!r:.80}"
    if not isinstance(answer["calls"], list):
        return "calls must be a list"
    if answer.get("any_call") and answer["calls"]:
        return "with any_call, the list of gold calls must be empty"
    functions = {function["name"]: _parameters(function) for function in answer["functions"]}
    if any(not isinstance(declared, Mapping) for properties, _ in functions.values() for declared in properties.values()):
        return "a parameter's declaration must be an object"
    for gold in answer["calls"]:
        ((name, gold_arguments),) = gold.items()
        if any(not isinstance(values, list) for values in gold_arguments.values()):
            return f"the gold call of {name} must list the correct values of each parameter"
        if name not in functions:
            return f"the gold answer calls {name}, which is not declared"
        properties, required = functions[name]
        for parameter, values in gold_arguments.items():
            if parameter not in properties and OMITTED not in values:
                return f"the gold call of {name} has the parameter {parameter}, which is not declared"
        if missing := [parameter for parameter in required if parameter not in gold_arguments]:
            return f"the gold call of {name} lacks the required parameter {missing[0]}"
    return ""


def _parameters(function: Declaration) -> tuple[Mapping[str, DeclaredParameter], Sequence[str]]:
    """Returns a declaration's properties, and the names of the required ones."""
    parameters = function.get("parameters") or {}
    return parameters.get("properties") or {}, parameters.get("required") or ()


def _compare(calls: Sequence[ParsedCall], answer: FunctionCalls) -> str | None:
    """Returns the reason why the calls differ from the gold calls; None if they are equal in any order."""
    golds, language = answer["calls"], answer.get("language", "python")
    if len(calls) != len(golds):
        return f"{len(calls)} calls, expected {len(golds)}"
    if not golds:
        return None
    functions = {function["name"]: function for function in answer["functions"]}
    reasons = [[_mismatch(call, gold, functions, language) for call in calls] for gold in golds]
    if len(golds) == 1:
        return reasons[0][0]
    unmatched = _unmatched([[number for number, reason in enumerate(row) if reason is None] for row in reasons])
    if unmatched is None:
        return None
    return next((reason for reason in reasons[unmatched] if reason), "a call that is expected twice occurs once")


def _unmatched(fits: Sequence[Sequence[int]]) -> int | None:
    """Returns the first gold call without a matching call; None if each has its own. Found by augmenting paths.

    Args:
        fits: for each gold call, the calls that equal it.
    """
    gold_of: dict[int, int] = {}

    def match(gold: int, tried: set[int]) -> bool:
        for call in fits[gold]:
            if call not in tried:
                tried.add(call)
                if call not in gold_of or match(gold_of[call], tried):
                    gold_of[call] = gold
                    return True
        return False

    return next((gold for gold in range(len(fits)) if not match(gold, set())), None)


def _mismatch(call: ParsedCall, gold: GoldCall, functions: Mapping[str, Declaration], language: str) -> str | None:
    """Returns the reason why a call differs from this gold call; None if it equals it."""
    ((name, gold_arguments),) = gold.items()
    if call.name != name:
        return f"it calls {call.name}, expected {name}"
    properties, required = _parameters(functions[name])
    for parameter, values in gold_arguments.items():
        if parameter not in call.arguments and (parameter in required or OMITTED not in values):
            return f"{name} lacks {parameter}"
    for parameter, value in call.arguments.items():
        if parameter not in gold_arguments or parameter not in properties:
            return f"{name} has the unexpected parameter {parameter}"
        declared = properties[parameter]
        readings = [value] if language == "python" else _readings(value, declared, language)
        if not any(_allowed(reading, gold_arguments[parameter], declared) for reading in readings):
            return f"{name} has the incorrect {parameter}={_as_text(value)}"
    return None


def _as_text(value: object) -> str:
    try:
        return json.dumps(value, default=repr)[:100]
    except (TypeError, ValueError, RecursionError):
        return f"a {type(value).__name__}"


def _readings(text: object, declared: DeclaredParameter, language: str) -> list[object]:
    """Returns the possible values of an argument in Java or JavaScript source; none if it is not text."""
    if not isinstance(text, str):
        return []
    kind = _type(declared)
    literal = literals.read(text, language)
    if kind in ("String", "any"):
        return [text, *([literal.plain()] if literal.kind == "string" or kind == "any" else [])]
    return [_as_declared(literal, declared, language)]


def _as_declared(literal: literals.Literal, declared: DeclaredParameter, language: str) -> object:
    """Returns a literal's value if it has the declared type. Anything else, such as an expression, stays text."""
    kind = _type(declared)
    if kind == "any":
        return literal.plain()
    if kind == "String":
        return literal.value if literal.kind == "string" else literal.text
    if literal.kind not in (("int", "double") if kind == "float" and language == "javascript" else _KINDS.get(kind, ())):
        return literal.text
    if literal.kind in ("list", "array", "set"):
        return [_as_declared(item, _items(declared), language) for item in literal.value]
    return literal.plain()


def _type(declared: DeclaredParameter) -> str:
    """Returns a declaration's type. If JSON Schema lists several, it is the first that is not null."""
    kind = declared.get("type", "any")
    return next((name for name in kind if name != "null"), "any") if isinstance(kind, list) else str(kind)


def _items(declared: DeclaredParameter) -> DeclaredParameter:
    items = declared.get("items")
    return items if isinstance(items, Mapping) else {}


def _property(declared: DeclaredParameter, name: str) -> DeclaredParameter:
    properties = declared.get("properties")
    found = properties.get(name) if isinstance(properties, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _allowed(value: object, values: Sequence[object], declared: DeclaredParameter) -> bool:
    """True if a value is one of the correct ones."""
    if value == OMITTED:
        return OMITTED in values and _type(declared) in ("string", "String", "any")
    return any(_fits(value, gold, declared) for gold in values if gold != OMITTED)


def _fits(value: object, gold: object, declared: DeclaredParameter) -> bool:
    """True if a value equals the gold value. In a gold dictionary each key has a list of correct values."""
    if isinstance(gold, dict) and isinstance(value, dict):
        listed = _listed(gold)
        all_fit = all(
            key in listed and any(_same(item, each, _property(declared, key)) for each in listed[key])
            for key, item in value.items()
        )
        return all_fit and all(key in value or OMITTED in values for key, values in listed.items())
    if isinstance(gold, list) and isinstance(value, list | tuple):
        return len(gold) == len(value) and all(_fits(a, b, _items(declared)) for a, b in zip(value, gold, strict=True))
    return _same(value, gold, declared)


def _listed(gold: Mapping[str, object]) -> dict[str, list[object]]:
    """Returns a gold dictionary with a list of correct values for each key. Some golds have single values instead of lists."""
    return {key: values if isinstance(values, list) else [values] for key, values in gold.items()}


def _same(value: object, gold: object, declared: DeclaredParameter) -> bool:
    """True if two values are equal and of one type. Text is compared loosely, and a float may be written as an integer."""
    if isinstance(gold, bool) or isinstance(value, bool) or gold is None or value is None:
        return value is gold
    if isinstance(gold, str) and isinstance(value, str):
        return _plain_text(value) == _plain_text(gold) and _number(value) == _number(gold)
    if isinstance(gold, int | float) and isinstance(value, int | float):
        accepts_both = type(gold) is float or _type(declared) in _FLOATS
        return value == gold and (accepts_both or type(value) is type(gold))
    if isinstance(gold, list) and isinstance(value, list | tuple):
        return len(gold) == len(value) and all(_same(a, b, _items(declared)) for a, b in zip(value, gold, strict=True))
    if isinstance(gold, dict) and isinstance(value, dict):
        return gold.keys() == value.keys() and all(
            _same(value[key], item, _property(declared, key)) for key, item in gold.items()
        )
    return False


def _plain_text(text: str) -> str:
    """Returns the text without case, spaces and punctuation, as the leaderboard does: April 1, 2024 equals april 1 2024."""
    return re.sub(r"[ ,./\-_*^]", "", text).lower().replace("'", '"')


def _number(text: str) -> float | None:
    """Returns the text as a number, or None if it is not one. A point or minus sign in a number is not punctuation."""
    return float(text) if re.fullmatch(r"\s*[+-]?\d{1,300}(\.\d{1,300})?\s*", text) else None


def gold_response(answer: FunctionCalls) -> str:
    """Returns a response that makes the gold calls, each parameter with its first correct value."""
    functions = {function["name"]: _parameters(function) for function in answer["functions"]}
    language, made = answer.get("language", "python"), list[tuple[str, dict[str, object]]]()
    for gold in answer["calls"]:
        ((name, gold_arguments),) = gold.items()
        properties, required = functions[name]
        arguments: dict[str, object] = {}
        for parameter, values in gold_arguments.items():
            correct = [value for value in values if value != OMITTED] or [value for value in values if parameter in required]
            if correct and parameter in properties:
                value = _first(correct[0])
                if language != "python" and isinstance(value, str) and "format" in answer and '"' not in value:
                    value = f'"{value}"'
                arguments[parameter] = value if language == "python" else literals.write(value, language, properties[parameter])
        made.append((name, arguments))
    if made and (answer_format := answer.get("format")):
        return leaderboard.write(made, answer_format, answer.get("tagged", False))
    written = (json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False) for name, arguments in made)
    return "\n".join(f"<tool_call>\n{call}\n</tool_call>" for call in written) or "None of these functions can do that."


def _first(gold: object) -> object:
    """Returns a gold value with the first choice wherever it lists several."""
    if isinstance(gold, list):
        return [_first(item) for item in gold]
    if not isinstance(gold, dict):
        return gold
    chosen = {key: [value for value in values if value != OMITTED] for key, values in _listed(gold).items()}
    return {key: values[0] for key, values in chosen.items() if values}
