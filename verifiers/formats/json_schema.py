"""Verifier of a JSON value that must be valid under a schema and have given values.

`problem.answer` is {"schema": SCHEMA, "value": VALUE}. The response must contain one JSON value: in a code block, in a tag or
box, or alone. Property order and white space do not count; 3 and 3.0 are equal, as in JSON Schema; 1 and true are not.

The keywords of a schema are those of `KEYWORDS` (JSON Schema, draft 2020-12).
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from ...core import Problem, Status, Verdict
from ...responses import without_thinking
from ..verifier import as_verifier
from .marked import block_answer

KEYWORDS = frozenset(
    "type properties required additionalProperties items minItems maxItems enum const minimum maximum minLength maxLength "
    "description".split()
)
"""The keywords that schemas may use."""
MAX_CHARACTERS = 100_000
"""Largest number of characters of a JSON text. Our choice."""
MAX_DEPTH = 50
"""Largest depth of a JSON value. A deeper one is not valid. Our choice."""


def invalid_gold(problem: Problem) -> str | None:
    """Returns why no response to the problem can be judged, or None."""
    answer = problem.answer
    if not isinstance(answer, Mapping) or not isinstance(answer.get("schema"), Mapping) or "value" not in answer:
        return "the gold answer is not {schema: ..., value: ...}"
    try:
        if reason := _unreadable(answer["schema"]):
            return reason
        error = first_error(answer["value"], answer["schema"])
    except RecursionError:
        return "the schema or the gold value is nested too deeply"
    return f"the gold value is not valid under the schema: {error}" if error else None


@as_verifier(invalid_gold=invalid_gold)
def verify(problem: Problem, response: str) -> Verdict:
    """Scores 1 if the response's JSON value is valid under the schema and equal to the gold value, else 0."""
    if (reason := invalid_gold(problem)) is not None:
        return Verdict(Status.UNDECIDED, None, "json", reason)
    answer = cast(Mapping[str, Any], problem.answer)
    text = json_text(response)
    if len(text) > MAX_CHARACTERS:
        return Verdict(Status.SCORED, 0.0, "json", f"more than {MAX_CHARACTERS:,} characters")
    try:
        value = json.loads(text, parse_constant=_refuse)
        if _depth(value) > MAX_DEPTH:
            raise ValueError("nested too deeply")
    except (ValueError, RecursionError) as error:
        return Verdict(Status.SCORED, 0.0, "json", f"not JSON: {str(error)[:200]}")
    if invalid := first_error(value, answer["schema"]):
        return Verdict(Status.SCORED, 0.0, "schema", invalid[:300])
    different = first_difference(value, answer["value"])
    return Verdict(Status.SCORED, float(not different), "values", (different or "valid, with the gold values")[:300])


def json_text(response: str) -> str:
    """Returns the text of the JSON value in a response."""
    text = without_thinking(response).strip()
    return text if text[:1] in ("{", "[") and text[-1:] in ("}", "]") else block_answer(response)


def first_error(value: object, schema: Mapping[str, Any], path: str = "$") -> str:
    """Returns why a value is not valid under a schema, or "".

    Args:
        value: JSON data.
        schema: a schema with `KEYWORDS`.
        path: place of the value, for the message.
    """
    types = schema.get("type", ())
    if types and not any(_is(value, name) for name in ([types] if isinstance(types, str) else types)):
        return f"{path} is not of type {types}"
    if "enum" in schema and not any(not first_difference(value, each) for each in schema["enum"]):
        return f"{path} is none of {schema['enum']}"
    if "const" in schema and first_difference(value, schema["const"]):
        return f"{path} is not {schema['const']!r}"
    if _is(value, "number"):
        number = cast(float, value)
        if not schema.get("minimum", number) <= number <= schema.get("maximum", number):
            return f"{path} is out of range"
    if isinstance(value, str) and not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
        return f"{path} has a length out of range"
    if isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            return f"{path} has {len(value)} items"
        inner = ((f"{path}[{index}]", item, schema.get("items", {})) for index, item in enumerate(value))
    elif isinstance(value, dict):
        if missing := [name for name in schema.get("required", ()) if name not in value]:
            return f"{path} lacks {missing[0]!r}"
        properties, additional = schema.get("properties", {}), schema.get("additionalProperties", True)
        if additional is False and (extra := [name for name in value if name not in properties]):
            return f"{path} has the additional property {extra[0]!r:.60}"
        others = additional if isinstance(additional, Mapping) else {}
        inner = ((f"{path}.{name}", item, properties.get(name, others)) for name, item in value.items())
    else:
        return ""
    return next((error for place, item, of in inner if (error := first_error(item, of, place))), "")


def first_difference(value: object, gold: object, path: str = "$") -> str:
    """Returns where a JSON value differs from the gold value, or "".

    Args:
        value: JSON data.
        gold: JSON data.
        path: place of the value, for the message.
    """
    if isinstance(value, dict) and isinstance(gold, Mapping):
        if value.keys() != gold.keys():
            return f"{path} has other properties than expected: {', '.join(sorted(map(str, value.keys() ^ gold.keys())))[:100]}"
        return next((found for name in gold if (found := first_difference(value[name], gold[name], f"{path}.{name}"))), "")
    if isinstance(value, list) and isinstance(gold, Sequence) and not isinstance(gold, str):
        if len(value) != len(gold):
            return f"{path} has {len(value)} items, expected {len(gold)}"
        pairs = enumerate(zip(value, gold, strict=True))
        return next((found for index, pair in pairs if (found := first_difference(*pair, f"{path}[{index}]"))), "")
    if isinstance(value, bool) != isinstance(gold, bool) or value != gold:
        return f"{path} is {value!r:.80}, expected another value"
    return ""


def _is(value: object, name: str) -> bool:
    match name:
        case "object":
            return isinstance(value, dict | Mapping)
        case "array":
            return isinstance(value, list)
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "null":
            return value is None
        case "integer":
            return not isinstance(value, bool) and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))
        case "number":
            return not isinstance(value, bool) and isinstance(value, int | float)
    return False


def _unreadable(schema: object) -> str:
    """Returns why a schema cannot be used, or ""."""
    if not isinstance(schema, Mapping):
        return f"the schema contains {schema!r:.60} where a schema with keywords is expected"
    if unknown := {*map(str, schema)} - KEYWORDS:
        return f"the schema has keywords that are not supported: {', '.join(sorted(unknown))}"
    if wrong := [name for name, value in schema.items() if not _has_form(name, value)]:
        return f"the schema has a value of another type than expected for {wrong[0]}: {schema[wrong[0]]!r:.60}"
    inner = [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]
    inner += [schema["additionalProperties"]] if isinstance(schema.get("additionalProperties"), Mapping) else []
    return next((reason for each in inner if (reason := _unreadable(each))), "")


def _has_form(keyword: str, value: object) -> bool:
    """True if the value of a keyword has the type that the keyword needs."""
    if keyword in ("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems"):
        return _is(value, "number")
    if keyword in ("type", "required", "enum"):
        is_list = isinstance(value, Sequence) and not isinstance(value, str)
        is_text = keyword == "type" and isinstance(value, str)
        return is_text or (is_list and (keyword == "enum" or all(isinstance(item, str) for item in cast(Sequence[Any], value))))
    if keyword == "additionalProperties":
        return isinstance(value, bool | Mapping)
    return keyword != "properties" or isinstance(value, Mapping)


def _depth(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inner), default=0)


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
