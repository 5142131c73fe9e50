"""Compares calls with gold calls exactly as the code of the Berkeley Function-Calling Leaderboard does.

It accepts more than a comparison by meaning in some places (the text 12/3 for 123, an empty list for a parameter that may be
omitted), and less in others (a set of Java). Scores of BFCL-V4 need the same verdicts; `function_calls.py` has the other
comparison.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ...golds import Declaration, FunctionCalls, GoldCall
from . import leaderboard_source
from .call import ParsedCall

OMITTED = ""
_PYTHON_TYPES: Mapping[str, type] = {
    "string": str,
    "integer": int,
    "float": float,
    "boolean": bool,
    "array": list,
    "tuple": list,
    "dict": dict,
    "any": str,
}
_TYPES = {"python": _PYTHON_TYPES, "java": leaderboard_source.JAVA_TYPES, "javascript": leaderboard_source.JAVASCRIPT_TYPES}
_WITH_ITEMS = {"python": ("array", "tuple"), "java": ("Array", "ArrayList"), "javascript": ("array",)}
"""The declared types whose items have a declared type, too."""


def mismatch(calls: Sequence[ParsedCall], answer: FunctionCalls) -> str | None:
    """Returns the reason why the calls differ from the gold calls; None if they are equal in any order.

    Each gold call takes the first call that equals it and is not taken yet.

    Args:
        calls: the calls of a response.
        answer: the functions and the gold calls.
    """
    golds, language = answer["calls"], answer.get("language", "python")
    if len(calls) != len(golds):
        return f"{len(calls)} calls, expected {len(golds)}"
    functions = {function["name"]: function for function in reversed(answer["functions"])}
    left = [*calls]
    for gold in golds:
        ((name, _),) = gold.items()
        reasons = [_difference(call, gold, functions[name], language) for call in left]
        if None not in reasons:
            return reasons[0]
        left.pop(reasons.index(None))
    return None


def _difference(call: ParsedCall, gold: GoldCall, function: Declaration, language: str) -> str | None:
    ((name, wanted),) = gold.items()
    declared = function.get("parameters") or {}
    properties = declared.get("properties") or {}
    if call.name != name:
        return f"it calls {call.name}, expected {name}"
    for parameter in declared.get("required") or ():
        if parameter not in call.arguments:
            return f"{name} lacks {parameter}"
    for parameter, value in call.arguments.items():
        if parameter not in properties or parameter not in wanted:
            return f"{name} has the unexpected parameter {parameter}"
        try:
            is_accepted = _accepted(value, wanted[parameter], properties[parameter], language)
        except (
            ArithmeticError,
            AttributeError,
            LookupError,
            TypeError,
            ValueError,
        ):  # the leaderboard's code has no result for it
            is_accepted = False
        if not is_accepted:
            return f"{name} has the incorrect {parameter}={value!r:.100}"
    for parameter, values in wanted.items():
        if parameter not in call.arguments and OMITTED not in values:
            return f"{name} lacks {parameter}"
    return None


def _accepted(value: Any, values: Sequence[Any], declared: Mapping[str, Any], language: str) -> bool:
    """True if the value of a parameter has its type and is one of the accepted values.

    A value of the accepted values' type counts even if the declared type is another one. It is the name of a variable, and must
    be equal in each character.
    """
    kind, types = declared["type"], _TYPES[language]
    expected, items = types[kind], None
    if kind in _WITH_ITEMS[language]:
        items = types[declared["items"]["type"]]
    if language != "python":
        if type(value) is not str:
            return False
        value = leaderboard_source.convert(value, language, kind, declared["items"]["type"] if items else None)
    if kind == "tuple" and type(value) is tuple:
        value = [*value]
    if language == "python" and kind == "float" and type(value) is int:
        value = float(value)
    gold_type = _first_type(values)
    is_variable = gold_type is not None and gold_type is not expected
    if type(value) is not expected:
        is_variable = gold_type is type(value)
        if not is_variable:
            return False
    elif items is not None and not any(_have_type(value, accepted, items) for accepted in values):
        return False
    if is_variable or expected not in (dict, str, list):
        return value in values
    if expected is dict:
        return _is_dictionary(value, values)
    if expected is list and items is dict:
        return any(_are_dictionaries(value, accepted) for accepted in values)
    if expected is str:
        return _plain(value) in [_plain(accepted) for accepted in values if type(accepted) is str]
    return [*map(_plain, value)] in [[*map(_plain, accepted)] for accepted in values]


def _first_type(values: Sequence[Any]) -> type | None:
    return next((type(value) for value in values if value != OMITTED), None)


def _have_type(value: Any, accepted: Any, expected: type) -> bool:
    """True if all items have the declared type or that of the accepted items. An accepted value that is no list accepts all."""
    return type(accepted) is not list or all(type(item) in (expected, _first_type(accepted)) for item in value)


def _plain(value: Any) -> Any:
    """Returns a text without case, spaces and punctuation; any other value unchanged."""
    return re.sub(r"[ ,./\-_*^]", "", value).lower().replace("'", '"') if type(value) is str else value


def _is_dictionary(value: Mapping[str, Any], values: Sequence[Any]) -> bool:
    """True if a dictionary equals one of the accepted ones, in which each key has a list of accepted values."""
    return any(
        all(key in accepted and _plain(item) in [*map(_plain, accepted[key])] for key, item in value.items())
        and all(key in value or OMITTED in accepted[key] for key in accepted)
        for accepted in values
        if accepted != OMITTED
    )


def _are_dictionaries(value: Sequence[Any], accepted: Sequence[Any]) -> bool:
    return len(value) == len(accepted) and all(_is_dictionary(item, [gold]) for item, gold in zip(value, accepted, strict=True))
