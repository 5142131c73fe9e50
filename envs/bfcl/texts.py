"""The leaderboard's own texts: its prompts and the documentation of functions, read from the package bfcl-eval as data."""

import ast
import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from .services import package

DOCUMENTATION = {
    "GorillaFileSystem": "gorilla_file_system",
    "MathAPI": "math_api",
    "MessageAPI": "message_api",
    "TwitterAPI": "posting_api",
    "TicketAPI": "ticket_api",
    "TradingBot": "trading_bot",
    "TravelAPI": "travel_booking",
    "VehicleControlAPI": "vehicle_control",
}
HINT = " Note that the provided function is in Python 3 syntax."
"""End of the description of each function."""
_TYPES = {
    "float": "number",
    "double": "number",
    "bool": "boolean",
    "list": "array",
    "tuple": "array",
    "dict": "object",
    "any": "string",
    **{name: name for name in ("integer", "number", "string", "boolean", "array", "object")},
}
"""The type of JSON Schema for each type of the leaderboard."""

Declaration = dict[str, Any]
"""The documentation of a function."""


@functools.cache
def prompts() -> Mapping[str, Any]:
    """Returns the texts of the module `constants/default_prompts.py` by name. The module is not executed."""
    found: dict[str, Any] = {}
    for node in ast.parse((package() / "constants" / "default_prompts.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = _constant(node.value, found)
            except ValueError:  # an expression of another kind
                continue
    return found


def _constant(node: ast.expr, names: Mapping[str, Any]) -> Any:
    match node:
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _constant(left, names) + _constant(right, names)
        case ast.Name(id=name) if name in names:
            return names[name]
        case ast.Dict(keys=keys, values=values):
            return {ast.literal_eval(key): _constant(value, names) for key, value in zip(keys, values, strict=True) if key}
    return ast.literal_eval(node)


def functions(class_name: str) -> list[Declaration]:
    """Returns the documentation of the functions of a class."""
    file = package() / "data" / "multi_turn_func_doc" / f"{DOCUMENTATION[class_name]}.json"
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]


def system_prompt(declarations: Sequence[Declaration]) -> str:
    """Returns the system turn of the prompt mode with its default settings: Python calls, JSON documentation, plain text."""
    known = prompts()
    style = known["PROMPT_STYLE_TEMPLATES"]["classic"]
    call_format = style["tool_call_no_tag"].format(
        output_format=known["OUTPUT_FORMAT_MAPPING"]["python"], param_types=known["PARAM_TYPE_MAPPING"]["python"]
    )
    hinted = [{**declaration, "description": declaration["description"] + HINT} for declaration in declarations]
    available = style["available_tools"].format(format="json", functions=json.dumps(hinted, indent=4))
    template: str = known["_PLAINTEXT_SYSTEM_PROMPT_TEMPLATE"]
    return template.format(
        persona=style["persona"],
        task=style["task"],
        tool_call_format=call_format,
        multiturn_behavior=style["multiturn_behavior"],
        available_tools=available,
    )


def added_functions(declarations: Sequence[Declaration]) -> str:
    """Returns the user's turn that adds functions."""
    text: str = prompts()["DEFAULT_USER_PROMPT_FOR_ADDITIONAL_FUNCTION_PROMPTING"]
    return text.format(functions=[*declarations])


def tool(declaration: Declaration) -> dict[str, object]:
    """Returns a function in the form of the option `tools` of chat templates, with the types of JSON Schema."""
    parameters = declaration["parameters"]
    described = {
        "name": declaration["name"].replace(".", "_"),
        "description": declaration["description"] + HINT,
        "parameters": {**parameters, "type": "object", "properties": _schemas(parameters["properties"])},
    }
    return {"type": "function", "function": described}


def _schemas(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _schema(part) for name, part in properties.items()}


def _schema(part: Mapping[str, Any]) -> dict[str, Any]:
    schema = {**part, "type": _TYPES.get(part.get("type", "string"), "string")}
    if part.get("type") == "float":
        schema |= {"format": "float", "description": f"{part.get('description', '')} This is a float type value."}
    if "properties" in part:
        schema["properties"] = _schemas(part["properties"])
    if isinstance(part.get("items"), Mapping):
        schema["items"] = _schema(part["items"])
    return schema
