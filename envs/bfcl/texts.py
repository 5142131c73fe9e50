"""The leaderboard's own texts: its prompts and the declarations of functions, read from the package bfcl-eval as data."""

import ast
import contextlib
import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from . import prompt_formats
from .prompt_formats import Configuration
from .services import AGENTIC_MODULES, MODULES, package, source

HINTS = {"python": "Python 3", "java": "Java 8 SDK", "javascript": "JavaScript"}
"""The language that the description of each function names at its end."""
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
"""The declaration of a function: its name, description and parameters."""


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


@functools.cache
def functions(class_name: str) -> Sequence[Declaration]:
    """Returns the declarations of the functions of a class."""
    module = (MODULES | AGENTIC_MODULES)[class_name]
    file = package() / "data" / "multi_turn_func_doc" / f"{module}.json"
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]


def documented(declaration: Declaration, language: str = "python") -> Declaration:
    """Returns the declaration of a function as the leaderboard shows it.

    Args:
        declaration: the declaration in the data.
        language: python, java or javascript. Parameters of the latter two become texts with source.
    """
    hint = f" Note that the provided function is in {HINTS[language]} syntax."
    parameters = declaration["parameters"]
    if language != "python":
        shown = {name: _as_source(part, language) for name, part in parameters["properties"].items()}
        parameters = {**parameters, "properties": shown}
    return {**declaration, "description": declaration["description"] + hint, "parameters": parameters}


def _as_source(part: Mapping[str, Any], language: str) -> Declaration:
    """Returns a parameter of Java or JavaScript whose value is source text. Its description says the original type."""
    name, kind, shown = {"java": "Java", "javascript": "JavaScript"}[language], part["type"], {**part}
    said = f" This is {name} {kind} type parameter in string representation."
    if kind == "any":
        said = f" This parameter can be of any type of {name} object in string representation."
    if kind in ("ArrayList", "Array", "array"):
        said += f" The list elements are of type {part['items']['type']}; they are not in string representation."
        shown.pop("items")
    if kind == "dict" and "properties" in part:
        fields = json.dumps(shown.pop("properties"))
        said += f" The dictionary entries have the following schema; they are not in string representation. {fields}"
    return {**shown, "description": part["description"] + said, "type": "string"}


def system_prompt(
    declarations: Sequence[Declaration], language: str = "python", configuration: Configuration = prompt_formats.DEFAULT
) -> str:
    """Returns the system turn of the prompt mode.

    Args:
        declarations: the functions.
        language: their language.
        configuration: the format of the prompt.
    """
    known = prompts()
    style = known["PROMPT_STYLE_TEMPLATES"][configuration.style]
    call_format = style["tool_call_with_tag" if configuration.tagged else "tool_call_no_tag"].format(
        output_format=known["OUTPUT_FORMAT_MAPPING"][configuration.returns],
        param_types=known["PARAM_TYPE_MAPPING"][configuration.returns],
    )
    shown = [documented(declaration, language) for declaration in declarations]
    form = configuration.documentation
    available = style["available_tools"].format(format=form, functions=prompt_formats.documentation(shown, form))
    template: str = known["PROMPT_TEMPLATE_MAPPING"][configuration.layout]
    return template.format(
        persona=style["persona"],
        task=style["task"],
        tool_call_format=call_format,
        multiturn_behavior=style["multiturn_behavior"],
        available_tools=available,
    )


def memory_prompt(class_name: str, scenario: str, content: str) -> str:
    """Returns the system turn of a problem with memory.

    Args:
        class_name: the class of the memory.
        scenario: such as "customer".
        content: the text about the memory's content.
    """
    known = prompts()
    kind = "UNIFIED" if class_name == "MemoryAPI_rec_sum" else "CORE_ARCHIVAL"
    template: str = known[f"MEMORY_BACKEND_INSTRUCTION_{kind}"]
    return template.format(scenario_setting=known["MEMORY_AGENT_SETTINGS"][scenario], memory_content=content)


def answer_format() -> str:
    """Returns the system turn about the format of the answer to an agentic problem."""
    text: str = prompts()["ADDITIONAL_SYSTEM_PROMPT_FOR_AGENTIC_RESPONSE_FORMAT"]
    return text


@functools.cache
def no_results() -> dict[str, str]:
    """Returns the result of a query for which the search engine finds nothing: the only such constant in the class's source."""
    for node in ast.walk(ast.parse(source("web_search"))):
        if isinstance(node, ast.Return) and isinstance(node.value, ast.Dict):
            with contextlib.suppress(ValueError):  # an error of another kind, whose text is computed
                found: dict[str, str] = ast.literal_eval(node.value)
                return found
    return {"error": "no results"}


def added_functions(declarations: Sequence[Declaration]) -> str:
    """Returns the user's turn that adds functions."""
    text: str = prompts()["DEFAULT_USER_PROMPT_FOR_ADDITIONAL_FUNCTION_PROMPTING"]
    return text.format(functions=[*declarations])


def tool(declaration: Declaration, language: str = "python") -> dict[str, object]:
    """Returns a function in the form of the option `tools` of chat templates, with the types of JSON Schema.

    Dots in its name become underscores, because servers reject them.
    """
    shown = documented(declaration, language)
    parameters = shown["parameters"]
    declared = {**parameters, "type": "object", "properties": _schemas(parameters["properties"])}
    return {"type": "function", "function": {**shown, "name": tool_name(shown["name"]), "parameters": declared}}


def tool_name(name: str) -> str:
    """Returns the name of a function that is declared as a tool."""
    return name.replace(".", "_")


def _schemas(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _schema(part) for name, part in properties.items()}


def _schema(part: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a parameter with the types of JSON Schema."""
    schema = _typed(part)
    if part.get("type") == "float":
        schema |= {"format": "float", "description": f"{part.get('description', '')} This is a float type value."}
    if schema["type"] in ("array", "object"):
        if "properties" in part:
            schema["properties"] = _schemas(part["properties"])
        elif "items" in part:
            schema["items"] = _items(part["items"])
    return schema


def _items(part: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the declaration of an array's items. As on the leaderboard, types that are nested deeper stay as they are."""
    items = _typed(part)
    if items["type"] == "array" and "items" in part:
        items["items"] = _typed(part["items"])
    elif items["type"] == "object" and "properties" in part:
        items["properties"] = _schemas(part["properties"])
    return items


def _typed(part: Mapping[str, Any]) -> dict[str, Any]:
    return {**part, "type": _TYPES.get(part.get("type", "string"), "string")}
